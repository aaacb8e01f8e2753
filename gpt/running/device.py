"""What this machine does best: device, precision, compilation, chosen automatically."""

import contextlib
import importlib.util
import os
from dataclasses import dataclass
from typing import Literal

import torch

from gpt.errors import UserError
from gpt.fast.neighbours import watch_neighbours
from gpt.fast.pytorch import keep_freed_memory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """Where to compute, and how. Weights stay in float32; `dtype` is what matrix products are made in."""

    device: torch.device
    dtype: torch.dtype
    compile: bool

    def autocast(self) -> contextlib.AbstractContextManager:
        """Inside it, matrix products run in `dtype` (mixed precision, Micikevicius et al. 2018)."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        compiled = ", compiled" if self.compile else ""
        return f"{name}{threads}, {str(self.dtype).removeprefix('torch.')}{compiled}"


def pick_machine(
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    compile: Literal["auto", "on", "off"] = "auto",
    plain: bool = False,
) -> Machine:
    """Choose the fastest setting that works here; each part can be overruled. plain: "auto" means float32, uncompiled.

    Raises UserError for a device that this machine or this build of PyTorch does not have.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        where = torch.device(device)
        torch.zeros(1, device=where).item()
    except (RuntimeError, AssertionError, NotImplementedError):  # torch raises any of them
        raise UserError(f"device {device!r} is not available here: try --device cpu, or leave the flag out") from None
    if where.type == "cpu" and not plain:
        keep_freed_memory()  # before anything is allocated: weights in large pages are read faster
        watch_neighbours()  # other programs on the same cores would slow it tenfold
    if where.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 where products are left in float32
    dtype = DTYPES[precision] if precision != "auto" else torch.float32 if plain else best_dtype(where)
    if compile == "auto" and not plain:  # the compiler needs triton (not on Windows) and a GPU of compute capability 7
        can = where.type == "cuda" and importlib.util.find_spec("triton") is not None
        return Machine(where, dtype, can and torch.cuda.get_device_capability(where) >= (7, 0))
    return Machine(where, dtype, compile == "on")


def use_threads(threads: int | None) -> None:
    """Compute with so many CPU threads, or as many as PyTorch likes. Raises UserError where that is out of reason:
    OpenMP ends the process if it cannot start them all."""
    most = max(64, 4 * (os.cpu_count() or 1))
    if threads is not None:
        if not 1 <= threads <= most:
            raise UserError(f"threads is {threads}: it must be from 1 to {most} on this machine")
        torch.set_num_threads(threads)


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float16 on a GPU (with scaled gradients), else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if device.type == "cpu":
        # Whole training steps took 1/2.9 of float32's time with AMX, 1/1.6 to 1/1.9 on a Zen 4 with AVX512_BF16;
        # CPUs with neither emulate bfloat16 and are slower with it. The checks are PyTorch's own, but not public.
        checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return torch.bfloat16 if any(check and check() for check in checks) else torch.float32
    return torch.float32
