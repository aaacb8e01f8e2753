"""Checks of lesson 5: temperature, top-p, tries, the score of a label word."""

from collections.abc import Callable

import torch
from torch import Tensor

from gpt.model import GPT, GPTConfig
from notebooks.check import Verdict, attempt, attempt_number, report


def same(answer: object, right: Tensor) -> bool:
    """Whether this is a tensor with these numbers."""
    return (
        isinstance(answer, Tensor) and answer.shape == right.shape and torch.allclose(answer.float(), right, atol=1e-5)
    )


def temperature(function: Callable[[Tensor, float], Tensor]) -> Verdict:
    """softmax(logits / temperature), over the vocabulary."""
    logits = torch.tensor([[2.0, 0.0, 1.0, -1.0], [0.5, 3.0, -2.0, 0.0], [1.0, 1.0, 1.0, 4.0]])
    for value in (0.5, 2.0):
        answer, problem = attempt(function, logits.clone(), value)
        if problem:
            return report(False, problem)
        if same(answer, (logits / value).softmax(-1)):
            continue
        p = logits.softmax(-1)
        hints = [
            ((logits * value).softmax(-1), "温度要除，不是乘 / divide by the temperature, do not multiply"),
            (
                (logits / value).softmax(0),
                "softmax 要沿词表（最后一维） / softmax over the vocabulary, the last dimension",
            ),
            (p, "温度没有用上 / the temperature is not used"),
            (p / value, "先除后 softmax：概率之和应为 1 / divide before softmax: probabilities must add up to 1"),
            ((p / value).softmax(-1), "除的是 logit，不是概率 / divide the logits, not the probabilities"),
            (logits / value, "还缺 softmax / softmax is missing"),
        ]
        other = f"温度 {value} 时不对 / wrong at temperature {value}"
        return report(False, next((hint for wrong, hint in hints if same(answer, wrong)), other))
    return report(True, "温度正确 / the temperature is right")


def top_p(function: Callable[[Tensor, float], Tensor]) -> Verdict:
    """The fewest tokens of each row that together reach the limit."""
    p = torch.tensor([[0.1, 0.4, 0.05, 0.25, 0.2], [0.06, 0.5, 0.04, 0.1, 0.3], [0.25, 0.05, 0.2, 0.4, 0.1]])
    likeliest_first, order = p.sort(descending=True)
    reached = likeliest_first.cumsum(-1)

    def back(kept: Tensor) -> Tensor:
        return torch.zeros_like(p).scatter(-1, order, kept)

    def scaled(kept: Tensor) -> Tensor:
        return kept / kept.sum(-1, keepdim=True)

    for limit in (0.6, 0.7, 0.3):
        kept, too_few = likeliest_first * (reached - likeliest_first < limit), likeliest_first * (reached <= limit)
        over_rows = likeliest_first * (likeliest_first.cumsum(0) - likeliest_first < limit)
        answer, problem = attempt(function, p.clone(), limit)
        if problem:
            return report(False, problem)
        if not isinstance(answer, Tensor) or answer.shape != p.shape:
            return report(False, "要返回 (B, V) 的张量 / return a tensor (B, V)")
        if same(answer, scaled(back(kept))):
            continue
        if same(answer, back(kept)):
            hint = "还要归一化：概率之和应为 1 / scale what is left: it must add up to 1"
        elif same(answer, back(kept) / back(kept).sum()):
            hint = "每一行各自归一化 / scale each row by its own sum"
        elif answer.isnan().any() or same(answer, p * (p >= limit)):
            hint = "limit 比的是累计的和，不是单个概率 / the limit is for the running sum, not for each probability"
        elif same(answer, scaled(back(too_few))):
            hint = "越过 limit 的那个词元要留下 / keep the token with which the sum reaches the limit"
        elif same(answer, scaled(back(over_rows))) or same(answer, back(over_rows) / over_rows.sum()):
            hint = "累计要沿词表（最后一维） / add up along the vocabulary, the last dimension"
        elif same(answer, scaled(kept)):
            hint = "每个词元要回到原来的位置 / put every token back to its own place"
        else:
            left = back(kept)[0].nonzero()[:, 0].tolist()
            hint = f"limit {limit}: 第 0 行应留下位置 {left} / the places {left} of row 0 must be left"
        return report(False, hint)
    return report(True, "top-p 正确 / top-p is right")


