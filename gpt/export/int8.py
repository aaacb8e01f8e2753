"""Write a model folder whose matrices are kept in 8 bits: about a quarter of the bytes on the disk.

    python -m gpt.export.int8 --model out/tiny --out out/tiny-int8
    python sample.py --model out/tiny-int8 --prompt "Once upon a time"

Every command takes the new folder as any other. sample.py and serve.py compute a language model in 8 bits, as with
--quantize int8 on the old folder: the same tokens, bit for bit. Classifiers and taggers, and whatever trains, compute
with the rounded weights in float32. `transformers` does not know this layout and stops with an error.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from gpt.errors import UserError
from gpt.export.folders import check_target_folder, load_whole, write_again
from gpt.files.int8_file import INT8_ENTRY, INT8_FILE, holds_int8, weights_file
from gpt.running.command_line import parse_flags, run_main

if TYPE_CHECKING:
    from gpt.finetuning.methods import Net


@dataclass(frozen=True)
class Int8ExportConfig:
    model: Path
    """a model folder, of a language model or a fine-tuned one"""
    out: Path
    """the folder to write"""
    overwrite: bool = False
    """replace a model that was exported there before"""


def write_int8(net: "Net", source: Path, out: Path) -> None:
    """Quantise the matrices of `net`, in place, and write its folder; the rest comes from its old folder `source`."""
    from gpt.fast.int8 import quantize_transformer

    quantize_transformer(net.transformer)
    weights = {name: weight.detach() for name, weight in net.state_dict().items() if not name.startswith("lm_head.")}
    write_again(net, source, out, INT8_FILE, weights, INT8_ENTRY)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(Int8ExportConfig, description=__doc__))
    check_target_folder(config.out, config.model, config.overwrite)
    if holds_int8(config.model):
        raise UserError(f"{config.model} is in 8 bits already: give the model that it was made from")
    write_int8(load_whole(config.model), config.model, config.out)
    before, after = (weights_file(folder).stat().st_size for folder in (config.model, config.out))
    print(f"wrote {config.out}: {after / 1e6:,.2f} MB of weights, {after / before:.0%} of {before / 1e6:,.2f} MB")


if __name__ == "__main__":
    run_main(main)
