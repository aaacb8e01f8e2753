"""The corpus that train.py makes if none is given, and the examples that finetune.py makes."""

from pathlib import Path

from data.prepare import PrepareConfig, prepare
from data.world.reviews import write_reviews
from data.world.writing import told_by_this_world, write_stories
from gpt.files.lock import alone_in
from gpt.finetuning.finetune_config import DEFAULTS, TaskName
from gpt.finetuning.labelled import find_split


def default_stories(vocab_size: int, language: str = "en") -> Path:
    """The tokens folder with stories of the toy world, made on first use. language: "en", "zh" or "both"."""
    name = "stories" if language == "en" else f"stories-{language}"
    folder, text = Path(f"data/{name}-{vocab_size}"), Path(f"data/{name}.jsonl")
    if not (folder / "meta.json").is_file():
        with alone_in(Path("data"), wait=True):
            if not (folder / "meta.json").is_file():  # nor did another process make it meanwhile
                print(f"no --data given: making {folder}, 20 MB of stories of the toy world", flush=True)
                if not text.is_file():
                    write_stories(text, language=language, megabytes=20)
                prepare(PrepareConfig((text,), folder, vocab_size, val_fraction=0.04))
    if text.is_file() and not told_by_this_world(text, language):
        print(f"note     {text} comes from another version of the toy world; delete it and {folder} for new stories")
    return folder


def make_default_data(task: TaskName, folder: Path) -> None:
    """Write examples of a task in the toy world, on first use of the task's default folder."""
    if folder != DEFAULTS[task][0] or find_split(folder, "train"):
        return
    with alone_in(Path("data"), wait=True):
        if not find_split(folder, "train"):  # nor did another process make it meanwhile
            write_default_data(task, folder)


def write_default_data(task: TaskName, folder: Path) -> None:
    print(f"making {folder}: 10,000 examples from the toy world")
    if task == "classification":
        write_reviews(folder, 10_000, "hard", seed=1, language="en")
    else:
        from data.world.tasks.writing import write_task  # here, because train.py and most runs need no task

        kind = {"regression": "stars", "answer": "qa", "tags": "entities"}[task]
        write_task(folder, kind, "en", seed=1, count=10_000)
