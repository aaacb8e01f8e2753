"""Documents whose rule is drawn anew in each: what can be known from the lines before it, and what it costs to know."""

import itertools
import json
import math
import subprocess
import sys

import pytest

from data.world.patterns import KIND_SIZE, KINDS, LINES, PAIRS_OR_KINDS, VALUES, WORDS, patterns, write_patterns
from gpt.fast.bpe import train_bpe_with_heap
from gpt.tokenizer import Tokenizer
from tests.helpers import ROOT


def some(sort, number=200):
    return list(itertools.islice(patterns(seed=3, sort=sort), number))


def test_the_second_occurrence_of_a_word_can_be_known():
    for document in some("pairs"):
        values = {}
        for (word, value), known in zip(document.lines, document.known, strict=True):
            assert known == (word in values)
            assert values.setdefault(word, value) == value


def test_the_same_line_never_comes_twice_running():
    assert all(one != two for document in some("pairs") for one, two in itertools.pairwise(document.lines))


def test_the_words_of_a_kind_have_one_value_in_a_document_and_any_in_others():
    kind_of = {word: kind for kind, words in KINDS.items() for word in words}
    rules = set()
    for document in some("kinds"):
        values = {}
        for (word, value), known in zip(document.lines, document.known, strict=True):
            assert known == (kind_of[word] in values)
            assert values.setdefault(kind_of[word], value) == value
        assert len(values) == len(set(values.values())) <= 2
        rules |= set(values.items())
    assert len(rules) == len(KINDS) * len(VALUES)


def test_no_word_is_of_two_kinds_or_a_value():
    assert len(set(WORDS)) == len(WORDS) == sum(map(len, KINDS.values())) and not set(WORDS) & set(VALUES)


def test_the_bits_of_a_document_are_those_of_its_choices():
    kind_of = {word: kind for kind, words in KINDS.items() for word in words}
    for document in (document for document in itertools.islice(patterns(), 100) if document.sort == "kinds"):
        kinds = [kind_of[word] for word, _ in document.lines]
        told = next((i for i, kind in enumerate(kinds) if kind != kinds[0]), LINES - 1)  # until then, each may be new
        values = math.log2(len(VALUES) * len(KINDS))
        values += math.log2((len(VALUES) - 1) * (len(KINDS) - 1)) if len(set(kinds)) == 2 else 0
        among_two = sum(1 for i in range(told + 1, LINES))  # a bit each: which of the two kinds
        sort = math.log2(sum(PAIRS_OR_KINDS) / PAIRS_OR_KINDS[1])
        words = LINES * math.log2(KIND_SIZE)
        assert document.bits == pytest.approx(sort + words + values + told + among_two)


def test_a_document_depends_on_seed_and_number_alone():
    first = list(itertools.islice(patterns(seed=5), 30))
    assert list(itertools.islice(patterns(seed=5, start=20), 10)) == first[20:]
    assert next(patterns(seed=6)) != first[0] and len({document.text for document in first}) == 30
    assert {document.sort for document in first} == {"pairs", "kinds"}


def test_a_line_is_three_tokens():
    texts = [document.text for document in itertools.islice(patterns(), 1000)]
    tokenizer = Tokenizer.train(texts, 2048, train_bpe_with_heap)
    assert {len(tokenizer.encode(text)) for text in texts} == {3 * LINES}


def test_a_file_has_documents_with_their_bits(tmp_path):
    total = write_patterns(tmp_path / "new" / "p.jsonl", 0.01, seed=2, sort="kinds")
    rows = [json.loads(line) for line in (tmp_path / "new" / "p.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = list(itertools.islice(patterns(2, sort="kinds"), total["documents"]))
    assert [row["text"] for row in rows] == [document.text for document in expected]
    assert sum(row["bits"] for row in rows) == pytest.approx(total["bits"], abs=0.1)
    assert 10_000 <= total["bytes"] == sum(len(row["text"]) for row in rows) < 10_400


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "data.world", "patterns", *map(str, arguments)],
        capture_output=True, encoding="utf-8", cwd=ROOT,
    )  # fmt: skip


def test_the_command_writes_into_a_folder_and_replaces_nothing_unasked(tmp_path):
    done = command("--out", tmp_path, "--megabytes", 0.001)
    assert done.returncode == 0 and "bits per byte" in done.stdout and (tmp_path / "patterns.jsonl").is_file()
    before = (tmp_path / "patterns.jsonl").read_bytes()
    assert json.loads(before.splitlines()[0])["text"] == next(patterns(sort="pairs")).text
    again = command("--out", tmp_path, "--megabytes", 0.002)
    assert again.returncode == 2 and "patterns.jsonl already exists" in again.stderr
    assert (tmp_path / "patterns.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--megabytes", "0"], "must be more than 0"),
        (["--megabytes", "nan"], "more than 0"),
        (["--kind", "x"], "--kind"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, message):
    done = command("--out", tmp_path / "p.jsonl", *arguments)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())
