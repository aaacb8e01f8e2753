"""Batches: a pure function of (seed, step) that covers every epoch exactly once."""

import json

import numpy as np
import pytest
import torch

from gpt.dataset import IGNORED, Dataset, shuffled
from gpt.errors import UserError
from gpt.files.tokens_folder import MappedTokens, TokensFolder


def write_folder(folder, train, val, vocab_size=60_000):
    """A tokens folder whose train.bin and val.bin hold these ids."""
    folder.mkdir(exist_ok=True)
    np.array(train, dtype="<u2").tofile(folder / "train.bin")
    np.array(val, dtype="<u2").tofile(folder / "val.bin")
    meta = {"dtype": "uint16", "vocab_size": vocab_size, "train_tokens": len(train), "val_tokens": len(val)}
    meta |= {"train_documents": 1 + list(train).count(vocab_size - 1)}
    meta |= {"val_bytes": 3 * len(val), "entropy_bits_per_byte": None}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return folder


@pytest.fixture
def counting(tmp_path):
    """Train tokens 0, 1, 2, …: a token says where it stood."""
    return write_folder(tmp_path / "counting", range(1000), range(205))


def test_a_batch_depends_on_nothing_but_seed_and_step(counting):
    one, two = TokensFolder(counting).dataset(16, 4, seed=7), TokensFolder(counting).dataset(16, 4, seed=7)
    for step in (5, 0, 123, 5):
        for here, there in zip(one.batch(step), two.batch(step), strict=True):
            assert torch.equal(here, there)
    assert not torch.equal(one.batch(5)[0], one.batch(6)[0])
    assert not torch.equal(one.batch(5)[0], TokensFolder(counting).dataset(16, 4, seed=8).batch(5)[0])


def test_targets_are_the_inputs_one_token_later(counting):
    x, y = TokensFolder(counting).dataset(16, 4).batch(3)
    assert x.shape == y.shape == (4, 16) and x.dtype == torch.int64
    assert torch.equal(y, x + 1)
    assert torch.equal(x[:, 1:], y[:, :-1])


def test_an_epoch_is_covered_exactly_once(counting):
    dataset = TokensFolder(counting).dataset(16, 1)
    n = dataset.windows_per_epoch
    assert n == 61  # (1000 - 16) // 16: the offset may take up to 15 tokens
    for epoch in range(4):
        starts = sorted(dataset.batch(epoch * n + i)[0][0, 0].item() for i in range(n))
        assert np.diff(starts).tolist() == [16] * (n - 1)
        assert 0 <= starts[0] < 16


@pytest.mark.parametrize("length", [10, 16, 31, 32])
def test_too_few_tokens_for_a_window_are_refused(length):
    dataset = Dataset(np.arange(length), np.arange(20), 9999, context_length=16, batch_size=4)
    if length == 32:
        assert dataset.batch(0)[0].shape == (4, 16)
    else:
        with pytest.raises(ValueError, match=f"{length} training tokens are too few: windows of 16 need 32"):
            dataset.batch(0)


def test_every_epoch_has_an_offset_and_an_order_of_its_own(counting):
    dataset = TokensFolder(counting).dataset(16, 1)
    n = dataset.windows_per_epoch
    epochs = [[dataset.batch(epoch * n + i)[0][0, 0].item() for i in range(n)] for epoch in range(8)]
    assert len({min(starts) for starts in epochs}) > 3
    orders = {tuple(np.argsort(starts)) for starts in epochs}
    assert len(orders) == 8


def test_batches_run_on_across_the_end_of_an_epoch(counting):
    one, eight = TokensFolder(counting).dataset(16, 1), TokensFolder(counting).dataset(16, 8)
    for step in (0, 7, 20):
        rows = torch.cat([one.batch(step * 8 + i)[0] for i in range(8)])
        assert torch.equal(eight.batch(step)[0], rows)


def write_documents(folder, lengths, context_length=16, batch_size=8):
    """A dataset of documents of so many tokens, 9999 being the end of text; a token says where it stands."""
    train = np.arange(sum(lengths) + len(lengths))
    train[np.cumsum([length + 1 for length in lengths]) - 1] = 9999
    return TokensFolder(write_folder(folder, train, range(100), vocab_size=10_000)).dataset(
        context_length, batch_size
    ), train


def test_a_document_that_fits_the_window_is_trained_on_from_its_beginning(tmp_path):
    dataset, _ = write_documents(tmp_path / "short", [5, 15, 3, 9] * 50)
    for step in range(20):
        x, y = dataset.batch(step)
        assert x.shape == y.shape == (8, 16) and torch.equal(x[:, 1:], y[:, :-1])
        begun = x[:, 0] == 9999  # the mark that ends the document before
        assert begun.all() or (x[~begun, 0] < 5).all()  # before the first there is none


def test_a_document_longer_than_the_window_is_cut_anywhere(tmp_path):
    dataset, _ = write_documents(tmp_path / "long", [16, 400, 500])  # with its mark, even 16 does not fit
    starts = {row[0].item() for step in range(60) for row in dataset.batch(step)[0]}
    assert len(starts) > 200 and len({start % 16 for start in starts - {9999}}) > 5  # each epoch has one of 16 offsets