def tries(function: Callable[[float, float], int]) -> Verdict:
    """The smallest n with 1 - (1 - p)^n >= wanted."""
    for p, wanted, right in ((0.3, 0.99, 13), (0.5, 0.75, 2), (0.9, 0.5, 1)):
        answer, problem = attempt(function, p, wanted)
        if problem:
            return report(False, problem)
        if answer == right:
            continue
        if answer in (round(wanted / p), -(-wanted // p), wanted / p):
            hint = "np 不是概率（会超过 1）：用 1 − (1 − p)^n / np is no probability: use 1 − (1 − p)^n"
        elif isinstance(answer, int) and answer == right - 1:
            hint = "少了一次：要达到 wanted / one too few: the probability must reach what is wanted"
        elif isinstance(answer, float) and right - 1 < answer <= right:
            hint = "要整数：向上取整 / a whole number is wanted: round up"
        else:
            hint = f"p = {p}, wanted = {wanted}: 得到 {answer}，应为 {right} / got {answer}, not {right}"
        return report(False, hint)
    return report(True, "次数正确 / the number of tries is right")


def logprob(function: Callable[[GPT, list[int], int], float]) -> Verdict:
    """log p(ids[start:] | ids[:start])."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT(GPTConfig(vocab_size=11, context_length=8, n_layer=1, n_head=1, n_embd=8)).eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.7)  # far from uniform, so that wrong places give other numbers
    ids, start = [10, 3, 1, 4, 1, 5], 4
    with torch.no_grad():
        raw = model(torch.tensor([ids]))[0]  # (T, V)
    logprobs = raw.log_softmax(-1)
    at = [logprobs[t - 1, ids[t]].item() for t in range(1, len(ids))]  # of tokens 1, 2, ...
    with torch.no_grad():  # else torch warns where the answer is a tensor with a gradient
        value, problem = attempt_number(function, model, list(ids), start)
    if problem:
        return report(False, problem)
    hints = [
        (sum(at[start - 1 :]), ""),
        (sum(at), "只要 ids[start:] 的，不要前文的 / only ids[start:] counts, not the text before it"),
        (at[start - 1], "词可能有几个词元：都要加上 / a word may be several tokens: add them all"),
        (sum(at[start - 1 :]) / (len(ids) - start), "要和，不要平均 / the sum is wanted, not the mean"),
        (
            sum(logprobs[t - 1, ids[t]].exp().item() for t in range(start, len(ids))),
            "要加的是对数概率（log_softmax），不是概率 / add log-probabilities (log_softmax), not probabilities",
        ),
        (
            sum(raw[t - 1, ids[t]].item() for t in range(start, len(ids))),
            "logit 还不是对数概率：先 log_softmax / logits are no log-probabilities yet: log_softmax first",
        ),
        (
            sum(raw.log_softmax(0)[t - 1, ids[t]].item() for t in range(start, len(ids))),
            "softmax 要沿词表（最后一维） / softmax over the vocabulary, the last dimension",
        ),
        (-sum(at[start - 1 :]), "符号反了：对数概率是负数 / the sign: log-probabilities are negative"),
        (
            sum(logprobs[t, ids[t]].item() for t in range(start, len(ids))),
            "错一位：第 t−1 行的 logit 预测第 t 个词元 / off by one: row t−1 of the logits is about token t",
        ),
    ]
    hint = next(
        (hint for right, hint in hints if abs(value - right) < 1e-4),
        f"得到 {value:.4f}，应为 {hints[0][0]:.4f} / got {value:.4f}, not {hints[0][0]:.4f}",
    )
    return report(not hint, hint or "对数概率正确 / the log-probability is right")
