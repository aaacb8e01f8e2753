"""Every way to get fine-tuning wrong: one line on stderr that says what to do, exit code 2, nothing touched."""

import json
import shutil
import sys
from pathlib import Path

import pytest

import finetune
from gpt.classifier import GPTClassifier
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.adapters import save_adapter
from gpt.finetuning.method_config import LoraConfig, PrefixConfig
from gpt.finetuning.methods import adapt
from gpt.finetuning.saved import save_classifier
from gpt.lora import add_lora
from gpt.running.command_line import run_main
from tests.helpers import random_model
from tests.test_bad_input import contents

GOOD = "text,label\n" + "".join(f"text number {i},{'ab'[i % 2]}\n" for i in range(40))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, corpus):
    """A working folder with one of everything that can go wrong."""
    here = tmp_path_factory.mktemp("bad")
    tokenizer = load_tokenizer(corpus)
    base = random_model("rotary")
    save_model(base, tokenizer, here / "model")
    shutil.copytree(here / "model", here / "no_tokenizer")
    (here / "no_tokenizer/merges.txt").unlink()
    for name, labels in (("ab", ("a", "b")), ("abc", ("a", "b", "c"))):
        save_classifier(GPTClassifier(base.config, labels), tokenizer, here / name)
    adapted = GPTClassifier(base.config, ("a", "b"))
    add_lora(adapted.transformer, 8, 16.0, LoraConfig().targets)
    save_model(random_model("rotary", seed=1), tokenizer, here / "other")
    save_adapter(adapted, LoraConfig(), here / "model", tokenizer, here / "adapter")
    about = json.loads((here / "adapter/adapter.json").read_text(encoding="utf-8"))
    about["base"] = "../other"
    (here / "adapter/adapter.json").write_text(json.dumps(about), encoding="utf-8")

    tuned = GPTClassifier(base.config, ("a", "b"))
    adapt(tuned, PrefixConfig(4))
    for name in ("damaged_prefix", "lost"):
        save_adapter(tuned, PrefixConfig(4), here / "model", tokenizer, here / name)
    (here / "damaged_prefix/adapter_model.safetensors").write_bytes(b"half")
    about = json.loads((here / "lost/adapter.json").read_text(encoding="utf-8"))
    (here / "lost/adapter.json").write_text(json.dumps(about | {"base": "../gone"}), encoding="utf-8")

    files = {
        "good.csv": GOOD,
        "no_label.csv": "text,stars\nfine,5\n",
        "no_header.csv": "",
        "header_only.csv": "text,label\n",
        "empty_text.csv": GOOD + '"  ",a\n',
        "empty_label.csv": GOOD + "something,\n",
        "one_class.csv": "text,label\n" + "".join(f"text {i},same\n" for i in range(40)),
        "commas.csv": "text,label\nfine,a\nwell, well,a\n",
        "quotes.csv": 'text,label\nfine,a\n"never closed,a\nfine,a\nfine,a\n',
        "two.csv": "text,label\none,a\ntwo,a\n",
        "own_labels.csv": "text,label\n" + "".join(f"text {i},label {i}\n" for i in range(40)),
        "list.jsonl": '{"text": "fine", "label": "a"}\n[1]\n',
        "cut.jsonl": '{"text": "fine", "label": "a"}\n{"text": "fine", "la',
        "no_key.jsonl": '{"text": "fine"}\n',
        "words.csv": GOOD,
        "huge_number.csv": "text,label\n" + "".join(f"text {i},{i % 3 + 1}e40\n" for i in range(40)),
        "close_numbers.csv": "text,label\n" + "".join(f"text {i},{i}e-40\n" for i in range(40)),
        "same_number.csv": "text,label\n" + "".join(f"text {i},3\n" for i in range(40)),
        "semicolons.csv": GOOD.replace(",", ";"),
        "data.parquet": "PAR1",
        "empty.txt": "\n \n",
        "twice.csv": "text,label,text\n" + "one,a,two\n" * 40,
        "older/from_scratch/resume.pt": "of a run",
        "older/from_scratch/train_config.json": "{}",
        "new_label/train.csv": GOOD,
        "new_label/test.csv": "text,label\nunheard of,c\n",
        "both/train.csv": GOOD,
        "both/train.jsonl": "{}",
        "empty_folder/readme.txt": "",
    }
    for name, content in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(content, encoding="utf-8")
    (here / "latin1.csv").write_bytes("text,label\ncafé,a\n".encode("latin-1"))
    (here / "latin1.txt").write_bytes("café\n".encode("latin-1"))
    return here


