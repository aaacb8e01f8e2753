"""Everything that is measured on one GPU, in one call of a few minutes: the table for benchmarks/README.md.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --parts train decode
    python -m benchmarks.gpu --device cpu --scale small        # try out the command itself where there is no GPU

The parts: `tests`, those that need a GPU; `train`, GPT-2 (124M) with 1,024 tokens of context beside Hugging Face's, and
its share of the rate of a large matrix product measured just before (the MFU, model FLOPs utilisation); `small`, the
preset to its end; `decode`, greedy text from random weights of GPT-2 beside `transformers`, which must be the same
text; `finetune`, out/tiny on data/reviews. Each part writes what it found into benchmarks/gpu.json when it ends, so a
part that fails does not cost the others.
"""

import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from benchmarks.contenders import start, take_turns
from benchmarks.decode import hf_twin, timed
from benchmarks.roofline import median_and_range, table
from benchmarks.train import our_step, their_step
from gpt.errors import UserError
from gpt.fast.batch import Batch
from gpt.fast.speed_up import speed_up
from gpt.files.atomic import write_text
from gpt.inside.anatomy import training_flops_per_token
from gpt.model import GPT, GPTConfig
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.run_folder import read_metrics
from gpt.sampling import Sampling


@dataclass(frozen=True)
class GpuConfig:
    parts: tuple[Literal["tests", "train", "small", "decode", "finetune"], ...] = (
        "tests", "train", "decode", "small", "finetune",
    )  # fmt: skip
    """what to measure, in this order"""
    device: str = "cuda"
    """where to compute"""
    scale: Literal["full", "small"] = "full"
    """small: tiny nets and few steps, to try the command out; its figures mean nothing"""
    out: Path = Path("benchmarks/gpu.json")
    """the file for all figures; parts that are not measured now stay as they are in it"""

    @property
    def gpt2(self) -> GPTConfig:
        return GPTConfig() if self.scale == "full" else GPTConfig(257, 64, 2, 2, 32)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(GpuConfig, description=__doc__))
    machine = pick_machine(config.device)
    found = json.loads(config.out.read_text(encoding="utf-8")) if config.out.is_file() else {}
    found["machine"] = {"name": str(machine), "torch": torch.__version__, "date": str(datetime.date.today())}
    failed = []
    for part in dict.fromkeys(config.parts):
        print(f"\n=== {part}", file=sys.stderr, flush=True)
        began = time.perf_counter()
        try:
            found[part] = PARTS[part](config) | {"measured_in": round(time.perf_counter() - began)}
        except (Exception, SystemExit) as error:  # the other parts are still worth having
            failed.append(f"{part}: {type(error).__name__}: {error}")
            print(failed[-1], file=sys.stderr, flush=True)
        write_text(config.out, json.dumps(found, indent=1) + "\n")
    print(report(found))
    if failed:
        raise UserError("not measured: " + "; ".join(failed))


def matrix_product(device: torch.device, size: int) -> float:
    """Operations per second of a large product in bfloat16, of random numbers: the median of 20."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = [timed(lambda: a @ b, device) for _ in range(25)][5:]
    return 2 * size**3 / statistics.median(seconds)


def command(*words: str) -> tuple[float, str]:
    """Run one of the project's commands. Returns its seconds as a whole process, and what it wrote to stdout."""
    begin = time.perf_counter()
    ended = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, encoding="utf-8")
    print(ended.stdout[-3000:], file=sys.stderr)
    if ended.returncode:
        raise UserError(f"{' '.join(words)} ended with {ended.returncode}")
    return time.perf_counter() - begin, ended.stdout


def run_tests(config: GpuConfig) -> dict[str, Any]:
    _, output = command("-m", "pytest", "-p", "no:cacheprovider", "tests/test_gpu.py", "tests/fast")
    return {"outcome": next(line for line in reversed(output.splitlines()) if " passed" in line or " failed" in line)}


def run_train(config: GpuConfig) -> dict[str, Any]:
    """Tokens per second of whole steps, medians of turns with their range, and the share of the measured product."""
    device = pick_machine(config.device).device
    rate = matrix_product(device, 8192 if config.scale == "full" else 256)
    torch.cuda.empty_cache()
    flops = training_flops_per_token(config.gpt2)
    rounds, steps, batches = (5, 10, (16, 32)) if config.scale == "full" else (1, 1, (2, 4))
    found: dict[str, Any] = {"product": rate, "flops_per_token": flops}
    for batch_size in batches:
        contenders = {
            f"ours, {optimizer}": start(our_step, config.gpt2, batch_size, config.device, optimizer)
            for optimizer in ("muon", "adamw")
        }
        if batch_size == batches[0]:
            for name, dtype in (("HF float32 (TF32)", torch.float32), ("HF bfloat16", torch.bfloat16)):
                contenders[name] = start(their_step, config.gpt2, batch_size, device.type, dtype)
        for name, seconds in take_turns(contenders, rounds, steps).items():
            speeds = [batch_size * config.gpt2.context_length / each for each in seconds]
            speed = statistics.median(speeds)
            found[f"{name}, {batch_size} × {config.gpt2.context_length}"] = {
                "tokens/s": speed,
                "range": median_and_range(speeds),
                "mfu": speed * flops / rate,
            }
    return found


