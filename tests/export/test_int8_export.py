"""python -m gpt.export.int8: a quarter of the bytes, the tokens of --quantize, and every command takes it."""

import dataclasses
import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import finetune as finetune_script
import sample
import train
from finetune import finetune
from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.export import int8 as export
from gpt.fast.int8 import Int8Linear, quantize_int8, to_int8
from gpt.files.checkpoint import load_model, save_model
from gpt.files.int8_file import INT8_FILE, from_int8
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.saved import (
    kind_of,
    load_classifier,
    load_fine_tuned,
    save_answering_model,
    save_classifier,
    save_tagger,
)
from gpt.finetuning.tagger import GPTTagger
from gpt.running.command_line import run_main
from tests.helpers import label_net, masked_model, random_model, small_training


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(corpus)


@pytest.fixture
def folders(tokenizer, tmp_path, monkeypatch):
    """(The folder of a model with rotary positions, the folder with the same in 8 bits.)"""
    save_model(random_model("rotary"), tokenizer, tmp_path / "whole")
    run(monkeypatch, export, "--model", tmp_path / "whole", "--out", tmp_path / "small")
    return tmp_path / "whole", tmp_path / "small"


def run(monkeypatch, script, *words) -> None:
    monkeypatch.setattr(sys, "argv", ["script.py", *map(str, words)])
    run_main(script.main)


