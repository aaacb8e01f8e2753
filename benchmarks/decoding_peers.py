"""`python -m benchmarks.decode --peers`: tokens per second beside what else a CPU user would take.

Every contender has the same random weights, writes greedily, and runs in a process of its own. They take turns. One
table for each size and each batch, and one for reading a prompt of 512 tokens where the context holds it. "Equal" is
the share of tokens that are those of this project in float32; fewer bits may choose others.
"""

import itertools
import json
import statistics
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.contenders import start, take_turns
from benchmarks.decode import MODELS, DecodeConfig, hf_twin
from benchmarks.decoding_formats import missing, write_models
from benchmarks.roofline import table
from gpt.fast.batch import Batch
from gpt.fast.int8 import quantize_int8
from gpt.fast.linear import useful_threads
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer, vocabulary
from gpt.running.device import pick_machine
from gpt.sampling import Sampling

Texts = list[list[int]]
PROMPT, LONG_PROMPT = 8, 512  # tokens
REST = 0.3  # seconds between turns: idle OpenMP threads of the last contender spin for up to 0.2


@dataclass(frozen=True)
class Job:
    """What all contenders do in a turn: continue each prompt by n tokens."""

    folder: Path
    prompts: Texts
    n: int
    threads: int


def ours(job: Job, kind: str) -> Callable[[], Texts]:
    pick_machine("cpu")  # what sample.py does first
    torch.set_num_threads(job.threads)
    model = load_model(job.folder / "model").eval()
    speed_up(model, torch.device("cpu"), torch.float32)
    if kind == "int8":
        quantize_int8(model)
    torch.set_num_threads(min(job.threads, useful_threads(model)))

    def write() -> Texts:
        batch = Batch(model, job.prompts, [0] * len(job.prompts), job.n, Sampling(temperature=0))
        steps = [batch.step() for _ in range(job.n)]
        return [[step[row].token for step in steps] for row in range(len(job.prompts))]

    return write


def transformers(job: Job, kind: str) -> Callable[[], Texts]:
    torch.set_num_threads(job.threads)
    twin, prompts = hf_twin(load_model(job.folder / "model")), torch.tensor(job.prompts)
    settings = {"max_new_tokens": job.n, "do_sample": False, "pad_token_id": 0}
    settings["attention_mask"] = torch.ones_like(prompts)
    return lambda: twin.generate(prompts, **settings)[:, prompts.size(1) :].tolist()


def ctranslate2(job: Job, kind: str) -> Callable[[], Texts]:
    import ctranslate2

    path = str(job.folder / "ctranslate2")
    generator = ctranslate2.Generator(path, compute_type=kind, inter_threads=1, intra_threads=job.threads)
    names = list(vocabulary(load_tokenizer(job.folder / "model")))
    prompts = [[names[token] for token in prompt] for prompt in job.prompts]
    settings = {"max_length": job.n, "sampling_topk": 1, "include_prompt_in_result": False}
    return lambda: [answer.sequences_ids[0] for answer in generator.generate_batch(prompts, **settings)]


