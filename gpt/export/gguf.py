"""Write a language model as a GGUF file: weights, settings and tokenizer in one, for llama.cpp and ollama.

    python -m gpt.export.gguf --model out/tiny --out tiny.gguf

llama.cpp has code of its own for both of our layouts, "gpt2" and "gptneox". It computes GELU by the tanh formula in
both, and keeps GELU and its cache in float16, so its logits differ a little from ours. The weights stay in float32
here; llama.cpp's `llama-quantize` makes smaller files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from gpt.errors import UserError
from gpt.export.target import check_target, needs
from gpt.files.atomic import atomic_write, write_text
from gpt.running.command_line import parse_flags, run_main

if TYPE_CHECKING:
    from gpt.model import GPT
    from gpt.tokenizer import Tokenizer

# What a conversation looks like to a model that answers (gpt/finetuning/conversations.py), in Jinja and in ollama's
# templates, which are Go's. The end-of-text token before it is not theirs to write: add_bos_token puts it there.
CHAT = (
    "{% for message in messages %}{{ message.content | trim }}"
    "{{ '<|endoftext|>' if message.role == 'assistant' else '\\n' }}{% endfor %}"
)
OLLAMA_CHAT = (
    "{{ range .Messages }}{{ .Content }}"
    '{{ if eq .Role "assistant" }}<|endoftext|>{{ else }}{{ "\\n" }}{{ end }}{{ end }}'
)
OLLAMA_TEXT = "{{ .Prompt }}"


@dataclass(frozen=True)
class GgufConfig:
    model: Path
    """the folder of a language model, or of one that answers prompts"""
    out: Path
    """the .gguf file to write"""
    modelfile: bool = False
    """also write, beside it, the Modelfile for `ollama create`"""
    overwrite: bool = False
    """replace existing files"""


def write_gguf(model: "GPT", tokenizer: "Tokenizer", path: Path, answers: bool = False) -> None:
    """Write a GGUF file atomically. answers: the model was fine-tuned to answer prompts.

    Raises UserError if the model sees both sides, if it has other ids than its tokenizer, or if the file cannot be
    written.
    """
    import gguf

    config = model.config
    if not config.causal:
        raise UserError("a masked model fills gaps, and llama.cpp only continues texts: give it a causal model")
    if config.vocab_size != tokenizer.vocab_size:
        raise UserError(
            f"the model has {config.vocab_size} ids, its tokenizer {tokenizer.vocab_size}: GGUF needs a text for each"
        )
    arch = gguf.MODEL_ARCH.GPT2 if config.position == "learned" else gguf.MODEL_ARCH.GPTNEOX
    names = gguf.get_tensor_name_map(arch, config.n_layer)
    with atomic_write(path) as temporary:
        writer = gguf.GGUFWriter(temporary, gguf.MODEL_ARCH_NAMES[arch])
        writer.add_context_length(config.context_length)
        writer.add_embedding_length(config.n_embd)
        writer.add_block_count(config.n_layer)
        writer.add_feed_forward_length(4 * config.n_embd)
        writer.add_head_count(config.n_head)
        writer.add_layer_norm_eps(model.transformer.ln_f.eps)
        if config.position == "rotary":
            writer.add_rope_dimension_count(config.head_size)
            writer.add_parallel_residual(False)
        add_tokenizer(writer, tokenizer, answers)
        for name, weight in model.state_dict().items():  # lm_head too: llama.cpp does not tie it everywhere
            gguf_name = names.get_name(name, (".weight", ".bias"))
            assert gguf_name is not None  # it knows all names of GPT-2's layout, which are ours
            writer.add_tensor(gguf_name, weight.numpy(force=True))
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def add_tokenizer(writer, tokenizer: "Tokenizer", answers: bool) -> None:
    """Add the tokens, the merges and the settings with which llama.cpp gives a text the same ids as `tokenizer`."""
    import gguf

    from gpt.files.tokenizer_files import to_chars, vocabulary

    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")  # the pattern that cuts a text into words
    writer.add_token_list(list(vocabulary(tokenizer)))  # in the order of their ids
    writer.add_token_types([normal] * tokenizer.end_of_text + [control])
    writer.add_token_merges([f"{to_chars(left)} {to_chars(right)}" for left, right in tokenizer.merges])
    writer.add_bos_token_id(tokenizer.end_of_text)
    writer.add_eos_token_id(tokenizer.end_of_text)
    writer.add_add_bos_token(tokenizer.add_bos_token or answers)  # every conversation begins with it
    if answers:
        writer.add_chat_template(CHAT)


def modelfile_text(file_name: str, context_length: int, answers: bool) -> str:
    """The Modelfile of a GGUF file in the same folder. Without num_ctx, ollama asks for more than the model can see."""
    template = OLLAMA_CHAT if answers else OLLAMA_TEXT
    return f'FROM ./{file_name}\nTEMPLATE """{template}"""\nPARAMETER num_ctx {context_length}\n'


def main() -> None:
    config = parse_flags(lambda: tyro.cli(GgufConfig, description=__doc__))
    modelfile = config.out.with_name("Modelfile")
    for path in (config.out, modelfile) if config.modelfile else (config.out,):
        check_target(path, config.overwrite)
    needs("gguf")
    # These take seconds to import; here, --help and mistakes are answered before that.
    from gpt.files.checkpoint import load_model
    from gpt.files.tokenizer_files import load_tokenizer
    from gpt.finetuning.saved import kind_of

    model, tokenizer = load_model(config.model), load_tokenizer(config.model)
    answers = kind_of(config.model) == "answers"
    write_gguf(model, tokenizer, config.out, answers)
    print(f"wrote {config.out} ({config.out.stat().st_size / 1e6:,.1f} MB)")
    if config.modelfile:
        write_text(modelfile, modelfile_text(config.out.name, model.config.context_length, answers))
        print(f"wrote {modelfile}: ollama create NAME -f {modelfile}")


if __name__ == "__main__":
    run_main(main)
