"""Checks of lesson 1: merging, encoding, a bigram model, windows."""

from collections.abc import Callable

from notebooks.check import Verdict, attempt_list, attempt_number, report


def merge(function: Callable[[list[bytes], bytes], list[bytes]]) -> Verdict:
    """Neighbours that spell the token are joined, from the left."""
    cases = [
        ("a b a b a", b"ab", [b"ab", b"ab", b"a"]),
        ("a a a", b"aa", [b"aa", b"a"]),
        ("x y z", b"ab", [b"x", b"y", b"z"]),
        ("xa b ab c a bc", b"abc", [b"xa", b"b", b"abc", b"abc"]),
    ]
    for written, token, right in cases:
        parts = written.encode().split()
        answer, problem = attempt_list(function, list(parts), token)
        if problem:
            return report(False, problem)
        if answer == right:
            continue
        if not all(isinstance(part, bytes) for part in answer):
            hint = f"列表里每一项都应是 bytes，得到 {answer} / each item must be bytes"
        elif len(b"".join(answer)) < len(b"".join(parts)):
            hint = "丢了字节：没合并的也要留下，包括最后一个 / bytes were lost: keep what is not joined, to the last"
        elif b"".join(answer) != b"".join(parts):
            hint = "字节变了：合并后要跳过两个 / bytes were doubled: step over both that you join"
        elif answer == [b"ab", b"a", b"b", b"a"]:
            hint = "只合并了第一处，要合并所有的 / only the first pair was joined: join all of them"
        elif answer == [b"a", b"aa"]:
            hint = "要从左往右合并 / join from the left, not from the right"
        elif len(parts) == 6:
            hint = f"要比较整个词元，不是其中的字节：{parts} 应得 {right} / compare whole tokens, not bytes inside them"
        else:
            hint = f"{written} + {token!r}: 得到 {answer}，应为 {right} / got and expected"
        return report(False, hint)
    return report(True, "合并正确 / merged correctly")


def encode(function: Callable[[bytes, dict[bytes, int]], list[int]]) -> Verdict:
    """The neighbours whose token has the lowest id are joined first."""
    ids = {bytes([byte]): byte for byte in range(256)}
    ids |= {b"yz": 256, b"xy": 257, b"bc": 258, b"abc": 259, b"de": 260, b"abcd": 261}
    order = "合并编号最小的对，不是最左或最长的 / join the pair with the lowest id, not the leftmost or longest"
    nothing = "还没有合并 / nothing was joined"
    once = "合并一次以后要再来，直到不能合并 / go on after a merge until no two spell a token"
    hints = [([257, 122], order), ([261, 101], order), ([97, 98, 99, 100, 101], nothing), ([97, 258, 100, 101], once)]
    for word, right in ((b"abcde", [259, 260]), (b"xyz", [120, 256])):
        answer, problem = attempt_list(function, word, dict(ids))
        if problem:
            return report(False, problem)
        if answer == right:
            continue
        hint = next((hint for wrong, hint in hints if answer == wrong), "")
        if not hint and any(isinstance(part, bytes) for part in answer):
            hint = f"要返回编号，不是字节：{answer} / return the ids, not the bytes"
        return report(False, hint or f"{word!r}: 得到 {answer}，应为 {right} / got and expected")
    return report(True, "编码正确，和 tiktoken 一样 / encoded correctly, as tiktoken does")


def bigram(function: Callable[[dict[tuple[int, int], int], int, int, int], float]) -> Verdict:
    """p(b | a) with add-one smoothing."""
    pairs = {(0, 1): 3, (0, 2): 1, (1, 0): 6, (2, 1): 5, (2, 2): 1}
    answer, problem = attempt_number(function, dict(pairs), 0, 1, 5)
    if problem:
        return report(False, problem)
    kinds = "c(a) 数出现次数，不是种类 / c(a) counts occurrences, not kinds"
    hints = [
        (3 / 4, "没有平滑：分子加一，分母加 V / no smoothing: add 1 above and V below"),
        (3 / 9, "分子要加一 / add 1 above"),
        (4 / 21, "分母只数以 a 开头的对 / the denominator counts only pairs that begin with a"),
        (4 / 11, "c(a) 数以 a 开头的对，不是以 a 结尾的 / c(a) counts pairs that begin with a, not end with it"),
        (4 / 13, "分母数的是 a，不是 b / the denominator counts a, not b"),
        (4 / 8, "分母是 c(a)：以 a 开头的所有对，不只是 ab / the denominator is c(a): all pairs that begin with a"),
        (4 / 10, kinds),
        (4 / 7, kinds),
        (4 / 5, "分母加的是 V，不是 1 / add V below, not 1"),
        (4 / 4, "分母也要加 V，否则概率加起来超过 1 / add V below, too, or the probabilities add up to more than 1"),
    ]
    if abs(answer - 4 / 9) > 1e-9:
        hint = next((hint for wrong, hint in hints if abs(answer - wrong) < 1e-9), "")
        return report(False, hint or f"得到 {answer:.4g}，应为 4/9 / got and expected, for c(ab) = 3, c(a) = 4, V = 5")
    for a, b, right, what in (
        (0, 3, 1 / 9, "a 见过、b 没跟过它，应得 1/(c(a)+V) / if only b is new after a, it is 1/(c(a)+V)"),
        (4, 4, 1 / 5, "没见过的 a 应得 1/V / an a never seen gives 1/V"),
    ):
        answer, problem = attempt_number(function, dict(pairs), a, b, 5)
        if problem or abs(answer - right) > 1e-9:
            return report(False, f"{what} ({problem or f'{answer:.4g}'})")
    return report(True, "二元模型正确 / the bigram model is right")


def windows(function: Callable[[list[int], int, int], list[list[int]]]) -> Verdict:
    """Windows that cover all ids."""
    ids = list(range(10))
    cases = [(4, 4, [ids[0:4], ids[4:8], ids[8:]]), (4, 2, [ids[0:4], ids[2:6], ids[4:8], ids[6:]]), (20, 5, [ids])]
    for length, step, right in cases:
        answer, problem = attempt_list(function, list(ids), length, step)
        if problem:
            return report(False, problem)
        try:
            answer = [list(window) for window in answer]
        except TypeError:
            return report(False, "要返回窗口的列表，每个窗口也是列表 / return a list of windows, each one a list")
        if answer == right:
            continue
        if {i for window in answer for i in window} != set(ids):
            hint = "最后的词元丢了：短窗口也要留下 / the last tokens are lost: keep a shorter last window"
        elif step < length and answer == [ids[i : i + length] for i in range(0, len(ids), length)]:
            hint = "起点要相差 step，不是 length / windows begin step tokens apart, not length"
        elif answer[-1] == ids[-length:] and answer[:-1] == right[:-1]:
            hint = (
                "最后一个窗口也从隔 step 处开始，可以短 / the last window, too, begins step tokens on; it may be short"
            )
        elif len(answer) > len(right):
            hint = "到了末尾就停：多出来的窗口全在前一个里 / stop at the end: a window lies within the one before"
        else:
            hint = f"length {length}, step {step}: 得到 {answer}，应为 {right} / got and expected"
        return report(False, hint)
    return report(True, "窗口正确 / the windows are right")
