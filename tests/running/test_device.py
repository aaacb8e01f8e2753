"""What the machine is asked for follows what it says it can do; no hardware is needed to check that."""

import ctypes
import os

import pytest
import torch

from gpt.running.device import Machine, best_dtype, keep_freed_memory, pick_machine

CPU = torch.device("cpu")


@pytest.mark.parametrize(("amx", "avx512_bf16"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions_for_it(monkeypatch, amx, avx512_bf16):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)
    assert best_dtype(CPU) == (torch.bfloat16 if amx or avx512_bf16 else torch.float32)


def test_a_pytorch_that_cannot_say_what_the_cpu_has_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert best_dtype(CPU) == torch.float32


def test_the_precision_that_is_asked_for_is_the_one_that_is_used():
    for name in ("float32", "bfloat16", "float16"):
        assert pick_machine("cpu", name).dtype == getattr(torch, name)


def test_only_bfloat16_on_a_cpu_with_short_contexts_attends_by_hand():
    by_hand = Machine(CPU, torch.bfloat16, compile=False)
    assert not by_hand.prefers_fused_attention(256)
    assert by_hand.prefers_fused_attention(1024)
    assert Machine(CPU, torch.float32, compile=False).prefers_fused_attention(256)
    assert Machine(torch.device("cuda"), torch.bfloat16, compile=False).prefers_fused_attention(256)


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
