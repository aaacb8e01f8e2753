"""The servers that `python -m benchmarks.serve --peer` compares with: the same weights, each server at its best.

`transformers serve` batches continuously only where a model's class lets it: GPT-2's does, and GPT-NeoX's does not in
transformers 5.24. StarCoder 2 ("StarCoder 2 and The Stack v2", Lozhkov et al. 2024) has the same formulas as our models
with rotary positions, so these are written under its names.

    python -m benchmarks.serving_peers FILE.gguf --port 8000    # llama.cpp's server
"""

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from torch import Tensor

from gpt.errors import UserError
from gpt.files.checkpoint import save_model, write_safetensors
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.tokenizer import Tokenizer

SLOTS = 32  # texts side by side, as many as serve.py has rows
STARCODER2_NAMES = (
    ("transformer.wte.", "model.embed_tokens."),
    ("transformer.h.", "model.layers."),
    ("transformer.ln_f.", "model.norm."),
    (".ln_1.", ".input_layernorm."),
    (".ln_2.", ".post_attention_layernorm."),
    (".attn.c_proj.", ".self_attn.o_proj."),
)


@dataclass(frozen=True)
class LlamaCppServer:
    model: Annotated[Path, tyro.conf.Positional]
    """a file of gpt.export.gguf"""
    port: int = 8000


def write_for_transformers(model: GPT, tokenizer: Tokenizer, folder: Path) -> None:
    """A model folder that `transformers serve` can batch, and that draws tokens instead of taking the likeliest."""
    save_model(model, tokenizer, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if model.config.position == "rotary":
        config |= {
            "model_type": "starcoder2",
            "architectures": ["Starcoder2ForCausalLM"],
            "num_key_value_heads": model.config.n_head,
            "hidden_act": "gelu",
            "norm_epsilon": config["layer_norm_eps"],
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "use_bias": True,
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        weights = {name: weight.detach() for name, weight in model.state_dict().items()}
        write_safetensors(folder / "model.safetensors", weights_to_starcoder2(weights))
    sampling = {"do_sample": True, "top_k": 0, "eos_token_id": config["eos_token_id"]}
    (folder / "generation_config.json").write_text(json.dumps(sampling), encoding="utf-8")


def weights_to_starcoder2(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, weight in weights.items():
        for ours, theirs in STARCODER2_NAMES:
            name = name.replace(ours, theirs)
        if ".attn.c_attn." in name:
            for part, of_it in zip("qkv", weight.chunk(3), strict=True):  # 3 × (C, C) or (C,)
                renamed[name.replace(".attn.c_attn.", f".self_attn.{part}_proj.")] = of_it.contiguous()
        elif name != "lm_head.weight":  # tied
            renamed[name] = weight
    return renamed


def main() -> None:
    config = parse_flags(lambda: tyro.cli(LlamaCppServer, description=__doc__))
    try:
        import xllamacpp
    except ModuleNotFoundError:
        raise UserError("xllamacpp is missing: python -m pip install -r requirements/dev.txt") from None
    params = xllamacpp.CommonParams()
    params.model.path, params.port, params.n_parallel = str(config.model), config.port, SLOTS
    params.n_ctx, params.fit_params, params.verbosity = 0, False, -1
    params.sampling.top_k, params.sampling.top_p, params.sampling.min_p = 0, 1.0, 0.0  # as the others draw
    server = xllamacpp.Server(params)  # answers in threads of its own
    print(f"llama.cpp at {server.listening_address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    run_main(main)
