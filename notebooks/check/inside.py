"""Checks of lesson 8: a head left out, weights of few bits, leaving early, a stream of events."""

import json
from collections.abc import Callable

import torch
from torch import Tensor

from notebooks.check import attempt, report
from notebooks.check.tasks import never_raises


def same(answer: object, wanted: Tensor) -> bool:
    return (
        isinstance(answer, Tensor)
        and answer.shape == wanted.shape
        and torch.allclose(answer.float(), wanted, atol=1e-5)
    )


@never_raises
def head(function: Callable[[Tensor, int, int], Tensor]) -> bool:
    """x (B, T, C) with the channels of one of `heads` heads set to 0."""
    x = torch.arange(1.0, 25.0).view(1, 2, 12)
    kept = x.clone()
    answer, problem = attempt(function, x, 1, 3)  # head 1 of 3: channels 4 to 7
    if problem:
        return report(False, problem)
    cases = {
        "": slice(4, 8),
        "一个头的通道是连着的一段，不是每隔几个取一个 / a head's channels stand together": slice(1, None, 3),
    }
    hint = f"应当只有通道 4–7 为 0 / channels 4 to 7 only should be 0, but got {answer[0, 0].tolist()}"
    for text, part in cases.items():
        wanted = kept.clone()
        wanted[..., part] = 0
        if same(answer, wanted):
            hint = text
    if not hint and not torch.equal(x, kept):
        hint = "输入也被改了：先 clone() / the input has changed, too: clone() first"
    return report(not hint, hint or "这个头关掉了 / the head is off")


@never_raises
def quantise(function: Callable[[Tensor, int], Tensor]) -> bool:
    """A matrix rounded to whole multiples of a scale of its own for each row."""
    weight = torch.randn(4, 16, generator=torch.Generator().manual_seed(2)) * torch.tensor([[1.0], [0.1], [4.0], [0.5]])
    answer, problem = attempt(function, weight.clone(), 4)
    if problem:
        return report(False, problem)

    def rounded(scale: Tensor, rounding: Callable[[Tensor], Tensor] = torch.round) -> Tensor:
        return rounding(weight / scale) * scale

    largest = weight.abs().amax(1, keepdim=True)
    cases = {
        "": rounded(largest / 7),
        "整个矩阵只用了一个比例：每一行一个，amax(1, keepdim=True) / one scale for all: take one for each row": rounded(
            weight.abs().max() / 7
        ),
        "4 位有符号数是 −7 到 7：除以 2**(bits-1) - 1 / 4 signed bits are -7 to 7: divide by 2**(bits-1) - 1": rounded(
            largest / 15
        ),
        "比例按行取：amax(1, keepdim=True)，不是按列 / a scale for each row, not for each column": rounded(
            weight.abs().amax(0, keepdim=True) / 7
        ),
        "先取绝对值再取最大：最小的负数也要放得下 / take abs() first: the lowest number must fit, too": rounded(
            weight.amax(1, keepdim=True) / 7
        ),
        "除以 2**(bits-1) - 1 = 7，不是 8 / divide by 7, not by 8": rounded(largest / 8),
        "要四舍五入，不是截断 / round, do not cut off": rounded(largest / 7, torch.trunc),
        "忘了乘回比例 / multiply by the scale again": torch.round(weight / (largest / 7)),
    }
    hint = next(
        (hint for hint, wanted in cases.items() if same(answer, wanted)), "结果不对 / the result is another one"
    )
    return report(not hint, hint or "量化正确 / the rounding is right")


@never_raises
def exits(function: Callable[[Tensor, float], Tensor]) -> bool:
    """For each token the first layer, from 1, whose largest probability is above p; else the last."""
    sure = torch.tensor([[0.99, 0.3, 0.3, 0.95], [0.5, 0.95, 0.4, 0.2], [0.95, 0.3, 0.5, 0.3], [0.6, 0.99, 0.6, 0.95]])
    logprobs = torch.stack((sure, 1 - sure), -1).log()  # (L + 1, T, 2): two tokens in the vocabulary
    answer, problem = attempt(function, logprobs.clone(), 0.9)
    if problem:
        return report(False, problem)
    answer = torch.as_tensor(answer).tolist()
    # a vocabulary of two: 0.3 and 0.2 mean that the other token has 0.7 and 0.8
    hints = {
        (2, 1, 3, 3): "",
        (0, 1, 3, 0): "第 0 项是嵌入，不算一层：从第 1 层找起 / entry 0 is the embedding: begin with layer 1",
        (
            0,
            1,
            0,
            0,
        ): "第 0 项是嵌入，不算一层；没有把握时用最后一层 / entry 0 is the embedding: begin with layer 1; where none "
        "is sure, take the last",
        (1, 0, 2, 2): "编号差一：logprobs[1:] 的第 0 项是第 1 层 / off by one: item 0 of logprobs[1:] is layer 1",
        (2, 1, 1, 3): "没有一层有把握时，用最后一层 / where no layer is sure, take the last one",
        (2, 1, 0, 3): "没有一层有把握时，用最后一层 / where no layer is sure, take the last one",
        (3, 3, 3, 3): "全是最后一层：要先 exp() 再与 p 比，并取第一个有把握的层 / all are the last: compare exp() "
        "with p, and take the first layer that is sure",
        (1, 1, 1, 1): "logprobs 是对数：要先 exp() 再与 p 比 / these are logarithms: exp() before comparing with p",
    }
    hint = hints.get(tuple(answer), f"应为 [2, 1, 3, 3]，得到 {answer} / this should be [2, 1, 3, 3]")
    return report(not hint, hint or "离开的层数正确 / the layers are right")


@never_raises
def stream(function: Callable[[list[str]], str]) -> bool:
    """The text of a completion's stream of server-sent events."""
    parts = ["Once", " upon", "", " 时"]
    lines = []
    for part in parts:
        lines += ["data: " + json.dumps({"choices": [{"text": part, "index": 0}]}), ""]
    lines += ["data: " + json.dumps({"choices": [], "usage": {"total_tokens": 5}}), "", "data: [DONE]", ""]
    answer, problem = attempt(function, lines)
    if "JSONDecodeError" in problem:
        problem = (
            "去掉开头的 `data: `，跳过空行；`data: [DONE]` 不是 JSON / take off `data: `, skip empty lines; "
            "`data: [DONE]` is no JSON"
        )
    elif "IndexError" in problem:
        problem = (
            "最后一块的 choices 可以是空的（只报用量） / choices may be empty: the last chunk tells the usage only"
        )
    if problem:
        return report(False, problem)
    hints = {
        "Once upon 时": "",
        " 时": "要把各块接起来 / join the chunks",
        "Onceupon时": "不要去掉空格 / keep the spaces",
    }
    hint = hints.get(answer, f"应为 'Once upon 时'，得到 {answer!r} / this should be 'Once upon 时'")
    return report(not hint, hint or "读完了一条流 / the stream is read")
