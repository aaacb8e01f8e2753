"""GGUF files: llama.cpp reads a text as our tokenizer does, computes our logits and writes our text."""

import json
import sys
import urllib.request
from pathlib import Path

import pytest
import torch

from gpt.errors import UserError
from gpt.export import gguf as export
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.conversations import Conversation, encode_conversation
from gpt.generate import generate
from gpt.model import GPT
from gpt.running.command_line import run_main
from tests.helpers import masked_model, random_model

pytest.importorskip("gguf", reason="gguf writes the file: requirements-export.txt")
TEXT = (
    "It's 12 o'clock…\n\n\tThe cat  sat on\u3000the mat. \r\n猫坐在垫子上，喵！🐱👩‍👩‍👧 naïve café ٣٤ ½ <|endoftext|>"
)


class LlamaCpp:
    """A GGUF file in llama.cpp's server, in this process."""

    def __init__(self, path: Path):
        xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp is llama.cpp: requirements-dev.txt")
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel = str(path), 32, 1
        params.warmup, params.fit_params, params.verbosity, params.cpuparams.n_threads = False, False, -1, 1
        self.server = xllamacpp.Server(params)

    def ask(self, endpoint: str, **content) -> dict:
        request = urllib.request.Request(
            f"{self.server.listening_address}/{endpoint}",
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def ids(self, text: str, parse_special: bool = False) -> list[int]:
        return self.ask("tokenize", content=text, add_special=True, parse_special=parse_special)["tokens"]

    def log_probabilities(self, tokens: list[int], vocab_size: int) -> torch.Tensor:
        """Of each token that could come next, (V,). It tells none for a token that is part of a character, so it is
        made to go on with "!", the token 0, which changes no probability that it tells."""
        answer = self.ask("completion", prompt=tokens, n_predict=1, n_probs=vocab_size, logit_bias=[[0, 1000.0]])
        (place,) = answer["completion_probabilities"]
        found = {entry["id"]: entry["logprob"] for entry in place["top_logprobs"]}
        return torch.tensor([found[token] for token in range(vocab_size)])


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(corpus)


def plain_model(position: str) -> GPT:
    """The random weights as a training might leave them: not so large that llama.cpp's GELU shows."""
    model = random_model(position)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.5)
    return model


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_llama_cpp_computes_our_logits_and_writes_our_text(position, tokenizer, tmp_path):
    model = plain_model(position)
    export.write_gguf(model, tokenizer, tmp_path / "model.gguf")
    peer = LlamaCpp(tmp_path / "model.gguf")
    tokens = torch.randint(0, 299, (31,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = model(tokens[None])[0].log_softmax(-1)
    for length in (1, 2, 31):
        theirs = peer.log_probabilities(tokens[:length].tolist(), 300)
        torch.testing.assert_close(theirs, ours[length - 1], atol=2e-2, rtol=0)
    prompt = tokens[:4].tolist()
    answer = peer.ask("completion", prompt=prompt, n_predict=24, temperature=0, return_tokens=True, ignore_eos=True)
    written = list(generate(model, prompt, 24, temperature=0))
    assert tokenizer.end_of_text not in written  # or the comparison would end early
    assert answer["tokens"] == written


@pytest.mark.parametrize("add_bos_token", [True, False])
def test_llama_cpp_gives_a_text_our_ids(add_bos_token, tokenizer, python_source, tmp_path):
    tokenizer.add_bos_token = add_bos_token
    export.write_gguf(random_model("rotary"), tokenizer, tmp_path / "model.gguf")
    peer = LlamaCpp(tmp_path / "model.gguf")
    for text in (TEXT, "", " ", python_source[:100_000]):
        assert peer.ids(text) == tokenizer.encode_document(text)


def test_a_model_that_answers_gets_its_conversation_as_in_training(tokenizer, tmp_path):
    export.write_gguf(random_model("learned"), tokenizer, tmp_path / "model.gguf", answers=True)
    peer = LlamaCpp(tmp_path / "model.gguf")
    turns = (("Who has the kite?", "Mei."), ("猫呢？", ""))
    texts = [text for turn in turns for text in turn if text]
    roles = ["user", "assistant"] * len(turns)
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    prompt = peer.ask("apply-template", messages=messages)["prompt"]
    assert peer.ids(prompt, parse_special=True) == encode_conversation(tokenizer, Conversation(turns))[0]


def test_what_llama_cpp_has_no_mode_for_is_refused(tokenizer, tmp_path):
    with pytest.raises(UserError, match="masked"):
        export.write_gguf(masked_model("rotary"), tokenizer, tmp_path / "model.gguf")
    with pytest.raises(UserError, match="310 ids, its tokenizer 300"):
        export.write_gguf(random_model("rotary", 310), tokenizer, tmp_path / "model.gguf")
    assert list(tmp_path.iterdir()) == []


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


def test_without_the_library_one_line_says_what_to_install(base, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, "--model", base, "--out", tmp_path / "tiny.gguf")
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        "error: gguf is not installed: python -m pip install -r requirements-export.txt\n"
    )


def test_a_folder_that_cannot_be_exported_is_one_line(base, tokenizer, tmp_path, monkeypatch, capsys):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter.json").write_text("{}", encoding="utf-8")
    save_model(masked_model("learned"), tokenizer, tmp_path / "masked")
    (tmp_path / "cut").mkdir()
    for file in base.iterdir():
        (tmp_path / "cut" / file.name).write_bytes(file.read_bytes()[: 1000 if file.suffix == ".safetensors" else None])
    mistakes = {
        tmp_path / "nowhere": "is not a model folder",
        tmp_path / "adapter": "fine-tune again without --keep-adapter",
        tmp_path / "masked": "a masked model fills gaps",
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
