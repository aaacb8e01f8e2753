"""How fast this machine multiplies matrices, which is an upper bound on training speed; and Markdown tables."""

import statistics
import time

import torch


def matrix_rate(rows: int, width: int, dtype: torch.dtype, device: torch.device, seconds: float = 2) -> float:
    """Operations per second of (rows, width) @ (width, 4 width), the largest product of a block: the best of many."""
    a = torch.randn(rows, width, device=device, dtype=dtype)
    b = torch.randn(width, 4 * width, device=device, dtype=dtype)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(8):
            a @ b
        torch.get_device_module(device).synchronize()  # a GPU, also Apple's, has only been asked until now
        best = min(best, (time.perf_counter() - start) / 8)
    return 2 * rows * width * 4 * width / best


def median_and_range(values: list[float], decimals: int = 0) -> str:
    """The median, with the lowest and the highest."""
    median, lowest, highest = (f"{of(values):,.{decimals}f}" for of in (statistics.median, min, max))
    return f"{median} ({lowest} to {highest})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns except the first are right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
