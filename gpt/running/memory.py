"""Whether a training, or sampling, can fit the memory of this machine, asked before anything is allocated.

An operating system promises more memory than it has. A run that is too large then does not fail, it crawls.
"""

import ctypes
import os
import sys
from pathlib import Path

import torch

from gpt.errors import UserError
from gpt.model import GPTConfig
from gpt.running.train_config import TrainConfig


def check_it_fits(config: TrainConfig, tokenizer_size: int, processes: int, device: torch.device) -> None:
    """Raise UserError if training surely needs more memory than the device has, for one of so many processes. What
    could fit is never refused."""
    there = memory_size(device)
    if there is None:
        return
    shape, parts = config.model_for(tokenizer_size), config.accumulate * processes
    C, L, V, T = shape.n_embd, shape.n_layer, shape.vocab_size, shape.context_length
    weights = 12 * L * C**2 + V * C  # the matrices alone
    standing = 12 * weights  # bytes: float32 weights, gradients, and one float for each in the optimizer
    if config.sharding:
        standing /= processes
    if standing > there:
        raise UserError(
            f"a model of {weights / 1e9:,.1f} billion weights needs at least {gigabytes(standing)} to train, "
            f"and there are {gigabytes(there)}: make it smaller (--model.n-layer, --model.n-embd)"
        )
    # Bytes of a window: its token ids as int64; its logits, 2 bytes each; and what the layers keep for the gradient,
    # in bfloat16 at least 10 numbers a channel (q, k and v, the inputs of three matrices, and the four of the MLP).
    ids, computed = 8 * T, T * (2 * V + 20 * C * L)
    needed = standing + config.batch_size * (ids + computed / parts)
    if needed > there:
        most = int((there - standing) / (ids + computed / parts))
        raise UserError(
            f"batches of {config.batch_size:,} windows need at least {gigabytes(needed)}, and there are "
            f"{gigabytes(there)}: lower --batch-size (far below {max(2, most):,}) or raise --accumulate"
        )


def check_texts_fit(model: GPTConfig, texts: int, tokens: int, device: torch.device) -> None:
    """Raise UserError if so many texts, each of so many tokens, surely need more memory than the device has to be
    written side by side: keys and values of every layer, a row of logits and a generator for each."""
    there = memory_size(device)
    each = 8 * model.n_layer * model.n_embd * min(tokens, model.context_length) + 4 * model.vocab_size + 2500
    if there is not None and texts * each > there:
        raise UserError(
            f"{texts:,} texts side by side need at least {gigabytes(texts * each)}, and there are {gigabytes(there)}: "
            f"ask for far fewer than {there // each:,} at a time (--num-samples)"
        )


def gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB of memory"


def memory_size(device: torch.device) -> int | None:
    """Bytes of memory that the device has; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    if sys.platform == "win32":
        status = (ctypes.c_ulonglong * 8)()  # MEMORYSTATUSEX: two 4-byte numbers, then seven of 8 bytes
        status[0] = ctypes.sizeof(status)
        return status[1] if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container on Linux; "max" where there is none
    allowed = limit.read_text(encoding="utf-8").strip() if limit.is_file() else ""
    return min(size, int(allowed)) if allowed.isdigit() else size
