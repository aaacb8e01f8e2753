"""Write stories to files, with one process per core: the number of processes does not change the bytes."""

import itertools
import json
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from data.world.bilingual import BOTH, told_twice
from data.world.story import Story, stories
from gpt.errors import UserError
from gpt.files.atomic import atomic_write, make_folder, write_text

BLOCK = 500  # stories that one process makes at a time


def write_stories(
    out: Path,
    *,
    seed: int = 1,
    language: str = "en",
    start: int = 0,
    count: int | None = None,
    megabytes: float | None = None,
    processes: int | None = None,
    planted_bias: int = 50,
) -> dict:
    """Write stories number `start`, `start + 1`, ... to `out`, one {"text", "bits", "world"} per line.

    It stops after `count` stories or, without it, after the story that reaches `megabytes` (10^6 bytes of text). The
    totals are returned and written to a file of the same name that ends in `.entropy.json`: documents, bytes (UTF-8,
    of the texts alone), bits (-log2 of the probability of all texts, including their ends) and bits_per_byte, the
    loss of a perfect model that reads each story from its first word. With a `planted_bias` (see `World`) they are
    those of the world with this bias.
    """
    totals = {"language": language, "seed": seed, "start": start, "documents": 0, "bytes": 0, "bits": 0.0}
    if planted_bias != 50:
        totals["planted_bias"] = planted_bias
    bar = tqdm(total=count or int(megabytes * 1e6), unit="" if count else "B", unit_scale=True, leave=False)
    make_folder(out.parent)
    with atomic_write(out) as temporary, bar, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for text, bits in made_in_parallel(seed, language, start, count, processes, planted_bias):
            size = len(text.encode())
            file.write(line_of(text, bits, language))
            totals["documents"] += 1
            totals["bytes"] += size
            totals["bits"] += bits
            bar.update(1 if count else size)
            if totals["documents"] == count or (count is None and totals["bytes"] >= megabytes * 1e6):
                break
    totals["bits"] = round(totals["bits"], 3)
    totals["bits_per_byte"] = round(totals["bits"] / totals["bytes"], 6)
    write_text(out.with_suffix(".entropy.json"), json.dumps(totals, indent=1) + "\n")
    return totals


def line_of(text: str, bits: float, language: str) -> str:
    return json.dumps({"text": text, "bits": round(bits, 4), "world": language}, ensure_ascii=False) + "\n"


def told_by_this_world(file: Path, language: str = "en") -> bool:
    """Whether a file begins as write_stories would begin it now; other versions of the world tell other stories."""
    first = next(stories_in(language, 1, 0))
    expected = line_of(first.text, first.bits, language).encode()
    with file.open("rb") as lines:
        return lines.read(len(expected)) == expected


def made_in_parallel(seed, language, start, count, processes, planted_bias) -> Iterator[tuple[str, float]]:
    """(text, bits) of the stories in order; the caller stops when it has enough."""
    blocks = itertools.count(start, BLOCK)
    processes = processes or os.cpu_count() or 1
    if processes == 1 or (count is not None and count <= BLOCK):
        for first in blocks:
            yield from make_block(seed, language, first, planted_bias)
    # "spawn" is the default of Windows and macOS; it works everywhere, and is safe with threads
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(processes, mp_context=context, initializer=end_with_parent) as pool:
        under_way = deque(
            pool.submit(make_block, seed, language, next(blocks), planted_bias) for _ in range(2 * processes)
        )
        try:
            while True:
                block = under_way.popleft().result()
                under_way.append(pool.submit(make_block, seed, language, next(blocks), planted_bias))
                yield from block
        finally:
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()  # nobody waits for the blocks that are under way
            pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """End this process when its parent process ends, even if the parent is killed."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def make_block(seed, language, first, planted_bias):
    told = stories_in(language, seed, first, planted_bias)
    return [(story.text, story.bits) for story in itertools.islice(told, BLOCK)]


def stories_in(language: str, seed: int, start: int, planted_bias: int = 50) -> Iterator[Story]:
    """An endless iterator of stories in "en", "zh" or "both"."""
    return told_twice(seed, start, planted_bias) if language == BOTH else stories(seed, language, start, planted_bias)


def stories_file(out: Path, overwrite: bool) -> Path:
    """`out` itself if it ends in .jsonl, else stories.jsonl in that folder."""
    file = out if out.suffix == ".jsonl" else out / "stories.jsonl"
    if file.exists() and not overwrite:
        raise UserError(f"{file} already exists: choose another --out or use --overwrite")
    return file
