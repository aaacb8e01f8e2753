"""The task "find the spans in a text": a tag for every token."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpt.dataset import IGNORED
from gpt.finetuning.batches import pad_to_grid
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.found import find_encoded_spans
from gpt.finetuning.labelled import SPLITS, read_splits, take_count
from gpt.finetuning.saved import save_tagger
from gpt.finetuning.tag_measures import describe_tags, measure_spans, measure_tags
from gpt.finetuning.tagged import Span, TokenPlaces, encode_with_places, read_tagged, spans_of, tag_names, tags_of
from gpt.finetuning.tagger import GPTTagger, loss_on_tags
from gpt.finetuning.task import Task
from gpt.model import GPTConfig
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer


class TagTask(Task):
    """Texts with spans. config.labels: use only this many training texts. Texts longer than the context are cut off.

    Raises UserError as the functions of tagged.py do, or if config.labels is too large.
    """

    score = "f1"  # of whole spans: right only if both ends and the label are

    def __init__(self, config: FinetuneConfig, tokenizer: Tokenizer, context_length: int):
        self.config, self.tokenizer = config, tokenizer
        self.examples = read_splits(config.data, config.split_seed, read_tagged)
        train = self.examples["train"]
        self.examples["train"] = take_count(train, config.labels, config.split_seed, config.data, stratify=False)
        self.labels = tag_names(self.examples)
        number = {tag: i for i, tag in enumerate(self.labels)}
        self.tokens, self.truncated, self.unsaid = {}, {}, 0  # unsaid: spans that begin or end within a token
        self.places: dict[str, list[TokenPlaces]] = {}  # of each token but the first
        self.targets: dict[str, list[list[int]]] = {}  # the number of each token's tag; of the first token, IGNORED
        for split in SPLITS:
            encoded = [encode_with_places(tokenizer, example.text) for example in self.examples[split]]
            self.truncated[split] = sum(len(ids) + 1 > context_length for ids, _ in encoded)
            self.tokens[split] = [[tokenizer.end_of_text, *ids][:context_length] for ids, _ in encoded]
            self.places[split] = [places for _, places in encoded]
            tags = [tags_of(e.spans, places) for e, (_, places) in zip(self.examples[split], encoded, strict=True)]
            targets = [[IGNORED, *(number[tag] for tag in of_text)] for of_text in tags]
            self.targets[split] = [of_text[:context_length] for of_text in targets]
            triples = zip(self.examples[split], tags, encoded, strict=True)
            self.unsaid += sum(len(set(e.spans) - set(spans_of(t, places))) for e, t, (_, places) in triples)

    def describe_data(self) -> str:
        names = dict.fromkeys(tag[2:] for tag in self.labels[1:])
        spans = sum(len(example.spans) for example in self.examples["train"])
        unsaid = f"; {self.unsaid:,} spans begin or end within a token and cannot be found" if self.unsaid else ""
        return f"{spans:,} training spans of {', '.join(list(names)[:10])}{unsaid}"

    def build_net(self, config: GPTConfig) -> GPTTagger:
        return GPTTagger(config, self.labels)

    def loss(
        self,
        net: GPTTagger,
        part: np.ndarray,
        machine: Machine,
        random: np.random.Generator,
        batch: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        loss = self.losses(net, "train", part, machine).mean()
        return loss, loss

    def losses(self, net: GPTTagger, split: str, part: np.ndarray, machine: Machine) -> Tensor:
        """Of the examples numbered in `part`, the mean loss of each one's tokens, (part,). Every text counts alike, so
        it does not matter how a batch is cut into parts."""
        texts, config = [self.tokens[split][i] for i in part], net.config
        tokens, _ = pad_to_grid(texts, config.vocab_size - 1, config.context_length)  # (part, T)
        targets, _ = pad_to_grid([self.targets[split][i] for i in part], IGNORED, config.context_length)
        return loss_on_tags(net(tokens.to(machine.device)), targets.to(machine.device))

    def validate(self, net: GPTTagger, machine: Machine) -> tuple[float, float]:
        losses = []
        with torch.inference_mode(), machine.autocast():
            net.eval()
            for part in np.array_split(np.arange(len(self.tokens["val"])), -(-len(self.tokens["val"]) // 64)):
                losses += self.losses(net, "val", part, machine).tolist()
            net.train()
        found = self.found(net, "val", machine)
        return float(np.mean(losses)), measure_spans([example.spans for example in self.examples["val"]], found)["f1"]

    def found(self, net: GPTTagger, split: str, machine: Machine) -> list[tuple[Span, ...]]:
        return find_encoded_spans(net, self.tokens[split], self.places[split], machine)

    def save_model(self, net: GPTTagger, folder: Path) -> None:
        save_tagger(net, self.tokenizer, folder)

    def measure(self, net: GPTTagger, machine: Machine) -> dict[str, Any]:
        measures = measure_tags(self.examples["train"], self.examples["test"], self.found(net, "test", machine))
        return {"labels": self.labels} | measures

    def plot(self, report: dict, folder: Path) -> None:
        from gpt.finetuning.report_plots import plot_scores

        rows = {"all": report["test"]} | report["test"]["labels"] | report["baselines"]
        plot_scores(rows, ["precision", "recall", "f1"], folder / "scores.png")

    def describe_measures(self, report: dict) -> str:
        return describe_tags(report)
