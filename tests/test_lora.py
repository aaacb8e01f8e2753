"""LoRA: the pretrained function to begin with, a plain model in the end, and only the thin matrices in between."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.adapters import load_adapter, save_adapter, trained_weights
from gpt.finetuning.labelling import classify
from gpt.finetuning.method_config import LoraConfig
from gpt.finetuning.saved import save_classifier
from gpt.lora import LoraLinear, add_lora, merge_lora
from tests.helpers import label_net, random_model, stir
from tests.test_classifier import CPU, LABELS, random_texts

EVERYWHERE = LoraConfig(rank=4, alpha=8, targets=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"))
TEXTS = random_texts([3, 17, 32, 8])


def add_everywhere(model):
    add_lora(model.transformer, EVERYWHERE.rank, EVERYWHERE.alpha, EVERYWHERE.targets)


@pytest.fixture
def plain(model):
    """A classifier on a random model, before LoRA."""
    return label_net(model, LABELS)


def test_lora_starts_at_exactly_the_pretrained_function(plain):
    before = classify(plain, TEXTS, CPU)
    add_everywhere(plain)
    assert torch.equal(classify(plain, TEXTS, CPU), before)


def test_merged_and_unmerged_answers_agree(plain):
    before = classify(plain, TEXTS, CPU)
    add_everywhere(plain)
    stir(plain, 0.1)
    apart = classify(plain, TEXTS, CPU)
    merged = merge_lora(plain)
    assert (apart - before).abs().max() > 0.1
    assert not any(isinstance(module, LoraLinear) for module in merged.modules())
    assert (classify(merged, TEXTS, CPU) - apart).abs().max() <= 1e-5 * max(1.0, float(apart.abs().max()))
    assert any(isinstance(module, LoraLinear) for module in plain.modules()), "merging works on a copy"


def test_lora_on_every_matrix_can_be_sped_up(plain):
    add_everywhere(plain)
    stir(plain, 0.1)
    before = classify(plain, TEXTS, CPU)
    speed_up(plain, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(classify(plain, TEXTS, CPU), before, atol=1e-4, rtol=1e-4)


def test_a_lora_layer_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    linear = torch.nn.Linear(6, 10)
    layer = LoraLinear(linear, rank=2, alpha=6.0)
    torch.nn.init.normal_(layer.lora_b)
    x = torch.randn(3, 6)
    weight = linear.weight + 3.0 * layer.lora_b @ layer.lora_a
    torch.testing.assert_close(layer(x), x @ weight.T + linear.bias)


def test_only_the_thin_matrices_the_last_norm_and_the_head_are_trained(plain):
    body = {name: weight.clone() for name, weight in plain.state_dict().items()}
    add_lora(plain.transformer, 4, 16.0, ("attn.c_attn",))
    trained = {name for name, weight in plain.named_parameters() if weight.requires_grad}
    C, n_layer = plain.config.n_embd, plain.config.n_layer
    assert len(trained) == 2 * n_layer + 2 + 1
    count = sum(weight.numel() for weight in plain.parameters() if weight.requires_grad)
    assert count == n_layer * 4 * (C + 3 * C) + 2 * C + 3 * C

    optimizer = torch.optim.AdamW([w for w in plain.parameters() if w.requires_grad], lr=0.1)
    plain(torch.tensor([TEXTS[0]]), torch.tensor([3])).square().sum().backward()
    optimizer.step()
    after = {name.replace(".linear.", "."): weight for name, weight in plain.state_dict().items()}
    moved = {name for name, weight in body.items() if not torch.equal(weight, after[name])}
    assert moved and all(name.startswith(("score.", "transformer.ln_f.")) for name in moved)


@pytest.fixture
def saved(model, plain, corpus, tmp_path):
    """(A model that LoRA has changed, the folder of its base, the folder of its adapter)."""
    tokenizer = load_tokenizer(corpus)
    save_model(model, tokenizer, tmp_path / "base")
    add_everywhere(plain)
    stir(plain, 0.1)
    save_adapter(plain, EVERYWHERE, tmp_path / "base", tokenizer, tmp_path / "adapter")
    return plain, tmp_path / "base", tmp_path / "adapter"


def test_an_adapter_loads_back_with_the_same_bits(saved):
    model, _, adapter = saved
    loaded = load_adapter(adapter)
    assert loaded.labels == LABELS
    assert torch.equal(classify(loaded, TEXTS, CPU), classify(model, TEXTS, CPU))


def test_an_adapter_is_much_smaller_than_the_model(saved, corpus, tmp_path):
    model, _, adapter = saved
    save_classifier(merge_lora(model), load_tokenizer(corpus), tmp_path / "whole")
    sizes = [
        (folder.stat().st_size)
        for folder in (adapter / "adapter_model.safetensors", tmp_path / "whole/model.safetensors")
    ]
    assert sizes[0] < 0.2 * sizes[1]


def test_an_adapter_for_another_model_is_refused(saved, corpus):
    _, base, adapter = saved
    save_model(random_model("rotary", seed=5), load_tokenizer(corpus), base)
    with pytest.raises(UserError, match="for another model"):
        load_adapter(adapter)
    shutil.rmtree(base)
    with pytest.raises(UserError, match="not there"):
        load_adapter(adapter)


def test_an_adapter_follows_its_model_to_another_folder(saved, tmp_path):
    model, base, adapter = saved
    base.rename(tmp_path / "moved")
    loaded = load_adapter(adapter, base=tmp_path / "moved")
    assert torch.equal(classify(loaded, TEXTS, CPU), classify(model, TEXTS, CPU))


def test_an_adapter_finds_its_model_from_any_folder_and_when_both_have_moved(saved, tmp_path, monkeypatch):
    model, base, adapter = saved
    (tmp_path / "elsewhere").mkdir()
    for folder in (base, adapter):
        folder.rename(tmp_path / "elsewhere" / folder.name)
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = load_adapter(Path(adapter.name))
    assert torch.equal(classify(loaded, TEXTS, CPU), classify(model, TEXTS, CPU))


@pytest.mark.parametrize("name", ["adapter.json", "adapter_config.json", "adapter_model.safetensors"])
def test_a_damaged_adapter_is_refused(saved, name):
    _, _, adapter = saved
    for content in (b"", b"{", b"[]", b'{"base": 3}', (adapter / name).read_bytes()[:-9], b"\xff\xfe"):
        (adapter / name).write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            load_adapter(adapter)


def test_an_adapter_that_lacks_a_matrix_is_refused(saved):
    _, _, adapter = saved
    learned = load_file(adapter / "adapter_model.safetensors")
    learned.pop(next(name for name in learned if "lora_B" in name))
    save_file(learned, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="does not fit"):
        load_adapter(adapter)


def test_an_adapter_of_an_earlier_version_still_loads(saved):
    """It held adapter.json with LoRA's settings, and the weights under our names in adapter.safetensors."""
    model, _, adapter = saved
    about = json.loads((adapter / "adapter.json").read_text(encoding="utf-8"))
    del about["method"], about["kind"]
    about |= {"rank": EVERYWHERE.rank, "alpha": EVERYWHERE.alpha, "targets": EVERYWHERE.targets}
    for path in adapter.glob("adapter*"):
        path.unlink()
    (adapter / "adapter.json").write_text(json.dumps(about), encoding="utf-8")
    save_file(trained_weights(model), adapter / "adapter.safetensors")
    assert torch.equal(classify(load_adapter(adapter), TEXTS, CPU), classify(model, TEXTS, CPU))
    (adapter / "adapter.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="damaged"):
        load_adapter(adapter)
