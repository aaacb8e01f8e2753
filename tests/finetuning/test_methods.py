"""Each way to adapt a model is the formula of its paper, and starts where it should."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.fast.layers import FastAttention
from gpt.fast.speed_up import speed_up
from gpt.finetuning import adalora
from gpt.finetuning.adalora import SVDLinear, budget, distance_from_orthogonal, keep_most_important, measure_importance
from gpt.finetuning.bottleneck import Bottleneck
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.labelling import classify
from gpt.finetuning.method_config import AdaloraConfig, AdapterConfig, LoraConfig, PrefixConfig
from gpt.finetuning.methods import adapt, merged
from gpt.finetuning.tagger import GPTTagger
from gpt.finetuning.trainable import build_finetuning_optimizers, choose_weights, count_weights
from gpt.generate import generate
from gpt.model import GPT, GPTConfig, rotate
from gpt.sampling import Sampling
from tests.helpers import GREEDY, label_net, masked_model, random_model, run_batch, stir, tokens_of
from tests.test_classifier import CPU, LABELS, random_texts

METHODS = {
    "bias": None,
    "lora": LoraConfig(4),
    "adalora": AdaloraConfig(6, 4),
    "adapter": AdapterConfig(4),
    "prefix": PrefixConfig(5),
}
TEXTS = random_texts([3, 17, 25, 8])
TINY = GPTConfig(2048, 176, 3, 4, 128, position="rotary")  # the net of train.py tiny


@pytest.mark.parametrize("method", [method for method in METHODS if method != "prefix"])
def test_a_method_starts_at_exactly_the_pretrained_function(model, method):
    net = label_net(model, LABELS)
    before = classify(net, TEXTS, CPU)
    adapt(net, METHODS[method])
    assert torch.equal(classify(net, TEXTS, CPU), before)
    assert (classify(stir(net), TEXTS, CPU) - before).abs().max() > 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # each has its own twin of attention
def test_an_adapted_model_and_its_fast_twins_agree(model, method, dtype):
    net = label_net(model, LABELS)
    adapt(net, METHODS[method])
    before = classify(stir(net), TEXTS, CPU)
    speed_up(net, torch.device("cpu"), dtype)
    torch.testing.assert_close(classify(net, TEXTS, CPU), before, atol=1e-4, rtol=1e-4)
    assert isinstance(net.transformer.h[0].attn, FastAttention)


@pytest.mark.parametrize("method", ["bias", "lora", "adalora"])
def test_what_can_be_merged_becomes_a_plain_model_with_the_same_answers(model, method):
    net = label_net(model, LABELS)
    adapt(net, METHODS[method])
    before = classify(stir(net), TEXTS, CPU)
    plain = merged(net)
    assert plain.state_dict().keys() == label_net(model, LABELS).state_dict().keys()
    torch.testing.assert_close(classify(plain, TEXTS, CPU), before, atol=1e-4, rtol=1e-4)


def test_a_model_without_low_ranks_is_not_copied_to_be_merged(model):
    net = label_net(model, LABELS)
    adapt(net, METHODS["adapter"])
    assert merged(net) is net


@pytest.mark.parametrize("net_class", [GPT, GPTClassifier, GPTTagger])
def test_bitfit_trains_bias_vectors_and_the_head_alone(net_class):
    config = GPTConfig(300, 32, 2, 2, 16)
    net = net_class(config) if net_class is GPT else net_class(config, LABELS)
    adapt(net, None)
    trained = {name for name, weight in net.named_parameters() if weight.requires_grad}
    of_body = {name for name in trained if name.startswith("transformer.")}
    assert len(of_body) == 2 * 6 + 1 and all(name.endswith(".bias") for name in of_body)
    assert trained - of_body == {
        GPT: set(), GPTClassifier: {"score.weight"}, GPTTagger: {"classifier.weight", "classifier.bias"},
    }[net_class]  # fmt: skip


def test_an_adapter_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    layer = stir(Bottleneck(torch.nn.Linear(6, 10), width=3))
    x = torch.randn(4, 6)
    h = layer.linear(x)
    narrow = F.gelu(h @ layer.down.weight.T + layer.down.bias, approximate="tanh")
    torch.testing.assert_close(layer(x), h + narrow @ layer.up.weight.T + layer.up.bias)


def test_adapters_stand_within_the_residual_connections_of_each_block(model):
    net = label_net(model, LABELS)
    adapt(net, METHODS["adapter"])
    block, x = stir(net).transformer.h[1], torch.randn(2, 7, 64)
    after_attention = x + block.attn(block.ln_1(x))
    h = block.mlp.c_proj.linear(block.mlp.gelu(block.mlp.c_fc(block.ln_2(after_attention))))
    adapter = block.mlp.c_proj
    torch.testing.assert_close(block(x), after_attention + h + adapter.up(adapter.gelu(adapter.down(h))))
    assert {id(w) for w in net.parameters() if w.requires_grad} == {
        id(w) for name, w in net.named_parameters()
        if ".down." in name or ".up." in name or ".ln_" in name or name == "score.weight"
    }  # fmt: skip


def test_a_prefix_is_the_formula_of_the_paper():
    """With learned positions, where nothing turns: softmax(q [P_K; K]ᵀ / √hs) [P_V; V], head by head."""
    net = label_net(random_model("learned"), LABELS)
    adapt(net, METHODS["prefix"])
    attention = stir(net).transformer.h[0].attn
    x = torch.randn(1, 4, 64)
    q, k, v = attention.c_attn(x)[0].split(64, dim=-1)
    heads = []
    for head in range(4):
        own = slice(16 * head, 16 * head + 16)
        keys = torch.cat((attention.prefix[0, head], k[:, own]))  # (5 + 4, 16)
        values = torch.cat((attention.prefix[1, head], v[:, own]))
        rows = []
        for t in range(4):
            scores = keys[: 5 + t + 1] @ q[t, own] / math.sqrt(16)  # all of the prefix, and the text up to here
            rows.append(scores.softmax(0) @ values[: 5 + t + 1])
        heads.append(torch.stack(rows))
    torch.testing.assert_close(attention(x)[0], attention.c_proj(torch.cat(heads, 1)), atol=1e-4, rtol=1e-4)


def test_a_prefix_of_what_the_model_computes_for_tokens_stands_for_these_tokens(model):
    """The keys and values of five real tokens, as a cache would hold them, are as good as the tokens themselves."""
    tokens = torch.randint(1, 290, (1, 20))
    expected = model(tokens)[:, 5:]
    found: list[torch.Tensor] = []

    def note(attention, inputs):
        _, k, v = (part.view(1, -1, 4, 16).transpose(1, 2) for part in attention.c_attn(inputs[0]).split(64, dim=-1))
        found.append(torch.stack((rotate(k) if attention.rotary else k, v))[:, 0])

    for block in model.transformer.h:
        block.attn.register_forward_pre_hook(note)
    with torch.no_grad():
        model(tokens[:, :5])
    for block in model.transformer.h:
        block.attn._forward_pre_hooks.clear()
    adapt(model, METHODS["prefix"])
    with torch.no_grad():
        for block, prefix in zip(model.transformer.h, found, strict=True):
            block.attn.prefix.copy_(prefix)
        torch.testing.assert_close(model(tokens[:, 5:]), expected, atol=1e-3, rtol=1e-3)
        speed_up(model, torch.device("cpu"), torch.float32)
        torch.testing.assert_close(model(tokens[:, 5:]), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_padding_changes_nothing_after_a_prefix(position, kind):
    net = label_net(random_model(position) if kind == "causal" else masked_model(position), LABELS)
    adapt(net, METHODS["prefix"])
    stir(net)
    together = classify(net, TEXTS, CPU)
    alone = torch.cat([classify(net, [text], CPU) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    speed_up(net, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(classify(net, TEXTS, CPU), together, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_an_adapted_model_writes_the_same_with_a_cache(model, method):
    """Also where the context is full, and from its own generator."""
    adapt(model, METHODS[method])
    stir(model)
    prompts, room = [[1, 2, 3], [7] * 17, [250]], 30
    for sampling in (GREEDY, Sampling(temperature=0.8)):
        together = run_batch(model, prompts, [5, 6, 7], room, sampling)
        alone = [run_batch(model, [p], [s], room, sampling)[0] for p, s in zip(prompts, (5, 6, 7), strict=True)]
        plain = [
            list(generate(model, prompt, room, seed, temperature=sampling.temperature))
            for prompt, seed in zip(prompts, (5, 6, 7), strict=True)
        ]
        assert [tokens_of(row) for row in together] == [tokens_of(row) for row in alone] == plain


def test_a_prefix_takes_its_places_from_the_context(model):
    adapt(model, METHODS["prefix"])
    model(torch.zeros(1, 27, dtype=torch.long))
    with pytest.raises(UserError, match="28 tokens do not fit"):
        model(torch.zeros(1, 28, dtype=torch.long))
    with pytest.raises(UserError, match="leaves no room"):
        adapt(random_model("rotary"), PrefixConfig(31))


def test_a_layer_of_adalora_is_the_formula_of_the_paper(model):
    net = label_net(model, LABELS)
    adapt(net, METHODS["adalora"])
    layer, x = stir(net).transformer.h[0].mlp.c_fc, torch.randn(3, 64)
    weight = layer.linear.weight + 16 / 6 * layer.lora_b @ layer.lora_e.diag() @ layer.lora_a
    torch.testing.assert_close(layer(x), x @ weight.T + layer.linear.bias, atol=1e-4, rtol=1e-4)
    eye = torch.eye(6)
    layers = [part for part in net.modules() if isinstance(part, SVDLinear)]
    penalty = sum((p.lora_b.T @ p.lora_b - eye).norm() ** 2 + (p.lora_a @ p.lora_a.T - eye).norm() ** 2 for p in layers)
    torch.testing.assert_close(distance_from_orthogonal(net), penalty)
    assert len(layers) == 6


def test_the_budget_is_whole_then_shrinks_and_then_stays():
    budgets = [budget(step, 1000, 72, 48) for step in range(1001)]
    assert budgets[:101] == [72] * 101 and budgets[500:] == [48] * 501
    assert budgets == sorted(budgets, reverse=True) and budgets[300] == 48 + 24 // 8


def test_importance_is_the_formula_of_the_paper_and_decides_which_triplets_stay(model, monkeypatch):
    net = label_net(model, LABELS)
    adapt(net, METHODS["adalora"])
    stir(net)
    layers = [part for part in net.modules() if isinstance(part, SVDLinear)]
    means = {(i, n): 0.0 for i in range(6) for n in ("lora_a", "lora_b", "lora_e")}
    spreads = dict(means)
    for step in range(3):
        for layer in layers:
            for name in ("lora_a", "lora_b", "lora_e"):
                getattr(layer, name).grad = torch.randn_like(getattr(layer, name))
        for i, name in means:
            change = (getattr(layers[i], name) * getattr(layers[i], name).grad).abs()
            means[i, name] = 0.85 * means[i, name] + 0.15 * change
            spreads[i, name] = 0.85 * spreads[i, name] + 0.15 * (change - means[i, name]).abs()
            getattr(layers[i], name).grad *= 1024  # as float16 scales them
        measure_importance(net, step, 100, scale=1024)
    wanted = torch.stack([
        means[i, "lora_e"] * spreads[i, "lora_e"]
        + (means[i, "lora_b"] * spreads[i, "lora_b"]).mean(0)
        + (means[i, "lora_a"] * spreads[i, "lora_a"]).mean(1)
        for i in range(6)
    ])  # fmt: skip
    torch.testing.assert_close(torch.stack([layer.importance() for layer in layers]), wanted)
    measure_importance(net, 50, 100, scale=1)  # settled: nothing is measured any more
    torch.testing.assert_close(torch.stack([layer.importance() for layer in layers]), wanted)
    monkeypatch.setattr(adalora, "budget", lambda *_: 10)
    keep_most_important(net, 60, 100, 4)
    kept = torch.stack([layer.lora_e != 0 for layer in layers])
    assert kept.sum() == 10 and wanted[kept].min() > wanted[~kept].max()


@pytest.mark.parametrize("method", ["bias", "adapter", "prefix"])
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_by_default_less_than_three_percent_of_tiny_is_trained(method, position):
    net = GPTClassifier(dataclasses.replace(TINY, position=position), ("bad", "good"))
    choose_weights(net, FinetuneConfig(train=method))
    trained, total = count_weights(net)
    assert 0 < trained < 0.03 * total


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_trained_weight_has_an_optimizer_and_moves(model, method, optimizer):
    net = label_net(model, LABELS)
    config = FinetuneConfig(train=method, optimizer=optimizer, prefix=PrefixConfig(5))
    choose_weights(net, config)
    optimizers = build_finetuning_optimizers(stir(net), config, {})
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    net(torch.tensor([TEXTS[1]]), torch.tensor([17])).square().sum().backward()
    for one in optimizers:
        one.step()
    moved = {name for name, weight in net.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == {name for name, weight in net.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (LoraConfig(65), "lora: a rank of 65 is above the model's width of 64"),
        (AdaloraConfig(65, 8), "adalora: a first rank of 65"),
        (AdapterConfig(65), "adapter: a width of 65"),
    ],
)
def test_more_than_the_model_is_wide_is_refused(model, settings, message):
    with pytest.raises(UserError, match=message):
        adapt(model, settings)
