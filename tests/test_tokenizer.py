"""The tokenizer: the same ids as its peers give, and no text that it cannot write."""

import json
import random
from itertools import pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Tokenizer

from gpt.errors import UserError
from gpt.files.tokenizer_files import load_tokenizer, save_tokenizer
from gpt.tokenizer import END_OF_TEXT, WORD, Tokenizer, merge, train_bpe

MIXED = "The cat sat. Die Katze saß. 猫坐在垫子上，很高兴。 🐱👩‍👩‍👧 don't we'll\t\r\n  x = 10_000\n\n" * 20


@pytest.fixture(scope="module")
def trained(python_source):
    return Tokenizer.train([python_source, MIXED], 2048)


@pytest.fixture(scope="module")
def peer(trained, tmp_path_factory):
    """`transformers`' GPT-2 tokenizer, loaded from the folder that ours wrote."""
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(trained, folder)
    return GPT2Tokenizer.from_pretrained(folder)


def peer_ids(peer, text):
    return peer(text, split_special_tokens=True)["input_ids"]


def test_a_megabyte_gets_the_ids_that_transformers_gives(trained, peer, python_source):
    assert len(python_source.encode()) > 1_000_000
    assert trained.encode(python_source) == peer_ids(peer, python_source)


@settings(max_examples=300, deadline=None)
@given(text=st.text())
def test_random_unicode_gets_the_ids_that_transformers_gives(trained, peer, text):
    assert trained.encode(text) == peer_ids(peer, text)


def test_random_strings_of_tokens_get_the_ids_that_transformers_gives(trained, peer):
    """Tokens thrown together meet in ways that text does not: two pairs may spell one token."""
    rng, tokens = random.Random(0), list(trained.ids)
    for _ in range(3000):
        text = b"".join(rng.choices(tokens, k=rng.randint(1, 12))).decode(errors="replace")
        assert trained.encode(text) == peer_ids(peer, text), text


@settings(max_examples=100, deadline=None)
@given(words=st.lists(st.text("aab", min_size=1, max_size=12), min_size=1, max_size=30), size=st.integers(257, 290))
def test_training_on_few_letters_still_agrees_with_transformers(words, size, tmp_path_factory):
    tokenizer = Tokenizer.train([" ".join(words)], size)
    folder = tmp_path_factory.mktemp("few")
    save_tokenizer(tokenizer, folder)
    peer = GPT2Tokenizer.from_pretrained(folder)
    for text in [*words, "aaaabaaabaababab" * 3]:
        assert tokenizer.encode(text) == peer_ids(peer, text)


@settings(max_examples=300, deadline=None)
@given(text=st.text())
def test_every_string_comes_back(trained, text):
    assert trained.decode(trained.encode(text)) == text
    assert trained.decode(trained.encode_to_numpy(text)) == text


def test_chinese_and_emoji_come_back_from_bytes_alone():
    tokenizer = Tokenizer.train([""], 257)
    assert tokenizer.vocab_size == 257
    assert tokenizer.decode(tokenizer.encode(MIXED)) == MIXED
    assert len(tokenizer.encode(MIXED)) == len(MIXED.encode())


def test_the_end_of_text_token_never_comes_out_of_a_text(trained):
    ids = trained.encode(f"one{END_OF_TEXT}two")
    assert trained.end_of_text not in ids
    assert trained.end_of_text not in trained.encode_to_numpy(f"one{END_OF_TEXT}two")
    assert trained.decode(ids) == f"one{END_OF_TEXT}two"
    assert trained.decode([trained.end_of_text]) == END_OF_TEXT


def test_training_takes_the_most_frequent_neighbours_first():
    assert train_bpe(["abab cd"], 258) == [b"ab"]
    assert train_bpe(["xy\nxy\nxy\nxyz\nxyz"], 300) == [b"xy", b"xyz"]


def test_of_equally_frequent_candidates_the_first_in_byte_order_is_taken():
    assert train_bpe(["zz\nyy\nzz\nyy"], 258) == [b"yy"]


def test_training_twice_gives_the_same_tokens(python_source):
    text = python_source[:100_000]
    assert train_bpe([text], 600) == train_bpe([text], 600)


def test_training_on_pieces_cut_before_white_space_gives_the_tokens_of_the_whole():
    assert train_bpe([" one two", " three two", " one"], 270) == train_bpe([" one two three two one"], 270)


def test_training_matches_a_plain_count_of_all_neighbours(python_source):
    """The heap and its bookkeeping against the definition: count everything anew for each token."""
    text = python_source[:3000]
    words = [[bytes([b]) for b in word.encode()] for word in regex.findall(WORD, text)]
    expected = []
    for _ in range(60):
        counts: dict[bytes, int] = {}
        for word in words:
            for left, right in pairwise(word):
                counts[left + right] = counts.get(left + right, 0) + 1
        token = min(counts, key=lambda t: (-counts[t], t))
        expected.append(token)
        words = [merge(word, token) for word in words]
    assert train_bpe([text], 257 + 60) == expected


def test_a_text_without_repetition_gives_a_smaller_vocabulary_than_asked_for():
    assert Tokenizer.train(["abcdefg"], 1000).vocab_size == 257


def test_words_without_end_are_trained_on_in_parts():
    genome = "".join(random.Random(0).choices("acgt", k=50_000))
    tokens = train_bpe([genome, " " * 1_000_000, "-" * 1_000_000], 270)
    assert set(tokens) >= {b"  ", b"--", b"    ", b"----"}
    parts = [genome[i : i + 256] for i in range(0, len(genome), 256)]
    assert train_bpe([genome], 262) == train_bpe([f"{part}\n" for part in parts], 262)


def test_merge_joins_from_the_left():
    assert merge([b"a"] * 5, b"aa") == [b"aa", b"aa", b"a"]
    assert merge([b"ab", b"c", b"a", b"bc"], b"abc") == [b"abc", b"abc"]


def test_a_folder_written_by_transformers_gives_the_same_ids(trained, peer, tmp_path):
    peer.save_pretrained(tmp_path)
    if not (tmp_path / "vocab.json").exists():  # newer versions write tokenizer.json alone
        vocab, merges = peer.backend_tokenizer.model.save(str(tmp_path))
        assert vocab and merges
    assert load_tokenizer(tmp_path).encode(MIXED) == peer_ids(peer, MIXED)


def test_saving_what_was_loaded_changes_no_byte(trained, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    save_tokenizer(trained, tmp_path / "a")
    save_tokenizer(load_tokenizer(tmp_path / "a"), tmp_path / "b")
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_bytes_have_the_ids_that_gpt2_gives_them(trained):
    # From GPT-2's published vocab.json.
    assert [trained.ids[t] for t in (b"!", b"A", b"a", b"~", b" ", b"\n", b"\x00", b"\xff")] == [
        0, 32, 64, 93, 220, 198, 188, 187,
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["no json", "hole", "merge", "missing"])
def test_files_that_do_not_fit_each_other_are_refused(trained, tmp_path, damage):
    save_tokenizer(trained, tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    if damage == "no json":
        (tmp_path / "vocab.json").write_text("{", encoding="utf-8")
    elif damage == "hole":
        vocab.pop("Ġthe", None) or vocab.pop("in")
        (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    elif damage == "merge":
        (tmp_path / "merges.txt").write_text("#version: 0.2\na b c\n", encoding="utf-8")
    else:
        (tmp_path / "merges.txt").unlink()
    with pytest.raises(UserError):
        load_tokenizer(tmp_path)
