"""Typical wrong answers to the exercises of lesson 3 get the hint that helps."""

import math

import pytest

from notebooks.check import pretraining as check


def step_of_adamw(
    weight, grad, mean, square, t, lr, decay, *, unbiased=True, l2=False, root=True, squared=True, later=0
):
    """AdamW with the mistake that is asked for."""
    t += later
    if l2:
        grad, decay = grad + decay * weight, 0.0
    mean, square = 0.9 * mean + 0.1 * grad, 0.95 * square + 0.05 * (grad**2 if squared else grad)
    m, s = (mean / (1 - 0.9**t), square / (1 - 0.95**t)) if unbiased else (mean, square)
    return weight - lr * (m / ((s.sqrt() if root else s) + 1e-8) + decay * weight), mean, square


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"unbiased": False}, "bias is not corrected"),
        ({"l2": True}, "this is L2"),
        ({"root": False}, "square root"),
        ({"squared": False}, "squared gradient"),
        ({"later": 1}, "do not add 1"),
    ],
)
def test_a_step_of_adamw_with_one_mistake_is_told_which(mistake, hint, capsys):
    assert check.adamw(step_of_adamw)
    assert not check.adamw(lambda *given: step_of_adamw(*given, **mistake))
    assert hint in capsys.readouterr().out.splitlines()[-1]


def test_a_step_of_adamw_that_returns_only_the_weight_is_told_so(capsys):
    assert not check.adamw(lambda *given: step_of_adamw(*given)[0])
    assert "return three tensors" in capsys.readouterr().out


def fall(step, max_steps, warmup):
    return (max_steps - step) / (max_steps - warmup)


@pytest.mark.parametrize(
    ("schedule", "hint"),
    [
        (lambda step, most, warmup: step / warmup if step < warmup else fall(step, most, warmup), "step 0 would do"),
        (lambda step, most, warmup: 1.0 if step < warmup else fall(step, most, warmup), "no warm-up"),
        (lambda step, most, warmup: min(1.0, (step + 1) / max(1, warmup)), "nothing decays"),
        (lambda step, most, warmup: fall(step, most, warmup) if step >= warmup else (step + 1) / warmup, "✓"),
        (lambda step, most, warmup: (step + 1) / warmup * (step < warmup) + (step >= warmup) * fall(step, most, warmup),
         "ZeroDivisionError"),
        (lambda step, most, warmup: fall(step, most, warmup) if step > warmup else (step + 1) / warmup, "above 1"),
        (lambda step, most, warmup: 1 - step / most if step >= warmup else (step + 1) / warmup, "it falls from 1"),
        (lambda step, most, warmup: "fast", "return one number"),
    ],
)  # fmt: skip
def test_a_schedule_is_told_what_is_wrong_with_it(schedule, hint, capsys):
    assert bool(check.schedule(schedule)) == (hint == "✓")
    assert hint in capsys.readouterr().out


def accumulate(model, loss_of, inputs, targets, parts, divide=True, clear=False):
    total = 0.0
    for x, y in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
        if clear:
            model.zero_grad()
        loss = loss_of(model, x, y)
        (loss / parts if divide else loss).backward()
        total += loss.item() / parts
    return total


@pytest.mark.parametrize(
    ("mistake", "hint"), [({"divide": False}, "divide each part's loss"), ({"clear": True}, "only the last part")]
)
def test_accumulation_with_one_mistake_is_told_which(mistake, hint, capsys):
    assert check.accumulation(accumulate)
    assert not check.accumulation(lambda *given: accumulate(*given, **mistake))
    assert hint in capsys.readouterr().out.splitlines()[-1]


def test_accumulation_that_takes_the_whole_batch_at_once_is_no_accumulation(capsys):
    def at_once(model, loss_of, inputs, targets, parts):
        loss = loss_of(model, inputs, targets)
        loss.backward()
        return loss.item()

    assert not check.accumulation(at_once)
    assert "4 parts of 2 rows expected, not 8" in capsys.readouterr().out


def test_accumulation_that_goes_backward_only_at_the_end_is_told_that_it_saves_no_memory(capsys):
    def at_the_end(model, loss_of, inputs, targets, parts):
        pairs = zip(inputs.chunk(parts), targets.chunk(parts), strict=True)
        total = sum(loss_of(model, x, y) for x, y in pairs) / parts
        total.backward()
        return total.item()

    assert not check.accumulation(at_the_end)
    assert "no memory is saved" in capsys.readouterr().out


def test_a_loss_that_still_has_a_gradient_counts_without_a_warning(recwarn):
    def with_tensors(model, loss_of, inputs, targets, parts):
        total = 0.0
        for x, y in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
            loss = loss_of(model, x, y) / parts
            loss.backward()
            total += loss
        return total

    assert check.accumulation(with_tensors) and not recwarn.list


def test_accumulation_without_a_loss_is_told_so(capsys):
    assert not check.accumulation(lambda *given: accumulate(*given) and None)
    assert "return the loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda nats, tokens, size: nats * tokens / size, "ln 2"),
        (lambda nats, tokens, size: nats / math.log(2), "per byte"),
        (lambda nats, tokens, size: nats / math.log(2) * size / tokens, "exchanged"),
        (lambda nats, tokens, size: math.log2(nats) * tokens / size, "not the loss's logarithm"),
        (lambda nats, tokens, size: 0.6 / math.log(2) / 4, "for 2.5 nats"),  # right for the first question only
    ],
)
def test_a_wrong_conversion_is_told_why(answer, hint, capsys):
    assert not check.bits_per_byte(answer)
    assert hint in capsys.readouterr().out
