"""Gaps: which tokens are hidden, how, and how well a model fills them in."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gpt.dataset import IGNORED, Dataset
from gpt.errors import UserError
from gpt.running.masking import MaskedDataset, cloze_accuracy, fill_masks, filled_example, pseudo_perplexity
from gpt.tokenizer import Tokenizer
from tests.helpers import masked_model, random_model

END, MASK, PADDING = 299, 300, 301


def random_documents(count: int, seed: int) -> np.ndarray:
    """Ids below END, with END behind every document."""
    random = np.random.default_rng(seed)
    return np.concatenate([[*random.integers(0, END, random.integers(5, 60)), END] for _ in range(count)])


def masked_dataset(context: int = 40, batch_size: int = 8, seed: int = 0) -> MaskedDataset:
    train, val = random_documents(400, 1), random_documents(50, 2)
    return MaskedDataset(Dataset(train, val, END, context, batch_size, seed))


def test_fifteen_percent_of_every_window_are_to_be_guessed_and_never_the_end_of_text():
    for step in range(20):
        inputs, targets = masked_dataset().batch(step)
        assert inputs.shape == targets.shape == (8, 40) and inputs.dtype == targets.dtype == torch.int64
        chosen = targets != IGNORED
        assert (chosen.sum(1) == 6).all()  # 0.15 × 40, in every row: parts of a batch weigh the same
        assert not (targets == END).any() and (inputs == END).any()


def test_of_the_chosen_eight_tenths_are_masked_one_tenth_is_random_and_one_tenth_stays():
    dataset = masked_dataset()
    batches = [dataset.batch(step) for step in range(400)]
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    chosen = targets != IGNORED
    n = int(chosen.sum())
    masked, stays = (inputs[chosen] == MASK), inputs[chosen] == targets[chosen]
    other = inputs[chosen][~masked & ~stays]
    assert masked.float().mean().item() == pytest.approx(0.8, abs=4 * (0.16 / n) ** 0.5)
    assert stays.float().mean().item() == pytest.approx(0.1 + 0.1 / END, abs=4 * (0.09 / n) ** 0.5)
    assert len(other.unique()) > 0.95 * END and other.max() < END  # any token, but no false end of a text
    assert not (inputs[~chosen] >= MASK).any()


def test_what_is_not_chosen_stays_and_the_targets_are_what_was_there():
    dataset = masked_dataset()
    plain = Dataset(dataset.train, dataset.val, END, 39, 8)
    for step in (0, 3, 50):
        inputs, targets = dataset.batch(step)
        tokens = torch.cat((plain.batch(step)[0], plain.batch(step)[1][:, -1:]), 1)
        chosen = targets != IGNORED
        assert torch.equal(targets[chosen], tokens[chosen]) and torch.equal(inputs[~chosen], tokens[~chosen])


def test_a_batch_is_a_function_of_seed_and_step():
    one, two, other = masked_dataset(seed=7), masked_dataset(seed=7), masked_dataset(seed=8)
    for step in (5, 0, 123, 5):
        assert all(torch.equal(*pair) for pair in zip(one.batch(step), two.batch(step), strict=True))
    assert not torch.equal(one.batch(5)[1] == IGNORED, one.batch(6)[1] == IGNORED)
    assert not torch.equal(one.batch(5)[1] == IGNORED, other.batch(5)[1] == IGNORED)


def test_validation_is_the_same_every_time_whatever_the_seed_and_the_batch_size():
    def rows(dataset):
        return [torch.cat(parts) for parts in zip(*dataset.evaluation_batches(), strict=True)]

    first = rows(masked_dataset())
    for dataset in (masked_dataset(), masked_dataset(seed=5), masked_dataset(batch_size=3)):
        assert all(torch.equal(*pair) for pair in zip(first, rows(dataset), strict=True))


@pytest.mark.parametrize("length", [*range(41, 60), 1000])
def test_in_validation_every_token_may_be_chosen_once_and_padding_stands_behind_the_end(length, monkeypatch):
    """With all of them chosen, the targets of all windows together are the tokens, but the first and end-of-text."""
    monkeypatch.setattr("gpt.running.masking.CHOSEN", 1.0)
    val = random_documents(50, 3)[:length]
    dataset = MaskedDataset(Dataset(val, val, END, 20, 4))
    inputs, targets = (torch.cat(parts) for parts in zip(*dataset.evaluation_batches(), strict=True))
    assert targets[targets != IGNORED].tolist() == [token for token in val[1:].tolist() if token != END]
    padding = inputs == PADDING
    assert (padding.int().diff(dim=1) >= 0).all() and not padding[:-1].any()  # at the end of the last window alone
    assert (targets[padding] == IGNORED).all()


class Oracle:
    """A model that knows the tokens of the validation split, except those divisible by three."""

    def __init__(self, truth):
        self.config = SimpleNamespace(vocab_size=302, causal=False)
        self.transformer = SimpleNamespace(ln_f=SimpleNamespace(weight=torch.zeros(1)))
        self.truth = iter(truth)

    def __call__(self, tokens):
        answer = next(self.truth).clamp(min=0)
        return F.one_hot(torch.where(answer % 3 == 0, answer + 1, answer), 302).float()


def test_cloze_accuracy_is_the_share_of_right_guesses():
    targets = [targets for _, targets in masked_dataset().evaluation_batches()]
    chosen = torch.cat([rows[rows != IGNORED] for rows in targets])
    expected = (chosen % 3 != 0).float().mean().item()
    assert cloze_accuracy(Oracle(targets), masked_dataset()) == pytest.approx(expected)  # type: ignore[arg-type]
    first = targets[0][targets[0] != IGNORED]
    found = cloze_accuracy(Oracle(targets), masked_dataset(), most=len(first))  # type: ignore[arg-type]
    assert found == pytest.approx((first % 3 != 0).float().mean().item())


def test_masks_are_filled_with_the_likeliest_token_that_may_stand_in_a_text():
    model = masked_model("rotary")
    tokens = torch.tensor([[5, MASK, 7, 8, MASK], [END, 3, MASK, 4, 5]])
    filled = fill_masks(model, tokens)
    assert torch.equal(filled[tokens != MASK], tokens[tokens != MASK])
    assert torch.equal(filled[tokens == MASK], model(tokens)[tokens == MASK][:, :END].argmax(-1))


def test_the_example_shows_the_first_text_with_its_gaps_in_brackets():
    tokenizer = Tokenizer([])
    text = tokenizer.encode("the cat sat on the mat.")
    val = np.array([*text, tokenizer.end_of_text, *text, tokenizer.end_of_text])
    dataset = MaskedDataset(Dataset(val, val, tokenizer.end_of_text, 32, 2))
    example = filled_example(masked_model("learned", vocab_size=259), tokenizer, dataset)
    gaps = example.count("[")
    assert gaps == example.count("]") > 0 and example.count("|") <= gaps
    assert sum(len(part.split("[")[0]) for part in example.split("]")) == len(text) - gaps  # no second text


def test_pseudo_perplexity_masks_one_token_after_the_other(monkeypatch):
    model = masked_model("rotary")
    texts = [[END, 5, 6, 7, 5], [9, 8]]
    nats = []
    for text in texts:
        for place, token in enumerate(text):
            if token != END:
                masked = torch.tensor([[*text[:place], MASK, *text[place + 1 :]]])
                nats.append(-model(masked)[0, place].log_softmax(-1)[token].item())
    expected = math.exp(sum(nats) / len(nats))
    assert len(nats) == 6
    for batch_size in (1, 3, 64):
        assert pseudo_perplexity(model, texts, batch_size) == pytest.approx(expected, rel=1e-4)


def test_what_has_no_pseudo_perplexity_is_refused():
    with pytest.raises(UserError, match="only a masked one fills gaps"):
        pseudo_perplexity(random_model("rotary"), [[1, 2]])
    with pytest.raises(UserError, match="no token to guess"):
        pseudo_perplexity(masked_model("rotary"), [[END]])
