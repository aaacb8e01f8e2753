"""Sizes: the published parameter counts, to the digit, and what our own models really allocate."""

import dataclasses

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    GPTJConfig,
    GPTJForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from gpt.fast.decoder import Decoder
from gpt.inside.anatomy import FAMILY, anatomy_of, training_flops_per_token
from gpt.model import GPT, GPTConfig
from gpt.running.train_config import PRESETS

PUBLISHED = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "gpt": 116_534_784,
    # Without what its model card's 6,053,381,344 counts eight times: norms and biases, one copy for each TPU core.
    "gpt-j-6b": 6_050_882_784,
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
}
BERT_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones_to_the_digit(name):
    assert FAMILY[name].num_params() == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "published", "tolerance"),
    [
        ("gpt3-125m", 125e6, 0.01),
        ("gpt3-350m", 350e6, 0.02),
        ("gpt3-760m", 760e6, 0.01),
        ("gpt3-1.3b", 1.3e9, 0.02),
        ("gpt3-2.7b", 2.7e9, 0.02),
        ("gpt3-6.7b", 6.7e9, 0.01),
        ("gpt3-13b", 13e9, 0.02),
        ("gpt3", 175.0e9, 0.005),
    ],
)
def test_gpt3_has_the_sizes_of_its_papers_table(name, published, tolerance):
    assert FAMILY[name].num_params() == pytest.approx(published, rel=tolerance)


@pytest.mark.parametrize(
    ("name", "peer", "config"),
    [
        ("gpt", OpenAIGPTLMHeadModel, OpenAIGPTConfig()),
        ("gpt-j-6b", GPTJForCausalLM, GPTJConfig()),
        ("bert-base", BertModel, BertConfig()),
        ("bert-large", BertModel, BertConfig(**BERT_LARGE)),
        ("t5-small", T5ForConditionalGeneration, T5Config()),
        ("t5-base", T5ForConditionalGeneration, T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12)),
        ("t5-large", T5ForConditionalGeneration, T5Config(d_model=1024, d_ff=4096, num_layers=24, num_heads=16)),
    ],
)
def test_models_that_are_not_ours_count_as_transformers_builds_them(name, peer, config):
    with torch.device("meta"):
        model = peer(config)
    assert FAMILY[name].num_params() == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_every_part_of_every_preset_is_what_the_model_allocates(preset):
    config = PRESETS[preset][1].model
    with torch.device("meta"):
        model = GPT(config)
    counted = dict.fromkeys(("token embedding", "positions", "attention", "MLP", "norms", "head"), 0)
    kinds = {"wte": "token embedding", "wpe": "positions", ".attn.": "attention", ".mlp.": "MLP", "ln_": "norms"}
    for name, weight in model.named_parameters():
        counted[next(kind for key, kind in kinds.items() if key in name)] += weight.numel()
    assert anatomy_of(config).parameters() == counted


def test_gpt2s_presets_are_gpt2():
    for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"):
        assert anatomy_of(PRESETS[name][1].model) == FAMILY[name]


def test_a_third_of_the_training_operations_is_reading():
    with torch.device("meta"):
        model = GPT(GPTConfig())
    reading = sum(FAMILY["gpt2"].flops_per_token().values())
    assert 3 * reading == pytest.approx(
        training_flops_per_token(model.config), rel=0.002
    )  # PaLM's formula counts biases too


def test_the_cache_takes_what_is_said():
    config = GPTConfig(50, 16, 3, 2, 32)
    decoder = Decoder(GPT(config), 16)
    decoder.read([[1, 2, 3]])
    allocated = sum(cache.numel() * 4 for cache in decoder.caches)
    assert anatomy_of(config).memory()["cache"] == allocated
    assert anatomy_of(dataclasses.replace(config, causal=False)).memory()["cache"] == 0  # it does not generate


def test_every_part_of_t5_is_what_transformers_allocates():
    with torch.device("meta"):
        model = T5ForConditionalGeneration(T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12))
    counted = dict.fromkeys(("token embedding", "positions", "attention", "MLP", "norms", "head"), 0)
    kinds = {"shared": "token embedding", "relative_attention_bias": "positions", "layer_norm": "norms"}
    kinds |= {"Attention.": "attention", "DenseReluDense": "MLP"}
    for name, weight in model.named_parameters():
        counted[next(kind for key, kind in kinds.items() if key in name)] += weight.numel()
    assert FAMILY["t5-base"].parameters() == counted


def test_training_flops_follow_palms_convention():
    in_matrices = 124_439_808 - 1024 * 768  # positions are looked up
    assert training_flops_per_token(GPTConfig()) == 6 * in_matrices + 12 * 12 * 768 * 1024
