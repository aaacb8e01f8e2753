"""look.py without: a part that is switched off adds nothing, and afterwards the model is what it was."""

import copy
import sys

import pytest
import torch

import look
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.inside.ablation import losses_without, without_block, without_heads
from gpt.running.command_line import run_main
from gpt.tokenizer import Tokenizer
from tests.helpers import masked_model, random_model

TOKENS = torch.randint(0, 300, (2, 20), generator=torch.Generator().manual_seed(3))


def test_a_head_that_is_off_adds_nothing_to_what_the_others_gather(model):
    def drop_channels(_, inputs):  # of head 2 of 4, 16 channels each
        gathered = inputs[0].clone()
        gathered[..., 32:48] = 0
        return (gathered,)

    expected = copy.deepcopy(model)
    expected.transformer.h[1].attn.c_proj.register_forward_pre_hook(drop_channels)
    with torch.no_grad(), without_heads(model, [(1, 2)]):
        assert torch.equal(model(TOKENS), expected(TOKENS))


def test_a_block_that_is_off_is_a_model_without_it(model):
    expected = copy.deepcopy(model)
    del expected.transformer.h[1]
    with torch.no_grad(), without_block(model, 1):
        assert torch.equal(model(TOKENS), expected(TOKENS))


def test_both_halves_off_are_the_block_off(model):
    with torch.no_grad():
        with without_block(model, 0, "attention"), without_block(model, 0, "MLP"):
            both = model(TOKENS)
        with without_block(model, 0):
            assert torch.equal(model(TOKENS), both)


def test_the_model_ends_as_it_began_even_if_measuring_fails(model):
    before = copy.deepcopy(model.state_dict())
    calls = []

    def fail_at_the_ninth(_):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return 0.0

    losses_without(model, lambda _: 0.0)
    with pytest.raises(KeyboardInterrupt):
        losses_without(model, fail_at_the_ninth)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_a_head_that_writes_nothing_costs_nothing_and_others_do(model):
    with torch.no_grad():
        model.transformer.h[2].attn.c_proj.weight[:, 16:32] = 0
    whole, heads, blocks = losses_without(model, lambda each: each(TOKENS).logsumexp(-1).mean().item())
    changed = heads != torch.tensor(whole)
    assert not changed[2, 1] and changed.sum() == 11 and (blocks != torch.tensor(whole)).all()


@pytest.fixture
def folder(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(random_model("rotary"), load_tokenizer(corpus), tmp_path / "model")
    return tmp_path / "model"


def run(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, "argv", ["look.py", "without", *map(str, words)])
    run_main(look.main)


def test_the_command_measures_on_a_tokens_folder_and_on_a_text(folder, corpus, monkeypatch, capsys, pictures):
    run(monkeypatch, "--model", folder, "--data", corpus, "--most", "300")
    lines = capsys.readouterr().out.splitlines()
    assert "on 300 tokens" in lines[0] and len(lines) == 7 and lines[1].count("|") == 9
    assert (folder.parent / "without.png").stat().st_size > 10_000
    (folder.parent / "code.txt").write_text("import json\n" * 30, encoding="utf-8")  # longer than the context
    run(monkeypatch, "--model", folder, "--text", "@code.txt", "--out", "text.png")
    assert "nats/token" in capsys.readouterr().out and (folder.parent / "text.png").is_file()


def test_what_cannot_be_measured_is_one_line(folder, corpus, monkeypatch, capsys):
    save_model(masked_model("rotary"), load_tokenizer(corpus), "masked")
    other = Tokenizer.train(["other words entirely " * 50], 300)
    save_model(random_model("rotary", other.vocab_size), other, "other")
    for words, message in (
        (("--model", folder), "give a tokens folder with --data, or a text with --text"),
        (("--model", folder, "--data", corpus, "--text", "a b c"), "give a tokens folder with --data, or a text"),
        (("--model", folder, "--data", corpus, "--most", "0"), "it must be at least 1"),
        (("--model", folder, "--data", "nowhere"), "is not a tokens folder"),
        (("--model", "other", "--data", corpus), "was not prepared with the tokenizer of the model"),
        (("--model", "masked", "--data", corpus), "masked"),
    ):
        with pytest.raises(SystemExit) as exit_:
            run(monkeypatch, *words)
        printed = capsys.readouterr().err
        assert exit_.value.code == 2 and message in printed and printed.count("\n") == 1
