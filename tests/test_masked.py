"""--objective masked: the same blocks without the causal mask, trained, saved and loaded."""

import copy
import dataclasses
import json
import math
import sys

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from data.prepare import PrepareConfig, prepare
from gpt.classifier import GPTClassifier, pad
from gpt.dataset import Dataset
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.finetuning.saved import load_classifier, save_classifier
from gpt.model import GPT, attention_weights
from gpt.running import plots
from gpt.running.command_line import run_main
from gpt.running.run_folder import read_metrics
from gpt.running.train_config import TrainConfig
from tests.helpers import masked_model, small_training, stop_after
from train import train

MASK, PADDING = 300, 301
CPU = torch.device("cpu")
TOKENS = torch.randint(0, 300, (2, 32), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["learned", "rotary"])
def masked(request):
    return masked_model(request.param)


@pytest.fixture
def config(corpus, tmp_path):
    return dataclasses.replace(small_training(corpus, tmp_path / "run"), objective="masked")


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(corpus)


def padded(texts, to):
    """The texts behind which padding stands up to a length."""
    return torch.tensor([text + [PADDING] * (to - len(text)) for text in texts])


def test_a_masked_token_is_predicted_from_both_sides(masked):
    before = masked(TOKENS[:1])[0, 15]
    for place in range(32):
        changed = TOKENS[:1].clone()
        changed[0, place] = (changed[0, place] + 1) % 300
        assert (masked(changed)[0, 15] - before).abs().max() > 1e-4, place


def test_the_same_weights_with_the_causal_mask_see_nothing_of_what_comes_later(masked):
    causal = GPT(dataclasses.replace(masked.config, causal=True)).eval()
    causal.load_state_dict(masked.state_dict())
    changed = TOKENS.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % 300
    assert torch.equal(causal(TOKENS)[:, :20], causal(changed)[:, :20])
    torch.testing.assert_close(causal(TOKENS)[:, :1], masked(TOKENS[:, :1]), atol=1e-5, rtol=0)  # alone, they agree
    assert not torch.allclose(causal(TOKENS)[:, :20], masked(TOKENS)[:, :20])


def test_attention_that_is_told_nothing_is_causal_to_the_bit():
    q, k = torch.randn(2, 4, 7, 16), torch.randn(2, 4, 7, 16)
    later = torch.ones(7, 7, dtype=torch.bool).triu(1)
    before = (q @ k.transpose(-2, -1) / math.sqrt(16)).masked_fill(later, -math.inf).softmax(dim=-1)
    assert torch.equal(attention_weights(q, k), before)
    assert torch.equal(attention_weights(q, k, ~later), before)


@pytest.mark.parametrize("fast", [False, True])
def test_padding_changes_no_answer(masked, fast):
    if fast:
        speed_up(masked, CPU, torch.float32)
    texts = [[5, 6, MASK, 8, 9], [7] * 17]
    for text in texts:
        alone = masked(torch.tensor([text]))[0]
        for to in (18, 32):
            together = masked(padded(texts, to))[texts.index(text), : len(text)]
            torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fast", [False, True])
