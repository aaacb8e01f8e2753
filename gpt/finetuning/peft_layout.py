"""The file layout of the library peft for LoRA, AdaLoRA and prefix-tuning: its names of settings and weights.

`peft.PeftModel.from_pretrained(base, folder)`, with the base loaded by `transformers`, then gives our answers. peft has
no BitFit and no adapters of Houlsby et al.; these keep our own names.
"""

from typing import Any, get_args

import torch
from torch import Tensor

from gpt.errors import UserError
from gpt.files.huggingface import from_head_by_head, head_by_head, name_from_neox, neox_name
from gpt.finetuning.method_config import AdaloraConfig, LoraConfig, PeftSettings, PrefixConfig, Target
from gpt.model import GPTConfig

TYPES = {LoraConfig: "LORA", AdaloraConfig: "ADALORA", PrefixConfig: "PREFIX_TUNING"}
TASKS = {"labels": "SEQ_CLS", "tags": "TOKEN_CLS", "answers": "CAUSAL_LM"}
HEADS = {"labels": ["score"], "tags": ["classifier"], "answers": []}
PARTS = {"lora_a": "lora_A", "lora_b": "lora_B", "lora_e": "lora_E"}
KNOWN = {  # settings of peft that change what is computed, and the only values that are read
    "use_dora": (False, None),
    "use_rslora": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "bias": ("none", None),
}


def config_to_peft(settings: PeftSettings, kind: str, base: str, config: GPTConfig, weights: dict[str, Tensor]) -> dict:
    """The content of adapter_config.json. config: of the pretrained model; weights: those trained, under our names."""
    rotary = config.position == "rotary"
    about: dict[str, Any] = {
        "peft_type": TYPES[type(settings)],
        "task_type": TASKS[kind],
        "base_model_name_or_path": base,
        "inference_mode": True,
        "modules_to_save": [*HEADS[kind], "final_layer_norm" if rotary else "ln_f"],
    }
    if isinstance(settings, PrefixConfig):
        sizes = {"num_layers": config.n_layer, "num_attention_heads": config.n_head, "token_dim": config.n_embd}
        return about | sizes | {"num_virtual_tokens": settings.length, "num_transformer_submodules": 1}
    targets = [name_to_peft(f".{target}.", config).strip(".") for target in settings.targets]
    about |= {"target_modules": targets, "lora_alpha": settings.alpha, "lora_dropout": 0.0, "bias": "none"}
    about["fan_in_fan_out"] = not rotary  # GPT-2 stores its matrices as (in, out)
    if isinstance(settings, LoraConfig):
        return about | {"r": settings.rank}
    kept = {name: (weight != 0).tolist() for name, weight in weights.items() if name.endswith("lora_e")}
    about |= {"init_r": settings.first_rank, "target_r": settings.rank, "orth_reg_weight": settings.orthogonality}
    about["total_step"] = 1  # peft wants one, though nothing is trained
    return about | {"rank_pattern": {to_peft_part(name, config): of_matrix for name, of_matrix in kept.items()}}


def settings_from_peft(about: dict, weights: dict[str, Tensor]) -> PeftSettings:
    """Our settings of what adapter_config.json describes. weights: of the adapter, under our names. Raises UserError
    for what is not supported, and KeyError, TypeError or ValueError for a damaged file."""
    kind, known = about["peft_type"], {} if about["peft_type"] == "ADALORA" else KNOWN
    if kind not in TYPES.values():
        raise UserError(f"the adapter is of type {kind} of peft: only {', '.join(TYPES.values())} are read")
    for key, values in known.items():
        if about.get(key, values[0]) not in values:
            raise UserError(f"the adapter asks for {key} = {about[key]!r}, which is not supported")
    if kind == "PREFIX_TUNING":
        return PrefixConfig(int(about["num_virtual_tokens"]))
    targets = tuple(t for t in get_args(Target) if any(f".{t}.lora_a" in name for name in weights))
    if kind == "LORA":
        return LoraConfig(int(about["r"]), float(about["lora_alpha"]), targets)
    ranks, orthogonality = (int(about["init_r"]), int(about["target_r"])), float(about["orth_reg_weight"])
    return AdaloraConfig(*ranks, float(about["lora_alpha"]), targets, orthogonality)


