"""The corpus that train.py makes if none is given, and the reviews that finetune.py makes."""

from pathlib import Path

from data.prepare import PrepareConfig, prepare
from data.world.reviews import write_reviews
from data.world.writing import told_by_this_world, write_stories
from gpt.finetuning.finetune_config import OUR_REVIEWS


def default_stories(vocab_size: int) -> Path:
    """The tokens folder with stories of the toy world; made on first use."""
    folder, text = Path(f"data/stories-{vocab_size}"), Path("data/stories.jsonl")
    if not (folder / "meta.json").is_file():
        print(f"no --data given: making {folder}, 20 MB of stories of the toy world")
        if not text.is_file():
            write_stories(text, megabytes=20)
        prepare(PrepareConfig((text,), folder, vocab_size, val_fraction=0.04))
    if text.is_file() and not told_by_this_world(text):
        print(f"note     {text} comes from another version of the toy world; delete it and {folder} for new stories")
    return folder


def make_default_reviews(folder: Path) -> None:
    """Write reviews by people of the toy world, on first use of their default folder."""
    if folder == OUR_REVIEWS and not (folder / "train.csv").exists():
        print(f"making {folder}: 10,000 reviews by people of the toy world")
        write_reviews(folder, 10_000, "hard", seed=1, language="en")
