"""The causal and the masked objective side by side: the same net, the same stories, equal seconds of training.

    python -m benchmarks.objectives
    python -m benchmarks.objectives --seeds 0 1 2 3 4 --seconds 120 --out out/objectives-120

The net is that of `train.py tiny`. Some steps of both objectives are timed first, in turns; the numbers of steps that
take `--seconds` follow from this, and hold for all seeds. Each model is then measured and fine-tuned.

Hidden tokens are those that MaskedDataset chooses in the validation split. The mask stands in place of all of them (in
training, a tenth stay), so the masked model sees none, but both sides, with gaps. The causal model sees all before it.

Progress goes to stderr, the table to stdout, every number to results.json in `--out`. If stopped, the same command goes
on: measures that are there are read, finished runs are used, an unfinished one is resumed.
"""

import contextlib
import itertools
import json
import math
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro

from benchmarks.resuming import finetune_or_go_on, train_or_go_on
from benchmarks.roofline import table
from data.default import default_stories
from data.world.samples import judge_stories, sample_stories
from gpt.dataset import IGNORED
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.atomic import write_text
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.finetuning.finetune_config import DEFAULTS, FinetuneConfig
from gpt.generate import score
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.masking import MaskedDataset, pseudo_perplexity
from gpt.running.run_folder import config_to_json, read_metrics
from gpt.running.train_config import PRESETS, TrainConfig

OBJECTIVES = ("causal", "masked")
TURNS, TIMED_STEPS, LOGGED = 2, 40, 10  # of each objective; steps in a turn; steps that share one reading of the clock
BATCH_SIZE = 32  # windows per batch
STORIES, TEMPERATURE, TEXTS = 200, 0.5, 100  # sampled stories; validation texts for perplexity
ROWS = {  # the name of a measure -> its label in the table, its format
    "grammatical": ("sampled stories: grammatical", ".1%"),
    "consistent": ("of these: consistent", ".1%"),
    "cloze": ("hidden tokens guessed right", ".1%"),
    "reviews": ("reviews, all labels: test accuracy", ".1%"),
    "few_reviews": ("reviews, {labels:,} labels: test accuracy", ".1%"),
    "entities": ("entities: test F1", ".1%"),
    "perplexity": ("perplexity; masked: pseudo-perplexity", ".3f"),
    "steps": ("steps of training", ",.0f"),
    "seconds": ("seconds of training", ".1f"),
}
COMPARED = list(ROWS)[:-3]  # more is better, and means the same for both objectives
Measures = dict[str, float | str]  # of one model; a text says why there is no number


@dataclass(frozen=True)
class ObjectivesConfig:
    seeds: tuple[int, ...] = (0, 1, 2)
    """seeds of training and fine-tuning; each gives one model of each objective"""
    seconds: float = 60
    """seconds of training of each model; its evaluation does not count"""
    out: Path = Path("out/objectives")
    """the folder for all runs and results.json; what is finished in it is not done again"""
    data: Path | None = None
    """the tokens folder to train on; the default data, stories of the toy world, are generated on first use"""
    reviews: Path = DEFAULTS["classification"][0]
    """labelled texts, as finetune.py takes them; the default ones are made on first use"""
    entities: Path = DEFAULTS["tags"][0]
    """texts with spans, as finetune.py takes them; the default ones are made on first use"""
    labels: int = 1000
    """training examples of the second fine-tuning on reviews"""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or not 0 < self.seconds < math.inf:
            raise UserError("--seeds must name different numbers, and --seconds must be above 0")


def pretrain(config: TrainConfig) -> list[float]:
    """Run train.py, or what is left of a run. Returns the seconds of training at each row of its metrics.jsonl."""
    train_or_go_on(config)
    return [row["seconds"] for row in read_metrics(config.out)]


def fine_tune(config: FinetuneConfig) -> float:
    """Run finetune.py, or what is left of a run. Returns the F1 or the accuracy on the test split."""
    return finetune_or_go_on(config)["test"]["f1" if config.task == "tags" else "accuracy"]


