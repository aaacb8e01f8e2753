"""The checks of lesson 6 recognise typical mistakes."""

import pytest
import torch

from notebooks.check import finetuning as check


def right_last_state(states, lengths):
    return states[torch.arange(len(states)), lengths - 1]


def right_lora(x, W, A, B, alpha):
    return x @ (W + alpha / len(A) * B @ A).T


def right_count(logits, labels):
    return sum(int((batch.argmax(1) == of_batch).sum()) for batch, of_batch in zip(logits, labels, strict=True))


def stop_at(losses, patience):
    best, since = 0, 0
    for i, loss in enumerate(losses):
        best, since = (i, 0) if loss <= losses[best] else (best, since + 1)
        if since == patience:
            return best, i
    return best, len(losses) - 1


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        (check.last_state, lambda states, lengths: None, "not written yet"),
        (check.last_state, lambda states, lengths: states[:, -1], "padding's state"),
        (check.last_state, lambda states, lengths: states[:, 0], "first place"),
        (check.last_state, lambda states, lengths: states.mean(1), "not a mean"),
        (check.last_state, lambda states, lengths: states[torch.arange(3), lengths], "IndexError"),
        (check.last_state, lambda states, lengths: states[:, lengths - 1], "the shape must be"),
        (check.lora, lambda x, W, A, B, alpha: None, "not written yet"),
        (check.lora, lambda x, W, A, B, alpha: x @ W.T + x @ A.T @ B.T, "is missing"),
        (check.lora, lambda x, W, A, B, alpha: x @ W.T + alpha * x @ A.T @ B.T, "divide by the rank"),
        (check.lora, lambda x, W, A, B, alpha: alpha / 2 * x @ A.T @ B.T, "W x belongs"),
        (check.lora, lambda x, W, A, B, alpha: x @ W.T, "was not added"),
        (check.lora, lambda x, W, A, B, alpha: x @ (W + alpha / A.size(1) * B @ A).T, "number of rows of A"),
        (check.lora, lambda x, W, A, B, alpha: x @ W + x, "RuntimeError"),
        (check.accuracy, lambda logits, labels: None, "not written yet"),
        (
            check.accuracy,
            lambda logits, labels: right_count(logits, labels) / len(logits),
            "divide by the number of texts",
        ),
        (
            check.accuracy,
            lambda logits, labels: sum(right_count([a], [b]) / len(b) for a, b in zip(logits, labels, strict=True)) / 2,
            "sizes differ",
        ),
        (check.accuracy, right_count, "how many are right"),
        (check.accuracy, lambda logits, labels: logits[0].argmax(1) == labels[0], "one number"),
        (check.early_stop, lambda losses, patience: None, "not written yet"),
        (check.early_stop, lambda losses, patience: losses.index(min(losses)), "never happened"),
        (
            check.early_stop,
            lambda losses, patience: stop_at(losses, patience)[1],
            "not the one at which training stops",
        ),
        (check.early_stop, lambda losses, patience: losses[stop_at(losses, patience)[0]], "not its loss"),
        (check.early_stop, lambda losses, patience: stop_at(losses, 1)[0], "no reason to stop"),
        (check.early_stop, check.never_reset, "count anew"),
    ],
)
def test_a_typical_mistake_gets_its_hint(capsys, exercise, answer, hint):
    assert not exercise(answer)
    line = capsys.readouterr().out
    assert line.startswith("✗") and hint in line and line.count("\n") == 1


def test_other_ways_to_write_a_right_answer_are_accepted(capsys):
    assert check.last_state(right_last_state)
    assert check.lora(right_lora)
    assert check.accuracy(lambda logits, labels: right_count(logits, labels) / sum(map(len, labels)))
    assert check.early_stop(lambda losses, patience: stop_at(losses, patience)[0])
    assert capsys.readouterr().out.count("✓") == 4
