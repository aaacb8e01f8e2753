"""PyTorch's own start-up and memory, tuned: its optimizers without its compiler, and freed memory that is kept."""

import ctypes
import inspect
import os

from torch.optim import Optimizer

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # names and numbers of glibc's malloc.h


class Uncompiled(Optimizer):
    """A base for optimizers whose methods do not know PyTorch's compiler.

    Most methods of `torch.optim` import `torch._dynamo`, and with it sympy and hundreds of other modules, only to mark
    themselves as not to be compiled. That takes 1.2 s and 70 MB, while a whole training may take ten seconds. We never
    compile an optimizer, so these are the same methods without that wrapping.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


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
