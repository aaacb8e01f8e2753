"""Activation patching: what comes from the other text must lead to the other text's answer."""

import re
import sys

import pytest
import torch
import torch.nn.functional as F

import look
from gpt.errors import UserError
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.inside.patching import Patch, Patching, channels_of_heads, inputs_of, next_logits
from gpt.model import GPT, GPTConfig
from tests.helpers import random_model

TOKENS = [5, 80, 3, 3, 200, 7, 41, 80, 3, 11]
OTHER = [5, 80, 3, 3, 17, 7, 41, 80, 3, 11]  # differs at one place
DIFFERS = 4


def test_patching_the_whole_stream_gives_the_other_texts_logits_and_patching_with_itself_changes_nothing(model):
    body = model.transformer
    everywhere = torch.ones(1, 10, 64, dtype=torch.bool)
    for part in (*body.h, body.ln_f):
        there = next_logits(model, TOKENS, Patch(part, inputs_of(part, model, OTHER), everywhere))
        assert torch.equal(there, next_logits(model, OTHER))
        same = next_logits(model, TOKENS, Patch(part, inputs_of(part, model, TOKENS), everywhere))
        assert torch.equal(same, next_logits(model, TOKENS))
    torch.testing.assert_close(there, model(torch.tensor([OTHER]))[:, -1], atol=1e-4, rtol=1e-4)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_patch_moves_the_lead_as_far_as_a_hook_by_hand(model):
    patching = Patching(model, TOKENS, OTHER)
    first, second = patching.answers
    assert patching.answers == [int(model(torch.tensor([ids]))[0, -1].argmax()) for ids in (TOKENS, OTHER)]

    def lead(ids):
        logits = model(torch.tensor([ids]))[0, -1]
        return (logits[second] - logits[first]).item()

    assert patching.leads == pytest.approx([lead(TOKENS), lead(OTHER)], abs=1e-4)
    c_proj = model.transformer.h[1].attn.c_proj
    kept = inputs_of(c_proj, model, OTHER)
    for places, found in ((slice(None), patching.heads()[1, 2]), (6, patching.heads_at_tokens(2)[2, 6])):

        def hook(_, inputs, places=places):
            inputs[0][0, places, 32:48] = kept[places, 32:48]  # head 3 of four, 16 channels each

        handle = c_proj.register_forward_pre_hook(hook)
        by_hand = lead(TOKENS)
        handle.remove()
        assert found == pytest.approx((by_hand - lead(TOKENS)) / (lead(OTHER) - lead(TOKENS)), abs=1e-4)


def test_the_stream_carries_the_difference_from_where_the_texts_differ_to_the_last_token(model):
    stream = Patching(model, TOKENS, OTHER).stream()
    assert stream.shape == (4, 10)
    assert stream[0, DIFFERS] == pytest.approx(1, abs=1e-4)  # all that differs is this token's embedding
    assert stream[-1, -1] == pytest.approx(1, abs=1e-4)  # the answer is read off here
    assert stream[:, :DIFFERS].abs().max() < 1e-4  # no earlier token can know
    assert stream[-1, :-1].abs().max() < 1e-4


def test_heads_of_the_last_layer_matter_at_the_last_token_alone(model):
    assert channels_of_heads(model).sum(0).eq(1).all() and channels_of_heads(model).sum(1).eq(16).all()
    at_tokens = Patching(model, TOKENS, OTHER).heads_at_tokens(3)
    assert at_tokens.shape == (4, 10) and at_tokens[:, -1].abs().max() > 1e-3
    assert at_tokens[:, :-1].abs().max() < 1e-4  # the answer is read off at the last token alone


def test_in_a_net_that_copies_the_first_token_one_head_patch_flips_the_answer():
    """One layer must move the first token to the last place: attention alone can, and what it moves can be patched."""
    torch.manual_seed(0)
    net = GPT(GPTConfig(12, 8, 1, 2, 32))
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-2)
    for _ in range(100):
        texts = torch.randint(0, 12, (32, 6))
        loss = F.cross_entropy(net(texts)[:, -1], texts[:, 0])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1
    patching = Patching(net.eval(), [3, 1, 2, 4, 5, 6], [9, 1, 2, 4, 5, 6])
    assert patching.answers == [3, 9]
    stream = patching.stream()
    assert stream[0, 0] == pytest.approx(1, abs=1e-3) and stream[0, 1:].abs().max() < 1e-3
    assert patching.heads().sum() > 0.5


@pytest.mark.parametrize(
    ("other", "message"),
    [(OTHER[:-1], "10 tokens and --from-text 9"), (TOKENS, "the same answer")],
)
def test_texts_that_cannot_be_exchanged_are_refused(model, other, message):
    with pytest.raises(UserError, match=message):
        Patching(model, TOKENS, other)


@pytest.mark.parametrize("layer", [0, 4])
def test_a_layer_that_is_not_there_is_refused(model, layer):
    with pytest.raises(UserError, match="3 layers"):
        Patching(model, TOKENS, OTHER).heads_at_tokens(layer)


@pytest.mark.parametrize("layer", [(), ("--layer", "2")])
def test_the_command_prints_the_largest_patches_and_draws_all(corpus, tmp_path, monkeypatch, capsys, layer, pictures):
    tokenizer = load_tokenizer(corpus)
    save_model(random_model("rotary", tokenizer.vocab_size), tokenizer, tmp_path / "model")
    flags = ["--model", str(tmp_path / "model"), "--text", "def f(x):", "--from-text", "def f(y):"]
    monkeypatch.setattr(sys, "argv", ["look.py", "patch", *flags, "--out", str(tmp_path / "x.png"), *layer])
    look.main()
    out = capsys.readouterr().out
    assert len(re.findall(r"^ +-?\d\.\d\d", out, re.MULTILINE)) == (6 if layer else 12)
    assert ("one head of layer 2" in out) == bool(layer) and ("residual stream" in out) != bool(layer)
    assert (tmp_path / "x.png").stat().st_size > 10_000
