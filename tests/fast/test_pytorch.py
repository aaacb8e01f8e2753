"""PyTorch's memory: kept where the C library is glibc, left alone elsewhere."""

import ctypes
import os

import pytest

from gpt.fast.pytorch import keep_freed_memory


def test_memory_is_kept_where_the_c_library_is_glibc(monkeypatch):
    calls = []

    class Glibc:
        def mallopt(self, option, value):
            calls.append((option, value))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Glibc())
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    keep_freed_memory()
    assert len(calls) == 3
    assert dict(calls)[-4] == 0  # M_MMAP_MAX in glibc's malloc.h


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_other_c_libraries_are_left_alone(monkeypatch, error):
    def refuse(name):
        raise error  # what ctypes raises on Windows (TypeError) and where there is no mallopt

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    keep_freed_memory()
    assert "THP_MEM_ALLOC_ENABLE" not in os.environ
