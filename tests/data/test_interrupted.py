"""Ctrl-C while the toy world writes: nothing half done is left, and what was there stays."""

import pytest
from tqdm import tqdm

from data.world.patterns import write_patterns
from data.world.reviews import write_reviews
from data.world.tasks.writing import write_task
from data.world.writing import write_stories

WRITERS = {
    "patterns": lambda folder: write_patterns(folder / "patterns.jsonl", 0.01),
    "reviews": lambda folder: write_reviews(folder, 60, "easy", 1, "en"),
    "stories": lambda folder: write_stories(folder / "stories.jsonl", count=30),
    "tasks": lambda folder: write_task(folder, "qa", "en", 1, 50, overwrite=True),
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("writer", WRITERS)
def test_an_interrupted_command_leaves_what_was_there_and_nothing_half_done(writer, tmp_path, monkeypatch):
    WRITERS[writer](tmp_path)
    before = contents(tmp_path)
    assert before

    def interrupted(bar, number=1):
        bar.calls = getattr(bar, "calls", 0) + 1
        if bar.calls == 25:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tqdm, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            WRITERS[writer](tmp_path)
        assert contents(tmp_path) == before
        (tmp_path / "new").mkdir()
        with pytest.raises(KeyboardInterrupt):
            WRITERS[writer](tmp_path / "new")
        assert contents(tmp_path / "new") == {}
    WRITERS[writer](tmp_path)
    (tmp_path / "new").rmdir()
    assert contents(tmp_path) == before
