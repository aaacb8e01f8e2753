"""Text from a trained model, printed as it is made.

    python sample.py --model out/tiny --prompt "Once upon a time"
    python sample.py --model out/tiny --prompt-file opening.txt --num-samples 3 --temperature 0.7
    echo "ROMEO:" | python sample.py --model out/shakespeare --prompt -

Without a prompt the model begins a new document.
"""

import codecs
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from gpt.errors import UserError, parse, run_main


@dataclass(frozen=True)
class SampleConfig:
    model: Path
    """a model folder, such as train.py writes"""
    prompt: str | None = None
    """the text to continue; - reads it from standard input"""
    prompt_file: Path | None = None
    """a UTF-8 file with the text to continue"""
    num_samples: int = 1
    """how many continuations; number i has seed + i, however many there are"""
    max_new_tokens: int = 256
    """the most tokens to add; a sample also ends where the model ends its document"""
    temperature: float = 0.8
    """below 1 the likely tokens become likelier, above 1 less so; 0 always takes the likeliest"""
    top_k: int | None = None
    """choose among the k likeliest tokens only"""
    top_p: float | None = None
    """choose among the fewest tokens that together have this probability"""
    seed: int = 0
    """the same seed gives the same text"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the fastest there is"""


def read_prompt(config: SampleConfig) -> str:
    """The prompt from the flag, the file or standard input; "" if there is none."""
    if config.prompt is not None and config.prompt_file is not None:
        raise UserError("give --prompt or --prompt-file, not both")
    try:
        if config.prompt == "-":
            return sys.stdin.read().removesuffix("\n")  # echo's
        if config.prompt_file is not None:
            return config.prompt_file.read_text(encoding="utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"the prompt is not UTF-8 text: see its byte {error.start}") from None
    if config.prompt == "":
        raise UserError("the prompt is empty: leave --prompt out to let the model begin a new document")
    return config.prompt or ""


def main() -> None:
    config = parse(lambda: tyro.cli(SampleConfig, description=__doc__))
    if config.num_samples < 1:
        raise UserError(f"--num-samples is {config.num_samples}: it must be at least 1")
    if not 0 <= config.seed < 2**63:
        raise UserError(f"--seed is {config.seed}: it must be a whole number from 0 up")
    prompt = read_prompt(config)
    # Only now what takes seconds to import, so that --help and mistakes answer at once.
    from gpt.checkpoint import load_model
    from gpt.device import pick_machine
    from gpt.generate import generate
    from gpt.tokenizer import Tokenizer

    model = load_model(config.model, pick_machine(config.device).device)
    tokenizer = Tokenizer.load(config.model)
    tokens = tokenizer.encode(prompt) or [tokenizer.end_of_text]
    for i in range(config.num_samples):
        if config.num_samples > 1:
            print(f"{'' if i == 0 else chr(10)}--- sample {i + 1}, seed {config.seed + i}")
        print(prompt, end="", flush=True)
        # A character may be spread over several tokens: the decoder holds its bytes back until it is whole.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for token in generate(
            model,
            tokens,
            config.max_new_tokens,
            config.temperature,
            config.top_k,
            config.top_p,
            config.seed + i,
            stop=tokenizer.end_of_text,
        ):
            print(decoder.decode(tokenizer.decode_bytes([token])), end="", flush=True)
        print(decoder.decode(b"", final=True))


if __name__ == "__main__":
    run_main(main)
