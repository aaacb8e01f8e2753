"""ONNX files: ONNX Runtime computes our logits, of any batch and any length."""

import sys

import pytest
import torch

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.export import onnx as export
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import save_classifier, save_tagger
from gpt.finetuning.tagger import GPTTagger
from gpt.model import GPTConfig
from gpt.running.command_line import run_main
from tests.helpers import masked_model, random_model

for library in ("onnx", "onnxscript"):
    pytest.importorskip(library, reason=f"{library} writes the file: requirements-export.txt")
SIZES = ((1, 1), (1, 32), (5, 7))  # batch and length


def outputs(path, **inputs: torch.Tensor) -> torch.Tensor:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the file: requirements-dev.txt")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(logits)


def random_tokens(batch: int, length: int, vocab_size: int) -> torch.Tensor:
    return torch.randint(0, vocab_size, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("build", [random_model, masked_model])
def test_onnx_runtime_computes_our_logits(build, position, tmp_path):
    model = build(position)
    export.write_onnx(model, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]  # the weights are in it
    for batch, length in SIZES:
        tokens = random_tokens(batch, length, model.config.vocab_size)
        tokens[-1, length // 2 + 1 :] = model.config.vocab_size - 1  # a masked model's padding
        with torch.no_grad():
            torch.testing.assert_close(
                outputs(tmp_path / "model.onnx", tokens=tokens), model(tokens), atol=1e-4, rtol=0
            )


@pytest.fixture(params=["learned", "rotary"])
def position(request):
    return request.param


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(corpus)


def run(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, "argv", ["onnx.py", *map(str, words)])
    run_main(export.main)


def test_a_classifiers_folder_gives_its_logits_and_names_its_labels(position, tokenizer, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    model = GPTClassifier(GPTConfig(300, 32, 2, 2, 32, position=position), ("bad", "好")).eval()
    save_classifier(model, tokenizer, tmp_path / "folder")
    run(monkeypatch, "--model", tmp_path / "folder", "--out", tmp_path / "model.onnx")
    assert capsys.readouterr().out.endswith("its logits stand for: bad, 好\n")
    for batch, length in SIZES:
        tokens, lengths = random_tokens(batch, length, 300), torch.arange(batch) % length + 1
        with torch.no_grad():
            ours = model(tokens, lengths)
        theirs = outputs(tmp_path / "model.onnx", tokens=tokens, lengths=lengths)
        torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


def test_a_taggers_folder_gives_the_scores_of_every_token(tokenizer, tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = GPTTagger(GPTConfig(300, 32, 2, 2, 32), ("O", "B-PERSON", "I-PERSON")).eval()
    save_tagger(model, tokenizer, tmp_path / "folder")
    run(monkeypatch, "--model", tmp_path / "folder", "--out", tmp_path / "model.onnx")
    tokens = random_tokens(3, 9, 300)
    with torch.no_grad():
        torch.testing.assert_close(outputs(tmp_path / "model.onnx", tokens=tokens), model(tokens), atol=1e-4, rtol=0)


def test_a_file_is_replaced_only_with_overwrite(base, tmp_path, monkeypatch, capsys):
    out = tmp_path / "model.onnx"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, "--model", base, "--out", out)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"error: {out} already exists: choose another --out or use --overwrite\n"
    assert out.read_text(encoding="utf-8") == "mine"
    run(monkeypatch, "--model", base, "--out", out, "--overwrite")
    assert outputs(out, tokens=random_tokens(1, 3, 300)).shape == (1, 3, 300)


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
    assert missing == "error: onnxscript is not installed: python -m pip install -r requirements-export.txt"
    assert "fine-tune again without --keep-adapter" in adapter
    monkeypatch.setattr(export, "LARGEST", 1000)
    with pytest.raises(UserError, match="an ONNX file holds 2"):
        export.write_onnx(random_model("rotary"), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
