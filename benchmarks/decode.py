"""Tokens per second: this project and `transformers.generate` with identical weights.

    python -m benchmarks.decode
    python -m benchmarks.decode --threads 1 --rounds 9 --models small
    python -m benchmarks.decode --peers --rounds 5    # also CTranslate2 and llama.cpp: decoding_peers.py

The contenders take turns, so that other load on the machine slows all of them; the table gives medians with the lowest
and the highest. The memory's read bandwidth is measured in the same turns: every weight is read once per token, so
bandwidth divided by the size of the weights is an upper bound on the speed (if the weights do not fit in the CPU's
cache). One sequence is decoded greedily. The weights are random; the script checks that the two texts are the same.
"""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import tyro

from benchmarks.roofline import median_and_range
from gpt.fast.batch import generate_with_cache
from gpt.fast.int8 import quantize_int8
from gpt.fast.linear import useful_threads
from gpt.fast.speed_up import speed_up
from gpt.files.huggingface import config_to_hf, weights_to_hf
from gpt.model import GPT, GPTConfig
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

MODELS = {
    "small": ("4 layers, 128 wide, 0.8M", GPTConfig(65, 256, 4, 4, 128), 200),
    "medium": ("6 layers, 384 wide, 10.7M", GPTConfig(65, 256, 6, 6, 384), 200),
    "gpt2": ("GPT-2, 124M", GPTConfig(50257, 1024, 12, 12, 768), 100),
}
PROMPT = [1, 2, 3, 4, 5, 6, 7, 8]


@dataclass(frozen=True)
class DecodeConfig:
    models: tuple[Literal["small", "medium", "gpt2"], ...] = ("small", "medium", "gpt2")
    """models to measure"""
    rounds: int = 7
    """turns of each contender; the table gives medians"""
    threads: int | None = None
    """CPU threads; by default one per core, and for this project as sample.py chooses"""
    peers: bool = False
    """compare with CTranslate2 and llama.cpp, too: one text, eight texts, and reading a long prompt"""


def hf_twin(model: GPT) -> "GPT2LMHeadModel":
    """The same weights in `transformers`."""
    from transformers import GPT2Config, GPT2LMHeadModel  # here, so that contenders without it do not load it

    twin = GPT2LMHeadModel(GPT2Config(**config_to_hf(model.config, end_of_text=0)))
    twin.load_state_dict(weights_to_hf(model.state_dict(), model.config), strict=False)
    twin.tie_weights()
    twin.generation_config.eos_token_id = None  # random weights may generate it: continue
    return twin.eval()


def ours(model: GPT, n: int) -> list[int]:
    """n tokens, with as many threads as sample.py would use."""
    threads = torch.get_num_threads()
    torch.set_num_threads(useful_threads(model))
    tokens = list(generate_with_cache(model, PROMPT, n, temperature=0))
    torch.set_num_threads(threads)
    return tokens


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds until `run` has ended, and what it asked of a GPU, too."""
    start = time.perf_counter()
    run()
    torch.get_device_module(device).synchronize()
    return time.perf_counter() - start


def size(model: GPT) -> int:
    """Bytes of weights read per token: all except the positions; the tied matrix once, for the head."""
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values()) - model.transformer.wpe.weight.numel() * 4


def main() -> None:
    config = parse_flags(lambda: tyro.cli(DecodeConfig, description=__doc__))
    if config.peers:
        from benchmarks.decoding_peers import compare_peers

        return compare_peers(config)
    pick_machine("cpu")  # what sample.py does first
    if config.threads:
        torch.set_num_threads(config.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| model | tokens/s: this project | transformers | ratio | bandwidth allows | of it | read bandwidth |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    block = torch.randn(64 * 2**20)  # 256 MiB: more than most caches hold
    for name in config.models:
        title, shape, n = MODELS[name]
        torch.manual_seed(0)
        model = GPT(shape).eval()
        speed_up(model, torch.device("cpu"), torch.float32)  # as sample.py does
        quantized = copy.deepcopy(model)
        quantize_int8(quantized)
        twin = hf_twin(model)
        prompt = torch.tensor([PROMPT])
        settings = {"max_new_tokens": n, "do_sample": False, "pad_token_id": 0}
        settings["attention_mask"] = torch.ones_like(prompt)
        theirs = twin.generate(prompt, **settings)[0, len(PROMPT) :].tolist()
        assert ours(model, n) == theirs, "the two programs disagree"
        contenders = {
            "ours": lambda model=model, n=n: ours(model, n),
            "int8": lambda model=quantized, n=n: ours(model, n),
            "theirs": lambda twin=twin, prompt=prompt, settings=settings: twin.generate(prompt, **settings),
            "read": lambda: [block.sum() for _ in range(4)],
        }
        seconds = {key: [] for key in contenders}
        for _ in range(config.rounds):
            for key, run in contenders.items():
                seconds[key].append(timed(run, torch.device("cpu")))
        median = {key: statistics.median(times) for key, times in seconds.items()}
        bandwidth = 4 * block.numel() * block.element_size() / median["read"]  # bytes per second
        for key, label, which in (("ours", title, model), ("int8", f"{title}, int8", quantized)):
            allowed = bandwidth / size(which)
            big = size(which) > 100 * 2**20  # smaller ones stay in a cache, where this bound does not hold
            bound = f"{allowed:,.0f} | {n / median[key] / allowed:.0%}" if big else "– | –"
            shown = [median_and_range([n / each for each in seconds[contender]]) for contender in (key, "theirs")]
            speeds = f"{' | '.join(shown)} | {median['theirs'] / median[key]:.2f}"
            print(f"| {label} | {speeds} | {bound} | {bandwidth / 1e9:.1f} GB/s |", flush=True)


if __name__ == "__main__":
    run_main(main)
