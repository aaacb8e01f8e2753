"""How small can a model become? Fewer bits, weights set to 0, heads and blocks left out, depth that adapts.

    python -m benchmarks.smaller

All variants are made from out/tiny (`train.py tiny` makes it). Each is measured in three ways: loss on the first tokens
of the validation split, beside the corpus's own entropy, which no model can go below; and of 200 stories that it tells
at temperature 0.5 the share that the toy world's judge finds grammatical, and consistent. "Trained" variants were
trained for --steps after they were pruned, with what was removed held at 0. So that this is compared fairly, the whole
model is trained further, too (0 % zeros, trained).

Which heads and blocks matter least is measured on text from the training split. Early leaving saves no time here (see
gpt/inside/adaptive_depth.py), fewer than 8 bits are simulated, and zeros take as many bytes as other numbers; the
"zipped" file shows what they could save.

Progress goes to stderr, the table to stdout, every number to results.json and a picture to smaller.png in `--out`. If
stopped, the same command goes on.
"""

import contextlib
import json
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import tyro
from torch import Tensor

from benchmarks.roofline import table
from benchmarks.smaller_plot import plot_smaller
from benchmarks.smaller_variants import NEVER, Lab, Variant, variants
from data.default import default_stories
from data.world.samples import LONGEST_STORY, judge_stories
from gpt.dataset import Dataset
from gpt.errors import UserError
from gpt.export.pruning import share_of_zeros
from gpt.fast.batch import Batch
from gpt.fast.speed_up import speed_up
from gpt.files.atomic import write_text
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.inside.adaptive_depth import EarlyLeavingDecoder, depth_and_loss
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.run_folder import config_to_json
from gpt.running.streaming import stream_texts
from gpt.sampling import Sampling

HEAD = ["variant", "KB", "KB zipped", "zeros", "depth", "nats/token", "bits/byte", "grammatical", "and consistent"]
Measures = dict[str, Any]  # of one variant
MATTER = ("model", "steps", "tokens", "stories", "seed")  # the settings on which a variant's measures depend


@dataclass(frozen=True)
class SmallerConfig:
    model: Path = Path("out/tiny")
    """the folder of a language model of the toy world"""
    data: Path | None = None
    """a tokens folder with stories of the toy world; the default ones are made on first use"""
    out: Path = Path("out/smaller")
    """the folder for results.json, the picture, and a file for each variant, which is not measured again"""
    fractions: tuple[float, ...] = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
    """shares of the weights in the blocks' matrices to set to 0"""
    bits: tuple[int, ...] = (4, 3, 2)
    """of the simulated weights"""
    thresholds: tuple[float, ...] = (0.5, 0.7, 0.9, 0.95, 0.99, 0.999)
    """probabilities from which a token leaves early"""
    steps: int = 100
    """updates of a training after pruning"""
    tokens: int = 50_000
    """validation tokens to measure on"""
    stories: int = 200
    """stories to judge"""
    seed: int = 0
    """of the stories; the training's batches use seed + 1, which the model has not seen in that order"""


def measure(lab: Lab, variant: Variant) -> Measures:
    """A variant's size, loss and stories."""
    model, config = variant.make(), lab.config
    content = safetensors.torch.save(tensors_of(model))
    val = lab.corpus.val[: config.tokens + 1]
    if variant.threshold == NEVER:
        depth, loss = float(len(model.transformer.h)), lab.loss(model, val)
    else:
        dataset = Dataset(val, val, lab.tokenizer.end_of_text, model.config.context_length, batch_size=32)
        depth, loss = depth_and_loss(model, dataset, variant.threshold)
    quality = judge_stories(tell_stories(lab, model, variant.threshold), lab.corpus.meta["world"])
    return {
        "bytes": variant.size or len(content),
        "zipped": None if variant.size else len(zlib.compress(content)),
        "zeros": share_of_zeros(model),
        "depth": depth,
        "loss": loss,
        "bits_per_byte": lab.corpus.bits_per_byte(loss),
        "grammatical": quality.grammatical,
        "consistent": quality.grammatical * quality.consistent,
        "story": quality.story,
    }


