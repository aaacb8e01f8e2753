"""Checks of lesson 3: a step of AdamW, the schedule, gradient accumulation, bits per byte."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.optim import learning_rate_scale
from notebooks.check import Verdict, attempt, report


def adamw(function: Callable) -> Verdict:
    """One step of AdamW, the third, with values at which every part of the formula shows."""
    weight, grad = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, 0.1, -0.2])
    mean, square, t, lr, decay = torch.tensor([0.1, 0.02, -0.1]), torch.tensor([0.02, 0.01, 0.03]), 3, 0.1, 0.2
    answer, problem = attempt(function, weight.clone(), grad.clone(), mean.clone(), square.clone(), t, lr, decay)
    if problem:
        return report(False, problem)
    if not (isinstance(answer, tuple | list) and len(answer) == 3 and all(isinstance(part, Tensor) for part in answer)):
        return report(False, "返回三个张量：新权重、mean、square / return three tensors: weight, mean, square")

    def step(grad: Tensor, unbiased: bool = True, root: bool = True, decay: float = decay) -> tuple[Tensor, ...]:
        m, s = 0.9 * mean + 0.1 * grad, 0.95 * square + 0.05 * grad**2
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
        (step(grad, decay=decay / lr), "衰减也要乘学习率 / the decay is multiplied by the learning rate, too"),
    ]
    for wrong, hint in hints:
        if same(answer[:1], wrong[:1]):
            return report(False, hint)
    if same(answer[:1], right[:1]):
        return report(
            False,
            "权重对了；返回的应是未修正的 mean 和 square / the weight is right; return mean and square uncorrected",
        )
    return report(
        False, f"新权重应为 {rounded(right[0])}，得到 {rounded(answer[0])} / expected and got, the new weight"
    )


def same(answer: tuple, other: tuple) -> bool:
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
            answers.append(number(answer))
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
        elif close(answers[-1:], [0.0]):
            hint = "最后一步已是 0：到 0 应在最后一步之后 / the last step has 0: it is reached only after the last step"
        else:
            bad = next(step for step in range(20) if not close(answers[step : step + 1], right[step : step + 1]))
            hint = f"第 {bad} 步应为 {right[bad]:.3f}，得到 {answers[bad]:.3f} / expected and got, warmup={warmup}"
        return report(False, hint)
    return report(True, "时间表正确 / the schedule is right")


def close(answers: list[float], right: list[float]) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(answers, right, strict=True))


def number(answer: Any) -> float:
    """A number, or NaN for what is none."""
    try:
        return float(answer)
    except (TypeError, ValueError):
        return math.nan


def accumulation(function: Callable) -> Verdict:
    """Gradients and loss of a batch in four parts."""
    torch.manual_seed(0)
    model, inputs, targets, parts = nn.Linear(5, 3), torch.randn(8, 5), torch.arange(8) % 3, 4

    def loss_of(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(net(x), y)

    whole = loss_of(model, inputs, targets)
    whole.backward()
    right = grad_of(model)
    last = torch.autograd.grad(loss_of(model, inputs[-2:], targets[-2:]), list(model.parameters()))
    model.zero_grad()
    answer, problem = attempt(function, model, loss_of, inputs, targets, parts)
    if model.weight.grad is None:
        return report(False, problem or "没有梯度：每份都要 backward() / no gradient: call backward() for each part")
    found = grad_of(model)
    if torch.allclose(found, parts * right, atol=1e-5):
        return report(False, "梯度大了 parts 倍：每份的损失要除以份数 / parts times too large: divide each part's loss")
    last_grad = torch.cat([grad.flatten() for grad in last])
    if any(torch.allclose(found, last_grad * scale, atol=1e-5) for scale in (1, 1 / parts)):
        return report(False, "只剩最后一份的梯度：中间不要清零 / only the last part's is left: do not clear in between")
    if not torch.allclose(found, right, atol=1e-5):
        return report(False, "梯度不等于整批的梯度 / the gradient is not that of the whole batch")
    if problem:
        return report(False, "梯度对了，还要返回损失 / the gradient is right; return the loss, too")
    if abs(number(answer) - whole.item()) > 1e-5:
        return report(False, f"整批损失应为 {whole.item():.4f}，得到 {number(answer):.4f} / expected and got, the loss")
    return report(True, "与整批的梯度相等 / equal to the gradient of the whole batch")


def grad_of(model: nn.Module) -> Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def bits_per_byte(function: Callable) -> Verdict:
    """0.6 nats per token, 1,000 tokens, 4,000 bytes."""
    answer, problem = attempt(function, 0.6, 1000, 4000)
    if problem:
        return report(False, problem)
    right = 0.6 / math.log(2) / 4
    hints = {
        0.6 / 4: "奈特要换成比特：除以 ln 2 / turn nats into bits: divide by ln 2",
        0.6 * math.log(2) / 4: "除以 ln 2，不是乘 / divide by ln 2, do not multiply",
        0.6 / math.log(2): "还要从每词元换成每字节 / go from per token to per byte, too",
        0.6 / math.log(2) * 4: "词元数和字节数颠倒了 / tokens and bytes are exchanged",
    }
    if abs(number(answer) - right) < 1e-6:
        return report(True, "换算正确 / the conversion is right")
    for wrong, hint in hints.items():
        if abs(number(answer) - wrong) < 1e-6:
            return report(False, hint)
    return report(
        False, f"应为 {right:.4f}，得到 {number(answer):.4f} / expected and got, for 0.6 nats, 1000 tokens, 4000 bytes"
    )
