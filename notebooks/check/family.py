"""Checks of lesson 4: BERT's gaps, who sees whom, T5's spans, BERT's size."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gpt.dataset import IGNORED
from gpt.inside.anatomy import FAMILY
from notebooks.check import Verdict, attempt, report


def gaps(function: Callable) -> Verdict:
    """15 % of 60,000 tokens chosen, 80/10/10, end-of-text never."""
    end, mask = 50, 51
    tokens = torch.randint(0, end, (300, 200), generator=torch.Generator().manual_seed(0))
    tokens[:, ::20] = end
    torch.manual_seed(1)
    answer, problem = attempt(function, tokens.clone(), end, mask)
    if problem:
        return report(False, problem)
    if not is_pair_like(answer, tokens):
        return report(False, "返回两个 (B, T) 张量：inputs, targets / return two tensors (B, T): inputs, targets")
    inputs, targets = answer
    chosen = targets != IGNORED
    if chosen.all():
        return report(False, "目标只在选中处，其余为 IGNORED / targets stand at the chosen places only, else IGNORED")
    if (targets == mask).any():
        return report(False, "目标是原来的词元，不是 mask / the targets are the original tokens, not the mask")
    if (chosen & (tokens == end)).any():
        return report(False, "文本结束词元不该被选中 / end-of-text is never chosen")
    if ((inputs != tokens) & ~chosen).any():
        return report(False, "没选中的词元被改了 / tokens that were not chosen are changed")
    if (targets != tokens)[chosen].any():
        return report(False, "目标应是原来的词元 / the targets are the original tokens")
    share = chosen.sum().item() / (tokens != end).sum().item()
    if not 0.13 < share < 0.17:
        return report(False, f"选中了 {share:.0%}，应约 15% / {share:.0%} are chosen, it should be about 15 %")
    masked = (inputs == mask)[chosen].float().mean().item()
    kept = (inputs == tokens)[chosen].float().mean().item()
    if masked > 0.98:
        return report(False, "全换成了 mask：还要 10% 随机、10% 不变 / all become the mask: 10 % random, 10 % stay")
    if 0.7 < masked < 0.74:
        hint = f"{masked:.0%} 变成 mask：一个位置只抽一次，三种情况分这一次 / {masked:.0%} become the mask"
        return report(False, f"{hint}: one draw for each place decides among all three kinds")
    if abs(masked - 0.8) > 0.03:
        return report(
            False, f"{masked:.0%} 变成 mask，应约 80% / {masked:.0%} become the mask, it should be about 80 %"
        )
    if abs(kept - 0.102) > 0.02:  # one random token in 50 is the old one
        return report(False, f"{kept:.0%} 不变，应约 10% / {kept:.0%} stay, it should be about 10 %")
    if (inputs[chosen] == end).any():
        return report(False, "随机词元不该是文本结束 / a random token must not be end-of-text")
    random = inputs[chosen & (inputs != mask) & (inputs != tokens)]
    if len(random.unique()) < end // 2:
        return report(False, "随机词元要每处各抽一个 / draw a random token for each place, not one for all")
    return report(True, "空位正确 / the gaps are right")


def is_pair_like(answer: Any, tokens: Tensor) -> bool:
    return (
        isinstance(answer, tuple | list)
        and len(answer) == 2
        and all(isinstance(part, Tensor) and part.shape == tokens.shape for part in answer)
    )


def visible(function: Callable) -> Verdict:
    """The masks of a causal model, of one that sees both sides, and of a prefix LM."""
    causal, both = torch.ones(5, 5, dtype=torch.bool).tril(), torch.ones(5, 5, dtype=torch.bool)
    prefix = causal | (torch.arange(5) < 3)
    for kind, right in (("causal", causal), ("both", both), ("prefix", prefix)):
        answer, problem = attempt(function, 5, kind, 3)
        if problem:
            return report(False, problem)
        if not isinstance(answer, Tensor) or answer.shape != (5, 5):
            return report(False, f"{kind}: 要 (T, T) 的张量 / a tensor (T, T) is needed")
        if answer.dtype != torch.bool:
            return report(False, f"{kind}: 要布尔张量 / a boolean tensor is needed")
        if torch.equal(answer, right):
            continue
        if torch.equal(answer, right.T):
            hint = "行列颠倒：行是“看”的位置 / transposed: a row is the place that looks"
        elif torch.equal(answer, ~right):
            hint = "真假颠倒：真表示看得见 / inverted: true means that it is seen"
        elif not answer.diagonal().all():
            hint = "每个位置都看得见自己 / every place sees itself"
        elif kind == "causal" and torch.equal(answer, prefix):
            hint = "prefix 只在 kind 是 prefix 时有用 / the prefix counts only where the kind is prefix"
        elif kind == "prefix" and torch.equal(answer, causal):
            hint = "前缀内应互相看得见 / within the prefix everybody sees everybody"
        elif kind == "prefix" and answer.all():
            hint = "前缀之后仍是因果的 / behind the prefix it is causal"
        elif kind == "prefix" and answer[:3].all():
            hint = "前缀看不见它后面的位置 / the prefix does not see what stands behind it"
        else:
            row = int((answer != right).any(1).nonzero()[0])
            wanted = right[row].int().tolist()
            hint = f"第 {row} 行应为 {wanted} / row {row} should be {wanted}"
        return report(False, f"{kind}: {hint}")
    return report(True, "三种掩码都正确 / all three masks are right")


def spans(function: Callable) -> Verdict:
    """T5's example sentence with two spans, and one with a span at the end."""
    words = ["thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"]
    cases = [
        ([(2, 4), (8, 9)], "thank you <0> me to your party <1> week", "<0> for inviting <1> last <2>"),
        ([(7, 10)], "thank you for inviting me to your <0>", "<0> party last week <1>"),
    ]
    for cut, inputs, targets in cases:
        answer, problem = attempt(function, list(words), list(cut))
        if problem:
            return report(False, problem)
        if not (
            isinstance(answer, tuple | list) and len(answer) == 2 and all(isinstance(part, list) for part in answer)
        ):
            return report(False, "返回两个列表 / return two lists: inputs, targets")
        got_inputs, got_targets = (" ".join(map(str, part)) for part in answer)
        if got_inputs == inputs and got_targets == targets:
            continue
        last = f" <{len(cut)}>"
        if got_inputs.count("<0>") > 1:
            hint = "每个片段一个哨兵，不是每个词一个 / one sentinel for each span, not for each word"
        elif got_inputs == inputs and got_targets + last == targets:
            hint = "目标最后少了结束的哨兵 / the targets lack the sentinel at the end"
        elif got_inputs == inputs and "<" not in got_targets.removesuffix(last):
            hint = "目标里每个片段前要有哨兵 / in the targets a sentinel stands before each span"
        elif got_inputs == " ".join(cut_in_place(words, cut)):
            hint = "就地替换会移动后面的下标 / replacing in `words` itself moves the places of later spans"
        elif got_inputs and inputs.startswith(got_inputs):
            hint = "输入还缺最后一个片段之后的词 / the inputs lack the words after the last span"
        elif got_inputs != inputs:
            hint = f"输入应为 / the inputs should be “{inputs}”，得到 / got “{got_inputs}”"
        else:
            hint = f"目标应为 / the targets should be “{targets}”，得到 / got “{got_targets}”"
        return report(False, hint)
    return report(True, "片段填空正确 / the spans are right")


