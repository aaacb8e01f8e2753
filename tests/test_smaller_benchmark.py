"""python -m benchmarks.smaller: what it makes of a model, and that it goes on where it was stopped."""

import dataclasses
import json

import pytest
import torch

from benchmarks import smaller
from benchmarks.few_bits import GROUP, round_matrices, rounded_in_groups
from data.prepare import PrepareConfig, prepare
from data.world.writing import write_stories
from gpt.errors import UserError
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from tests.helpers import random_model


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_no_weight_moves_by_more_than_half_a_step_of_its_group(bits):
    weight = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    rounded = rounded_in_groups(weight, bits)
    steps = weight.view(40, -1, GROUP).abs().amax(2, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((rounded - weight).view(40, -1, GROUP).abs() <= steps * 0.5001).all()
    values = [len(group.unique()) for group in (rounded.view(40, -1, GROUP) / steps).round().flatten(0, 1)]
    assert max(values) <= 2**bits - 1


def test_fewer_bits_are_fewer_bytes_and_embedding_and_head_stay_one_matrix(model):
    numel = model.num_params()
    size = round_matrices(model, 4)
    assert 4.5 / 8 * numel < size < numel  # norms, biases and positions stay as they are
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(smaller, "LONGEST_STORY", 40)
    text = tmp_path / "stories.jsonl"
    write_stories(text, language="en", megabytes=0.2)
    prepare(PrepareConfig((text,), tmp_path / "tokens", 400, val_fraction=0.1))
    tokenizer = load_tokenizer(tmp_path / "tokens")
    save_model(random_model("learned", tokenizer.vocab_size), tokenizer, tmp_path / "model")
    return smaller.SmallerConfig(
        tmp_path / "model", tmp_path / "tokens", tmp_path / "out", fractions=(0.5,), bits=(4,), thresholds=(0.01,),
        steps=2, tokens=500, stories=2,
    )  # fmt: skip


def test_every_variant_is_measured_once_and_drawn_and_mistakes_are_one_line(config, corpus, monkeypatch, pictures):
    printed = smaller.compare(config)
    results = json.loads((config.out / "results.json").read_text(encoding="utf-8"))["results"]
    assert list(results) == [
        "float32", "int8", "4 bits", "0 % zeros, trained", "50 % zeros", "50 % zeros, trained",
        "without 3 of 12 heads", "without 6 of 12 heads", "without 9 of 12 heads",
        *(name for name in results if name.startswith("without block")), "leaves at 0.01",
    ]  # fmt: skip
    assert printed.count("\n") == len(results) + 2 and (config.out / "smaller.png").stat().st_size > 10_000
    assert results["int8"]["bytes"] < 0.4 * results["float32"]["bytes"]
    assert results["50 % zeros"]["zipped"] < 0.9 * results["float32"]["zipped"]
    assert (results["leaves at 0.01"]["depth"], results["float32"]["depth"]) == (1, 3)
    assert [m["depth"] for name, m in results.items() if name.startswith("without block")] == [2, 2, 1, 1]

    monkeypatch.setattr(smaller, "measure", None)  # nothing is left to be measured
    assert smaller.compare(config) == printed
    with pytest.raises(UserError, match="of other settings: choose another --out"):
        smaller.compare(dataclasses.replace(config, stories=3))
    with pytest.raises(UserError, match="no stories of the toy world"):
        smaller.compare(dataclasses.replace(config, data=corpus))