def mistake(monkeypatch, capsys, script, *words) -> str:
    """The one line with which a command ends that cannot be run."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, script, *words)
    printed = capsys.readouterr()
    assert exit_.value.code == 2 and printed.out == "" and printed.err.count("\n") == 1
    return printed.err


def test_rounding_again_what_was_rounded_gives_the_same_numbers_and_scales():
    """Commands load float32 weights and quantise them again: true for every significand that a scale can have."""
    largest = torch.arange(2**23, 2**24, 7).float()[:, None] * 2.0**-26
    whole, scale = to_int8(torch.cat((largest, largest / 3, -largest / 150), 1))
    again, same_scale = to_int8(whole * scale)
    assert torch.equal(again, whole) and torch.equal(same_scale, scale)


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_the_folder_holds_the_very_matrices_that_quantize_makes(tokenizer, tmp_path, monkeypatch, position):
    model = random_model(position)
    save_model(model, tokenizer, tmp_path / "whole")
    run(monkeypatch, export, "--model", tmp_path / "whole", "--out", tmp_path / "small")
    loaded = load_model(tmp_path / "small")
    for each in (model, loaded):
        quantize_int8(each)
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    sizes = [(tmp_path / name).stat().st_size for name in ("whole/model.safetensors", f"small/{INT8_FILE}")]
    assert sizes[1] / sizes[0] < 0.32  # of a model this small, scales and biases are a larger share


def test_sample_prints_what_it_prints_with_quantize(folders, monkeypatch, capsys):
    whole, small = folders
    printed = []
    for words in ((whole, "--quantize", "int8"), (small,), (small, "--quantize", "int8"), (whole,)):
        run(monkeypatch, sample, "--prompt", "def f", "--device", "cpu", "--logprobs", "1", "--model", *words)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2] != printed[3]


def test_the_server_computes_in_8_bits_by_itself(folders):
    pytest.importorskip("prometheus_client", reason="serving needs requirements-serve.txt")
    from gpt.running.device import pick_machine
    from gpt.serving.requests import Limits
    from gpt.serving.served import load_served

    served = load_served(folders, pick_machine("cpu", plain=True), Limits(), quantize=False)
    try:
        heads = {name: writer.engine.model.lm_head for name, writer in served.items()}
        assert isinstance(heads["small"], Int8Linear) and not isinstance(heads["whole"], Int8Linear)
    finally:
        for each in served.values():
            each.close()


def test_a_classifier_keeps_its_labels_and_nearly_its_answers(tokenizer, tmp_path, monkeypatch, capsys):
    net = label_net(random_model("learned"), ("bad", "good"))
    with torch.no_grad():
        net.score.weight.mul_(20)
    save_classifier(net, tokenizer, tmp_path / "whole")
    run(monkeypatch, export, "--model", tmp_path / "whole", "--out", tmp_path / "small")
    capsys.readouterr()
    answers = []
    for name in ("whole", "small"):
        words = ("predict", "--model", tmp_path / name, "--text", "a = 1", "for x in y:", "--format", "jsonl")
        run(monkeypatch, finetune_script, *words, "--device", "cpu")
        answers.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    for one, two in zip(*answers, strict=True):
        assert one["label"] == two["label"] and one != two
        assert one["probabilities"] == pytest.approx(two["probabilities"], abs=0.05)
    assert torch.equal(load_classifier(tmp_path / "small").score.weight, net.score.weight)  # the head stays as it is


def test_taggers_answering_models_and_masked_ones_are_still_what_they_were(tokenizer, tmp_path, monkeypatch):
    save_tagger(label_net(random_model("rotary"), ("O", "B-X", "I-X"), GPTTagger), tokenizer, tmp_path / "tags")
    save_answering_model(random_model("rotary"), tokenizer, tmp_path / "answers", room=7)
    save_model(masked_model("learned"), tokenizer, tmp_path / "masked")
    for name in ("tags", "answers", "masked"):
        run(monkeypatch, export, "--model", tmp_path / name, "--out", tmp_path / f"{name}-8")
        before, after = (
            json.loads((tmp_path / each / "config.json").read_text(encoding="utf-8")) for each in (name, f"{name}-8")
        )
        assert after.pop("quantization")["bits"] == 8 and after == before
        assert kind_of(tmp_path / f"{name}-8") == kind_of(tmp_path / name)
    assert not load_model(tmp_path / "masked-8").config.causal


def test_a_model_in_8_bits_can_be_fine_tuned_and_its_adapter_finds_it(folders, reviews, tmp_path):
    config = FinetuneConfig(
        folders[1], reviews, tmp_path / "run", train="lora", keep_adapter=True, min_steps=2, epochs=1, evaluations=1,
        device="cpu", precision="float32", threads=1,
    )  # fmt: skip
    assert finetune(config) is not None
    assert isinstance(load_fine_tuned(tmp_path / "run", "cpu"), GPTClassifier)


def test_transformers_refuses_the_folder(folders):
    transformers = pytest.importorskip("transformers")
    for kind in (transformers.AutoModelForCausalLM, transformers.GPTNeoXForCausalLM):
        with pytest.raises(OSError, match="no file named"):
            kind.from_pretrained(folders[1])


def test_a_folder_that_cannot_be_exported_is_one_line(folders, base, tmp_path, monkeypatch, capsys):
    whole, small = folders
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter.json").write_text("{}", encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/resume.pt").touch()
    for source, out, words in (
        (small, tmp_path / "x", "is in 8 bits already"),
        (whole, whole, "is the folder of the model itself"),
        (whole, small, "is not empty: choose another --out or use --overwrite"),
        (whole, whole / "config.json", "is a file"),
        (whole, tmp_path / "run", "holds a run"),
        (tmp_path / "adapter", tmp_path / "x", "holds an adapter"),
        (tmp_path / "nowhere", tmp_path / "x", "is not a model folder"),
    ):
        more = ["--overwrite"] if "run" in words else []
        assert words in mistake(monkeypatch, capsys, export, "--model", source, "--out", out, *more)
    assert not (tmp_path / "x").exists() and not (whole / INT8_FILE).exists()
    content = (small / INT8_FILE).read_bytes()
    run(monkeypatch, export, "--model", base, "--out", small, "--overwrite")
    assert (small / INT8_FILE).read_bytes() != content and load_model(small).config == load_model(base).config


def test_a_damaged_folder_is_one_line(folders, tmp_path, monkeypatch, capsys):
    def damaged(name):
        shutil.copytree(folders[1], tmp_path / name)
        return tmp_path / name

    cut, empty, no_scale, bent, foreign = map(damaged, ("cut", "empty", "no_scale", "bent", "foreign"))
    (cut / INT8_FILE).write_bytes((cut / INT8_FILE).read_bytes()[:1000])
    (empty / INT8_FILE).unlink()
    weights = load_file(no_scale / INT8_FILE)
    scale = weights.pop("transformer.wte.scale")
    save_file(weights, no_scale / INT8_FILE)
    save_file(weights | {"transformer.wte.scale": scale[:1].clone()}, bent / INT8_FILE)
    config = json.loads((foreign / "config.json").read_text(encoding="utf-8"))
    config["quantization"]["bits"] = 4
    (foreign / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for folder, words in (
        (cut, "damaged"),
        (empty, f"holds no {INT8_FILE}"),
        (no_scale, "transformer.wte.scale"),
        (bent, "scales of shape (1, 1)"),
        (foreign, "does not support"),
    ):
        assert words in mistake(monkeypatch, capsys, sample, "--model", folder, "--device", "cpu")


def test_no_training_replaces_an_exported_model(folders, corpus):
    content = (folders[1] / INT8_FILE).read_bytes()
    with pytest.raises(UserError, match=rf"already holds something else \({INT8_FILE}\)"):
        train.train(dataclasses.replace(small_training(corpus, folders[1]), overwrite=True))
    assert (folders[1] / INT8_FILE).read_bytes() == content
    load_model(folders[1])


def test_what_has_no_scale_is_left_as_it_is():
    stored = {"transformer.wte.weight": torch.ones(2, 2, dtype=torch.int8), "transformer.wte.scale": torch.ones(2, 1)}
    assert from_int8(stored | {"score.weight": torch.ones(1, 2)}).keys() == {
        "transformer.wte.weight", "lm_head.weight", "score.weight"
    }  # fmt: skip
