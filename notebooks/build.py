"""Make the notebooks of the lessons from their sources.

    python -m notebooks.build             # all lessons
    python -m notebooks.build 01 02       # some
    python -m notebooks.build --check     # run all, compare the notebooks with the sources, write nothing

A source is a percent script of jupytext, notebooks/source/NN_name.py. Its Markdown cells come in pairs, lang="zh" and
lang="en"; its code is the same for both. It becomes notebooks/NN_name.ipynb (Chinese), notebooks/en/NN_name.ipynb and
notebooks/solutions/NN_name.ipynb. The code runs once, and both languages show what it printed. Exercises (tags
"exercise") stand in the lessons, solutions (tags "solution") in the third notebook only, behind the lesson's first two
code cells and those with the tag "setup".
"""

import os
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import tyro
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from gpt.errors import UserError
from gpt.running.command_line import parse_flags, run_main
from notebooks.start import STATIC

NOTEBOOKS = Path(__file__).resolve().parent
LANGUAGES = {"zh": NOTEBOOKS, "en": NOTEBOOKS / "en"}  # language -> folder of its notebooks
SOLUTIONS = NOTEBOOKS / "solutions"
TIME_LIMIT = 900  # seconds for a lesson: one of two minutes on two quiet cores, on a machine that is neither
CHINESE = "[\u2018-\u201d\u3000-\u9fff\uff00-\uffef]"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def sources(numbers: tuple[str, ...] = ()) -> list[Path]:
    """The sources whose numbers ("01") are given, or all."""
    paths = sorted((NOTEBOOKS / "source").glob("[0-9][0-9]_*.py"))
    return [path for path in paths if not numbers or path.name[:2] in numbers]


def read_source(path: Path) -> list[NotebookNode]:
    """The cells of a source."""
    return jupytext.read(path, fmt="py:percent").cells


def is_code(cell: NotebookNode) -> bool:
    return cell.cell_type == "code"


def tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def lesson(cells: list[NotebookNode], language: str) -> NotebookNode:
    """The notebook of one language, without outputs."""
    return notebook(
        cell for cell in cells if not tagged(cell, "solution") and (is_code(cell) or cell.metadata.lang == language)
    )


def solutions(cells: list[NotebookNode]) -> NotebookNode:
    """The notebook of the solutions, without outputs: title, what must run first, then text and solution of each."""
    title = [cell for cell in cells if not is_code(cell)][:2]
    start = [cell for cell in cells if is_code(cell)][:2] + [cell for cell in cells if tagged(cell, "setup")]
    answers, texts = [], []
    for cell in cells:
        if not is_code(cell):
            texts.append(cell)
        elif tagged(cell, "solution"):
            answers += [*texts[-2:], cell]
    return notebook([*title, *start, *answers])


def notebook(cells: Iterable[NotebookNode]) -> NotebookNode:
    """A notebook of new cells, numbered, so that the same source always gives the same file."""
    made = nbformat.v4.new_notebook(metadata=METADATA)
    for number, cell in enumerate(cells):
        new = nbformat.v4.new_code_cell if is_code(cell) else nbformat.v4.new_markdown_cell
        tags = {"tags": cell.metadata.tags} if "tags" in cell.metadata else {}
        text = join_lines(cell.source) if cell.metadata.get("lang") == "zh" else cell.source
        made.cells.append(new(text, id=f"cell-{number:02d}", metadata=tags))
    return made


def join_lines(text: str) -> str:
    """Chinese has no spaces, but Markdown shows one where a line ends: join the lines of a paragraph."""
    return re.sub(rf"(?m)^(?!#)(.*{CHINESE})\n(?={CHINESE})", r"\1", text)


def run(made: NotebookNode, folder: Path) -> None:
    """Run a notebook in `folder`, as Jupyter does, and put the outputs into it."""
    end = time.monotonic() + TIME_LIMIT
    os.environ[STATIC] = "1"  # the kernel inherits it
    client = NotebookClient(
        made,
        timeout_func=lambda cell: max(1, int(end - time.monotonic())),
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    client.execute()
    for cell in filter(is_code, made.cells):
        check_outputs(cell)
    made.metadata = nbformat.from_dict(METADATA)  # the kernel has added its Python's version


def check_outputs(cell: NotebookNode) -> None:
    """Raises ValueError for a warning, and for what is different on each machine."""
    for output in cell.outputs:
        text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for private in (str(NOTEBOOKS.parent), str(Path.home()), socket.gethostname(), " at 0x"):
            if private in text:
                raise ValueError(f"an output says {private!r}:\n{cell.source}\n{text}")
        if output.get("name") == "stderr":
            raise ValueError(f"a cell writes to stderr:\n{cell.source}\n{text}")


def copy_outputs(made: NotebookNode, other: NotebookNode) -> None:
    """Give the code cells of `other` the outputs of the same cells."""
    for cell, twin in zip(filter(is_code, made.cells), filter(is_code, other.cells), strict=True):
        twin.outputs, twin.execution_count = cell.outputs, cell.execution_count


def same_cells(made: NotebookNode, path: Path) -> bool:
    """Whether the notebook at `path` has the cells of `made`, whatever their outputs."""
    if not path.is_file():
        return False
    old = nbformat.read(path, as_version=4)
    return [(c.cell_type, c.source) for c in made.cells] == [(c.cell_type, c.source) for c in old.cells]


def build(path: Path, check: bool) -> str:
    """Make, or only check, the notebooks of a source. Returns what is wrong, or nothing."""
    cells = read_source(path)
    made = {folder: lesson(cells, language) for language, folder in LANGUAGES.items()} | {SOLUTIONS: solutions(cells)}
    try:
        if not check:
            for folder in made:
                folder.mkdir(exist_ok=True)
        run(made[NOTEBOOKS], NOTEBOOKS)
        copy_outputs(made[NOTEBOOKS], made[LANGUAGES["en"]])
        run(made[SOLUTIONS], NOTEBOOKS)
    except (CellExecutionError, CellTimeoutError, ValueError) as error:
        return re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # IPython colours its tracebacks
    for folder, new in made.items():
        target = folder / f"{path.stem}.ipynb"
        if check and not same_cells(new, target):
            return f"{target.relative_to(NOTEBOOKS.parent)} is not what its source says: run python -m notebooks.build"
        if not check:
            target.write_text(nbformat.writes(new) + "\n", encoding="utf-8", newline="\n")
    return ""


@dataclass(frozen=True)
class BuildConfig:
    """Make the notebooks of the lessons from their sources."""

    lessons: tyro.conf.Positional[tuple[str, ...]] = ()
    """numbers of lessons, such as 01; all, if none is given"""
    check: bool = False
    """run them and compare, but write nothing"""


def main() -> None:
    config = parse_flags(lambda: tyro.cli(BuildConfig))
    paths = sources(config.lessons)
    if not paths:
        raise UserError(f"no lesson has such a number: {' '.join(config.lessons)}")
    wrong = 0
    for path in paths:
        began = time.monotonic()
        problem = build(path, config.check)
        wrong += bool(problem)
        print(f"{path.stem:<24}{time.monotonic() - began:4.0f} s  {problem or 'ok'}", flush=True)
    if wrong:
        raise UserError(f"{wrong} of {len(paths)} lessons failed")


if __name__ == "__main__":
    run_main(main)
