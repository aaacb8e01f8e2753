"""Checks of lesson 2: a causal head, layer normalisation, splitting heads, a block."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.model import attention_weights
from notebooks.check import Verdict, attempt, report


def close(answer: Tensor, right: Tensor) -> bool:
    return answer.shape == right.shape and torch.allclose(answer, right, atol=1e-4)


def judged(function: Callable, arguments: tuple, right: Tensor, mistakes: dict[str, Tensor], praise: str) -> Verdict:
    """Compare an answer with the right one, and with what typical mistakes (hint -> answer) give."""
    answer, problem = attempt(function, *(a.clone() if isinstance(a, Tensor) else a for a in arguments))
    if problem:
        return report(False, problem)
    if not isinstance(answer, Tensor):
        return report(False, f"要返回张量 / return a tensor, not {type(answer).__name__}")
    answer = answer.to(right.dtype)
    if close(answer, right):
        return report(True, praise)
    if answer.isnan().any():
        return report(False, "有 NaN：一整行都是 −∞？词元要看得到自己 / NaN: is a whole row -inf? A token sees itself")
    for hint, wrong in mistakes.items():
        if close(answer, wrong):
            return report(False, hint)
    if answer.shape != right.shape:
        return report(False, f"形状 {tuple(answer.shape)} 应为 {tuple(right.shape)} / the shape should be the second")
    return report(False, "数值不对 / the values differ from the right ones")


def head(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """A causal head of attention."""
    q, k, v = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0))
    scores = q @ k.T / math.sqrt(8)
    seen = torch.ones(6, 6, dtype=torch.bool).tril()
    masked = scores.masked_fill(~seen, -math.inf)
    mistakes = {
        "没有因果掩码：看到了后面 / no causal mask: it sees later tokens": scores.softmax(-1) @ v,
        "softmax 的维数错了：每行和为 1（dim=-1） / softmax over the wrong dimension: rows sum to 1": (
            masked.softmax(0) @ v
        ),
        "没有除以 √d / the scores are not divided by √d": (masked * math.sqrt(8)).softmax(-1) @ v,
        "要除以 √d，不是 d / divide by √d, not by d": (masked / math.sqrt(8)).softmax(-1) @ v,
        "d 是通道数，不是词元数 T / d is the number of channels, not T": (masked * math.sqrt(8 / 6)).softmax(-1) @ v,
        "q 和 k 颠倒了：分数是 q @ k.T / q and k are exchanged: the scores are q @ k.T": (
            scores.T.masked_fill(~seen, -math.inf).softmax(-1) @ v
        ),
        "掩码要在 softmax 之前填 −∞，而不是之后填 0 / put -inf before softmax, not 0 after it": (
            scores.softmax(-1) * seen
        )
        @ v,
        "掩码填的是 −∞，不是 0 / fill with -inf, not with 0": scores.masked_fill(~seen, 0).softmax(-1) @ v,
        "掩码反了：看到的是后面 / the mask is upside down: it shows what comes later": (
            scores.masked_fill(seen.tril(-1), -math.inf).softmax(-1) @ v
        ),
        "忘了乘 v / the weights are not applied to v": masked.softmax(-1),
    }
    right = attention_weights(q, k) @ v
    return judged(function, (q, k, v), right, mistakes, "注意力正确 / the head is right, and sees nothing later")


def layer_norm(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """LayerNorm over the channels of each token."""
    x, other = torch.randn(2, 2, 5, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1
    gain, shift = other[0, 0], other[0, 1]
    centred = x - x.mean(-1, keepdim=True)
    time = (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, keepdim=True, correction=0) + 1e-5)
    batch = (x - x.mean((0, 1))) / torch.sqrt(x.var((0, 1), correction=0) + 1e-5)
    whole = (x - x.mean((1, 2), keepdim=True)) / torch.sqrt(x.var((1, 2), keepdim=True, correction=0) + 1e-5)
    mistakes = {
        "方差要除以 C，不是 C−1（correction=0） / divide by C for the variance, not C - 1 (correction=0)": (
            centred / torch.sqrt(x.var(-1, keepdim=True) + 1e-5) * gain + shift
        ),
        "忘了减均值 / the mean is not subtracted": (
            x / torch.sqrt(x.var(-1, keepdim=True, correction=0) + 1e-5) * gain + shift
        ),
        "除以了方差，要除以标准差 / divide by the standard deviation, not the variance": (
            centred / (x.var(-1, keepdim=True, correction=0) + 1e-5) * gain + shift
        ),
        "要在通道上归一化（dim=-1），不是在时间上 / normalise over channels (dim=-1), not over time": time * gain
        + shift,
        "这是批归一化：词元之间不该有关系 / that is batch normalisation: tokens must not mix": batch * gain + shift,
        "每个词元各自归一化，不是整篇一起 / normalise each token by itself, not the whole text": whole * gain + shift,
        "每个词元各自归一化，不是整批一起 / normalise each token by itself, not the whole batch": (
            (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-5) * gain + shift
        ),
        "方差也要减均值再平方 / subtract the mean, from x and before squaring for the variance": (
            x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gain + shift
        ),
        "词元之间不该有关系：只在最后一维上算 / tokens of other texts must not mix: use the last dimension only": (
            (x - x.mean(0)) / torch.sqrt(x.var(0, correction=0) + 1e-5) * gain + shift
        ),
        "还要乘 gain、加 shift / multiply by gain and add shift": F.layer_norm(x, (8,)),
    }
    right = F.layer_norm(x, (8,), gain, shift)
    return judged(function, (x, gain, shift), right, mistakes, "层归一化正确 / layer normalisation is right")


def split(function: Callable[[Tensor, int], Tensor]) -> Verdict:
    """(B, T, C) to (B, n_head, T, C / n_head)."""
    x = torch.arange(2 * 3 * 8.0).view(2, 3, 8)
    mistakes = {
        "view 把不同词元混在一起 / view mixes tokens: make (B, T, n_head, hs), then transpose": x.view(2, 4, 3, 2),
        "还差 transpose：头要在时间前面 / transpose is missing: heads come before time": x.view(2, 3, 4, 2),
        "头和通道换了位置：每个头拿相邻的通道 / heads and channels are swapped: a head gets neighbouring channels": (
            x.view(2, 3, 2, 4).permute(0, 3, 1, 2)
        ),
    }
    return judged(function, (x, 4), x.view(2, 3, 4, 2).transpose(1, 2), mistakes, "分头正确 / the heads are right")


def block(function: Callable[..., Tensor]) -> Verdict:
    """A pre-norm block with two residual connections."""

    def norm_1(x: Tensor) -> Tensor:
        return F.layer_norm(x, (8,))

    def norm_2(x: Tensor) -> Tensor:
        return F.layer_norm(x, (8,)) * 2

    def attend(x: Tensor) -> Tensor:
        return x.cumsum(-2)

    def mlp(x: Tensor) -> Tensor:
        return x.square()

    x = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    middle = x + attend(norm_1(x))
    behind = norm_1(x + attend(x))
    mistakes = {
        "没有残差：x 要加回来 / no residual: add x back": mlp(norm_2(attend(norm_1(x)))),
        "这是后归一化 / that is post-norm: GPT-2 normalises the input": norm_2(behind + mlp(behind)),
        "第二处没有残差 / the second residual is missing": mlp(norm_2(middle)),
        "MLP 没有用上 / the MLP is not used": middle,
        "第二处加的应是注意力之后的 x / the second residual adds the x after attention": x + mlp(norm_2(middle)),
        "残差应加 x，不是 norm(x) / add x itself, not norm(x)": (
            norm_2(norm_1(x) + attend(norm_1(x))) + mlp(norm_2(norm_1(x) + attend(norm_1(x))))
        ),
        "第二处要用 norm_2 / use norm_2 in the second place": middle + mlp(norm_1(middle)),
        "第二处归一化的应是注意力之后的 x / norm_2 gets the x after attention": middle + mlp(norm_2(x)),
        "先注意力，后 MLP / attention comes first, then the MLP": (
            x + mlp(norm_1(x)) + attend(norm_2(x + mlp(norm_1(x))))
        ),
        "没有归一化 / nothing is normalised": x + attend(x) + mlp(x + attend(x)),
    }
    right = middle + mlp(norm_2(middle))
    return judged(function, (x, norm_1, attend, norm_2, mlp), right, mistakes, "块正确 / the block is right")
