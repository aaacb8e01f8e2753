"""The same random weights in the formats of benchmarks/decoding_peers.py: ours, CTranslate2's and GGUF."""

import importlib.util
import itertools
from dataclasses import replace
from pathlib import Path

import torch

from gpt.export.gguf import write_gguf
from gpt.files.checkpoint import save_model
from gpt.model import GPT, GPTConfig
from gpt.tokenizer import Tokenizer


def missing(packages: tuple[str, ...]) -> list[str]:
    return [package for package in packages if importlib.util.find_spec(package) is None]


def write_models(shape: GPTConfig, folder: Path) -> GPT:
    """The same random weights in every format whose package is there."""
    pairs = itertools.product([bytes([byte]) for byte in range(256)], repeat=2)
    merges = max(1, shape.vocab_size - 257)  # llama.cpp does not open a vocabulary without merges
    tokenizer = Tokenizer(list(itertools.islice(pairs, merges)))
    torch.manual_seed(0)
    model = GPT(replace(shape, vocab_size=tokenizer.vocab_size)).eval()
    with torch.no_grad():
        model.lm_head.weight[tokenizer.end_of_text] = 0  # its logit is 0, never the largest: no text ends early
    (folder / "model").mkdir()
    save_model(model, tokenizer, folder / "model")
    if not missing(("ctranslate2", "transformers")):
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(folder / "model")).convert(str(folder / "ctranslate2"))
    if not missing(("xllamacpp", "gguf")):
        write_gguf(model, tokenizer, folder / "F32.gguf")
        for kind in ("F16", "Q8_0"):
            quantize_gguf(folder / "F32.gguf", folder / f"{kind}.gguf", kind)
    return model


def quantize_gguf(source: Path, target: Path, kind: str) -> None:
    """A GGUF file with its matrices in F16 or Q8_0, as llama-quantize does it: not biases, norms and positions."""
    import gguf

    reader, to = gguf.GGUFReader(source), gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(target, "gpt2")
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":  # the writer's own
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        if len(tensor.shape) > 1 and tensor.name != "position_embd.weight":
            writer.add_tensor(tensor.name, gguf.quantize(tensor.data, to), raw_dtype=to)
        else:
            writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