def test_a_classifier_on_a_masked_body_gives_the_same_answer_with_any_padding(masked, fast):
    classifier = GPTClassifier(masked.config, ("a", "b", "c")).eval()
    classifier.transformer.load_state_dict(masked.transformer.state_dict())
    torch.nn.init.normal_(classifier.score.weight, std=0.1)
    if fast:
        speed_up(classifier, CPU, torch.float32)
    text, longer = [5, 6, 7, 8, 9], [7] * 30
    alone = classifier(*pad([text], PADDING))
    tokens, lengths = pad([text, longer], PADDING)
    assert tokens[0].tolist() == text + [PADDING] * 25 and lengths.tolist() == [5, 30]
    torch.testing.assert_close(classifier(tokens, lengths)[:1], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(classifier(*pad([text[::-1][1:] + text[:1]], PADDING)), alone)  # the order is read


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # each has attention of its own on a CPU
def test_plain_and_fast_agree_in_loss_and_gradients(masked, dtype):
    plain, fast = masked.train(), copy.deepcopy(masked)
    speed_up(fast, CPU, dtype)
    tokens = padded([TOKENS[0].tolist(), TOKENS[1, :9].tolist()], 32)
    tokens[:, 3] = MASK
    found = []
    for model in (plain, fast):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(tokens)
        loss = F.cross_entropy(logits[:, 3].float(), TOKENS[:, 3])
        loss.backward()
        found.append((loss.item(), {name: weight.grad for name, weight in model.named_parameters()}))
    (loss, gradients), (fast_loss, fast_gradients) = found
    assert fast_loss == pytest.approx(loss, rel=1e-5 if dtype == torch.float32 else 1e-2)
    for name, gradient in gradients.items():
        difference = (fast_gradients[name] - gradient).norm() / gradient.norm()
        assert difference < (1e-4 if dtype == torch.float32 else 0.1), name


# Files


@pytest.mark.parametrize("attention", [None, "eager", "sdpa"])
def test_transformers_gives_our_logits_and_knows_the_two_more_tokens(masked, tokenizer, tmp_path, attention):
    save_model(masked, tokenizer, tmp_path)
    settings = {} if attention is None else {"attn_implementation": attention}
    peer = AutoModelForCausalLM.from_pretrained(tmp_path, **settings)
    body = AutoModel.from_pretrained(tmp_path, **settings)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert (theirs.mask_token_id, theirs.pad_token_id) == (MASK, PADDING)
    assert (peer.config.mask_token_id, peer.config.pad_token_id, peer.config.is_causal) == (MASK, PADDING, False)
    texts = ["the cat <|mask|> on the mat", "a mat"]
    given = theirs(texts, padding=True, return_tensors="pt")
    ours = [[*tokenizer.encode("the cat"), MASK, *tokenizer.encode(" on the mat")], tokenizer.encode("a mat")]
    assert torch.equal(given["input_ids"], pad(ours, PADDING)[0])
    with torch.no_grad():
        torch.testing.assert_close(peer(TOKENS).logits, masked(TOKENS), atol=1e-4, rtol=0)
        states = body(TOKENS).last_hidden_state
        torch.testing.assert_close(states, masked.transformer(TOKENS), atol=1e-4, rtol=0)
        logits = peer(**given).logits
        for row, text in enumerate(ours):
            torch.testing.assert_close(logits[row, : len(text)], masked(torch.tensor([text]))[0], atol=1e-4, rtol=0)


def test_a_folder_loads_as_it_was_saved_and_one_without_the_key_is_causal(masked, tokenizer, tmp_path):
    save_model(masked, tokenizer, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.config == masked.config and not loaded.config.causal
    assert torch.equal(loaded(TOKENS), masked(TOKENS))
    hf = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert hf["is_causal"] is False and hf["vocab_size"] == 302
    del hf["is_causal"]
    (tmp_path / "config.json").write_text(json.dumps(hf), encoding="utf-8")
    assert load_model(tmp_path).config.causal
    hf |= {"is_causal": False, "pad_token_id": 0}  # our model would not hide that padding
    (tmp_path / "config.json").write_text(json.dumps(hf), encoding="utf-8")
    with pytest.raises(UserError, match="pad_token_id = 0"):
        load_model(tmp_path)


def test_the_folder_of_a_causal_model_says_nothing_new(model, tokenizer, tmp_path):
    save_model(model, tokenizer, tmp_path)
    texts = [(tmp_path / name).read_text(encoding="utf-8") for name in ("config.json", "tokenizer_config.json")]
    assert not any(word in text for word in ("is_causal", "mask") for text in texts)


def test_a_classifier_on_a_masked_body_survives_and_names_its_padding(masked, tokenizer, tmp_path):
    classifier = GPTClassifier(masked.config, ("a", "b")).eval()
    save_classifier(classifier, tokenizer, tmp_path)
    assert load_classifier(tmp_path).config == masked.config
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["pad_token_id"] == PADDING


# Training


def test_a_masked_net_learns_more_than_how_often_tokens_come(config, tmp_path, capsys):
    """A gap in "two three four" is told by its neighbours; by how often tokens come, the loss is their entropy."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    texts = [" ".join(words[i % 7 :]) for i in range(2000)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    prepare(PrepareConfig((tmp_path / "text.jsonl",), tmp_path / "tokens", 300))
    shape = dataclasses.replace(config.model, dropout=0.0)
    train(dataclasses.replace(config, data=tmp_path / "tokens", model=shape, max_steps=200, eval_every=200))
    corpus = TokensFolder(tmp_path / "tokens")
    counts = torch.tensor(corpus.val[:].astype("int64")).bincount().float()
    share = counts[counts > 0] / counts.sum()
    entropy = -(share * share.log()).sum().item()
    row = read_metrics(config.out)[-1]
    assert row["val_loss"] < entropy / 2 and row["cloze_accuracy"] > 0.8
    assert row["perplexity"] == pytest.approx(math.exp(row["val_loss"])) and "bits_per_byte" not in row
    printed = capsys.readouterr().out
    assert "nats/masked token" in printed and "cloze accuracy" in printed and "sample.py" not in printed
    assert "bits/byte" not in printed and "entropy" not in printed


@pytest.mark.usefixtures("pictures")
def test_a_run_leaves_a_model_with_two_more_ids_and_a_picture_without_bits(config, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots.plt, "close", drawn.append)  # keep the figure
    train(config)
    assert load_model(config.out).config == dataclasses.replace(config.model, vocab_size=302, causal=False)
    assert (config.out / "loss.png").read_bytes().startswith(b"\x89PNG")
    axes = drawn[0].axes[0]
    words = [axes.get_ylabel(), *(text.get_text() for text in axes.texts)]
    words += [child.get_ylabel() for child in axes.child_axes]
    assert axes.get_ylabel() == "loss, nats per masked token"
    assert not any("byte" in word or "entropy" in word for word in words)


def test_a_run_interrupted_and_resumed_ends_with_the_bits_of_an_uninterrupted_one(config, tmp_path, monkeypatch):
    train(config)
    stopped = dataclasses.replace(config, out=tmp_path / "stopped")
    with monkeypatch.context() as patch:
        stop_after(patch, Dataset, 10)
        train(stopped)
    with pytest.raises(UserError, match="objective was masked and is now causal"):
        train(dataclasses.replace(stopped, objective="causal", resume=True))
    train(dataclasses.replace(stopped, resume=True))
    one, two = (load_file(folder / "model.safetensors") for folder in (config.out, stopped.out))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_going_on_with_init_needs_the_same_objective(config, tmp_path):
    train(config)
    on = dataclasses.replace(config, init=config.out, out=tmp_path / "on", learning_rate=1e-9, muon_learning_rate=1e-9)
    train(on)
    last = [[row["val_loss"] for row in read_metrics(folder) if "val_loss" in row][-1] for folder in (on.out, on.init)]
    assert last[0] == pytest.approx(last[1], abs=1e-3)
    with pytest.raises(UserError, match="another objective: ask for --objective masked"):
        train(dataclasses.replace(on, objective="causal", out=tmp_path / "other"))


@pytest.mark.parametrize(
    ("objective", "change", "message"),
    [("causal", {"causal": False}, "ask for --objective masked"), ("masked", {"context_length": 1}, "at least 2")],
)
def test_settings_that_make_no_sense_together_are_refused(config, objective, change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(config, objective=objective, model=dataclasses.replace(config.model, **change))


def test_the_flag_is_one_of_two_words(monkeypatch, capsys):
    import train as script

    monkeypatch.setattr(sys, "argv", ["train.py", "tiny", "--objective", "both"])
    with pytest.raises(SystemExit) as end:
        run_main(script.main)
    assert end.value.code == 2 and "('causal', 'masked')" in capsys.readouterr().err
    assert TrainConfig.objective == "causal"
