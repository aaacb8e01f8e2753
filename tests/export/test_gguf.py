"""GGUF files: llama.cpp reads a text as our tokenizer does, computes our logits and writes our text."""

import json
import urllib.request
from pathlib import Path

import pytest
import torch

from gpt.errors import UserError
from gpt.export import gguf as export
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.conversations import Conversation, encode_conversation
from gpt.generate import generate
from tests.helpers import masked_model, random_model

pytest.importorskip("gguf", reason="gguf writes the file: requirements/export.txt")
TEXT = (
    "It's 12 o'clock…\n\n\tThe cat  sat on\u3000the mat. \r\n猫坐在垫子上，喵！🐱👩‍👩‍👧 naïve café ٣٤ ½ <|endoftext|>"
)


class LlamaCpp:
    """A GGUF file in llama.cpp's server, in this process."""

    def __init__(self, path: Path):
        xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp is llama.cpp: requirements/dev.txt")
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
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:  # no proxy between
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


def test_llama_cpp_computes_our_logits_and_writes_our_text(model, tokenizer, tmp_path):
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
