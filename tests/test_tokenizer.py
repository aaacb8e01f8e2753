"""The tokenizer: the same ids as its peers give, and no text that it cannot write."""

import json
import os
import random
import subprocess
import sys

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Tokenizer

from gpt.errors import UserError
from gpt.fast.bpe import train_bpe_with_heap
from gpt.files.tokenizer_files import load_tokenizer, save_tokenizer
from gpt.tokenizer import END_OF_TEXT, WORD, Tokenizer, encode_word, merge, train_bpe
from tests.helpers import ROOT

BOTH = pytest.mark.parametrize("train", [train_bpe, train_bpe_with_heap])
MIXED = "The cat sat. Die Katze saß. 猫坐在垫子上，很高兴。 🐱👩‍👩‍👧 don't we'll\t\r\n  x = 10_000\n\n" * 20


@pytest.fixture(scope="module")
def trained(python_source):
    return Tokenizer.train([python_source, MIXED], 2048, train_bpe_with_heap)


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


@BOTH
def test_training_takes_the_most_frequent_neighbours_first(train):
    assert train(["abab cd"], 258) == [b"ab"]
    assert train(["xy\nxy\nxy\nxyz\nxyz"], 300) == [b"xy", b"xyz"]


@BOTH
def test_of_equally_frequent_candidates_the_first_in_byte_order_is_taken(train):
    assert train(["zz\nyy\nzz\nyy"], 258) == [b"yy"]


def test_training_in_another_process_gives_the_same_tokens(python_source, tmp_path):
    """Python shuffles the order of its sets anew in each process; the hash seed says how."""
    (tmp_path / "text.txt").write_text(python_source[:30_000], encoding="utf-8")
    code = f"""
from pathlib import Path
from gpt.fast.bpe import train_bpe_with_heap
from gpt.tokenizer import train_bpe
text = Path({str(tmp_path / "text.txt")!r}).read_text(encoding="utf-8")
print(train_bpe([text], 320), train_bpe_with_heap([text], 900))
"""
    said = set()
    for seed in ("1", "2", "3"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"}
        run = [sys.executable, "-c", code]
        said.add(subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, check=True).stdout)
    assert len(said) == 1


@BOTH
def test_training_on_pieces_cut_before_white_space_gives_the_tokens_of_the_whole(train):
    assert train([" one two", " three two", " one"], 270) == train([" one two three two one"], 270)


def test_a_word_is_encoded_by_hand_as_tiktoken_does_it(trained, python_source):
    rng, tokens = random.Random(0), list(trained.ids)
    texts = [python_source[:30_000] + MIXED]
    texts += [b"".join(rng.choices(tokens, k=rng.randint(1, 12))).decode(errors="replace") for _ in range(500)]
    for text in texts:
        for word in regex.findall(WORD, text):
            assert encode_word(word.encode(), trained.ids) == trained.encode(word), word


def test_a_text_without_repetition_gives_a_smaller_vocabulary_than_asked_for():
    assert Tokenizer.train(["abcdefg"], 1000).vocab_size == 257


@pytest.mark.parametrize("text", [" " * 1_000_000, "\n" * 3_000_000 + "x", "a" + "\t \u3000" * 700_000])
def test_a_million_spaces_are_encoded_like_any_text(trained, text):
    assert trained.decode(trained.encode(text)) == text
    assert trained.decode(trained.encode_to_numpy(text).tolist()) == text


@BOTH
def test_words_without_end_are_trained_on_in_parts(train):
    genome = "".join(random.Random(0).choices("acgt", k=50_000))
    tokens = train([genome, " " * 1_000_000, "-" * 1_000_000], 270)
    assert set(tokens) >= {b"  ", b"--", b"    ", b"----"}
    parts = [genome[i : i + 256] for i in range(0, len(genome), 256)]
    assert train([genome], 262) == train([f"{part}\n" for part in parts], 262)


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


MISFIT = r"vocab\.json and merges\.txt in .* do not fit each other"


@pytest.mark.parametrize(
    ("damage", "message"),
    [("no json", MISFIT), ("hole", MISFIT), ("merge", MISFIT), ("missing", r"holds no merges\.txt")],
)
def test_files_that_do_not_fit_each_other_are_refused(trained, tmp_path, damage, message):
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
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path)