def run_decode(config: GpuConfig) -> dict[str, Any]:
    """Tokens per second in all rows, greedy, float32 weights with TF32 products, as sample.py decodes."""
    device = pick_machine(config.device).device
    torch.manual_seed(0)
    model = GPT(config.gpt2).to(device).eval()
    twin = hf_twin(model).to(device)
    speed_up(model, device, torch.float32)
    count, rounds = (200, 3) if config.scale == "full" else (20, 1)
    found = {}
    for rows in (1, 8, 64):
        prompts = [[1 + row, 2, 3, 4, 5, 6, 7, 8] for row in range(rows)]

        def ours(prompts=prompts) -> list[list[int]]:
            batch = Batch(model, prompts, [0] * len(prompts), count, Sampling(temperature=0))
            texts: list[list[int]] = [[] for _ in prompts]
            for _ in range(count):
                for row, choice in batch.step().items():
                    texts[row].append(choice.token)
            return texts

        def theirs(prompts=prompts) -> list[list[int]]:
            prompt = torch.tensor(prompts, device=device)
            settings = {"max_new_tokens": count, "do_sample": False, "pad_token_id": 0}
            written = twin.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)
            return written[:, prompt.size(1) :].tolist()

        equal = statistics.mean(
            a == b for one, two in zip(ours(), theirs(), strict=True) for a, b in zip(one, two, strict=True)
        )
        turns = {name: [timed(run, device) for _ in range(rounds)] for name, run in (("ours", ours), ("HF", theirs))}
        speeds = {name: [rows * count / each for each in seconds] for name, seconds in turns.items()}
        found[f"{rows} rows"] = {name: statistics.median(each) for name, each in speeds.items()} | {
            "ranges": {name: median_and_range(each) for name, each in speeds.items()},
            "equal tokens": equal,
        }
    return found


def run_small(config: GpuConfig) -> dict[str, Any]:
    preset = ["small"] if config.scale == "full" else ["tiny", "--max-steps", "10", "--eval-every", "10"]
    with tempfile.TemporaryDirectory() as folder:
        seconds, _ = command("train.py", *preset, "--device", config.device, "--out", f"{folder}/run")
        rows = [row for row in read_metrics(Path(folder, "run")) if "val_loss" in row]
    kept = ("step", "seconds", "val_loss", "bits_per_byte", "grammatical", "consistent")
    return {"process": seconds, "evaluations": [{name: row[name] for name in kept} for row in rows]}


def run_finetune(config: GpuConfig) -> dict[str, Any]:
    few = [] if config.scale == "full" else ["--min-steps", "10", "--epochs", "0.1"]
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--model", "out/tiny", "--data", "data/reviews", "--device", config.device, "--out", f"{folder}/run"]
        seconds, _ = command("finetune.py", *flags, *few)
        report = json.loads(Path(folder, "run", "report.json").read_text(encoding="utf-8"))
    return {"process": seconds, "training": report["seconds"], "accuracy": report["test"]["accuracy"]}


PARTS = {"tests": run_tests, "train": run_train, "decode": run_decode, "small": run_small, "finetune": run_finetune}


def report(found: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    rows = [["machine", f"{found['machine']['name']}, torch {found['machine']['torch']}, {found['machine']['date']}"]]
    if "tests" in found:
        rows.append(["tests on the GPU", found["tests"]["outcome"]])
    for name, value in found.get("train", {}).items():
        if isinstance(value, dict):
            speed = value.get("range", f"{value['tokens/s']:,.0f}")  # older files have no ranges
            rows.append([f"train GPT-2 124M: {name}", f"{speed} tokens/s, {value['mfu']:.0%} of the product"])
    if "train" in found:
        rows.append(["a large product, bfloat16", f"{found['train']['product'] / 1e12:,.0f} TFLOP/s"])
    for name, value in found.get("decode", {}).items():
        if isinstance(value, dict):
            ours, theirs = (value.get("ranges", {}).get(key, f"{value[key]:,.0f}") for key in ("ours", "HF"))
            ratio = (
                f"{value['ours'] / value['HF']:.1f} times as fast; {value['equal tokens']:.1%} of the tokens are equal"
            )
            rows.append([f"decode GPT-2 124M: {name}", f"{ours} tokens/s, HF {theirs}: {ratio}"])
    if "small" in found:
        last = found["small"]["evaluations"][-1]
        loss = f"{last['bits_per_byte']:.4f} bits/byte after {last['step']:,} steps"
        rows.append(
            ["train.py small", f"{loss}, {last['seconds']:.0f} s ({found['small']['process']:.0f} s the whole process)"]
        )
    if "finetune" in found:
        value = found["finetune"]
        rows.append(
            [
                "finetune.py, out/tiny on reviews",
                f"{value['accuracy']:.1%} in {value['training']:.0f} s ({value['process']:.0f} s)",
            ]
        )
    return table(["on one GPU", "measured"], rows)


if __name__ == "__main__":
    run_main(main)
