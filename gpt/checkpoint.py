"""Model folders and resume files: written so that a crash leaves the old one or the new one, never half of one.

A model folder is a Hugging Face model folder: `config.json`, `model.safetensors` and the tokenizer's files, in
GPT-2's layout, or GPT-NeoX's where positions are rotary. `AutoModelForCausalLM.from_pretrained(folder)` loads what
is saved here, and `load_model(folder)` loads what `transformers` saved. No file is a pickle: loading a model never
runs code that came with it.
"""

import json
import pickle
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from gpt.errors import UserError
from gpt.files import atomic_write, write_text
from gpt.huggingface import config_to_hf, load_config, weights_from_hf, weights_to_hf
from gpt.model import GPT
from gpt.tokenizer import END_OF_TEXT, Tokenizer


def save_model(model: GPT, tokenizer: Tokenizer, folder: Path | str) -> None:
    """Write a model folder, replacing the model that may be in it. The weights, and so the new model, come last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_config = {
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "model_max_length": model.config.context_length,
    }
    tokenizer.save(folder)
    for name, content in (
        ("tokenizer_config.json", tokenizer_config),
        ("config.json", config_to_hf(model.config, tokenizer.end_of_text)),
    ):
        write_text(folder / name, json.dumps(content, indent=2) + "\n")
    weights = {name: weight.detach().to("cpu") for name, weight in model.state_dict().items()}
    with atomic_write(folder / "model.safetensors") as path:
        safetensors.torch.save_file(weights_to_hf(weights, model.config), path, metadata={"format": "pt"})


def load_model(folder: Path | str, device: torch.device | str = "cpu") -> GPT:
    """Read a model folder, written by us or by `transformers`, ready to evaluate.

    Raises UserError if it is not a model folder, is of another architecture, or if weights and config disagree.
    """
    folder = Path(folder)
    config = load_config(folder)
    path = folder / "model.safetensors"
    if not path.is_file():
        raise UserError(f"{folder} holds no model.safetensors: it is not a model folder (pickled weights are not read)")
    try:
        weights = weights_from_hf(safetensors.torch.load_file(path), config)
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise UserError(f"{path} is damaged or not a safetensors file: {error}") from None
    model = GPT(config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).split("\n\t")[1]  # the first of the differences
        raise UserError(f"the weights in {path} do not fit its config.json: {reason}") from None
    return model.to(device).eval()


def save_resume(state: dict, path: Path) -> None:
    """Write everything a run needs to go on, in one file, atomically."""
    with atomic_write(path) as temporary:
        torch.save(state, temporary)


def load_resume(path: Path) -> dict:
    """Read a resume file. Raises UserError if it is damaged, or a pickle that would run code."""
    if not path.is_file():
        raise UserError(f"nothing to resume: {path} does not exist; start without --resume")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        raise UserError(f"{path} cannot be read ({reason}): delete it and train again, or restore a copy") from None
