"""python -m gpt.export.gguf: what it writes, and one line for what it cannot."""

import sys

import pytest

from gpt.classifier import GPTClassifier
from gpt.export import gguf as export
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import save_answering_model, save_classifier, save_tagger
from gpt.finetuning.tagger import GPTTagger
from gpt.model import GPTConfig
from gpt.running.command_line import run_main
from tests.helpers import masked_model, random_model

gguf = pytest.importorskip("gguf", reason="gguf writes the file: requirements/export.txt")


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(corpus)


def run(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, "argv", ["gguf.py", *map(str, words)])
    run_main(export.main)


def test_the_command_writes_a_file_and_its_modelfile_once(base, tmp_path, monkeypatch, capsys):
    out, modelfile = tmp_path / "tiny.gguf", tmp_path / "Modelfile"
    run(monkeypatch, "--model", base, "--out", out, "--modelfile")
    lines = ["FROM ./tiny.gguf", 'TEMPLATE """{{ .Prompt }}"""', "PARAMETER num_ctx 64"]
    assert modelfile.read_text(encoding="utf-8").splitlines() == lines
    content = out.read_bytes()
    assert content[:4] == b"GGUF"
    modelfile.write_text("mine", encoding="utf-8")
    other = tmp_path / "other.gguf"
    for words in (["--out", out], ["--out", other, "--modelfile"]):  # neither file is replaced
        with pytest.raises(SystemExit) as exit_:
            run(monkeypatch, "--model", base, *words)
        assert exit_.value.code == 2
        assert "already exists" in capsys.readouterr().err
    assert not other.exists() and modelfile.read_text(encoding="utf-8") == "mine"
    run(monkeypatch, "--model", base, "--out", out, "--modelfile", "--overwrite")
    assert out.read_bytes() == content and modelfile.read_text(encoding="utf-8").splitlines() == lines


def test_a_model_that_answers_gets_its_template_in_both_files(tokenizer, tmp_path, monkeypatch):
    save_answering_model(random_model("learned"), tokenizer, tmp_path / "qa", room=8)
    run(monkeypatch, "--model", tmp_path / "qa", "--out", tmp_path / "qa.gguf", "--modelfile")
    fields = gguf.GGUFReader(tmp_path / "qa.gguf").fields
    assert fields["tokenizer.chat_template"].contents() == export.CHAT
    assert fields["tokenizer.ggml.add_bos_token"].contents() is True
    assert export.OLLAMA_CHAT in (tmp_path / "Modelfile").read_text(encoding="utf-8")


def test_without_the_library_one_line_says_what_to_install(base, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, "--model", base, "--out", tmp_path / "tiny.gguf")
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        "error: gguf is not installed: python -m pip install -r requirements/export.txt\n"
    )


def test_a_folder_that_cannot_be_exported_is_one_line(base, tokenizer, tmp_path, monkeypatch, capsys):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter.json").write_text("{}", encoding="utf-8")
    save_model(masked_model("learned"), tokenizer, tmp_path / "masked")
    config = GPTConfig(300, 32, 1, 2, 32)
    save_classifier(GPTClassifier(config, ("bad", "good")), tokenizer, tmp_path / "classifier")
    save_tagger(GPTTagger(config, ("O", "B-PERSON")), tokenizer, tmp_path / "tagger")
    (tmp_path / "cut").mkdir()
    for file in base.iterdir():
        (tmp_path / "cut" / file.name).write_bytes(file.read_bytes()[: 1000 if file.suffix == ".safetensors" else None])
    mistakes = {
        tmp_path / "nowhere": "is not a model folder",
        tmp_path / "adapter": "without --keep-adapter",
        tmp_path / "masked": "a masked model fills gaps",
        tmp_path / "classifier": "holds a classifier, not a language model",
        tmp_path / "tagger": "holds a tagger, not a language model",
        tmp_path / "cut": "is damaged",
    }
    for folder, message in mistakes.items():
        with pytest.raises(SystemExit) as exit_:
            run(monkeypatch, "--model", folder, "--out", tmp_path / "new.gguf")
        error = capsys.readouterr().err
        assert exit_.value.code == 2 and error.count("\n") == 1 and message in error
    with pytest.raises(SystemExit):
        run(monkeypatch, "--model", base, "--out", tmp_path / "missing/new.gguf")
    assert "there is no folder" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.gguf"))
