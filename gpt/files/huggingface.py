"""The file layouts of GPT-2 and GPT-NeoX: the names of settings and weights in `transformers`.

Learned positions use GPT-2's layout, rotary positions GPT-NeoX's. This file only renames and reshapes.

A masked language model has the same layout with "is_causal": false. From version 5.4 on, `transformers` obeys that
setting in eager and in sdpa attention, so AutoModel.from_pretrained(folder) is right; older versions silently hide what
comes later. `transformers` does not know padding by its id: give the model the attention_mask that its tokenizer makes.
"""

import dataclasses
import json
from pathlib import Path

from torch import Tensor

from gpt.errors import UserError
from gpt.model import GPTConfig

ADAPTER_FILES = ("adapter.json", "adapter_config.json")  # ours, and what peft alone writes
# Our names, which are those of GPT-2, and the names of the same weights in GPT-NeoX.
NEOX_NAMES = (
    ("transformer.wte.", "gpt_neox.embed_in."),
    ("transformer.h.", "gpt_neox.layers."),
    ("transformer.ln_f.", "gpt_neox.final_layer_norm."),
    (".ln_1.", ".input_layernorm."),
    (".ln_2.", ".post_attention_layernorm."),
    (".attn.c_attn.", ".attention.query_key_value."),
    (".attn.c_proj.", ".attention.dense."),
    (".mlp.c_fc.", ".mlp.dense_h_to_4h."),
    (".mlp.c_proj.", ".mlp.dense_4h_to_h."),
)


def masked_settings(config: GPTConfig) -> dict:
    """What config.json of a masked language model says beside that of a causal one, which lacks these keys."""
    if config.causal:
        return {}
    return {"is_causal": False, "mask_token_id": config.vocab_size - 2, "pad_token_id": config.vocab_size - 1}


def config_to_hf(config: GPTConfig, end_of_text: int) -> dict:
    """The content of config.json for `transformers`, but for masked_settings. end_of_text: the id of the end-of-text
    token."""
    if config.position == "learned":
        return {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "vocab_size": config.vocab_size,
            "n_positions": config.context_length,
            "n_layer": config.n_layer,
            "n_head": config.n_head,
            "n_embd": config.n_embd,
            "activation_function": "gelu_new",
            "attn_pdrop": config.dropout,
            "embd_pdrop": config.dropout,
            "resid_pdrop": config.dropout,
            "layer_norm_epsilon": 1e-5,
            "tie_word_embeddings": True,
            "bos_token_id": end_of_text,
            "eos_token_id": end_of_text,
        }
    return {
        "model_type": "gpt_neox",
        "architectures": ["GPTNeoXForCausalLM"],
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "hidden_size": config.n_embd,
        "intermediate_size": 4 * config.n_embd,
        "hidden_act": "gelu",
        "attention_dropout": config.dropout,
        "hidden_dropout": config.dropout,
        "layer_norm_eps": 1e-5,
        "rotary_pct": 1.0,
        "rotary_emb_base": 10000,
        "use_parallel_residual": False,
        "attention_bias": True,
        "tie_word_embeddings": True,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
    }


def holds_adapter(folder: Path) -> bool:
    """Whether a folder holds what was trained beside a model, and not a whole model."""
    return any((folder / name).is_file() for name in ADAPTER_FILES)


