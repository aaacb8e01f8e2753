"""The rows of metrics.jsonl once more, as an event file that TensorBoard draws (--tensorboard)."""

import importlib.util
from pathlib import Path
from typing import Any

from gpt.errors import UserError
from gpt.running.run_folder import EVENT_FILES, read_metrics


def check_tensorboard() -> None:
    """Raises UserError where the optional package is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs a package that is not installed: python -m pip install tensorboard")


class EventFile:
    """The one event file of a run folder. It begins with the rows that metrics.jsonl has already. So after --resume no
    point is missing and none is there twice, also where a killed run had written points of steps that are done again.
    """

    def __init__(self, folder: Path):
        from torch.utils.tensorboard import SummaryWriter  # here, because it takes a second to import

        for older in folder.glob(EVENT_FILES):
            older.unlink()
        self.writer = SummaryWriter(str(folder))
        for row in read_metrics(folder):
            self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Numbers become points at the row's step, texts such as samples are shown as they are."""
        for name, value in row.items():
            if isinstance(value, str):
                self.writer.add_text(name, value, row["step"])
            elif name != "step":
                self.writer.add_scalar(name, value, row["step"])
        self.writer.flush()  # TensorBoard follows a run that is under way
