"""On a GPU: the same functions, runs that go on bit for bit, models that a CPU opens. Skipped where there is none."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from finetune import finetune
from gpt.dataset import Dataset
from gpt.fast.batch import Batch
from gpt.fast.int8 import quantize_int8
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.generate import generate
from gpt.optim import build_optimizers
from gpt.running.device import pick_machine
from gpt.running.run_folder import read_metrics
from gpt.sampling import Sampling
from tests.helpers import PROMPTS, random_model, run_batch, small_training, stop_after, tokens_of
from train import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def exact_float32():
    """Without TF32, which pick_machine switches on, float32 products keep all their bits."""
    torch.set_float32_matmul_precision("highest")


@pytest.fixture
def gpu_config(corpus, tmp_path):
    return dataclasses.replace(small_training(corpus, tmp_path / "run"), device="cuda", compile="off")


def gradients(model, dtype):
    tokens = torch.randint(0, 300, (4, 33), generator=torch.Generator().manual_seed(3)).to(GPU)
    with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = model(tokens[:, :-1])
    F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten()).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_the_fast_net_has_the_gradients_of_the_plain_one(model, dtype, tolerance):
    model.to(GPU)
    fast = copy.deepcopy(model)
    speed_up(fast, GPU, dtype)
    plain, ours = gradients(model, torch.float32), gradients(fast, dtype)
    assert (plain - ours).norm() / plain.norm() < tolerance


@pytest.mark.parametrize("kind", ["muon", "adamw", "sgd"])
def test_the_fast_optimizers_take_the_plain_steps(kind):
    plain = random_model("rotary").to(GPU)
    before = torch.cat([weight.detach().flatten().clone() for weight in plain.parameters()])
    fast = copy.deepcopy(plain)
    twins = speed_up(copy.deepcopy(fast), GPU, torch.float32)
    for model, optimizers in ((plain, build_optimizers(plain, kind, 1e-2, 1e-2, 0.1)),
                              (fast, build_optimizers(fast, kind, 1e-2, 1e-2, 0.1, twins))):  # fmt: skip
        for _ in range(3):
            gradients(model, torch.float32)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    ends = [torch.cat([weight.detach().flatten() for weight in model.parameters()]) for model in (plain, fast)]
    assert (ends[0] - ends[1]).norm() < 0.02 * (ends[0] - before).norm()


def test_the_recorded_step_writes_the_text_of_the_plain_code(model):
    expected = list(generate(model, [1, 2, 3], 60, temperature=0))
    on_gpu = copy.deepcopy(model).to(GPU)
    speed_up(on_gpu, GPU, torch.float32)
    assert tokens_of(run_batch(on_gpu, [[1, 2, 3]], [0], 60)[0]) == expected  # also past the end of the context


def test_rows_of_different_lengths_that_end_early_do_not_disturb_the_others(model):
    expected = [list(generate(model, list(prompt), 25, temperature=0)) for prompt in PROMPTS]
    on_gpu = copy.deepcopy(model).to(GPU)
    batch = Batch(on_gpu, [list(prompt) for prompt in PROMPTS], [0] * 5, 25, Sampling(temperature=0))
    written: list[list[int]] = [[] for _ in PROMPTS]
    for step in range(25):
        for row, choice in batch.step().items():
            written[row].append(choice.token)
        batch.drop({row for row in batch.rows if step >= 4 * row + 3 and row < 4})
    for row, (text, whole) in enumerate(zip(written, expected, strict=True)):
        assert text == whole[: len(text)] and len(text) == min(25, 4 * row + 4 if row < 4 else 25)


def test_int8_weights_change_the_logits_a_little(model):
    model.to(GPU)
    tokens = torch.randint(0, 300, (1, 20), device=GPU)
    before = model(tokens)
    quantize_int8(model)
    difference = (model(tokens) - before).norm() / before.norm()
    assert 0 < difference < 0.05


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(gpu_config, tmp_path, monkeypatch):
    train(gpu_config)
    stopped = dataclasses.replace(gpu_config, out=tmp_path / "stopped")
    with monkeypatch.context() as patch:
        stop_after(patch, Dataset, 11)
        train(stopped)
    train(dataclasses.replace(stopped, resume=True))
    whole, resumed = load_model(gpu_config.out).state_dict(), load_model(stopped.out).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_learns_as_the_cpu_does(gpu_config, tmp_path, precision):
    train(dataclasses.replace(gpu_config, precision=precision))
    train(dataclasses.replace(gpu_config, out=tmp_path / "cpu", device="cpu", precision="float32"))
    gpu, cpu = (read_metrics(folder)[-1] for folder in (gpu_config.out, tmp_path / "cpu"))
    assert gpu["val_loss"] == pytest.approx(cpu["val_loss"], abs=0.1)


def test_a_compiled_run_learns_as_one_that_is_not(gpu_config, tmp_path):
    train(gpu_config)
    train(dataclasses.replace(gpu_config, compile="on", out=tmp_path / "compiled"))
    plain, compiled = (read_metrics(folder)[-1]["val_loss"] for folder in (gpu_config.out, tmp_path / "compiled"))
    assert compiled == pytest.approx(plain, abs=0.05)


def test_a_model_from_the_gpu_has_the_same_logits_on_the_cpu(gpu_config):
    train(gpu_config)
    tokens = torch.randint(0, 300, (2, 16))
    model = load_model(gpu_config.out)
    expected = model(tokens)
    torch.testing.assert_close(model.to(GPU)(tokens.to(GPU)).cpu(), expected, atol=1e-3, rtol=1e-3)


def test_a_classifier_learns(config):
    report = finetune(dataclasses.replace(config, device="cuda", precision="auto", min_steps=80))
    assert report["test"]["accuracy"] >= 0.9
    assert pick_machine("cuda").dtype in (torch.bfloat16, torch.float16)