def load_config(folder: Path) -> GPTConfig:
    """Read a model folder's config.json. Raises UserError if it is missing, damaged, or not supported by this GPT."""
    path = folder / "config.json"
    if holds_adapter(folder) and not path.is_file():
        raise UserError(
            f"{folder} holds an adapter, not a whole model: give the model that it belongs to, or fine-tune again with "
            "--train bias, lora or adalora and without --keep-adapter"
        )
    if not path.is_file():
        raise UserError(f"{folder} is not a model folder: it holds no config.json (train.py writes one)")
    try:
        hf = json.loads(path.read_text(encoding="utf-8"))
        if hf.get("model_type") not in ("gpt2", "gpt_neox"):
            raise UserError(f"{path} is of type {hf.get('model_type')!r}: only gpt2 and gpt_neox are read")
        if hf["model_type"] == "gpt2":
            config = GPTConfig(
                hf["vocab_size"], hf["n_positions"], hf["n_layer"], hf["n_head"], hf["n_embd"], hf["resid_pdrop"]
            )
        else:
            config = GPTConfig(
                hf["vocab_size"],
                hf["max_position_embeddings"],
                hf["num_hidden_layers"],
                hf["num_attention_heads"],
                hf["hidden_size"],
                hf["hidden_dropout"],
                position="rotary",
            )
        config = dataclasses.replace(config, causal=hf.get("is_causal", True))
        for name in ("vocab_size", "context_length", "n_layer", "n_head", "n_embd"):
            if type(value := getattr(config, name)) is not int:
                raise TypeError(f"{name} is {value!r} and must be a whole number")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__} {error}") from None
    # All other settings must have the values that this GPT implements. A missing one is GPT-2's or GPT-NeoX's default.
    rope = hf.get("rope_parameters") or hf
    is_classifier = "Classification" in str(hf.get("architectures"))  # has no language head to tie
    settings = {  # name: (value, supported values)
        "activation_function": (hf.get("activation_function", "gelu_new"), ("gelu_new", "gelu_pytorch_tanh")),
        "n_inner": (hf.get("n_inner"), (None, 4 * config.n_embd)),
        "scale_attn_weights": (hf.get("scale_attn_weights", True), (True,)),
        "scale_attn_by_inverse_layer_idx": (hf.get("scale_attn_by_inverse_layer_idx", False), (False,)),
        "layer_norm_epsilon": (hf.get("layer_norm_epsilon", 1e-5), (1e-5,)),
        "tie_word_embeddings": (hf.get("tie_word_embeddings", True), (True,)),
    }
    if config.position == "rotary":
        settings = {
            "hidden_act": (hf.get("hidden_act", "gelu"), ("gelu",)),
            "intermediate_size": (hf.get("intermediate_size"), (4 * config.n_embd,)),
            "layer_norm_eps": (hf.get("layer_norm_eps", 1e-5), (1e-5,)),
            "use_parallel_residual": (hf.get("use_parallel_residual", True), (False,)),
            "rotary_pct": (rope.get("partial_rotary_factor", rope.get("rotary_pct", 0.25)), (1.0,)),
            "rotary_emb_base": (rope.get("rope_theta", rope.get("rotary_emb_base", 10000)), (10000,)),
            "rope_type": (rope.get("rope_type", "default"), ("default",)),
            "attention_bias": (hf.get("attention_bias", True), (True,)),
            "tie_word_embeddings": (is_classifier or hf.get("tie_word_embeddings", False), (True,)),
        }
    settings |= {key: (hf.get(key), (value,)) for key, value in masked_settings(config).items()}
    for key, (value, supported) in settings.items():
        if value not in supported:
            raise UserError(
                f"{path} asks for {key} = {value!r}, which this GPT does not support (it supports {supported[-1]!r})"
            )
    return config


def weights_to_hf(weights: dict[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """Our weights under the names and in the shapes that `transformers` expects."""
    weights = {name: weight for name, weight in weights.items() if name != "lm_head.weight"}  # tied to wte
    if config.position == "learned":
        return {name: transposed(name, weight).contiguous() for name, weight in weights.items()}
    by_head = {name: head_by_head(w, config) if ".c_attn." in name else w for name, w in weights.items()}
    return {neox_name(name): weight.contiguous() for name, weight in by_head.items()}


def neox_name(name: str) -> str:
    """GPT-NeoX's name of the weight that we call `name`."""
    for ours, theirs in NEOX_NAMES:
        name = name.replace(ours, theirs)
    return name


def name_from_neox(name: str) -> str:
    """Inverse of neox_name."""
    for ours, theirs in NEOX_NAMES:
        name = name.replace(theirs, ours)
    return name


def head_by_head(weight: Tensor, config: GPTConfig) -> Tensor:
    """Rows of c_attn (3 C, ...) in our order, all queries, all keys, all values -> in GPT-NeoX's, head by head."""
    return weight.view(3, config.n_head, config.head_size, -1).transpose(0, 1).reshape(weight.shape)


def from_head_by_head(weight: Tensor, config: GPTConfig) -> Tensor:
    """Inverse of head_by_head."""
    return weight.view(config.n_head, 3, config.head_size, -1).transpose(0, 1).reshape(weight.shape)


def weights_from_hf(hf: dict[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """Inverse of weights_to_hf. Old files lack the prefix "transformer." and hold causal masks; these are dropped."""
    weights = {}
    for name, weight in hf.items():
        if name.endswith((".attn.bias", ".attention.bias", ".masked_bias", ".rotary_emb.inv_freq", "embed_out.weight")):
            continue
        if config.position == "learned":
            if not name.startswith(("transformer.", "lm_head.", "score.", "classifier.")):
                name = f"transformer.{name}"
            weight = transposed(name, weight)
        else:
            name = name_from_neox(name)
            weight = from_head_by_head(weight, config) if ".c_attn." in name else weight
        weights[name] = weight.contiguous()
    weights["lm_head.weight"] = weights["transformer.wte.weight"]
    return weights


def transposed(name: str, weight: Tensor) -> Tensor:
    """GPT-2 stores the matrices of its blocks as (in, out), PyTorch's Linear as (out, in)."""
    in_block = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
    return weight.t() if in_block else weight
