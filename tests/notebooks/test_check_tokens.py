"""The checks of lesson 1 recognise typical mistakes."""

from itertools import pairwise

import pytest

from notebooks.check import tokens as check


def first_only(parts, token):
    for i, (a, b) in enumerate(pairwise(parts)):
        if a + b == token:
            return [*parts[:i], token, *parts[i + 2 :]]
    return parts


def overlapping(parts, token):
    return [a + b if a + b == token else a for a, b in pairwise(parts)] + parts[-1:]


def from_the_right(parts, token):
    parts, i = list(parts), len(parts) - 2
    while i >= 0:
        if parts[i] + parts[i + 1] == token:
            parts[i : i + 2] = [token]
            i -= 1
        i -= 1
    return parts


def leftmost_pair(word, ids):
    parts = [bytes([byte]) for byte in word]
    while joins := [i for i, (a, b) in enumerate(pairwise(parts)) if a + b in ids]:
        parts[joins[0] : joins[0] + 2] = [parts[joins[0]] + parts[joins[0] + 1]]
    return [ids[part] for part in parts]


def longest_match(word, ids):
    answer = []
    while word:
        n = max(n for n in range(1, len(word) + 1) if word[:n] in ids)
        answer.append(ids[word[:n]])
        word = word[n:]
    return answer


def begins_with(pairs, a):
    return sum(times for (first, _), times in pairs.items() if first == a)


def ends_with(pairs, a):
    return sum(times for (_, second), times in pairs.items() if second == a)


def seen_or_guess(pairs, a, b, size):
    return (pairs.get((a, b), 0) + 1) / (begins_with(pairs, a) + size) if begins_with(pairs, a) else 0


WRONG = [
    (check.merge, first_only, "only the first pair"),
    (check.merge, overlapping, "step over both"),
    (check.merge, from_the_right, "from the left"),
    (check.encode, leftmost_pair, "leftmost or longest"),
    (check.encode, longest_match, "leftmost or longest"),
    (check.encode, lambda word, ids: [ids[bytes([byte])] for byte in word], "nothing was joined"),
    (check.bigram, lambda pairs, a, b, size: pairs.get((a, b), 0) / begins_with(pairs, a), "no smoothing"),
    (check.bigram, lambda pairs, a, b, size: (pairs.get((a, b), 0) + 1) / (sum(pairs.values()) + size), "begin with a"),
    (check.bigram, seen_or_guess, "never seen"),
    (check.merge, lambda parts, token: b"".join(parts), "must be bytes"),
    (check.merge, lambda parts, token: 5, "return a list"),
    (check.encode, lambda word, ids: [b"abc", b"de"], "return the ids"),
    (check.bigram, lambda pairs, a, b, size: (pairs.get((a, b), 0) + 1) / (ends_with(pairs, a) + size), "not end with"),
    (check.bigram, lambda pairs, a, b, size: (pairs[a, b] + 1) / (begins_with(pairs, a) + size), "only b is new"),
    (check.windows, lambda ids, n, s: ids, "each one a list"),
    (check.windows, lambda ids, n, s: [ids[i : i + n] for i in range(0, len(ids) - n + 1, s)], "last tokens are lost"),
    (check.windows, lambda ids, n, s: [ids[i : i + n] for i in range(0, len(ids), s)], "within the one before"),
    (check.windows, lambda ids, n, s: [ids[i : i + n] for i in range(0, len(ids), n)], "step tokens apart"),
]


@pytest.mark.parametrize("one, answer, hint", WRONG)
def test_a_typical_mistake_gets_its_hint(one, answer, hint, capsys):
    assert not one(answer)
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize("one", [check.merge, check.encode, check.bigram, check.windows])
def test_a_blank_is_not_written_and_an_exception_is_told(one, capsys):
    assert not one(lambda *arguments: None)
    assert "not written yet" in capsys.readouterr().out
    assert not one(lambda: 1)
    assert "TypeError" in capsys.readouterr().out
