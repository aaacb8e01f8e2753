"""Checks of lesson 1: merging, encoding, a bigram model, windows."""

from collections.abc import Callable

from notebooks.check import attempt, report


def merge(function: Callable[[list[bytes], bytes], list[bytes]]) -> bool:
    """Neighbours that spell the token are joined, from the left."""
    cases = [("ababa", b"ab", [b"ab", b"ab", b"a"]), ("aaa", b"aa", [b"aa", b"a"]), ("xyz", b"ab", [b"x", b"y", b"z"])]
    for letters, token, right in cases:
        answer, problem = attempt(function, [letter.encode() for letter in letters], token)
        if problem:
            return report(False, problem)
        answer = list(answer)
        if answer == right:
            continue
        if b"".join(answer) != letters.encode():
            return report(
                False, "字节变了：合并后要跳过两个 / bytes were lost or doubled: step over both that you join"
            )
        if answer == [b"ab", b"a", b"b", b"a"]:
            return report(False, "只合并了第一处，要合并所有的 / only the first pair was joined: join all of them")
        if answer == [b"a", b"aa"]:
            return report(False, "要从左往右合并 / join from the left, not from the right")
        return report(False, f"{letters} + {token!r}: 得到 {answer} / got this instead of {right}")
    return report(True, "合并正确 / merged correctly")


def encode(function: Callable[[bytes, dict[bytes, int]], list[int]]) -> bool:
    """The neighbours whose token has the lowest id are joined first."""
    ids = {bytes([byte]): byte for byte in range(256)}
    ids |= {b"yz": 256, b"xy": 257, b"bc": 258, b"abc": 259, b"de": 260, b"abcd": 261}
    order = "合并编号最小的对，不是最左或最长的 / join the pair with the lowest id, not the leftmost or longest"
    nothing = "还没有合并 / nothing was joined"
    once = "合并一次以后要再来，直到不能合并 / go on after a merge until no two spell a token"
    hints = {(257, 122): order, (261, 101): order, (97, 98, 99, 100, 101): nothing, (97, 258, 100, 101): once}
    for word, right in ((b"abcde", [259, 260]), (b"xyz", [120, 256])):
        answer, problem = attempt(function, word, dict(ids))
        if problem:
            return report(False, problem)
        if list(answer) != right:
            return report(False, hints.get(tuple(answer), f"{word!r}: 得到 {answer} / got this instead of {right}"))
    return report(True, "编码正确，和 tiktoken 一样 / encoded correctly, as tiktoken does")


def bigram(function: Callable[[dict[tuple[int, int], int], int, int, int], float]) -> bool:
    """p(b | a) with add-one smoothing."""
    pairs = {(0, 1): 3, (0, 2): 1, (1, 0): 4}
    answer, problem = attempt(function, dict(pairs), 0, 1, 5)
    if problem:
        return report(False, problem)
    hints = {
        4 / 9: "",
        3 / 4: "没有平滑：加一 / no smoothing: add one",
        4 / 13: "分母只数以 a 开头的对 / the denominator counts only pairs that begin with a",
        4 / 8: "分母是 c(a)+V，c(a) 数出现次数，不是种类 / the denominator is c(a)+V: count occurrences, not kinds",
        4 / 7: "分母是 c(a)+V，c(a) 数出现次数，不是种类 / the denominator is c(a)+V: count occurrences, not kinds",
        4 / 4: "分母也要加 V，否则概率加起来超过 1 / add V below, too, or the probabilities add up to more than 1",
    }
    hint = next(
        (hint for value, hint in hints.items() if abs(answer - value) < 1e-9), f"得到 {answer} / got this, not 4/9"
    )
    if hint:
        return report(False, hint)
    answer, problem = attempt(function, dict(pairs), 4, 4, 5)
    if problem or abs(answer - 1 / 5) > 1e-9:
        return report(False, f"没见过的 a 应得 1/V / an a never seen gives 1/V ({problem or answer})")
    return report(True, "二元模型正确 / the bigram model is right")


def windows(function: Callable[[list[int], int, int], list[list[int]]]) -> bool:
    """Windows that cover all ids."""
    ids = list(range(10))
    cases = [(4, 4, [ids[0:4], ids[4:8], ids[8:]]), (4, 2, [ids[0:4], ids[2:6], ids[4:8], ids[6:]]), (20, 5, [ids])]
    for length, step, right in cases:
        answer, problem = attempt(function, list(ids), length, step)
        if problem:
            return report(False, problem)
        answer = [list(window) for window in answer]
        if answer == right:
            continue
        if {i for window in answer for i in window} != set(ids):
            hint = "最后的词元丢了：短窗口也要留下 / the last tokens are lost: keep a shorter last window"
        elif len(answer) > len(right):
            hint = "到了末尾就停：多出来的窗口全在前一个里 / stop at the end: a window lies within the one before"
        elif step < length and answer == [ids[i : i + length] for i in range(0, len(ids), length)]:
            hint = "起点要相差 step，不是 length / windows begin step tokens apart, not length"
        else:
            hint = f"length {length}, step {step}: 得到 {answer} / got this instead of {right}"
        return report(False, hint)
    return report(True, "窗口正确 / the windows are right")