def cut_in_place(words: list[str], cut: list[tuple[int, int]]) -> list[str]:
    """A typical mistake: each span is replaced in the list, which moves what stands behind it."""
    words = list(words)
    for number, (begin, stop) in enumerate(cut):
        words[begin:stop] = [f"<{number}>"]
    return words


def bert_size(function: Callable) -> Verdict:
    """BERT-base and BERT-large."""
    for name, (V, T, L, C) in {"bert-base": (30522, 512, 12, 768), "bert-large": (30522, 512, 24, 1024)}.items():
        answer, problem = attempt(function, V, T, L, C)
        if problem:
            return report(False, problem)
        right = FAMILY[name].num_params()
        if answer == right:
            continue
        if not isinstance(answer, int | float):
            return report(False, "返回一个数 / return a number")
        segments = (
            "少了 2 个句段向量，或嵌入后的归一化 / 2 segment vectors or the norm after the embeddings are missing"
        )
        missing = {
            2 * C: segments,
            2 * L * C + C: "一个归一化有 2C 个权重：增益和偏移 / a norm has 2C weights, a gain and a shift",
            4
            * L
            * C
            * C: "MLP 有两个矩阵：去 4 倍宽，再回来 / the MLP has two matrices, to 4 times the width and back",
            T * C: "少了位置向量 / the vectors for places are missing",
            C * C + C: "少了池化层 / the pooler is missing",
            L * 9 * C: "少了偏置 / the biases are missing",
            L * 4 * C: "少了每层的归一化，或 4 个注意力偏置 / the layers' norms or the 4 attention biases are missing",
            -V * C: "没有语言头：词向量只算一次 / there is no language head: count the token vectors once",
        }
        hint = missing.get(right - answer, f"应为 / it should be {right:,}，得到 / got {answer:,}")
        return report(False, f"{name}: {hint}")
    return report(True, "两种 BERT 都算对了 / both sizes of BERT are right")
