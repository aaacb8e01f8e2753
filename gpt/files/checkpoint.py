"""Model folders and resume files, written atomically: after a crash, the old file or the new one is complete.

A model folder is a Hugging Face model folder: `config.json`, `model.safetensors` and the tokenizer's files, in
GPT-2's layout, or in GPT-NeoX's for rotary positions. `AutoModelForCausalLM.from_pretrained(folder)` loads what is
saved here, and `load_model(folder)` loads what `transformers` saved. A folder may also hold its weights in 8 bits
(int8_file.py); they become float32 when they are loaded. Loading a file never runs code from it: weights are
safetensors, and pickles that would run code are refused.
"""

import dataclasses
import json
import zipfile
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from gpt.errors import UserError
from gpt.files.atomic import atomic_write, write_text
from gpt.files.huggingface import config_to_hf, load_config, masked_settings, weights_from_hf, weights_to_hf
from gpt.files.int8_file import from_int8, holds_int8, weights_file
from gpt.files.tokenizer_files import load_tokenizer, save_tokenizer_with_settings
from gpt.model import GPT, GPTConfig
from gpt.tokenizer import Tokenizer


def save_model(model: GPT, tokenizer: Tokenizer, folder: Path | str) -> None:
    """Write a model folder and replace any model in it, its weights last. Raises UserError if a write fails."""
    write_model_folder(folder, model.config, model.state_dict(), tokenizer)


def write_model_folder(
    folder: Path | str,
    config: GPTConfig,
    weights: dict[str, Tensor],
    tokenizer: Tokenizer,
    more_config: dict | None = None,
) -> None:
    """Write the tokenizer, config.json with `more_config` added, and the weights under our names, in `transformers`'
    layout. Raises UserError if a file cannot be written."""
    folder = Path(folder)
    save_tokenizer_with_settings(tokenizer, config.context_length, folder, masked=not config.causal)
    config_json = config_to_hf(config, tokenizer.end_of_text) | (more_config or {}) | masked_settings(config)
    write_text(folder / "config.json", json.dumps(config_json, indent=2, ensure_ascii=False) + "\n")
    weights = {name: weight.detach().to("cpu") for name, weight in weights.items()}
    write_safetensors(folder / "model.safetensors", weights_to_hf(weights, config))


def write_safetensors(path: Path, weights: dict[str, Tensor]) -> None:
    """Write named tensors atomically. Raises UserError if they cannot be written."""
    with atomic_write(path) as temporary:
        try:
            safetensors.torch.save_file(weights, temporary, metadata={"format": "pt"})
        except SafetensorError as error:  # it contains the system's message
            raise OSError(str(error).removeprefix("Error while serializing: ")) from None


def load_model(folder: Path | str, device: torch.device | str = "cpu") -> GPT:
    """Load a model folder, written by us or by `transformers`, in evaluation mode.

    Raises UserError if it is not a model folder, has another architecture, holds a classifier, is damaged, or if
    weights and config disagree.
    """
    config, weights = read_model_folder(folder)
    if "score.weight" in weights or "classifier.weight" in weights:
        what = "classifier" if "score.weight" in weights else "tagger"
        raise UserError(f"{folder} holds a {what}, not a language model: give the model it was fine-tuned from")
    model = GPT(config)
    load_weights(model, weights, folder)
    return model.to(device).eval()


def load_pretrained_weights(model: GPT, tokenizer: Tokenizer, folder: Path) -> None:
    """Copy the weights of the model in `folder` into `model`, to continue pretraining on other text ("Don't Stop
    Pretraining", Gururangan et al. 2020). Raises UserError if the objectives, the tokenizers or the shapes differ."""
    pretrained = load_model(folder)
    if pretrained.config.causal != model.config.causal:
        objective = "causal" if pretrained.config.causal else "masked"
        raise UserError(f"the model in {folder} was trained with another objective: ask for --objective {objective}")
    if load_tokenizer(folder).ids != tokenizer.ids:
        raise UserError(
            f"the data was not prepared with the tokenizer of {folder}: prepare it with --tokenizer {folder}"
        )
    actual, needed = dataclasses.asdict(pretrained.config), dataclasses.asdict(model.config)
    differences = [f"{key} {actual[key]}" for key in actual if actual[key] != needed[key] and key != "dropout"]
    if differences:
        raise UserError(f"the model in {folder} has {', '.join(differences)}: ask for the same with --model.NAME VALUE")
    model.load_state_dict(pretrained.state_dict())


def read_model_folder(folder: Path | str) -> tuple[GPTConfig, dict[str, Tensor]]:
    """The config of a model folder, and its weights under our names. Raises UserError as load_model does."""
    folder = Path(folder)
    config = load_config(folder)
    path = weights_file(folder)
    if not path.is_file():
        raise UserError(f"{folder} holds no {path.name}: it is not a model folder (pickled weights are not read)")
    try:
        stored = safetensors.torch.load_file(path)
        weights = from_int8(stored) if holds_int8(folder) else weights_from_hf(stored, config)
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise UserError(f"{path} is damaged or not a safetensors file: {error}") from None
    if f"transformer.h.{config.n_layer - 1}.ln_1.weight" not in weights:  # before a model of any size is built
        raise UserError(
            f"the weights in {folder} do not fit its config.json: there are fewer than {config.n_layer} layers"
        )
    return config, weights


def load_weights(model: nn.Module, weights: dict[str, Tensor], folder: Path | str) -> None:
    """Load weights into a model. Raises UserError if they do not fit it."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).split("\n\t")[1]  # the first difference
        raise UserError(f"the weights in {folder} do not fit its config.json: {reason}") from None


def save_resume(state: dict, path: Path) -> None:
    """Write the state of a run to one file, atomically. Raises UserError if it cannot be written."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch reports a short file and hides the cause: a full disk, Ctrl-C
            raise (error.__context__ or error) from None


def load_resume(path: Path) -> dict:
    """Read a resume file. Raises UserError if it is missing or damaged, or is a pickle that would run code."""
    if not path.is_file():
        raise UserError(f"nothing to resume: {path} does not exist. Begin anew, with --overwrite in place of --resume")
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not verify the checksums
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} has a wrong checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("it holds no dictionary")
        return state
    except OSError:
        raise
    except Exception as error:  # a damaged file can cause any exception in the parsers
        reason = str(error).split("\n")[0].split(". ")[0]
        raise UserError(f"{path} cannot be read ({reason}): restore a copy, or train again with --overwrite") from None
