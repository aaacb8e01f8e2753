"""ONNX files: ONNX Runtime computes our logits, of any batch and any length."""

import sys

import pytest
import torch

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.export import onnx as export
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import Net, save_classifier, save_tagger
from gpt.finetuning.tagger import GPTTagger
from gpt.model import GPT, GPTConfig
from gpt.running.command_line import run_main
from tests.helpers import random_model, stir

for library in ("onnx", "onnxscript"):
    pytest.importorskip(library, reason=f"{library} writes the file: requirements/export.txt")
SIZES = ((1, 1), (1, 32), (5, 7))  # batch and length


def outputs(path, **inputs: torch.Tensor) -> torch.Tensor:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the file: requirements/dev.txt")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(logits)


def random_tokens(batch: int, length: int) -> torch.Tensor:
    return torch.randint(0, 299, (batch, length), generator=torch.Generator().manual_seed(1))


def with_large_weights(model: Net) -> Net:
    """So that mistakes show in the logits. One block suffices, and is exported in half the time that three need."""
    return stir(model, seed=0).eval()


@pytest.mark.parametrize(("position", "causal"), [("learned", True), ("rotary", False)])
def test_onnx_runtime_computes_our_logits(position, causal, tmp_path):  # and below, ("rotary", True) of a classifier
    model = with_large_weights(GPT(GPTConfig(300, 32, 1, 2, 32, position=position, causal=causal)))
    export.write_onnx(model, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]  # the weights are in it
    for batch, length in SIZES:
        tokens = random_tokens(batch, length)
        tokens[-1, length // 2 + 1 :] = 299  # a masked model's padding
        with torch.no_grad():
            ours = model(tokens)
        torch.testing.assert_close(outputs(tmp_path / "model.onnx", tokens=tokens), ours, atol=1e-4, rtol=0)


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(corpus)


def run(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, "argv", ["onnx.py", *map(str, words)])
    run_main(export.main)


def test_a_classifiers_folder_gives_its_logits_and_names_its_labels(tokenizer, tmp_path, monkeypatch, capsys):
    model = with_large_weights(GPTClassifier(GPTConfig(300, 32, 1, 2, 32, position="rotary"), ("bad", "好")))
    save_classifier(model, tokenizer, tmp_path / "folder")
    run(monkeypatch, "--model", tmp_path / "folder", "--out", tmp_path / "model.onnx")
    assert capsys.readouterr().out.endswith("its logits stand for: bad, 好\n")
    for batch, length in SIZES:
        tokens, lengths = random_tokens(batch, length), torch.arange(batch) % length + 1
        with torch.no_grad():
            ours = model(tokens, lengths)
        theirs = outputs(tmp_path / "model.onnx", tokens=tokens, lengths=lengths)
        torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


def test_a_taggers_folder_gives_the_scores_of_every_token_and_replaces_a_file_only_with_overwrite(
    tokenizer, tmp_path, monkeypatch, capsys
):
    model = with_large_weights(GPTTagger(GPTConfig(300, 32, 1, 2, 32), ("O", "B-PERSON", "I-PERSON")))
    save_tagger(model, tokenizer, tmp_path / "folder")
    out = tmp_path / "model.onnx"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, "--model", tmp_path / "folder", "--out", out)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"error: {out} already exists: choose another --out or use --overwrite\n"
    assert out.read_text(encoding="utf-8") == "mine"
    run(monkeypatch, "--model", tmp_path / "folder", "--out", out, "--overwrite")
    tokens = random_tokens(3, 9)
    with torch.no_grad():
        torch.testing.assert_close(outputs(out, tokens=tokens), model(tokens), atol=1e-4, rtol=0)


def test_what_cannot_be_exported_is_one_line(base, tmp_path, monkeypatch, capsys):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter.json").write_text('{"kind": "labels"}', encoding="utf-8")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "onnxscript", None)
        with pytest.raises(SystemExit):
            run(monkeypatch, "--model", base, "--out", tmp_path / "model.onnx")
    with pytest.raises(SystemExit):
        run(monkeypatch, "--model", tmp_path / "adapter", "--out", tmp_path / "model.onnx")
    missing, adapter = capsys.readouterr().err.splitlines()
    assert missing == "error: onnxscript is not installed: python -m pip install -r requirements/export.txt"
    assert "without --keep-adapter" in adapter
    monkeypatch.setattr(export, "ONNX_LIMIT", 1000)
    with pytest.raises(UserError, match="an ONNX file holds 2"):
        export.write_onnx(random_model("rotary"), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
