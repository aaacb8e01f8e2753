"""Write the rows of a task to files: train.jsonl, val.jsonl, test.jsonl, and world.json, which says what they are."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from data.world.recorder import Draw
from data.world.tasks.claims import inference_rows
from data.world.tasks.control import control_rows
from data.world.tasks.dialogue import dialogue_rows
from data.world.tasks.questions import qa_rows
from data.world.tasks.ratings import star_rows, topic_rows
from data.world.tasks.relations import relation_rows
from data.world.tasks.spans import entity_rows
from data.world.tasks.summaries import summary_rows
from data.world.tasks.translations import translation_rows
from gpt.errors import UserError
from gpt.files.atomic import atomic_write, make_folder

Maker = Callable[[str, int, str], Iterator[dict]]  # (split, seed, language "en" or "zh") -> endless rows
KINDS: dict[str, Maker] = {
    "qa": qa_rows,
    "translation": translation_rows,
    "summary": summary_rows,
    "dialogue": dialogue_rows,
    "entities": entity_rows,
    "relations": relation_rows,
    "inference": inference_rows,
    "topics": topic_rows,
    "stars": star_rows,
    "control": control_rows,
}
FILES = ("train.jsonl", "val.jsonl", "test.jsonl", "world.json")  # train is put in place last: if it exists, so do all


def write_task(out: Path, kind: str, language: str, seed: int, count: int, overwrite: bool = False) -> dict[str, int]:
    """Write `count` rows of a kind to the folder `out`: eight tenths for training, one for validation, one for tests.

    language: of the prompts: "en", "zh", or "both" for as many of each. No row occurs twice, and no story is in two
    splits. -> {"train": number of rows, "val": ..., "test": ...}. Raises UserError if one of the files exists.
    """
    for name in FILES:
        if (out / name).exists() and not overwrite:
            raise UserError(f"{out / name} already exists: choose another --out or use --overwrite")
    sizes = {"train": count - 2 * (count // 10), "val": count // 10, "test": count // 10}
    seen = set()
    make_folder(out)
    with contextlib.ExitStack() as stack:  # interrupted, it leaves nothing half done
        bar = stack.enter_context(tqdm(total=count, unit=" rows", leave=False))
        temporary = {name: stack.enter_context(atomic_write(out / name)) for name in FILES}
        for split, size in sizes.items():
            rows = mixed(kind, split, seed) if language == "both" else KINDS[kind](split, seed, language)
            with temporary[f"{split}.jsonl"].open("w", encoding="utf-8", newline="\n") as file:
                written = 0
                while written < size:
                    line = json.dumps(next(rows), ensure_ascii=False) + "\n"
                    digest = hashlib.sha256(line.encode()).digest()
                    if digest not in seen:
                        seen.add(digest)
                        file.write(line)
                        written += 1
                        bar.update(1)
        made = {"kind": kind, "language": language, "seed": seed, "count": count}
        temporary["world.json"].write_text(json.dumps(made) + "\n", encoding="utf-8", newline="\n")
    return sizes


def mixed(kind: str, split: str, seed: int) -> Iterator[dict]:
    """Rows in both languages: of each two, one is English and one is Chinese.

    Row i of a kind is about the same story in both languages, so taking row i in one language only tells each story
    once. Which of the two comes first is drawn, so that a language is never tied to every second label.
    """
    english, chinese = KINDS[kind](split, seed, "en"), KINDS[kind](split, seed, "zh")
    draw = Draw(f"{seed} languages {kind} {split}")
    while True:
        english_first = draw.choose([True, False])
        for in_english in (english_first, not english_first):
            pair = next(english), next(chinese)
            yield pair[0] if in_english else pair[1]