def tensors_of(model: GPT) -> dict[str, Tensor]:
    """What a model folder would hold: the tied head is left out."""
    return {name: weight for name, weight in model.state_dict().items() if not name.startswith("lm_head.")}


def tell_stories(lab: Lab, model: GPT, threshold: float) -> list[str]:
    """As sample_stories of data/world/samples.py, by a model whose tokens may leave early."""
    stories = [""] * lab.config.stories
    seeds = [lab.config.seed + i for i in range(len(stories))]
    prompts = [[lab.tokenizer.end_of_text]] * len(stories)
    batch = Batch(model, prompts, seeds, LONGEST_STORY, Sampling(temperature=0.5))
    if threshold != NEVER:
        batch.decoder = EarlyLeavingDecoder(model, batch.decoder.capacity, threshold)
    for row, text, _ in stream_texts(batch, lab.tokenizer):
        stories[row] += text
    return stories


def compare(config: SmallerConfig) -> str:
    """Measure what is not measured yet; write results.json and the picture. Returns the table."""
    with contextlib.redirect_stdout(sys.stderr):
        folder = config.data or default_stories(2048)
    corpus, machine = TokensFolder(folder), pick_machine("cpu", "float32", "off")
    if not corpus.meta.get("world"):
        raise UserError(f"{corpus.folder} holds no stories of the toy world, which alone the judge can judge")
    whole = load_model(config.model)
    if load_tokenizer(corpus.folder).ids != load_tokenizer(config.model).ids:
        raise UserError(f"{corpus.folder} was not prepared with the tokenizer of {config.model}")
    speed_up(whole, machine.device, machine.dtype)
    lab = Lab(whole, load_tokenizer(config.model), corpus, machine, config)
    results: dict[str, Measures] = {}
    for variant in variants(lab):
        print(f"=== {variant.name}", file=sys.stderr, flush=True)
        results[variant.name] = measured_once(lab, variant)
    floor = corpus.meta["entropy_bits_per_byte"]
    content = {"floor_bits_per_byte": floor, "torch": torch.__version__, "results": results}
    write_text(config.out / "results.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    plot_smaller(results, floor, config.out / "smaller.png")
    rows = [row_of(name, measures) for name, measures in results.items()]
    return f"{table(HEAD, rows)}\nthe corpus's own entropy: {floor:.4f} bits/byte"


def measured_once(lab: Lab, variant: Variant) -> Measures:
    """The measures of a variant: read from its file, or made and written there. Raises UserError if the file is of
    other settings."""
    settings = {key: value for key, value in config_to_json(lab.config).items() if key in MATTER}
    settings["data"] = lab.corpus.folder.as_posix()
    path = lab.config.out / f"{variant.name.replace(' %', '').replace(',', '').replace(' ', '-')}.json"
    if path.is_file():
        measures = json.loads(path.read_text(encoding="utf-8"))
        if measures.pop("settings") != settings:
            raise UserError(f"{path} is of other settings: choose another --out")
        return measures
    measures = measure(lab, variant)
    lab.config.out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"settings": settings} | measures, indent=1, ensure_ascii=False) + "\n")
    return measures


def row_of(name: str, measures: Measures) -> list[str]:
    zipped = measures["zipped"]
    return [
        name,
        f"{measures['bytes'] / 1e3:,.0f}",
        f"{zipped / 1e3:,.0f}" if zipped else "",
        f"{measures['zeros']:.0%}",
        f"{measures['depth']:.2f}",
        f"{measures['loss']:.4f}",
        f"{measures['bits_per_byte']:.4f}",
        f"{measures['grammatical']:.1%}",
        f"{measures['consistent']:.1%}",
    ]


def main() -> None:
    print(compare(parse_flags(lambda: tyro.cli(SmallerConfig, description=__doc__))))


if __name__ == "__main__":
    run_main(main)