def llama_cpp(job: Job, kind: str) -> Callable[[], Texts]:
    import xllamacpp

    params, rows = xllamacpp.CommonParams(), len(job.prompts)
    params.model.path, params.port = str(job.folder / f"{kind}.gguf"), 0
    params.n_parallel, params.n_ctx = rows, rows * (len(job.prompts[0]) + job.n + 8)  # n_ctx is shared by the rows
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = job.threads
    params.fit_params, params.verbosity = False, -1
    server = xllamacpp.Server(params)
    body = {"prompt": job.prompts, "n_predict": job.n, "temperature": 0, "ignore_eos": True}
    data = json.dumps(body | {"return_tokens": True, "cache_prompt": False}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy between

    def write() -> Texts:
        url = f"{server.listening_address}/completion"  # and so the server lives as long as this function
        with opener.open(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
            found = json.load(answer)
        found = sorted(found, key=lambda row: row["index"]) if isinstance(found, list) else [found]
        return [row["tokens"] for row in found]

    return write


def read_memory(job: Job, kind: str) -> Callable[[], Texts]:
    """A turn reads 1 GiB."""
    torch.set_num_threads(job.threads)
    block = torch.ones(2**28)
    return lambda: [[int(block.sum() > 0)]]


# Name: (function, kind of weights, bytes of a weight, packages)
CONTENDERS = {
    "this project, float32": (ours, "float32", 4, ()),
    "this project, int8": (ours, "int8", 1, ()),
    "transformers, float32": (transformers, "float32", 4, ("transformers",)),
    "CTranslate2, float32": (ctranslate2, "float32", 4, ("ctranslate2", "transformers")),
    "CTranslate2, int8": (ctranslate2, "int8", 1, ("ctranslate2", "transformers")),
    "llama.cpp, F16": (llama_cpp, "F16", 2, ("xllamacpp", "gguf")),
    "llama.cpp, Q8_0": (llama_cpp, "Q8_0", 34 / 32, ("xllamacpp", "gguf")),
}


def build(function: Callable, job: Job, kind: str, answer: Path) -> Callable[[], None]:
    """A contender that has written its text once, into the file `answer`."""
    write = function(job, kind)
    answer.write_text(json.dumps(write()), encoding="utf-8")
    return write


def cache_bytes() -> int:
    """The CPU's last cache as Linux tells it; 100 MiB where nothing tells it."""
    path = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    return int(path.read_text(encoding="ascii").strip().rstrip("K")) * 1024 if path.is_file() else 100 * 2**20


def compare(job: Job, rounds: int, weights: int) -> str:
    """A table of tokens per second. weights: the number of weights that a token reads."""
    there = {name: parts for name, parts in CONTENDERS.items() if not missing(parts[3])}
    answers = {name: job.folder / f"answer{i}.json" for i, name in enumerate(there)}
    running = {name: start(build, parts[0], job, parts[1], answers[name]) for name, parts in there.items()}
    running["memory"] = start(build, read_memory, job, "", job.folder / "memory.json")
    seconds = take_turns(running, rounds, 1, REST)
    bandwidth = 2**30 / statistics.median(seconds.pop("memory"))  # bytes per second
    texts = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in answers.items()}
    right, rows = list(itertools.chain(*texts["this project, float32"])), []
    reading = job.n == 1
    for name, times in seconds.items():
        per_turn = len(job.prompts) * (len(job.prompts[0]) if reading else job.n)
        low, speed, high = (per_turn / f(times) for f in (max, statistics.median, min))
        written = list(itertools.chain(*texts[name]))
        equal = sum(a == b for a, b in zip(right, written, strict=True)) / len(right)
        size = weights * there[name][2]
        steps = speed / len(job.prompts)
        share = "–" if reading or size < cache_bytes() else f"{steps * size / bandwidth:.0%}"
        rows.append([name, f"{speed:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{equal:.0%}", share])
    head = ["", "tokens/s", "range", "equal", f"of {bandwidth / 1e9:.1f} GB/s"]
    return table(head, rows)


def compare_peers(config: DecodeConfig) -> None:
    pick_machine("cpu")
    threads = config.threads or torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads (this project: one up to 128 wide), {config.rounds} rounds")
    for package in missing(tuple(dict.fromkeys(itertools.chain(*(parts[3] for parts in CONTENDERS.values()))))):
        print(f"{package} is missing: its rows are left out (python -m pip install -r requirements/dev.txt)")
    for name in config.models:
        _, shape, n = MODELS[name]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            model = write_models(shape, Path(folder))
            numbers = torch.Generator().manual_seed(1)
            weights = model.num_params() - model.transformer.wpe.weight.numel()
            for rows, length, new in ((1, PROMPT, n), (8, PROMPT, n), (1, LONG_PROMPT, 1)):
                if length + new > shape.context_length:
                    continue
                prompts = torch.randint(0, 256, (rows, length), generator=numbers).tolist()
                what = f"reading {length} tokens" if new == 1 else f"{rows} {'texts' if rows > 1 else 'text'}"
                title = f"\n{name} ({model.num_params() / 1e6:.1f}M weights), {what}"
                found = compare(Job(Path(folder), prompts, new, threads), config.rounds, weights)
                print(f"{title}\n\n{found}", flush=True)
