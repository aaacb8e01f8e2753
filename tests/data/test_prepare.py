"""From text to a tokens folder: nothing lost, nothing mixed, whatever the size of the files."""

import dataclasses
import json
import random
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import data.documents
import data.prepare
from data.prepare import PrepareConfig, prepare
from gpt.errors import UserError
from gpt.files.tokenizer_files import load_tokenizer, save_tokenizer
from gpt.tokenizer import Tokenizer

CHINESE = "从前有一只小猫，它住在山脚下的小屋里。🐱 “你好！”小猫说。\n"


def tokens(folder, split):
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return np.fromfile(folder / f"{split}.bin", dtype=meta["dtype"])


def documents(folder, split):
    """The texts of a split, cut at the end-of-text token."""
    tokenizer = load_tokenizer(folder)
    ids = tokens(folder, split)
    parts = np.split(ids, np.flatnonzero(ids == tokenizer.end_of_text))
    return [tokenizer.decode(part[part != tokenizer.end_of_text]) for part in parts]


def test_half_a_character_in_json_becomes_the_replacement_character(tmp_path):
    half = '{"text": "cut off \\ud83d here"}\n'  # the first half of an emoji
    (tmp_path / "texts.jsonl").write_text(half * 400, encoding="utf-8")
    prepare(PrepareConfig((tmp_path / "texts.jsonl",), tmp_path / "out", 300))
    assert set(documents(tmp_path / "out", "train")) == {"cut off \N{REPLACEMENT CHARACTER} here"}


def test_other_peoples_jsonl_may_have_empty_lines_and_keys_that_we_use(tmp_path):
    lines = [json.dumps({"text": f"Hello there, my {i} friends.", "world": ["fr"]}) + "\n\n" for i in range(400)]
    (tmp_path / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
    meta = prepare(PrepareConfig((tmp_path / "texts.jsonl",), tmp_path / "out", 280))
    assert meta["world"] is None and meta["train_documents"] == 360


@pytest.mark.parametrize(("share", "count"), [(0.1, 10), (0.04, 4), (0.15, 15), (0.3, 30), (0.4, 40), (0.5, 50)])
def test_the_validation_split_has_the_share_of_documents_that_was_asked_for(tmp_path, share, count):
    rows = [json.dumps({"text": f"Document {i} is one of a hundred; it tells of {i} friends."}) for i in range(100)]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows), encoding="utf-8")
    meta = prepare(PrepareConfig((tmp_path / "texts.jsonl",), tmp_path / "out", 280, val_fraction=share))
    assert (meta["val_documents"], meta["train_documents"]) == (count, 100 - count)
    assert documents(tmp_path / "out", "val")[0].startswith(f"Document {-(-100 // count) - 1} ")


def test_json_nested_too_deeply_is_one_line(tmp_path):
    (tmp_path / "texts.jsonl").write_text('{"text": "a"}\n' + "[" * 100_000, encoding="utf-8")
    with pytest.raises(UserError, match="line 2: expected an object"):
        prepare(PrepareConfig((tmp_path / "texts.jsonl",), tmp_path / "out", 280))


def test_a_folder_of_texts_may_hold_the_folder_to_write(tmp_path, python_source):
    (tmp_path / "book.txt").write_text(python_source, encoding="utf-8")
    once = prepare(PrepareConfig((tmp_path,), tmp_path / "tokens", 300))
    assert once == prepare(PrepareConfig((tmp_path,), tmp_path / "tokens", 300))
    assert [source["name"] for source in once["sources"]] == ["book.txt"]


