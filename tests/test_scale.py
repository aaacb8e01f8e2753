"""python -m benchmarks.scale: its formulas against counts, and the command at a tiny size."""

import json
import subprocess
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import paper, scale
from benchmarks.train import batch
from gpt.fast.layers import AddedMaskAttention
from gpt.fast.optimizers import orthogonalize_batch
from gpt.fast.speed_up import speed_up
from gpt.inside.anatomy import anatomy_of, training_flops_per_token
from gpt.model import GPT, GPTConfig
from gpt.optim import build_optimizers
from tests.processes import finish, start_python, start_torchrun
from train import cross_entropy

CPU = torch.device("cpu")
SMALL = GPTConfig(200, context_length=32, n_layer=3, n_head=4, n_embd=64)


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_operations_of_a_step_are_those_that_pytorch_counts(position):
    shape = replace(SMALL, position=position)
    model, (x, y) = GPT(shape), batch(shape, 2, CPU)
    with FlopCounterMode(display=False) as counter:
        cross_entropy(model(x), y).backward()
    in_products = 3 * sum(anatomy_of(shape).flops_per_token().values())
    assert counter.get_total_flops() == x.numel() * in_products
    assert training_flops_per_token(shape) == pytest.approx(in_products, rel=0.03)  # N also has biases and norms


def test_muons_operations_are_those_that_pytorch_counts():
    matrices = [weight for name, weight in GPT(SMALL).named_parameters() if ".h." in name and weight.ndim == 2]
    with FlopCounterMode(display=False) as counter:
        for matrix in matrices:
            orthogonalize_batch(matrix.detach()[None])
    assert counter.get_total_flops() == paper.muon_flops(SMALL)
    assert sum(matrix.numel() for matrix in matrices) == paper.for_muon(SMALL)


def test_what_stands_in_memory_is_the_sum_of_the_tensors_bytes():
    model, (x, y) = GPT(SMALL), batch(SMALL, 2, CPU)
    optimizers = build_optimizers(model, "muon", 1e-3, 1e-2, 0.1, speed_up(model, CPU, torch.float32))
    cross_entropy(model(x), y).backward()
    for optimizer in optimizers:
        optimizer.step()
    states = [value for optimizer in optimizers for state in optimizer.state.values() for value in state.values()]
    counted = {
        "weights": sum(weight.nbytes for weight in model.parameters()),
        "gradients": sum(weight.grad.nbytes for weight in model.parameters()),
        "optimizer": sum(value.nbytes for value in states if isinstance(value, torch.Tensor) and value.ndim > 0),
    }
    assert counted == paper.standing_bytes(SMALL)


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("dtype, context", [(torch.float32, 64), (torch.bfloat16, 64), (torch.bfloat16, 600)])
def test_activations_are_the_bytes_that_autograd_keeps(position, dtype, context):
    shape = replace(SMALL, n_embd=128, context_length=context, position=position)
    model, (x, y) = GPT(shape), batch(shape, 8, CPU)
    speed_up(model, CPU, dtype)
    own, kept = {weight.untyped_storage().data_ptr() for weight in model.parameters()}, {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # the tensor too, so that its address stays its own
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(x)
        cross_entropy(logits, y)
    counted = sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own)
    scores = isinstance(model.transformer.h[0].attn, AddedMaskAttention)
    assert paper.activation_bytes(shape, 8, dtype, scores) == pytest.approx(counted, rel=0.03)


COUNT = """
import torch, torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from benchmarks.train import batch
from gpt.fast.speed_up import speed_up
from gpt.model import GPT, GPTConfig
from gpt.optim import build_optimizers
from gpt.running import sharding
from train import cross_entropy

CPU, shape, whole = torch.device("cpu"), GPTConfig(200, 32, 3, 4, 64), []

class Count(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result, name = function(*args, **(kwargs or {})), str(function)
        if "c10d" in name and ("allgather" in name or "all_gather" in name):
            gathered = args[0] if "c10d._" in name or "functional" not in name else result
            whole.append(gathered.nbytes)
        elif "c10d" in name and "reduce_scatter" in name:
            whole.append(args[1].nbytes if "functional" not in name else args[0].nbytes)
        return result

dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
model = GPT(shape)
twins = sharding.sharded_twins(speed_up(model, CPU, torch.float32))
model = sharding.shard(model, CPU, 8)
optimizers = build_optimizers(model, "muon", 1e-3, 1e-2, 0.1, twins)
x, y = batch(shape, 2, CPU)
with Count():
    cross_entropy(model(x), y).backward()
    for optimizer in optimizers:
        optimizer.step()
print(sum(whole) * 7 / 8)
"""


def test_sharding_sends_the_bytes_that_its_collective_operations_move(tmp_path):
    (tmp_path / "count.py").write_text(COUNT, encoding="utf-8")
    codes = finish([start_python(str(tmp_path / "count.py"), log=tmp_path / "count")])
    assert codes == [0], (tmp_path / "count.err").read_text(encoding="utf-8")
    assert float((tmp_path / "count.log").read_text(encoding="utf-8").split()[-1]) == pytest.approx(
        paper.sent_bytes(SMALL, 8, sharding=True), rel=0.01
    )


def test_sharding_spreads_what_stands_and_sends_more():
    whole, spread = (paper.cost(paper.PAPER["gpt2-xl"], 8, 8, sharding) for sharding in (False, True))
    assert spread.standing == whole.standing / 8 and spread.memory < whole.memory
    assert 1.5 * whole.sent < spread.sent < 2.5 * whole.sent


def test_the_command_measures_reduces_all_gradients_and_draws(tmp_path, pictures, quick_processes, monkeypatch):
    def run_quickly(command, **_):
        _, *torchrun, number, dash_m, module, name, seconds = command
        assert torchrun == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        codes = finish(start_torchrun(int(number), dash_m, module, name, seconds, log=tmp_path / "said"))
        out, err = ((tmp_path / f"said.0.{stream}").read_text(encoding="utf-8") for stream in ("log", "err"))
        return subprocess.CompletedProcess(command, any(codes), out, err)

    monkeypatch.setattr(subprocess, "run", run_quickly)
    config = scale.ScaleConfig(("smallest",), ("smallest",), 0.1, "cpu", tmp_path / "out", tmp_path / "scale.png")
    text = scale.scale(config)
    found = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    shape = paper.SHAPES["smallest"][0]
    exchanged, measured = found["exchange"]["smallest"], found["measured"]["smallest"]
    assert exchanged["bytes"] == 4 * GPT(shape).num_params()
    assert 0 < exchanged["reduction"] < exchanged["waiting"]
    assert measured["seconds"] > 0 and measured["steps"] >= 3
    assert (tmp_path / "scale.png").stat().st_size > 10_000
    assert "| smallest | 33,664 |" in text and "gpt2-xl, --sharding" in text
