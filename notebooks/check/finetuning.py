"""Checks of lesson 6: the last real state, LoRA, accuracy, early stopping."""

from collections.abc import Callable

import torch
from torch import Tensor

from notebooks.check import Verdict, attempt, attempt_number, report


def same(answer: object, right: Tensor) -> bool:
    """Whether this is a tensor with these numbers."""
    return (
        isinstance(answer, Tensor) and answer.shape == right.shape and torch.allclose(answer.float(), right, atol=1e-4)
    )


def last_state(function: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """The state of each text's last real token."""
    generator = torch.Generator().manual_seed(0)
    states, lengths = torch.randn(3, 5, 4, generator=generator), torch.tensor([2, 5, 3])
    rows = torch.arange(3)
    answer, problem = attempt(function, states.clone(), lengths.clone())
    if problem:
        return report(False, problem)
    hints = [
        (states[rows, lengths - 1], ""),
        (
            states[:, -1],
            "这是填充的状态：长度不同，最后一列不都是真实词元 / this is padding's state: texts differ in length",
        ),
        (states[:, 0], "第一个位置只看得见自己 / the first place sees nothing but itself"),
        (
            states.mean(1),
            "要最后一个，不是平均，何况填充也算进去了 / the last one, not a mean, which counts padding, too",
        ),
        (states[rows, (lengths - 2)], "错一位：是 lengths − 1 / off by one: the place is lengths − 1"),
        (states[rows, lengths.clamp(max=4)], "错一位：是 lengths − 1 / off by one: the place is lengths − 1"),
    ]
    if isinstance(answer, Tensor) and answer.shape != (3, 4):
        shape = tuple(answer.shape)
        return report(
            False, f"形状是 {shape}，应为 (3, 4)：每行取一个位置 / the shape must be (B, C): one place of each row"
        )
    other = "这不是最后一个真实词元的状态 / not the state of the last real token"
    hint = next((hint for right, hint in hints if same(answer, right)), other)
    return report(not hint, hint or "取对了最后一个真实词元 / the last real token is right")


def lora(function: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]) -> Verdict:
    """W x + (alpha / rank) B A x, with tokens as rows."""
    generator = torch.Generator().manual_seed(0)
    x, W, A, B = (torch.randn(*shape, generator=generator) for shape in ((5, 6), (4, 6), (2, 6), (4, 2)))
    alpha = 16.0
    answer, problem = attempt(function, x, W, A, B, alpha)
    if problem:
        return report(False, problem)
    plain, update = x @ W.T, x @ A.T @ B.T
    hints = [
        (plain + alpha / 2 * update, ""),
        (plain + update, "少了 alpha / rank / alpha / rank is missing"),
        (plain + alpha * update, "还要除以秩（A 的行数） / divide by the rank, the number of rows of A"),
        (alpha / 2 * update, "原来的 W x 也要 / W x belongs to it, too"),
        (alpha / 2 * (plain + update), "alpha / rank 只乘 B A x / only B A x is scaled"),
        (plain, "B A x 没有加上 / B A x was not added"),
        (plain + alpha / 4 * update, "秩是 A 的行数（2），不是 B 的 / the rank is the number of rows of A, 2"),
        (plain + alpha / 6 * update, "秩是 A 的行数（2），不是列数 / the rank is the number of rows of A, 2"),
    ]
    other = "与 W x + (alpha / rank) B A x 不同 / not W x + (alpha / rank) B A x"
    hint = next((hint for right, hint in hints if same(answer, right)), other)
    return report(not hint, hint or "LoRA 正确 / LoRA is right")


def accuracy(function: Callable[[list[Tensor], list[Tensor]], float]) -> Verdict:
    """The share of right texts over batches of different sizes."""
    logits = [torch.tensor([[2.0, 0, 1], [0, 1, 0], [0, 0, 3], [1, 0, 0]]), torch.tensor([[0.0, 2, 1], [5, 0, 0]])]
    labels = [torch.tensor([0, 1, 2, 2]), torch.tensor([2, 1])]  # 3 of 4, then 0 of 2
    value, problem = attempt_number(function, logits, labels)
    if problem:
        return report(False, problem)
    hints = {
        0.5: "",
        1.5: "对的个数除以了批数（会超过 1），要除以文本数 / right texts over batches: divide by the number of texts",
        0.375: "各批准确率的平均不对：批的大小不同 / not the mean of the batches' accuracies: their sizes differ",
        3.0: "这是对的个数，还要除以文本数 / this is how many are right: divide by the number of texts",
        0.0: "只看了最后一批？ / is this the last batch alone?",
        0.75: "只看了第一批？ / is this the first batch alone?",
    }
    other = f"得到 {value:.3f}，应为 0.5 / got {value:.3f}, not 0.5"
    hint = next((hint for wrong, hint in hints.items() if abs(value - wrong) < 1e-6), other)
    return report(not hint, hint or "准确率正确 / the accuracy is right")


def early_stop(function: Callable[[list[float], int], int]) -> Verdict:
    """The evaluation whose weights are kept, when training stops after `patience` evaluations without a better one."""
    cases = [([1.0, 0.8, 0.7, 0.9, 0.85, 0.6, 0.5], 2, 2), ([1.0, 0.9, 0.8], 2, 2), ([0.5, 0.6, 0.4, 0.45, 0.3], 2, 4)]
    for losses, patience, right in cases:
        answer, problem = attempt(function, list(losses), patience)
        if problem:
            return report(False, problem)
        if answer == right:
            continue
        if answer == losses.index(min(losses)):
            hint = "停下以后的评估没有发生过 / evaluations after the stop never happened"
        elif answer == never_reset(losses, patience):
            hint = "变好一次就要重新数 / count anew after each better evaluation"
        elif answer in (right + patience, right + patience - 1):
            hint = "要最好的那次，不是停下的那次 / the best evaluation is wanted, not the one at which training stops"
        elif isinstance(answer, float):
            hint = "要第几次评估，不是损失 / the number of the evaluation is wanted, not its loss"
        elif answer == next((i - 1 for i in range(1, len(losses)) if losses[i] > losses[i - 1]), None):
            hint = (
                "一次变差还不停，要连续 patience 次 / one worse evaluation is no reason to stop: patience of them are"
            )
        else:
            hint = f"{losses}, patience {patience}: 得到 / got {answer}，应为 / not {right}"
        return report(False, hint)
    return report(True, "早停正确 / early stopping is right")


def never_reset(losses: list[float], patience: int) -> int:
    """A typical mistake: evaluations that were no better are counted, but not in a row."""
    best = worse = 0
    for i, loss in enumerate(losses):
        if loss <= losses[best]:
            best = i
        else:
            worse += 1
        if worse == patience:
            break
    return best
