"""What this machine does best: device, precision, attention, compilation, chosen without being told."""

import contextlib
import ctypes
import importlib.util
import os
from dataclasses import dataclass
from typing import Literal

import torch

from gpt.errors import UserError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # names and numbers of glibc's malloc.h

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

    def prefers_fused_attention(self, context_length: int) -> bool:
        """Whether PyTorch's attention kernel beats the hand-written one, training with this context.

        It does, except in bfloat16 on a CPU, whose backward is slow: measured with AMX and torch 2.13, the
        hand-written one was 5.9 times faster at 64 tokens and 1.7 times at 256; at 1,024 the kernel won. A whole
        training step of `tiny` on a Zen 4 took 0.88 of the time.
        """
        return not (self.device.type == "cpu" and self.dtype == torch.bfloat16 and context_length <= 512)

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        compiled = ", compiled" if self.compile else ""
        return f"{name}{threads}, {str(self.dtype).removeprefix('torch.')}{compiled}"


def pick_machine(
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    compile: Literal["auto", "on", "off"] = "auto",
) -> Machine:
    """Choose the fastest setting that works here; each part can be overruled.

    Raises UserError for a device that this machine or this build of PyTorch does not have.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        where = torch.device(device)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError, NotImplementedError):  # torch raises any of them
        raise UserError(f"device {device!r} is not available here: try --device cpu, or leave the flag out") from None
    if where.type == "cpu":
        keep_freed_memory()
    if where.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 where products are left in float32
    dtype = best_dtype(where) if precision == "auto" else DTYPES[precision]
    if compile == "auto":  # PyTorch's compiler needs triton (not on Windows) and a GPU of compute capability 7
        can = where.type == "cuda" and importlib.util.find_spec("triton") is not None
        return Machine(where, dtype, can and torch.cuda.get_device_capability(where) >= (7, 0))
    return Machine(where, dtype, compile == "on")


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


def keep_freed_memory() -> None:
    """Let a Linux process keep the memory of freed tensors for the next ones. Elsewhere, do nothing.

    glibc gives large blocks back to the kernel as soon as they are freed, and the kernel then has to find, clear and
    map the same pages for the next tensor, over and over. Keeping them, in pages of 2 MB where possible, took 22 % off
    a training step of `tiny` on a Zen 4 and about 5 % off one of `small`; the peak rose by as much.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc: macOS, Windows, musl
        return
    mallopt(M_MMAP_MAX, 0)  # take all from the heap
    mallopt(M_TRIM_THRESHOLD, -1)  # and never shrink it
    mallopt(M_TOP_PAD, 64 << 20)  # grow it by so many bytes at least
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch then asks for large pages