@pytest.mark.parametrize("lengths", [[400, 3, 70, 15, 2, 2, 2, 15, 16, 90, 1, 30] * 2, [7] * 100, [1000]])
def test_no_token_is_seen_much_less_or_more_often_than_others(tmp_path, lengths):
    dataset, train = write_documents(tmp_path / "mixed", lengths)
    epochs, T = 200, 16
    seen = np.zeros(len(train))
    tokens = np.append(train, 0)
    for step in range(epochs * dataset.windows_per_epoch // 8):
        for start in dataset.starts(step):
            seen[start + 1 : start + T + 1] += 1  # the targets
            assert tokens[start] == train[start]
    seen = seen[T : -2 * T] / epochs  # an epoch's offset leaves out some of the ends
    assert 0.95 < seen.mean() < 1.05 and seen.min() > 0.15 and seen.max() < 2


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 65, 1000, 4097])
def test_a_shuffle_is_a_permutation(n):
    keys = list(np.random.SeedSequence([n]).generate_state(4, np.uint64))
    assert sorted(shuffled(np.arange(n), n, keys).tolist()) == list(range(n))


def test_shuffles_send_a_card_everywhere_alike():
    n, deals = 100, 4000
    counts = np.zeros((3, n))
    for seed in range(deals):
        keys = list(np.random.SeedSequence([seed]).generate_state(4, np.uint64))
        counts[range(3), shuffled(np.array([0, 1, 99]), n, keys)] += 1
    expected = deals / n
    chi_square = ((counts - expected) ** 2 / expected).sum(axis=1)
    assert (chi_square < 160).all()  # 99 degrees of freedom: above 160 once in ten thousand


@pytest.mark.parametrize("lengths", [[205], [5] * 40, [3, 16, 17, 40, 2, 15, 90], [1] * 50])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_evaluation_predicts_every_validation_token_but_the_first_once(tmp_path, lengths, batch_size):
    val = []
    for length in lengths:  # documents of so many tokens, 9999 being the end of text
        val += [len(val) + i for i in range(length)] + [9999]
    dataset = TokensFolder(write_folder(tmp_path / "val", range(1000), val[:-1], vocab_size=10_000)).dataset(
        16, batch_size
    )
    for _ in range(2):  # the same every time
        predicted = []
        for x, y in dataset.evaluation_batches():
            assert len(x) <= batch_size and x.shape == y.shape
            counted = y != IGNORED
            predicted += y[counted].tolist()
            follows = torch.roll(x, -1, dims=1)
            assert torch.equal(follows[:, :-1][counted[:, :-1]], y[:, :-1][counted[:, :-1]])
        assert predicted == val[1:-1]


def test_a_document_that_fits_the_window_is_evaluated_from_its_beginning(tmp_path):
    val = [token for document in range(30) for token in (*range(document * 10, document * 10 + 9), 9999)]
    dataset = TokensFolder(write_folder(tmp_path / "val", range(1000), val, vocab_size=10_000)).dataset(16, 4)
    for x, y in dataset.evaluation_batches():
        for inputs, targets in zip(x.tolist(), y.tolist(), strict=True):
            for place, target in enumerate(targets):
                if target not in (IGNORED, 9999):
                    assert target - target % 10 in [*inputs[: place + 1], target]  # its document's first token


def test_bits_per_byte_divide_all_bits_by_all_bytes(counting):
    corpus = TokensFolder(counting)  # 3 bytes a token
    assert corpus.bits_per_byte(np.log(2) * 6) == pytest.approx(2)


def test_a_token_outside_the_vocabulary_is_refused_at_the_start(tmp_path):
    folder = write_folder(tmp_path / "bad", [*range(99), 500], range(50), vocab_size=100)
    with pytest.raises(UserError, match="token 500"):
        TokensFolder(folder).dataset(16, 4)


def test_a_token_outside_the_vocabulary_that_was_written_later_is_refused_in_its_batch(tmp_path):
    folder = write_folder(tmp_path / "bad", range(100), range(50), vocab_size=100)
    dataset = TokensFolder(folder).dataset(16, 4)
    np.full(100, 500, dtype="<u2").tofile(folder / "train.bin")
    with pytest.raises(UserError, match="token 500"):
        dataset.batch(0)


def test_a_large_file_is_sampled_and_a_small_one_read_whole(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "large", range(1000), range(50))
    looked_at, look = [], MappedTokens.__getitem__

    def note(self, places):
        found = look(self, places)
        looked_at.append((self.path.stem, len(found)))
        return found

    monkeypatch.setattr("gpt.files.tokens_folder.CHUNK", 4)
    monkeypatch.setattr(MappedTokens, "__getitem__", note)
    TokensFolder(folder).dataset(16, 4)
    assert 64 <= looked_at.count(("train", 4)) < 128  # of 250 chunks
    assert sum(length for split, length in looked_at if split == "val") == 50


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no meta", "is not a tokens folder"),
        ("no json", r"meta\.json is damaged"),
        ("short file", r"train\.bin is missing or not the 1,000 tokens"),
        ("no file", r"val\.bin is missing or not the 20 tokens"),
        ("too little", r"val\.bin holds 10 tokens, fewer than the 17"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(tmp_path, damage, message):
    folder = write_folder(tmp_path / "folder", range(1000), range(20 if damage != "too little" else 10))
    if damage == "no meta":
        (folder / "meta.json").unlink()
    elif damage == "no json":
        (folder / "meta.json").write_text("{", encoding="utf-8")
    elif damage == "short file":
        (folder / "train.bin").write_bytes(b"12")
    elif damage == "no file":
        (folder / "val.bin").unlink()
    with pytest.raises(UserError, match=message):
        TokensFolder(folder).dataset(16, 4)
