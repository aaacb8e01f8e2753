"""Adapters are peft's: it loads ours and computes the same, and what it saves loads here."""

import json
import shutil
import warnings

import pytest
import torch
import torch.nn.functional as F

from gpt.classifier import GPTClassifier, pad
from gpt.errors import UserError
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.adapters import load_adapter, save_adapter
from gpt.finetuning.method_config import LoraConfig
from gpt.finetuning.methods import adapt
from gpt.finetuning.saved import kind_of
from gpt.finetuning.tagger import GPTTagger
from gpt.model import GPT
from tests.finetuning.test_methods import METHODS
from tests.helpers import label_net, masked_model, random_model, stir
from tests.test_classifier import LABELS, random_texts

AUTO = {
    "labels": "AutoModelForSequenceClassification",
    "tags": "AutoModelForTokenClassification",
    "answers": "AutoModelForCausalLM",
}
SETTINGS = METHODS | {"lora": LoraConfig(4, 8, ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"))}
TEXTS = random_texts([3, 17, 25, 8])


def net_for(kind, model):
    if kind == "answers":
        return model
    return label_net(model, LABELS, GPTTagger if kind == "tags" else GPTClassifier, seed=3)


def outputs_of(net, tokens, lengths):
    """Our outputs, without those at the padding."""
    with torch.no_grad():
        if isinstance(net, GPTClassifier):
            return net(tokens, lengths)
        return torch.cat([row[:length] for row, length in zip(net(tokens), lengths, strict=True)])


def their_base(kind, folder):
    import transformers

    labels = {} if kind == "answers" else {"num_labels": len(LABELS), "pad_token_id": 299}
    return getattr(transformers, AUTO[kind]).from_pretrained(folder, **labels).eval()


def their_outputs(model, kind, tokens, lengths):
    mask = torch.arange(tokens.size(1)) < lengths[:, None]
    inputs = {"input_ids": tokens, "attention_mask": mask.long()}
    with torch.no_grad():
        if model.active_peft_config.is_prompt_learning and kind != "answers":
            # peft 0.21's forward for labels looks for the argument past_key_values, which `transformers` 5.24 calls
            # cache, and refuses every prefix. What it would do is this.
            prefix = model.get_prompt(len(tokens))
            inputs["attention_mask"] = F.pad(mask.long(), (model.active_peft_config.num_virtual_tokens, 0), value=1)
            logits = model.base_model(**inputs, past_key_values=prefix).logits
        else:
            logits = model(**inputs).logits
    return logits if kind == "labels" else logits[mask]


@pytest.fixture
def base(model, corpus, tmp_path):
    save_model(model, load_tokenizer(corpus), tmp_path / "base")
    return tmp_path / "base"


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:The following rank_pattern keys")  # peft's own
@pytest.mark.parametrize("kind", AUTO)
@pytest.mark.parametrize("method", ["lora", "adalora", "prefix"])
def test_peft_loads_our_adapter_and_computes_the_same(base, method, kind, corpus, tmp_path):
    from peft import PeftModel

    net = net_for(kind, load_model(base))
    adapt(net, SETTINGS[method])
    stir(net)
    if method == "adalora":
        with torch.no_grad():
            net.transformer.h[1].mlp.c_fc.lora_e[:4] = 0  # as if pruned
            net.transformer.h[0].attn.c_attn.lora_e.zero_()
    save_adapter(net, SETTINGS[method], base, load_tokenizer(corpus), tmp_path / "adapter")
    tokens, lengths = pad(TEXTS, 299)
    ours = outputs_of(net, tokens, lengths)
    assert torch.equal(outputs_of(load_adapter(tmp_path / "adapter"), tokens, lengths), ours)
    assert kind_of(tmp_path / "adapter") == kind

    theirs = PeftModel.from_pretrained(their_base(kind, base), tmp_path / "adapter").eval()
    torch.testing.assert_close(their_outputs(theirs, kind, tokens, lengths), ours, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", AUTO)
def test_lora_that_peft_saved_loads_here(base, kind, tmp_path):
    import peft

    theirs = their_base(kind, base)
    names = ["c_attn", "c_proj"] if theirs.config.model_type == "gpt2" else ["query_key_value", "dense"]
    task = {"labels": "SEQ_CLS", "tags": "TOKEN_CLS", "answers": "CAUSAL_LM"}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft sets fan_in_fan_out itself
        theirs = peft.get_peft_model(theirs, peft.LoraConfig(task_type=task, r=3, lora_alpha=5, target_modules=names))
    theirs = stir(theirs).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    net = load_adapter(tmp_path / "theirs")
    tokens, lengths = pad(TEXTS, 299)
    torch.testing.assert_close(
        outputs_of(net, tokens, lengths), their_outputs(theirs, kind, tokens, lengths), atol=1e-4, rtol=1e-4
    )
    assert kind_of(tmp_path / "theirs") == kind
    assert isinstance(net, GPT) or net.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", AUTO)
def test_an_adapter_loads_back_with_the_same_bits(base, method, kind, corpus, tmp_path):
    net = net_for(kind, load_model(base))
    adapt(net, METHODS[method])
    save_adapter(stir(net), METHODS[method], base, load_tokenizer(corpus), tmp_path / "adapter", room=7)
    tokens, lengths = pad(TEXTS, 299)
    loaded = load_adapter(tmp_path / "adapter")
    assert torch.equal(outputs_of(loaded, tokens, lengths), outputs_of(net, tokens, lengths))
    assert isinstance(loaded, GPT) or loaded.labels == LABELS
    assert (tmp_path / "adapter/adapter_config.json").is_file() == (method not in ("bias", "adapter"))
    size = (tmp_path / "adapter/adapter_model.safetensors").stat().st_size
    assert size < 0.3 * (base / "model.safetensors").stat().st_size


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_prefix_of_a_masked_model_loads_back(position, corpus, tmp_path):
    tokenizer = load_tokenizer(corpus)
    save_model(masked_model(position, tokenizer.vocab_size + 2), tokenizer, tmp_path / "base")
    net = net_for("tags", load_model(tmp_path / "base"))
    adapt(net, METHODS["prefix"])
    save_adapter(stir(net), METHODS["prefix"], tmp_path / "base", tokenizer, tmp_path / "adapter")
    tokens, lengths = pad(TEXTS, net.config.vocab_size - 1)
    loaded = load_adapter(tmp_path / "adapter")
    assert torch.equal(outputs_of(loaded, tokens, lengths), outputs_of(net, tokens, lengths))


@pytest.mark.parametrize("method", METHODS)
def test_a_damaged_or_foreign_adapter_is_refused(method, corpus, tmp_path):
    tokenizer = load_tokenizer(corpus)
    save_model(random_model("rotary"), tokenizer, tmp_path / "base")
    net = net_for("labels", load_model(tmp_path / "base"))
    adapt(net, METHODS[method])
    save_adapter(stir(net), METHODS[method], tmp_path / "base", tokenizer, tmp_path / "whole")
    for path in sorted((tmp_path / "whole").glob("adapter*")):
        content = path.read_bytes()
        for half in (b"", content[: len(content) // 2], b"[1]", b"\xff\xfe{}"):
            shutil.copytree(tmp_path / "whole", tmp_path / "half", dirs_exist_ok=True)
            (tmp_path / "half" / path.name).write_bytes(half)
            with pytest.raises(UserError, match="damaged"):
                load_adapter(tmp_path / "half")
    save_model(random_model("rotary", seed=5), tokenizer, tmp_path / "base")
    with pytest.raises(UserError, match="for another model"):
        load_adapter(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "of type IA3"),
        ({"use_dora": True}, "use_dora = True"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"r": 5}, "does not fit"),
        ({"r": "many"}, "damaged"),
        ({"r": 100}, "above the model's width"),
    ],
)
def test_what_peft_can_and_we_cannot_is_refused_in_one_line(base, change, message, corpus, tmp_path):
    net = net_for("labels", load_model(base))
    adapt(net, SETTINGS["lora"])
    save_adapter(net, SETTINGS["lora"], base, load_tokenizer(corpus), tmp_path / "adapter")
    path = tmp_path / "adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        load_adapter(tmp_path / "adapter")
    assert "\n" not in str(error.value)