def time_steps(pretraining: TrainConfig) -> dict[str, float]:
    """Seconds per step of each objective: medians over turns of both, without the first steps of each turn."""
    times: dict[str, list[float]] = {objective: [] for objective in OBJECTIVES}
    with tempfile.TemporaryDirectory() as folder:
        for turn, objective in itertools.product(range(TURNS), OBJECTIVES):
            changes = {"objective": objective, "out": Path(folder) / f"{objective}-{turn}", "log_every": LOGGED}
            clock = pretrain(replace(pretraining, max_steps=TIMED_STEPS, eval_every=TIMED_STEPS, **changes))
            readings = clock[: TIMED_STEPS // LOGGED]  # the row behind these is of the evaluation
            times[objective] += [(end - start) / LOGGED for start, end in itertools.pairwise(readings)]
    return {objective: statistics.median(seconds) for objective, seconds in times.items()}


def plan_steps(config: ObjectivesConfig, pretraining: TrainConfig, finetuning: FinetuneConfig) -> dict[str, int]:
    """The steps of each objective, chosen once and kept in plan.json. Raises UserError if that has other settings."""
    path, settings = config.out / "plan.json", config_to_json(config)
    del settings["seeds"], settings["out"]
    settings |= {"pretraining": config_to_json(pretraining), "finetuning": config_to_json(finetuning)}
    if path.is_file():
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["settings"] != settings:
            raise UserError(f"{config.out} holds a comparison with other settings: choose another --out")
        return plan["steps"]
    times = time_steps(pretraining)
    steps = {objective: max(1, round(config.seconds / seconds)) for objective, seconds in times.items()}
    config.out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"steps": steps, "seconds_per_step": times, "settings": settings}, indent=2) + "\n")
    return steps


def measure(config: ObjectivesConfig, run: TrainConfig, finetuning: FinetuneConfig, corpus: TokensFolder) -> Measures:
    """Pretrain a model and measure everything; or read this from the file beside its folder, if it is there."""
    path = run.out.with_suffix(".json")
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    measures: Measures = {"steps": run.max_steps, "seconds": pretrain(run)[-1]}
    reviews = replace(finetuning, model=run.out, seed=run.seed, data=config.reviews, out=Path(f"{run.out}-reviews"))
    few_reviews = replace(reviews, labels=config.labels, out=Path(f"{run.out}-few-reviews"))
    entities = replace(reviews, task="tags", data=config.entities, out=Path(f"{run.out}-entities"))
    measures |= {"reviews": fine_tune(reviews), "few_reviews": fine_tune(few_reviews), "entities": fine_tune(entities)}
    model = load_model(run.out, pick_machine(run.device).device)
    speed_up(model, model.transformer.ln_f.weight.device, torch.float32)
    measures |= tell_stories(model, run.out, corpus.meta.get("world"))
    measures |= guess_hidden(model, MaskedDataset(corpus.dataset(model.config.context_length, BATCH_SIZE)))
    measures["perplexity"] = perplexity_of(model, corpus)
    write_text(path, json.dumps(measures, indent=2) + "\n")
    return measures


def tell_stories(model: GPT, folder: Path, language: str | None) -> Measures:
    """The shares of grammatical stories, and of consistent ones among them; only the toy world has a judge."""
    if language is None or not model.config.causal:
        return dict.fromkeys(("grammatical", "consistent"), "cannot write" if language else "not judged")
    stories = sample_stories(model, load_tokenizer(folder), STORIES, TEMPERATURE, seed=0)
    quality = judge_stories(stories, language)
    return {"grammatical": quality.grammatical, "consistent": quality.consistent}


@torch.no_grad()
def guess_hidden(model: GPT, dataset: MaskedDataset) -> Measures:
    """The share of the hidden tokens for which the model's likeliest is the right one, and how many are hidden."""
    device, right, total = model.transformer.ln_f.weight.device, 0, 0
    for inputs, targets in dataset.evaluation_batches():
        hidden = targets != IGNORED  # (B, T); never the first token of a window
        total += int(hidden.sum())
        if model.config.causal:
            tokens = torch.where(hidden, targets, inputs).clamp(max=dataset.end_of_text)  # padding comes after them all
            tokens, targets = tokens[:, :-1], targets[:, 1:]  # 2 × (B, T - 1): each from those before it
        else:
            tokens = inputs.masked_fill(hidden, dataset.mask)
        right += int((model(tokens.to(device)).argmax(-1).cpu() == targets).sum())
    return {"cloze": right / total, "hidden_tokens": total}