def name_to_peft(name: str, config: GPTConfig) -> str:
    return neox_name(name) if config.position == "rotary" else name


def to_peft_part(name: str, config: GPTConfig) -> str:
    """The same, for one of the thin matrices."""
    matrix, part = name.rsplit(".", 1)
    return f"{name_to_peft(f'{matrix}.', config)}{PARTS[part]}"


def weights_to_peft(settings: PeftSettings, weights: dict[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """Trained weights under our names -> under peft's, in its shapes."""
    rotary, theirs = config.position == "rotary", {}
    if isinstance(settings, PrefixConfig):
        prefixes = [weights[f"transformer.h.{i}.attn.prefix"] for i in range(config.n_layer)]
        flat = torch.stack(prefixes).permute(3, 0, 1, 2, 4)  # (n, layers, 2, nh, hs)
        theirs["prompt_embeddings"] = flat.reshape(settings.length, -1)
    for name, weight in weights.items():
        if "lora_" not in name:
            root = "base_model" if isinstance(settings, PrefixConfig) else "base_model.model"
            theirs |= {} if name.endswith("prefix") else {f"{root}.{name_to_peft(name, config)}": weight}
            continue
        matrix, part = name.rsplit(".", 1)
        if rotary and matrix.endswith("c_attn") and part == "lora_b":  # its rows are those of the matrix
            weight = head_by_head(weight, config)
        if isinstance(settings, AdaloraConfig):
            kept = weights[f"{matrix}.lora_e"] != 0
            weight = weight[:, kept] if part == "lora_b" else weight[kept]
            weight = weight[:, None] if part == "lora_e" else weight
        end = ".weight" if isinstance(settings, LoraConfig) else ""
        theirs[f"base_model.model.{to_peft_part(name, config)}{end}"] = weight
    return {name: weight.contiguous() for name, weight in theirs.items()}


def weights_from_peft(about: dict, theirs: dict[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """Inverse of weights_to_peft. What AdaLoRA has pruned comes back as zeros."""
    rotary, weights = config.position == "rotary", {}
    for name, weight in theirs.items():
        name = name.removeprefix("base_model.").removeprefix("model.")
        if name == "prompt_embeddings":
            shape = (len(weight), config.n_layer, 2, config.n_head, config.head_size)
            prefixes = weight.view(shape).permute(1, 2, 3, 0, 4)  # (layers, 2, nh, n, hs)
            weights |= {f"transformer.h.{i}.attn.prefix": prefix for i, prefix in enumerate(prefixes)}
            continue
        part = next((ours for ours, peft in PARTS.items() if f".{peft}" in name), None)
        if part is None:
            weights[name_from_neox(name) if rotary else name] = weight
            continue
        matrix = name.partition(f".{PARTS[part]}")[0]
        if pattern := (about.get("rank_pattern") or {}).get(f"{matrix}.lora_E"):
            weight = with_pruned(weight, torch.tensor(pattern), part == "lora_b")
        weight = weight[:, 0] if part == "lora_e" else weight
        matrix = (name_from_neox(f"{matrix}.") if rotary else f"{matrix}.") + part
        if rotary and matrix.endswith("c_attn.lora_b"):
            weight = from_head_by_head(weight, config)
        weights[matrix] = weight
    return {name: weight.contiguous() for name, weight in weights.items()}


def with_pruned(weight: Tensor, kept: Tensor, columns: bool) -> Tensor:
    """The rows (or columns) of the triplets that were kept -> all, with zeros for the others."""
    rows = weight.T if columns else weight
    whole = rows.new_zeros(len(kept), rows.size(1)).masked_scatter(kept[:, None], rows)
    return whole.T if columns else whole
