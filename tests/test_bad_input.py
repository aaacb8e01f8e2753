"""Every way to get it wrong: one line on stderr that says what to do, exit code 2, nothing of the user's touched."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import data.prepare
import sample
import train
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.running.command_line import run_main
from tests.helpers import ROOT, random_model
from tests.processes import finish, start_python

BITS = {"huge": "1" + 400 * "0", "nan": "NaN", "negative": "-1", "true": "true", "text": '"3"', "endless": "1e999"}
CONFIGS = {
    "llama": {"model_type": "llama"},
    "half_a_layer": {"num_hidden_layers": 2.5},
    "endless_vocabulary": {"vocab_size": math.inf},
    "tower": {"num_hidden_layers": 300_000_000},
}


@pytest.fixture
def folder(tmp_path, corpus, monkeypatch):
    """A working folder with one of everything that can go wrong."""
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("It was a dark and stormy night. " * 200, encoding="utf-8")
    Path("empty.txt").touch()
    Path("latin1.txt").write_bytes("a café, served late".encode("latin-1"))
    Path("cut.txt").write_bytes("the end: 猫".encode()[:-1])
    Path("short.txt").write_text("too short", encoding="utf-8")
    Path("list.jsonl").write_text('{"text": "one"}\n["two"]\n', encoding="utf-8")
    Path("one.jsonl").write_text('{"text": "the only one"}\n', encoding="utf-8")
    for name, bits in BITS.items():
        lines = f'{{"text": "one", "bits": 3}}\n{{"text": "two", "bits": {bits}}}\n'
        Path(f"{name}_bits.jsonl").write_text(lines, encoding="utf-8")
    Path("photos").mkdir()
    Path("photos/cat.png").write_bytes(b"\x89PNG")
    Path("diary").mkdir()
    Path("diary/monday.doc").write_text("dear diary", encoding="utf-8")
    shutil.copytree(corpus, "tokens")
    shutil.copytree(corpus, "cut_tokens")
    Path("cut_tokens/train.bin").write_bytes(Path("tokens/train.bin").read_bytes()[:-1])
    shutil.copytree(corpus, "strange_tokens")
    size = Path("tokens/train.bin").stat().st_size
    Path("strange_tokens/train.bin").write_bytes(b"\xff" * size)
    save_model(random_model("rotary"), load_tokenizer(corpus), "model")
    shutil.copytree("model", "no_tokenizer")
    Path("no_tokenizer/merges.txt").unlink()
    shutil.copytree("model", "cut_model")
    Path("cut_model/model.safetensors").write_bytes(Path("model/model.safetensors").read_bytes()[:1000])
    config = json.loads(Path("model/config.json").read_text(encoding="utf-8"))
    for name, changes in CONFIGS.items():
        shutil.copytree("model", name)
        Path(f"{name}/config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    Path("damaged_run").mkdir()
    Path("damaged_run/resume.pt").write_bytes(b"not a checkpoint")
    return tmp_path


PREPARE = [
    ("nowhere.txt --out new", "nowhere.txt does not exist"),
    ("empty.txt --out new", "empty.txt is empty"),
    ("latin1.txt --out new", "latin1.txt is not UTF-8 text: see byte 5"),
    ("cut.txt --out new", "cut.txt is not UTF-8 text: see byte 9"),
    ("short.txt --out new", "too small"),
    ("list.jsonl --out new", "line 2"),
    ("one.jsonl --out new", "too small"),
    *((f"{name}_bits.jsonl --out new", f'{name}_bits.jsonl, line 2: "bits" is ') for name in BITS),
    ("photos --out new", "no file that ends in"),
    ("book.txt --out diary", "already holds something else (monday.doc)"),
    ("book.txt --out book.txt", "is a file"),
    ("book.txt --out book.txt/new", "cannot write book.txt/new"),
    ("book.txt --out new --vocab-size 256", "257"),
    ("book.txt --out new --vocab-size many", "--vocab-size"),
    ("book.txt --out new --tokenizer photos", "holds no vocab.json"),
    ("book.txt --out new --val-fraction 1.5", "at most 0.5"),
    ("--out new", "no text given"),
    ("book.txt", "--out"),
    ("book.txt --out new --colour red", "--colour"),
    ("book.txt --out tokens", "tokens holds a corpus of other texts (text.jsonl)"),
]
TRAIN = [
    ("", "tiny"),
    ("huge", "huge"),
    ("tiny --data nowhere", "not a tokens folder"),
    ("tiny --data book.txt", "python -m data.prepare book.txt --out data/book"),
    ("tiny --data photos", "not a tokens folder"),
    ("tiny --data cut_tokens", "cut_tokens"),
    ("tiny --data strange_tokens", "token 65535"),
    ("tiny --data tokens --model.context-length 100000", "smaller --model.context-length"),
    ("tiny --data tokens --model.n-head 3", "error: n_embd 128 is not a multiple of n_head 3"),
    ("tiny --data tokens --model.n-layer 0", "n_layer"),
    ("tiny --data tokens --batch-size 10 --accumulate 3", "equal parts"),
    ("tiny --data tokens --max-steps 0", "max_steps"),
    ("tiny --data tokens --warmup-steps -1", "warmup_steps"),
    ("tiny --data tokens --plain --sharding", "leave --plain out"),
    ("tiny --data tokens --stories zh", "--stories chooses the default data"),
    ("bilingual --stories=both --data tokens", "leave one of them out"),
    ("tiny --data tokens --model.no-causal", "ask for --objective masked"),
    ("tiny --data tokens --objective masked --model.context-length 1", "must be at least 2"),
    ("tiny --data tokens --learning-rate fast", "--learning-rate"),
    ("tiny --data tokens --learning-rate -1", "learning_rate"),
    ("tiny --data tokens --device abacus", "abacus"),
    ("tiny --data tokens --threads 100000", "threads is 100000: it must be from 1 to "),
    ("tiny --data tokens --threads 0", "threads is 0"),
    ("tiny --data tokens --out model", "model already holds something else (model.safetensors)"),
    ("tiny --data tokens --out tokens --overwrite", "tokens is a tokens folder"),
    ("tiny --data tokens --weight-decay nan", "weight_decay"),
    ("tiny --data tokens --seed 99999999999999999999", "error: seed is 99999999999999999999"),
    ("tiny --data tokens --model.n-embd 1000000000000", "make it smaller"),
    ("tiny --data tokens --out new --resume", "nothing to resume"),
    ("tiny --data tokens --out damaged_run --resume", "resume.pt cannot be read"),
    ("tiny --data tokens --out book.txt", "book.txt"),
]
SAMPLE = [
    ("--prompt Hi", "--model"),
    ("--model nowhere", "nowhere is not a model folder"),
    ("--model photos", "photos is not a model folder"),
    ("--model cut_model", "model.safetensors is damaged"),
    ("--model llama", "'llama'"),
    ("--model half_a_layer", "n_layer is 2.5 and must be a whole number"),
    ("--model endless_vocabulary", "vocab_size is inf and must be a whole number"),
    ("--model tower", "fewer than 300000000 layers"),
    ("--model model --num-samples 1000000000", "texts side by side need at least"),
    ("--model model --device meta", "'meta' is not available"),
    ("--model no_tokenizer", "merges.txt"),
    ("--model model --prompt-file nowhere.txt", "nowhere.txt"),
    ("--model model --prompt-file latin1.txt", "not UTF-8"),
    ("--model model --prompt Hi --prompt-file book.txt", "not both"),
    ("--model model --prompt-file book.txt", "context holds 32"),
    ("--model model --prompt=", "empty"),
    ("--model model --temperature -1", "temperature"),
    ("--model model --temperature nan", "temperature"),
    ("--model model --top-p 0", "top-p"),
    ("--model model --top-p 1.5", "top-p"),
    ("--model model --top-k 0", "top-k"),
    ("--model model --num-samples 0", "--num-samples"),
    ("--model model --max-new-tokens -5", "new tokens"),
    ("--model model --seed -1", "--seed"),
    ("--model model --device abacus", "abacus"),
]
CASES = [
    *(pytest.param(data.prepare.main, *case, id=f"prepare {case[0]}") for case in PREPARE),
    *(pytest.param(train.main, *case, id=f"train {case[0]}") for case in TRAIN),
    *(pytest.param(sample.main, *case, id=f"sample {case[0]}") for case in SAMPLE),
]


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("main", "arguments", "message"), CASES)
def test_a_mistake_is_one_line_and_exit_code_2(folder, monkeypatch, capsys, main, arguments, message):
    before = contents(folder)
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments.split()])
    with pytest.raises(SystemExit) as exit_:
        run_main(main)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert message in error
    assert contents(folder) == before


@pytest.mark.parametrize(
    "command",
    ["-m data.prepare nowhere.txt --out new", "train.py tiny --data nowhere", "sample.py --model nowhere"],
)
def test_the_same_holds_for_a_process_of_its_own(folder, command):
    words = [str(ROOT / word) if word.endswith(".py") else word for word in command.split()]
    assert finish([start_python(*words, log=folder / "said", folder=folder)]) == [2]
    out, err = ((folder / f"said.{stream}").read_text(encoding="utf-8") for stream in ("log", "err"))
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert out == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_one_line(folder, monkeypatch, capsys):
    Path("closed").mkdir(mode=0o500)
    monkeypatch.setattr(sys, "argv", ["prepare.py", "book.txt", "--out", "closed/new"])
    with pytest.raises(SystemExit) as exit_:
        run_main(data.prepare.main)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a command line holds characters, not bytes")
def test_bytes_that_are_no_character_are_shown_as_such_and_continued(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, ROOT / "sample.py", "--model", "model", "--max-new-tokens", "3", "--prompt", b"caf\xe9 is"],
        capture_output=True, env=environment, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(b"caf? is")


def test_standard_input_that_is_not_utf8_is_one_line(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, ROOT / "sample.py", "--model", "model", "--prompt", "-"],
        input=b"caf\xe9", capture_output=True, env=environment, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert b"not UTF-8" in run.stderr and run.stderr.count(b"\n") == 1
