"""Pictures that follow a slider: without ipywidgets, and where nobody can move it, the picture alone."""

import sys
from types import SimpleNamespace

import pytest

from notebooks import start
from notebooks.build import NOTEBOOKS


@pytest.fixture
def widgets(monkeypatch):
    """A reader in front of Jupyter, with ipywidgets: what slider() asks it for, as (function, ranges)."""
    asked = []
    monkeypatch.delenv(start.STATIC, raising=False)
    monkeypatch.setattr(start, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    stand_in = SimpleNamespace(interact=lambda draw, **ranges: asked.append((draw, ranges)))
    monkeypatch.setitem(sys.modules, "ipywidgets", stand_in)
    return asked


def drawn():
    """(A function that draws, the values that it was asked to draw.)"""
    values = []
    return lambda temperature=None: values.append(temperature), values


def test_a_slider_draws_once_and_then_what_the_reader_chooses(widgets):
    draw, values = drawn()
    start.slider(draw, temperature=(0.1, 3.0, 0.1))
    ((function, ranges),) = widgets
    assert ranges == {"temperature": (0.1, 3.0, 0.1)}
    function(temperature=0.7)
    assert values == [None, 0.7]


def without_ipywidgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # importing it raises ImportError


def without_a_kernel(monkeypatch):
    monkeypatch.setattr(start, "get_ipython", lambda: None)


def while_the_notebooks_are_built(monkeypatch):
    monkeypatch.setenv(start.STATIC, "1")


@pytest.mark.parametrize("why", [without_ipywidgets, without_a_kernel, while_the_notebooks_are_built])
def test_a_picture_is_drawn_once_where_no_slider_can_be(why, widgets, monkeypatch):
    why(monkeypatch)
    draw, values = drawn()
    start.slider(draw, temperature=(0.1, 3.0, 0.1))
    assert values == [None] and not widgets


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.rglob("*.ipynb")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_notebook_shows_pictures_and_no_state_of_widgets(path):
    assert "jupyter.widget" not in path.read_text(encoding="utf-8")
