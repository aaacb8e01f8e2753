"""What the commands do with a masked model: one line where they could only write nonsense."""

import sys

import pytest
import torch

import look
import sample
from gpt.errors import UserError
from gpt.fast.batch import generate_with_cache
from gpt.fast.decoder import Decoder
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.generate import generate, score
from gpt.inside.interpret import induction_score, trace
from gpt.running.command_line import run_main
from tests.helpers import masked_model

MASK = 300


@pytest.fixture(params=["learned", "rotary"])
def masked(request):
    return masked_model(request.param)


def test_nothing_continues_or_scores_a_text_with_a_masked_model(masked):
    for ask in (
        lambda: next(generate(masked, [1, 2], 5)),
        lambda: next(generate_with_cache(masked, [1, 2], 5)),
        lambda: Decoder(masked, 8),
        lambda: score(masked, [1, 2]),
    ):
        with pytest.raises(UserError, match="this masked model only fills gaps: fine-tune it"):
            ask()


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    save_model(masked_model("rotary"), load_tokenizer(corpus), folder)
    return folder


@pytest.mark.parametrize("flags", [[], ["--plain"], ["--score"], ["--num-samples", "3"]])
def test_sample_says_in_one_line_what_the_model_is_and_what_to_do(monkeypatch, capsys, folder, flags):
    monkeypatch.setattr(sys, "argv", ["sample.py", "--model", str(folder), "--prompt", "the cat", *flags])
    with pytest.raises(SystemExit) as end:
        run_main(sample.main)
    printed = capsys.readouterr()
    assert end.value.code == 2 and printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("error: this masked model only fills gaps: fine-tune it")


def run_look(monkeypatch, capsys, command, folder, *flags):
    monkeypatch.setattr(sys, "argv", ["look.py", command, "--model", str(folder), *map(str, flags)])
    look.main()
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["surprise", "next-tokens", "lens", "layers", "reasons"])
def test_looking_at_what_comes_next_is_refused(monkeypatch, capsys, folder, command):
    with pytest.raises(UserError, match="this masked model only fills gaps"):
        run_look(monkeypatch, capsys, command, folder, "--text", "the cat")


@pytest.mark.usefixtures("pictures")
def test_looking_at_attention_and_embeddings_works(monkeypatch, capsys, folder, tmp_path):
    for command in ("attention", "heads", "embeddings"):
        out = tmp_path / f"{command}.png"
        assert str(out) in run_look(monkeypatch, capsys, command, folder, "--text", "the cat sat", "--out", out)
    with_mask = load_model(folder)
    with torch.no_grad():
        with_mask.transformer.wte.weight[MASK:] = with_mask.transformer.wte.weight[5]
    save_model(with_mask, load_tokenizer(folder), tmp_path / "near")
    near = run_look(monkeypatch, capsys, "neighbours", tmp_path / "near", "--words", load_tokenizer(folder).decode([5]))
    assert "<|mask|>" in near and "<|padding|>" in near


def test_attention_that_is_looked_at_is_that_of_both_sides(masked):
    tokens = [5, 80, 3, MASK, 200, 7]
    states, weights = trace(masked, tokens)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4, 6))
    assert (weights > 0).all()
    logits = masked.lm_head(masked.transformer.ln_f(states[-1]))
    torch.testing.assert_close(logits, masked(torch.tensor([tokens]))[0])
    v = masked.transformer.h[0].attn.c_attn(masked.transformer.h[0].ln_1(states[0]))[:, 128:].view(6, 4, 16)
    y = (weights[0] @ v.transpose(0, 1)).transpose(0, 1).reshape(6, 64)
    x = states[0] + masked.transformer.h[0].attn.c_proj(y)
    torch.testing.assert_close(x + masked.transformer.h[0].mlp(masked.transformer.h[0].ln_2(x)), states[1])
    assert induction_score(masked).isfinite().all()
