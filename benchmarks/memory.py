"""The most memory that a process has had at once."""

import sys
from typing import Any

import torch


def peak_memory(device: torch.device) -> int | None:
    """Of this process, in bytes: on a GPU in tensors, else in all; None on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    return bytes_of(resource.getrusage(resource.RUSAGE_SELF))


def bytes_of(usage: Any) -> int:
    """The same from what the system says about a process: it counts bytes on macOS, and elsewhere 1,024 of them."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