@pytest.mark.parametrize("every", [2, 5, 10])
def test_the_tokenizer_learns_from_training_texts_however_the_corpus_is_sampled(tmp_path, monkeypatch, every):
    words = ["train" if number % 10 else "valid" for number in range(1, 1001)]  # every tenth document is kept apart
    lines = [json.dumps({"text": f"{word}ation of texts {word}"}) + "\n" for word in words]
    (tmp_path / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setattr(data.prepare, "BPE_SAMPLE", sum(map(len, lines)) / every)
    prepare(PrepareConfig((tmp_path / "texts.jsonl",), tmp_path / "out", 280))
    tokenizer = load_tokenizer(tmp_path / "out")
    assert b" train" in tokenizer.ids and b" valid" not in tokenizer.ids


def test_one_text_is_split_at_its_tail_and_comes_back_whole(tmp_path, python_source):
    (tmp_path / "book.txt").write_text(python_source + CHINESE, encoding="utf-8", newline="")
    meta = prepare(PrepareConfig((tmp_path / "book.txt",), tmp_path / "out", 300, val_fraction=0.2))
    (head,), (tail,) = documents(tmp_path / "out", "train"), documents(tmp_path / "out", "val")
    assert head + tail == python_source + CHINESE
    assert len(tail) == pytest.approx(0.2 * len(python_source), rel=0.01)
    assert meta["train_bytes"] + meta["val_bytes"] == (tmp_path / "book.txt").stat().st_size


def test_several_texts_are_split_by_document_with_end_of_text_between_them(tmp_path):
    texts = [f"document {i}: {CHINESE * (i % 3 + 1)}" for i in range(30)]
    with (tmp_path / "texts.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    meta = prepare(PrepareConfig((tmp_path / "texts.jsonl",), tmp_path / "out", 300))
    train, val = documents(tmp_path / "out", "train"), documents(tmp_path / "out", "val")
    assert sorted(train + val) == sorted(texts)
    assert (len(train), len(val)) == (meta["train_documents"], meta["val_documents"]) == (27, 3)


def test_a_folder_is_read_in_the_order_of_its_names_and_empty_files_are_passed_over(tmp_path):
    for name in ("b/two.txt", "a/one.txt", "c.md", "picture.png", "empty.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("" if name == "empty.txt" else f"{name} " * 40, encoding="utf-8")
    meta = prepare(PrepareConfig((tmp_path / "in",), tmp_path / "out", 257))
    assert [source["name"] for source in meta["sources"]] == ["a/one.txt", "b/two.txt", "c.md"]
    assert [text.split()[0] for text in documents(tmp_path / "out", "train")] == ["a/one.txt", "b/two.txt", "c.md"]


def test_the_same_text_gives_the_same_folder_byte_for_byte(tmp_path, python_source):
    (tmp_path / "book.txt").write_text(python_source[:200_000], encoding="utf-8")
    for out in ("one", "two", "two"):  # the last one over a folder that is there already
        prepare(PrepareConfig((tmp_path / "book.txt",), tmp_path / out, 400))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["merges.txt", "meta.json", "train.bin", "val.bin", "vocab.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("piece", [7, 64, 1000])
def test_reading_in_pieces_gives_the_tokens_of_the_whole(tmp_path, monkeypatch, piece):
    rng = random.Random(piece)
    words = ["don't", "we'll", "  ", "\n\n", " \t ", "x=10", "猫，", "🐱", "\u00a0", "\u3000", "'s", " ", "end."]
    text = "".join(rng.choice(words) + rng.choice(["", " ", "\n"]) for _ in range(3000))
    tokenizer = Tokenizer.train([text], 400)
    (tmp_path / "tok").mkdir()
    save_tokenizer(tokenizer, tmp_path / "tok")
    (tmp_path / "text.txt").write_text(text, encoding="utf-8", newline="")
    monkeypatch.setattr(data.documents, "PIECE", piece)
    prepare(PrepareConfig((tmp_path / "text.txt",), tmp_path / "out", tokenizer=tmp_path / "tok"))
    cut = int(len(text) * 0.9)
    assert tokens(tmp_path / "out", "train").tolist() == tokenizer.encode(text[:cut])
    assert tokens(tmp_path / "out", "val").tolist() == tokenizer.encode(text[cut:])


def test_an_existing_tokenizer_is_taken_over_unchanged(tmp_path, corpus):
    (tmp_path / "other.txt").write_text("Something else entirely. " * 100, encoding="utf-8")
    prepare(PrepareConfig((tmp_path / "other.txt",), tmp_path / "out", tokenizer=corpus))
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (corpus / name).read_bytes()


def test_a_text_that_names_the_end_of_text_token_does_not_produce_it(tmp_path):
    (tmp_path / "trap.txt").write_text("before<|endoftext|>after " * 1000, encoding="utf-8")
    prepare(PrepareConfig((tmp_path / "trap.txt",), tmp_path / "out", 300))
    assert load_tokenizer(tmp_path / "out").end_of_text not in tokens(tmp_path / "out", "train")


def test_a_mark_before_the_first_character_is_dropped_and_line_ends_are_kept(tmp_path):
    text = "line one\r\nline two\r\n" * 50
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    prepare(PrepareConfig((tmp_path / "windows.txt",), tmp_path / "out", 257))
    assert documents(tmp_path / "out", "train")[0] + documents(tmp_path / "out", "val")[0] == text


def test_a_large_vocabulary_takes_four_bytes_a_token(tmp_path, monkeypatch):
    merges = [(bytes([a]), bytes([b])) for a in range(256) for b in range(256)]
    (tmp_path / "tok").mkdir()
    save_tokenizer(Tokenizer(merges), tmp_path / "tok")
    (tmp_path / "text.txt").write_text(CHINESE * 50, encoding="utf-8")
    meta = prepare(PrepareConfig((tmp_path / "text.txt",), tmp_path / "out", tokenizer=tmp_path / "tok"))
    assert (meta["dtype"], meta["vocab_size"]) == ("uint32", 256 + 65536 + 1)
    assert documents(tmp_path / "out", "train")[0] + documents(tmp_path / "out", "val")[0] == CHINESE * 50


def test_memory_stays_bounded_when_the_text_does_not(tmp_path, corpus, python_source):
    """40 MB are prepared within 16 MB of Python's memory, as 2 GB would be."""
    with (tmp_path / "big.txt").open("w", encoding="utf-8") as file:
        for _ in range(40):
            file.write(python_source)
    tracemalloc.start()
    prepare(PrepareConfig((tmp_path / "big.txt",), tmp_path / "out", tokenizer=corpus))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16e6


def test_a_failed_run_leaves_an_older_folder_as_it_was(tmp_path, corpus):
    (tmp_path / "good.txt").write_text(CHINESE * 50, encoding="utf-8")
    (tmp_path / "short.txt").write_text("too short", encoding="utf-8")
    prepare(PrepareConfig((tmp_path / "good.txt",), tmp_path / "out", 257))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UserError, match="too small"):
        prepare(PrepareConfig((tmp_path / "short.txt",), tmp_path / "out", 257, overwrite=True))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_of_few_documents_the_end_of_each_is_for_validation(tmp_path):
    (tmp_path / "in").mkdir()
    long, short = CHINESE * 300, "A small text. " * 40
    (tmp_path / "in/a.txt").write_text(short, encoding="utf-8")
    (tmp_path / "in/b.txt").write_text(long, encoding="utf-8")
    (tmp_path / "in/c.jsonl").write_text(json.dumps({"text": long + "end", "bits": 9.0}) + "\n", encoding="utf-8")
    meta = prepare(PrepareConfig((tmp_path / "in",), tmp_path / "out", 300))
    assert meta["train_documents"] == meta["val_documents"] == 3 and meta["entropy_bits_per_byte"] is None
    train, val = documents(tmp_path / "out", "train"), documents(tmp_path / "out", "val")
    assert [beginning + end for beginning, end in zip(train, val, strict=True)] == [short, long, long + "end"]
    assert all(0.08 < len(end) / len(beginning + end) < 0.12 for beginning, end in zip(train, val, strict=True))


def test_a_corpus_of_other_texts_is_replaced_only_when_asked(tmp_path):
    for name in ("one.txt", "other.txt"):
        (tmp_path / name).write_text(f"{name} {CHINESE}" * 50, encoding="utf-8")
    one, other = (PrepareConfig((tmp_path / f"{name}.txt",), tmp_path / "out", 257) for name in ("one", "other"))
    meta = prepare(one)
    with pytest.raises(UserError, match=r"holds a corpus of other texts \(one.txt\)"):
        prepare(other)
    assert prepare(dataclasses.replace(one, vocab_size=270))["vocab_size"] == 270  # the same texts
    assert prepare(one) == meta
    assert prepare(dataclasses.replace(other, overwrite=True))["sources"][0]["name"] == "other.txt"
    (tmp_path / "out/meta.json").write_text("damaged", encoding="utf-8")
    assert prepare(one) == meta


def test_endings_in_capitals_are_endings_too(tmp_path):
    (tmp_path / "in").mkdir()
    rows = "".join(f'"some text, number {i}",a\n' for i in range(100))
    (tmp_path / "in/TEXTS.CSV").write_text("text,label\n" + rows, encoding="utf-8")
    (tmp_path / "in/BOOK.TXT").write_text(CHINESE * 50, encoding="utf-8")
    assert prepare(PrepareConfig((tmp_path / "in/TEXTS.CSV",), tmp_path / "csv", 257))["train_documents"] == 90
    config = PrepareConfig((tmp_path / "in",), tmp_path / "all", 257, suffixes=(".txt", "csv"))
    assert prepare(config)["train_documents"] == 91


def test_the_command_prints_what_it_wrote(tmp_path, python_source):
    (tmp_path / "book.txt").write_text(python_source[:50_000], encoding="utf-8")
    command = [sys.executable, "-m", "data.prepare", tmp_path / "book.txt", "--out", tmp_path / "out"]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert "train.bin" in run.stdout and "tokens" in run.stdout