FINETUNE = [
    ("--data no_label.csv", "no column 'label': its first line names text, stars; needed: text, label"),
    ("--data semicolons.csv", "its first line names text;label. Put commas between columns"),
    ("--data no_header.csv", "no_header.csv has no first line that names its columns, such as text,label"),
    ("--data header_only.csv", "holds no examples"),
    ("--data empty_text.csv", "empty_text.csv, line 42: the text is empty"),
    ("--data empty_label.csv", "empty_label.csv, line 42: the label is empty"),
    ("--data one_class.csv", "all training examples are labelled 'same'"),
    ("--data commas.csv", "commas.csv, line 3: 3 fields, but the header has 2"),
    ("--data quotes.csv", 'quotes.csv, line 3: a " of this row is never closed'),
    ("--data two.csv", "too few"),
    ("--data own_labels.csv", "a label of its own for each example"),
    ("--data list.jsonl", "list.jsonl, line 2"),
    ("--data cut.jsonl", "cut.jsonl, line 2"),
    ("--data no_key.jsonl", "no_key.jsonl, line 1: there is no key 'label'"),
    ("--data latin1.csv", "not UTF-8"),
    ("--data data.parquet", "neither .csv nor .jsonl"),
    ("--data new_label", "the test split has the label 'c', which training never had (it has a, b)"),
    ("--data both", "both train.csv and train.jsonl"),
    ("--data empty_folder", "holds no train.csv"),
    ("--data nowhere", "nowhere does not exist"),
    ("--data good.csv --task regression", "no number"),
    ("--data same_number.csv --task regression", "nothing to tell apart"),
    ("--data huge_number.csv --task regression", "the train split has the label 3e+40, which weights cannot hold"),
    ("--data close_numbers.csv --task regression", "which weights cannot hold"),
    ("--data good.csv --model no_tokenizer", "merges.txt"),
    ("--data good.csv --model nowhere", "nowhere is not a model folder"),
    ("--data good.csv --model ab", "holds a classifier, not a language model"),
    ("--data good.csv --out model --overwrite", "choose another one"),
    ("--data good.csv --out ab --overwrite", "ab already holds something else (model.safetensors)"),
    ("--data good.csv --resume", "nothing to resume"),
    ("--data good.csv --labels 1000", "only 32 in training"),
    ("--data good.csv --train last-n --last-n 9", "the model has 3 blocks"),
    ("--data good.csv --train lora --lora.rank 0", "rank 0"),
    ("--data good.csv --train lora --lora.targets wte", "wte"),
    ("--data good.csv --train lora --lora.alpha inf", "alpha inf"),
    ("--data good.csv --train lora --lora.targets attn.c_attn attn.c_attn", "names a matrix twice"),
    ("--data good.csv --train lora --lora.rank 65", "a rank of 65 is above the model's width of 64"),
    ("--data good.csv --train adalora --adalora.first-rank 65", "a first rank of 65 is above the model's width of 64"),
    ("--data good.csv --train adalora --adalora.rank 13", "the first rank 12 is below the rank 13"),
    ("--data good.csv --train adalora --adalora.orthogonality -1", "orthogonality is -1.0"),
    ("--data good.csv --train adapter --adapter.width 65", "a width of 65 is above the model's width of 64"),
    ("--data good.csv --train adapter --adapter.width 0", "width is 0"),
    (
        "--data good.csv --train prefix --prefix.length 31",
        "31 leaves no room for text in the context of 32",
    ),
    ("--data good.csv --train prefix --prefix.length 0", "length is 0"),
    ("--data good.csv --train prefix --compare", "need --train full"),
    ("--data good.csv --train prefix --from-scratch", "--from-scratch needs --train full"),
    ("--data twice.csv", "has 2 columns 'text'"),
    ("--data good.csv --out older --compare", "from_scratch already holds a run"),
    ("--data good.csv --keep-adapter", "needs --train lora"),
    ("--data good.csv --train head --compare", "need --train full"),
    ("--data good.csv --label-counts 100000", "there are only 32 in training"),
    ("--data good.csv --epochs 0", "epochs"),
    ("--data good.csv --seed 99999999999999999999", "error: seed is 99999999999999999999"),
    ("--data good.csv --dropout 1", "dropout"),
    ("--data good.csv --task guess", "--task"),
    ("--data good.csv --device abacus", "abacus"),
]
PREDICT = [
    ("--model model --text hi", "not a classifier: fine-tune it first"),
    ("--model nowhere --text hi", "nowhere is not a model folder"),
    ("--model adapter --text hi", "is for another model than the one in"),
    ("--model damaged_prefix --text hi", "damaged"),
    ("--model lost --text hi", "holds an adapter for the model"),
    ("--model ab abc --text hi", "only models for the same task can be averaged"),
    ("--model ab", "--text"),
    ("--text hi --model", "--model names no folder"),
    ("--model ab --text hi --file empty.txt", "--text, or a file"),
    ("--model ab --file empty.txt", "no text to label"),
    ("--model ab --file latin1.txt", "not UTF-8"),
    ("--model ab --file nowhere.txt", "nowhere.txt"),
    ("--model ab --file empty_text.csv", "line 42: the text is empty"),
    ("--text hi", "--model"),
]


@pytest.fixture
def folder(prepared, monkeypatch):
    monkeypatch.chdir(prepared)


def run(monkeypatch, capsys, arguments, message):
    before = contents(Path())
    monkeypatch.setattr(sys, "argv", ["finetune.py", *arguments])
    with pytest.raises(SystemExit) as exit_:
        run_main(finetune.main)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert message in error
    assert contents(Path()) == before


@pytest.mark.parametrize(("arguments", "message"), FINETUNE)
def test_a_mistake_in_fine_tuning_is_one_line_and_exit_code_2(folder, monkeypatch, capsys, arguments, message):
    words = arguments.split()
    for flag, value in (("--model", "model"), ("--out", "new")):
        words += [] if flag in words else [flag, value]
    run(monkeypatch, capsys, words, message)


@pytest.mark.parametrize(("arguments", "message"), PREDICT)
def test_a_mistake_in_predicting_is_one_line_and_exit_code_2(folder, monkeypatch, capsys, arguments, message):
    run(monkeypatch, capsys, ["predict", *arguments.split()], message)


def test_an_empty_text_among_others_is_one_line(folder, monkeypatch, capsys):
    run(monkeypatch, capsys, ["predict", "--model", "ab", "--text", "fine", " "], "more than white space")
