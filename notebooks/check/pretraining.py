"""Checks of lesson 3: a step of AdamW, the schedule, gradient accumulation, bits per byte."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.optim import learning_rate_scale
from notebooks.check import NOT_A_NUMBER, Verdict, attempt, attempt_number, number, report


def adamw(function: Callable) -> Verdict:
    """One step of AdamW, the third, with values at which every part of the formula shows."""
    weight, grad = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, 0.1, -0.2])
    mean, square, t, lr, decay = torch.tensor([0.1, 0.02, -0.1]), torch.tensor([0.02, 0.01, 0.03]), 3, 0.1, 0.2
    answer, problem = attempt(function, weight.clone(), grad.clone(), mean.clone(), square.clone(), t, lr, decay)
    if problem:
        return report(False, problem)
    if not (isinstance(answer, tuple | list) and len(answer) == 3 and all(isinstance(part, Tensor) for part in answer)):
        return report(False, "返回三个张量：新权重、mean、square / return three tensors: weight, mean, square")

    def step(
        grad: Tensor,
        unbiased: bool = True,
        root: bool = True,
        decay: float = decay,
        t: int = t,
        squared: bool = True,
        share: bool = True,
    ) -> tuple[Tensor, ...]:
        m = 0.9 * mean + (0.1 if share else 1) * grad
        s = 0.95 * square + (0.05 if share else 1) * (grad**2 if squared else grad)
        top, below = (m / (1 - 0.9**t), s / (1 - 0.95**t)) if unbiased else (m, s)
        below = below.sqrt() if root else below
        return weight - lr * (top / (below + 1e-8) + decay * weight), m, s

    right = step(grad)
    if same(answer, right):
        return report(True, "AdamW 的一步正确 / the step of AdamW is right")
    hints = [
        (
            step(grad, unbiased=False),
            "没有偏差修正：除以 1 - beta**t / the bias is not corrected: divide by 1 - beta**t",
        ),
        (
            step(grad + decay * weight, decay=0.0),
            "这是 L2：衰减不该进梯度 / this is L2: keep the decay out of the gradient",
        ),
        (step(grad, root=False), "square 要开平方 / take the square root of square"),
        (step(grad, decay=0.0), "没有权重衰减 / the weight decay is missing"),
        (
            step(grad, squared=False),
            "square 平均的是梯度的平方 / square is the mean of the squared gradient: grad**2",
        ),
        (step(grad, t=t + 1), "t 已从 1 数起，不要再加一 / t counts from 1 already: do not add 1"),
        (step(grad, t=t - 1), "t 已从 1 数起，不要减一 / t counts from 1 already: do not subtract 1"),
        (step(grad, share=False), "新梯度要乘 1 - beta / the new gradient is multiplied by 1 - beta"),
        (
            tuple(2 * weight - part for part in right),
            "方向反了：是减，不是加 / the wrong way: subtract the step, do not add it",
        ),
        (step(grad, decay=decay / lr), "衰减也要乘学习率 / the decay is multiplied by the learning rate, too"),
    ]
    for wrong, hint in hints:
        if same(answer[:1], wrong[:1]):
            return report(False, hint)
    if same(answer[:1], right[:1]) and same((answer[2], answer[1]), right[1:]):
        return report(False, "mean 和 square 颠倒了 / mean and square are exchanged: return weight, mean, square")
    if same(answer[:1], right[:1]):
        return report(
            False,
            "权重对了；返回的应是未修正的 mean 和 square / the weight is right; return mean and square uncorrected",
        )
    if answer[0].isnan().any():
        return report(False, "有 NaN：修正是 1 - beta**t，乘方，不是乘 / NaN: the correction is a power, 1 - beta**t")
    return report(
        False, f"新权重应为 {rounded(right[0])}，得到 {rounded(answer[0])} / expected and got, the new weight"
    )


def same(answer: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(a.shape == b.shape and torch.allclose(a, b, atol=1e-5) for a, b in zip(answer, other, strict=True))


def rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.flatten().tolist()]


def schedule(function: Callable) -> Verdict:
    """The share of the peak learning rate at every step, with and without warm-up."""
    for warmup in (5, 0):
        answers = []
        for step in range(20):
            answer, problem = attempt(function, step, 20, warmup)
            if problem:
                where = f" (step={step}, warmup={warmup})" if step or "raised" in problem else ""
                return report(False, problem + where)
            value = number(answer)
            if value is None:
                return report(False, NOT_A_NUMBER)
            answers.append(value)
        right = [learning_rate_scale(step, 20, warmup) for step in range(20)]
        if close(answers, right):
            continue
        if warmup and answers[0] == 0:
            hint = (
                "第 0 步是 0，这一步就白走了：用 (step + 1) / warmup / step 0 would do nothing: use (step + 1) / warmup"
            )
        elif warmup and close(answers[:5], [1.0] * 5):
            hint = "没有预热 / there is no warm-up"
        elif close(answers[:warmup], right[:warmup]) and close(answers[warmup:], [1.0] * (20 - warmup)):
            hint = "预热之后没有衰减 / nothing decays after the warm-up"
        elif max(answers) > 1 + 1e-6:
            hint = "超过了 1：预热是 step < warmup，不含等于 / above 1: the warm-up is step < warmup, not <="
        elif warmup and close(answers[:5], right[:5]) and close(answers[5:], [1 - step / 20 for step in range(5, 20)]):
            hint = "衰减从预热结束处的 1 开始：除以 max_steps - warmup / it falls from 1: divide by max_steps - warmup"
        elif close(answers[-1:], [0.0]):
            hint = "最后一步已是 0：到 0 应在最后一步之后 / the last step has 0: it is reached only after the last step"
        else:
            bad = next(step for step in range(20) if not close(answers[step : step + 1], right[step : step + 1]))
            hint = f"第 {bad} 步应为 {right[bad]:.3f}，得到 {answers[bad]:.3f} / expected and got, warmup={warmup}"
        return report(False, hint)
    return report(True, "时间表正确 / the schedule is right")


def close(answers: list[float], right: list[float]) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(answers, right, strict=True))


def accumulation(function: Callable) -> Verdict:
    """Gradients and loss of a batch in four parts."""
    torch.manual_seed(0)
    model, inputs, targets, parts = nn.Linear(5, 3), torch.randn(8, 5), torch.arange(8) % 3, 4

    seen, held = [], 0  # the lengths of the parts; how many losses were computed before the last one went backward

    def loss_of(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        nonlocal held
        before = torch.zeros(()) if model.weight.grad is None else model.weight.grad
        held += bool(seen) and torch.equal(before, last_grad[0])
        last_grad[0] = before.clone()
        seen.append(len(x))
        return F.cross_entropy(net(x), y)

    last_grad = [torch.zeros(())]
    whole = F.cross_entropy(model(inputs), targets)
    whole.backward()
    right = grad_of(model)
    last = torch.autograd.grad(F.cross_entropy(model(inputs[-2:]), targets[-2:]), list(model.parameters()))
    model.zero_grad()
    answer, problem = attempt(function, model, loss_of, inputs, targets, parts)
    if model.weight.grad is None:
        return report(False, problem or "没有梯度：每份都要 backward() / no gradient: call backward() for each part")
    if seen != [len(inputs) // parts] * parts:
        sizes = ", ".join(map(str, seen)) or "0"
        return report(
            False, f"应为 {parts} 份、每份 2 行，得到 {sizes} 行 / {parts} parts of 2 rows expected, not {sizes}"
        )
    found = grad_of(model)
    if torch.allclose(found, parts * right, atol=1e-5):
        return report(False, "梯度大了 parts 倍：每份的损失要除以份数 / parts times too large: divide each part's loss")
    if torch.allclose(found, right * parts / 2, atol=1e-5):
        return report(False, "要除以份数 parts，不是一份的行数 / divide by the number of parts, not by a part's rows")
    earlier = torch.cat([grad.flatten() for grad in last])
    if any(torch.allclose(found, earlier * scale, atol=1e-5) for scale in (1, 1 / parts)):
        return report(False, "只剩最后一份的梯度：中间不要清零 / only the last part's is left: do not clear in between")
    if not torch.allclose(found, right, atol=1e-5):
        return report(False, "梯度不等于整批的梯度 / the gradient is not that of the whole batch")
    if held:
        return report(
            False,
            "梯度对了，但没省内存：算完一份就 backward()，不要等到最后 / right, but no memory is saved: go backward "
            "through each part before the next",
        )
    if problem:
        return report(False, "梯度对了，还要返回损失 / the gradient is right; return the loss, too")
    value = number(answer)
    if value is None:
        return report(False, NOT_A_NUMBER)
    if abs(value - whole.item()) > 1e-5:
        hint = (
            f"整批损失应为 {whole.item():.4f}，得到 {value:.4f}：各份的平均 / expected and got: the mean of the parts"
        )
        return report(False, hint)
    return report(True, "与整批的梯度相等 / equal to the gradient of the whole batch")


def grad_of(model: nn.Module) -> Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def bits_per_byte(function: Callable) -> Verdict:
    """Two losses, of 1,000 tokens in 4,000 bytes and of 300 tokens in 900 bytes."""
    for nats, tokens, size in ((0.6, 1000, 4000), (2.5, 300, 900)):
        answer, problem = attempt_number(function, nats, tokens, size)
        if problem:
            return report(False, problem)
        share, bits = tokens / size, nats / math.log(2)
        hints = [
            (nats * share, "奈特要换成比特：除以 ln 2 / turn nats into bits: divide by ln 2"),
            (nats * math.log(2) * share, "除以 ln 2，不是乘 / divide by ln 2, do not multiply"),
            (
                math.log2(nats) * share,
                "不是损失的对数：损失除以 ln 2 / not the loss's logarithm: divide the loss by ln 2",
            ),
            (nats / math.log10(2) * share, "自然对数 ln 2，不是 lg 2 / the natural logarithm of 2, not log10"),
            (bits, "还要从每词元换成每字节 / go from per token to per byte, too"),
            (bits * tokens, "这是总比特数：再除以字节数 / these are all bits: divide by the bytes"),
            (bits * share / 8, "一个字节 8 比特，但这里不用除 / a byte has 8 bits, but nothing is divided by 8 here"),
            (bits / share, "词元数和字节数颠倒了 / tokens and bytes are exchanged"),
        ]
        if abs(answer - bits * share) < 1e-6:
            continue
        given = f"{nats} nats, {tokens} tokens, {size} bytes"
        expected = f"应为 {bits * share:.4f}，得到 {answer:.4f} / expected and got, for {given}"
        return report(False, next((hint for wrong, hint in hints if abs(answer - wrong) < 1e-6), expected))
    return report(True, "换算正确 / the conversion is right")
