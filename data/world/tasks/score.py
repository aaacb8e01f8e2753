"""How good are written answers of which more than one can be right? The judge decides, not the letters."""

import json
from collections.abc import Callable
from pathlib import Path

from data.world.judge import Verdict, judge
from data.world.tasks.control import obeys
from data.world.tasks.summaries import language_of, summary_score
from data.world.tasks.writing import KINDS
from gpt.errors import UserError

Score = Callable[[list[str], list[str], list[str]], dict[str, float]]  # (prompts, truths, written) -> shares in 0..1


def world_score(folder: Path) -> Score | None:
    """The score for the task in this folder, its main share first; None where an exact match is enough.

    None, too, if the folder is not of the toy world: it has no world.json. Raises UserError if that file is damaged.
    """
    file = folder / "world.json"
    if not file.exists():
        return None
    try:
        kind = json.loads(file.read_text(encoding="utf-8"))["kind"]
        known = kind in KINDS
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise UserError(f"{file} names no kind of task: make the folder again with python -m data.world tasks")
    return SCORES.get(kind)


def translation_score(prompts: list[str], truths: list[str], written: list[str]) -> dict[str, float]:
    """ "events": all that happens is the same as in the true translation. "grammatical": every sentence can be read."""
    verdicts, wanted = judge_like(written, truths), judge_like(truths, truths)
    same = [v.consistent and v.events == w.events for v, w in zip(verdicts, wanted, strict=True)]
    return {"events": share_of(same), "grammatical": share_of([v.grammatical for v in verdicts])}


def control_score(prompts: list[str], truths: list[str], written: list[str]) -> dict[str, float]:
    """ "obeys": a consistent story with the hero, place and ending that were asked for.

    They are those of the true story, so the prompts need not be read. Ungrammatical texts are not consistent.
    """
    verdicts, wanted = judge_like(written, truths), judge_like(truths, truths)
    return {
        "obeys": share_of([obeys(v, w) for v, w in zip(verdicts, wanted, strict=True)]),
        "grammatical": share_of([v.grammatical for v in verdicts]),
        "consistent": share_of([v.consistent for v in verdicts]),
    }


def inference_score(prompts: list[str], truths: list[str], written: list[str]) -> dict[str, float]:
    """ "label": the right last word, whatever is said before it."""
    return {"label": share_of([w.split()[-1:] == t.split()[-1:] for w, t in zip(written, truths, strict=True)])}


def judge_like(texts: list[str], truths: list[str]) -> list[Verdict]:
    """The verdict on each text, read in the language of its truth."""
    return [judge(text.strip(), language_of(truth)) for text, truth in zip(texts, truths, strict=True)]


def share_of(true: list[bool]) -> float:
    return sum(true) / max(1, len(true))


SCORES: dict[str, Score] = {
    "translation": translation_score,
    "summary": summary_score,
    "control": control_score,
    "inference": inference_score,
}
