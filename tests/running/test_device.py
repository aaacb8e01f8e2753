"""What the machine is asked for follows what it says it can do; no hardware is needed to check that."""

import pytest
import torch

from gpt.running import device
from gpt.running.device import best_dtype, pick_machine

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


def test_a_plain_run_computes_in_float32_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert pick_machine("cpu").dtype == torch.bfloat16
    assert pick_machine("cpu", plain=True).dtype == torch.float32
    assert pick_machine("cpu", "bfloat16", plain=True).dtype == torch.bfloat16


def test_a_fast_run_keeps_freed_memory_and_a_plain_one_does_not(monkeypatch):
    calls = []
    monkeypatch.setattr(device, "keep_freed_memory", lambda: calls.append("kept"))
    pick_machine("cpu", plain=True)
    assert calls == []
    pick_machine("cpu")
    assert calls == ["kept"]
