"""Each lesson: its notebooks are what its source says, its blanks fail their checks, and its solutions pass them."""

import ast
import contextlib
import io
import itertools
import re

import nbformat
import pytest

from notebooks.build import (
    LANGUAGES,
    SOLUTIONS,
    is_code,
    join_lines,
    lesson,
    read_source,
    same_cells,
    solutions,
    sources,
    tagged,
)
from notebooks.check import NOT_WRITTEN

LESSONS = {path.stem: read_source(path) for path in sources()}
NOTEBOOKS = {
    f"{folder.name}/{name}": (folder / f"{name}.ipynb", made)
    for name, cells in LESSONS.items()
    for folder, made in [(LANGUAGES[key], lesson(cells, key)) for key in LANGUAGES] + [(SOLUTIONS, solutions(cells))]
}
EXERCISES = {
    f"{name}-{number}": (cells, exercise, solution)
    for name, cells in LESSONS.items()
    for number, (exercise, solution) in enumerate(
        zip(
            [cell for cell in cells if tagged(cell, "exercise")],
            [cell for cell in cells if tagged(cell, "solution")],
            strict=True,
        ),
        start=1,
    )
}


def printed(cells, cell) -> str:
    """What a cell prints after the lesson's imports and its cells with the tag "setup"."""
    trees = [ast.parse(before.source) for before in cells if is_code(before)]
    imports = [node for tree in trees for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names: dict = {}
    exec(compile(ast.Module(imports, []), "imports", "exec"), names)
    for before in cells:
        if tagged(before, "setup"):
            exec(compile(before.source, "setup", "exec"), names)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(cell.source, "cell", "exec"), names)
    return output.getvalue()


@pytest.mark.parametrize("name", EXERCISES)
def test_a_blank_fails_its_check(name):
    cells, exercise, _ = EXERCISES[name]
    lines = printed(cells, exercise).splitlines()
    assert lines and all(line == f"✗ {NOT_WRITTEN}" for line in lines)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_solution_passes_its_check(name):
    cells, _, solution = EXERCISES[name]
    lines = printed(cells, solution).splitlines()
    assert any(line.startswith("✓") for line in lines) and not any(line.startswith("✗") for line in lines)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_what_its_source_says(name):
    path, made = NOTEBOOKS[name]
    assert same_cells(made, path), "run python -m notebooks.build"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_small_was_run_in_order_and_shows_no_error(name):
    path, _ = NOTEBOOKS[name]
    assert path.stat().st_size < 500_000
    codes = [cell for cell in nbformat.read(path, as_version=4).cells if is_code(cell)]
    assert [cell.execution_count for cell in codes] == list(range(1, len(codes) + 1))
    outputs = [output for cell in codes for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


@pytest.mark.parametrize("name", LESSONS)
def test_both_languages_show_the_same_outputs(name):
    zh, en = (nbformat.read(folder / f"{name}.ipynb", as_version=4).cells for folder in LANGUAGES.values())
    assert [cell.outputs for cell in zh if is_code(cell)] == [cell.outputs for cell in en if is_code(cell)]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_fewer_than_40_cells_and_each_text_in_both_languages(name):
    cells = LESSONS[name]
    assert len(lesson(cells, "zh").cells) < 40
    texts = [cell for cell in cells if not is_code(cell)]
    assert [cell.metadata.lang for cell in texts] == ["zh", "en"] * (len(texts) // 2)
    for zh, en in zip(texts[::2], texts[1::2], strict=True):
        assert re.search(r"[\u4e00-\u9fff]", zh.source) and not re.search(r"[\u4e00-\u9fff]{30}", en.source)
        assert heading_levels(zh.source) == heading_levels(en.source)
    for one, two in itertools.pairwise(cells):
        assert (one.metadata.get("lang") == "zh") == (two.metadata.get("lang") == "en"), "a pair stands together"


@pytest.mark.parametrize("name", LESSONS)
def test_no_text_of_a_lesson_waits_to_be_written(name):
    for cell in LESSONS[name]:
        assert not re.search(r"@@|\b(TODO|FIXME|XXX|TBD)\b", cell.source)


def heading_levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", text, flags=re.MULTILINE)]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_three_to_five_exercises(name):
    assert 3 <= sum(tagged(cell, "exercise") for cell in LESSONS[name]) <= 5


def test_lines_of_a_chinese_paragraph_are_joined_and_nothing_else_is():
    assert join_lines("一二，\n三四\n“五”") == "一二，三四“五”"
    for text in ("### 练习\n写出来", "一\n\n二", "- 一\n- 二", "词元\ntoken", "| 一 |\n| 二 |"):
        assert join_lines(text) == text
