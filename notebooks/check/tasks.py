"""Checks of lesson 7: targets of an answer, BIO tags, F1 of spans, a retriever."""

import functools
from collections.abc import Callable

from notebooks.check import attempt, report


def never_raises(check: Callable[[Callable], bool]) -> Callable[[Callable], bool]:
    """A check that calls a result of the wrong kind (a text for a list, a word for a tensor) wrong, as any other."""

    @functools.wraps(check)
    def careful(function: Callable) -> bool:
        try:
            return check(function)
        except Exception as error:
            return report(False, f"结果的类型不对 / the result is of the wrong kind ({type(error).__name__}: {error})")

    return careful


@never_raises
def targets(function: Callable[[list[int], list[bool]], list[int]]) -> bool:
    """The next token where that belongs to the answer, else -100."""
    ids, is_answer = [9, 4, 5, 6, 7, 9], [False, False, False, True, True, True]
    answer, problem = attempt(function, list(ids), list(is_answer))
    if problem:
        return report(False, problem)
    answer = [int(target) for target in answer]
    if answer == [-100, -100, 6, 7, 9, -100]:
        return report(True, "目标只在答案上 / the targets are the answer's tokens only")
    hints = {
        (6, 7, 9): "结果要与 ids 一样长：提示的位置写 −100 / as long as ids: −100 at the places of the prompt",
        (-100, -100, -100, 6, 7, 9): "目标没有后移一位：第 i 项应是第 i+1 个词元 / not shifted: item i is token i + 1",
        (4, 5, 6, 7, 9, -100): "提示的词元也算进去了 / the prompt's tokens are counted, too",
        (-100, -100, -100, 7, 9, -100): "要看下一个词元是不是答案，而不是这一个；答案的第一个词元丢了 / "
        "ask whether the next token is an answer's, not this one: its first token is lost",
        (-100, -100, 6, 7, 9): "少了最后一项：它没有下一个词元，写 −100 / the last item is missing: it is -100",
    }
    return report(False, hints.get(tuple(answer), f"得到 {answer} / got this for ids {ids}, answer from item 3"))


@never_raises
def tags(function: Callable[[list[str], list[tuple[int, int, str]]], list[str]]) -> bool:
    """BIO tags of words."""
    words = ["Mia", "saw", "Old", "Tom", "Ben", "today"]
    spans = [(0, 1, "PERSON"), (2, 4, "PERSON"), (4, 5, "PERSON")]
    answer, problem = attempt(function, list(words), list(spans))
    if problem:
        return report(False, problem)
    right = ["B-PERSON", "O", "B-PERSON", "I-PERSON", "B-PERSON", "O"]
    answer = list(answer)
    if answer == right:
        return report(True, "BIO 标签正确 / the BIO tags are right")
    if len(answer) != len(words):
        return report(False, f"要 {len(words)} 个标签 / {len(words)} tags are needed, not {len(answer)}")
    if not all(tag == "O" or tag.startswith(("B-", "I-")) for tag in answer):
        hint = "每个标签是 O，或 B-、I- 加类别 / each tag is O, or B- or I- with the label"
    elif answer[3] == "B-PERSON":
        hint = "一段里第二个词应是 I- / the second word of a span is I-, not B-"
    elif answer[3] == "O":
        hint = "一段到结束位置的前一个词为止 / a span goes on up to the word before its end"
    elif answer[5] != "O" or answer[1] != "O":
        hint = "结束位置不含在内 / the end is not included"
    elif answer[2].startswith("I") or answer[4].startswith("I"):
        hint = "每一段都以 B- 开始，否则相邻的两段会连成一段 / each span begins with B-, or two neighbours become one"
    else:
        hint = f"应为 {right} / this should be so, not {answer}"
    return report(False, hint)


@never_raises
def f1(function: Callable[[list[set], list[set]], float]) -> bool:
    """F1 of whole spans over all texts together."""
    true = [{(0, 1, "A"), (2, 4, "A"), (5, 6, "B")}, {(0, 2, "A")}]
    found = [{(0, 1, "A"), (2, 3, "A"), (5, 6, "B")}, {(0, 2, "A"), (3, 4, "B"), (5, 6, "B")}]
    answer, problem = attempt(function, true, found)
    if problem:
        return report(False, problem)
    precision, recall = 3 / 6, 3 / 4
    hints = {
        2 * precision * recall / (precision + recall): "",
        precision: "这是精确率 / this is the precision",
        recall: "这是召回率 / this is the recall",
        (precision + recall) / 2: "要调和平均，不是算术平均 / take the harmonic mean, not the arithmetic one",
        3 / 9 * 2: "不同文章里的段不是同一段：逐篇求交集，再相加 / spans of two texts differ: intersect text by text",
        3 / 7: "这是交集除以并集 / this is intersection over union",
        (2 / 3 + 1 / 2) / 2: "先把所有文章合起来数，不要对每篇的 F1 求平均 / count over all texts, do not average F1",
    }
    hint = next(
        (hint for value, hint in hints.items() if abs(answer - value) < 1e-9),
        f"应为 0.6，得到 {answer} / should be 0.6",
    )
    if hint:
        return report(False, hint)
    empty, problem = attempt(function, [{(0, 1, "A")}], [set()])
    if problem or empty != 0:
        return report(False, f"什么也没找到时应返回 0 / return 0 where nothing is found ({problem or empty})")
    return report(True, "整段的 F1 正确 / F1 of whole spans is right")


@never_raises
def search(function: Callable[[str, list[str]], int]) -> bool:
    """The text with the highest sum of idf over shared words."""
    texts = [
        "the fox and the hen went to the wood and the hen sang in the wood",
        "the kite was in the tree and the fox saw it",
        "the kite and the bear went home",
        "The Owl was at home",
    ]
    cases = {
        "who had the kite of the bear and the fox ?": (2, "罕见的词应当更重：要乘 idf / rare words must count more"),
        "where was the owl ?": (3, "分词前先转成小写 / make the words lower-case first"),
        "did the hen see the the kite in the tree": (1, "每个词只算一次 / count each word once"),
    }
    for question, (right, hint) in cases.items():
        answer, problem = attempt(function, question, list(texts))
        if "ZeroDivisionError" in problem:
            problem = "ZeroDivisionError：只算共有的词，别的词没有 idf / use shared words only: others have no idf"
        if problem:
            return report(False, problem)
        if isinstance(answer, str):
            return report(False, "返回文章的编号，不是文章 / return the number of the text, not the text")
        if int(answer) != right:
            return report(False, f"{hint}: {question!r} -> {right}, not {answer}")
    return report(True, "找对了文章 / the right text is found")