def perplexity_of(model: GPT, corpus: TokensFolder) -> float:
    """exp of the mean nats per token of the first validation texts, cut off at the context length; end-of-text is not
    counted. A masked model's is a pseudo-perplexity of the same tokens."""
    tokens, end, context = corpus.val[:], corpus.vocab_size - 1, model.config.context_length
    ends = [-1, *np.flatnonzero(tokens == end)[:TEXTS].tolist()]
    texts = [[end, *tokens[a + 1 : b + 1].tolist()][:context] for a, b in itertools.pairwise(ends)]
    if not model.config.causal:
        return pseudo_perplexity(model, texts)
    return math.exp(-statistics.fmean(c.logprob for text in texts for c in score(model, text) if c.token != end))


def describe(values: list, form: str) -> str:
    """The mean over the seeds, the lowest and the highest; or why there are no numbers."""
    if isinstance(values[0], str):
        return values[0]
    return f"{statistics.fmean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def conclude(rows: dict[str, tuple[str, str]], results: dict[str, dict[str, list]]) -> str:
    """A sentence that follows from the numbers: whose mean is higher in which row, and whether the ranges overlap."""
    ahead: dict[str, list[str]] = {}
    for name in (name for name in COMPARED if not any(isinstance(of[0], str) for of in results[name].values())):
        (label, form), values = rows[name], results[name]
        means = {who: statistics.fmean(of) for who, of in values.items()}
        best, other = sorted(OBJECTIVES, key=means.__getitem__, reverse=True)
        overlap = ", ranges overlap" if min(values[best]) <= max(values[other]) else ""
        figures = f"{means[best]:{form}} against {means[other]:{form}}{overlap}"
        ahead.setdefault(best if means[best] > means[other] else "neither", []).append(f"{label} ({figures})")
    said = [f"{who} is ahead in {', '.join(won)}" for who, won in ahead.items()]
    said += [f"{who} {of[0]} stories" for who, of in results["grammatical"].items() if of[0] == "cannot write"]
    seconds, count = [statistics.fmean(of) for of in results["seconds"].values()], len(results["seconds"]["causal"])
    over = f"{count} seeds" if count > 1 else "one seed, which shows no range"
    return f"After {seconds[0]:.1f} s (causal) and {seconds[1]:.1f} s (masked), {over}: {'; '.join(said)}."


def compare(config: ObjectivesConfig, pretraining: TrainConfig, finetuning: FinetuneConfig) -> str:
    """Train and measure what is not there yet, and write results.json. Returns the table, and what follows from it.
    pretraining and finetuning hold the settings that `config` does not replace."""
    with contextlib.redirect_stdout(sys.stderr):
        corpus = TokensFolder(config.data or default_stories(pretraining.model.vocab_size))
        pretraining = replace(pretraining, data=corpus.folder)
        steps = plan_steps(config, pretraining, finetuning)
        measured: dict[str, list[Measures]] = {objective: [] for objective in OBJECTIVES}
        for seed, objective in itertools.product(config.seeds, OBJECTIVES):
            print(f"\n=== seed {seed}, {objective}: {steps[objective]:,} steps", flush=True)
            changes = {"objective": objective, "out": config.out / f"{objective}-{seed}", "seed": seed}
            run = replace(pretraining, max_steps=steps[objective], eval_every=steps[objective], **changes)
            measured[objective].append(measure(config, run, finetuning, corpus))
    rows = {name: (label.format(labels=config.labels), form) for name, (label, form) in ROWS.items()}
    results = {name: {who: [one[name] for one in of] for who, of in measured.items()} for name in rows}
    lines = [[label, *(describe(of, form) for of in results[name].values())] for name, (label, form) in rows.items()]
    sentence, hidden = conclude(rows, results), measured["causal"][0]["hidden_tokens"]
    about = {"machine": str(pick_machine(pretraining.device)), "torch": torch.__version__, "hidden_tokens": hidden}
    about |= {"seeds": config.seeds, "results": results, "conclusion": sentence}
    write_text(config.out / "results.json", json.dumps(about, indent=2) + "\n")
    return f"{table(['', *OBJECTIVES], lines)}\n\n{sentence}"


def main() -> None:
    config = parse_flags(lambda: tyro.cli(ObjectivesConfig, description=__doc__))
    print(compare(config, PRESETS["tiny"][1], FinetuneConfig()))


if __name__ == "__main__":
    run_main(main)
