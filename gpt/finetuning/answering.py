"""The task "write the answer to a prompt": question answering, translation, summaries, dialogue.

It has no head of its own: it is language modelling, with the loss on the answers alone ("Improving Language
Understanding by Generative Pre-Training", Radford et al. 2018, section 3.3, writes tasks as sequences in this way).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.classifier import language_loss
from gpt.dataset import IGNORED
from gpt.errors import UserError
from gpt.finetuning.batches import GRID, pad_to_grid
from gpt.finetuning.conversations import cut_beginning, encode_conversation, read_conversations
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.labelled import SPLITS, read_splits, take_count
from gpt.finetuning.saved import save_answering_model
from gpt.finetuning.task import Task
from gpt.finetuning.written import write_answers
from gpt.model import GPT, GPTConfig
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer

# (prompts, true answers, written answers) -> measures from 0 to 1, the main one first
WorldScore = Callable[[list[str], list[str], list[str]], dict[str, float]]


class AnswerTask(Task):
    """Prompts with answers. What is too long for the context loses its beginning.

    world_score: measures answers that can be right in many ways, where somebody knows what is right. Raises UserError
    as read_conversations does, or if an answer does not fit the context beside one token of its prompt.
    """

    score = "exact"  # the share of examples whose every answer is exactly the true one

    def __init__(
        self, config: FinetuneConfig, tokenizer: Tokenizer, context_length: int, world_score: WorldScore | None
    ):
        self.config, self.tokenizer, self.world_score = config, tokenizer, world_score
        self.examples = read_splits(config.data, config.split_seed, read_conversations)
        train = self.examples["train"]
        self.examples["train"] = take_count(train, config.labels, config.split_seed, config.data, stratify=False)
        self.tokens, self.truncated, self.room = {}, {}, 1
        self.targets: dict[str, list[list[int]]] = {}  # of each token the next one, or IGNORED before it is an answer's
        for split in SPLITS:
            pairs = [encode_conversation(tokenizer, conversation) for conversation in self.examples[split]]
            self.truncated[split] = sum(len(ids) > context_length for ids, _ in pairs)
            for answer in (answer for conversation in self.examples[split] for _, answer in conversation.turns):
                needed = len(tokenizer.encode(answer)) + 1  # and its end
                if needed >= context_length:  # a token before it must fit, too
                    raise UserError(
                        f"the {split} split has an answer of {needed - 1} tokens, but the model's context holds "
                        f"{context_length}: shorten it ({answer[:40]}…)"
                    )
                self.room = max(self.room, needed)
            self.tokens[split] = [cut_beginning(ids, context_length) for ids, _ in pairs]
            self.targets[split] = [cut_beginning(targets, context_length) for _, targets in pairs]

    def describe_data(self) -> str:
        learned = sum(target != IGNORED for targets in self.targets["train"] for target in targets)
        total = sum(map(len, self.tokens["train"]))
        return f"answers are {learned:,} of {total:,} training tokens"

    def build_net(self, config: GPTConfig) -> GPT:
        return GPT(config)

    def losses(self, net: GPT, split: str, part: Any, machine: Machine) -> tuple[Tensor, Tensor, Tensor]:
        """Of the examples numbered in `part`: (the mean loss of each one's answer tokens, whether all of these tokens
        are the likeliest, and the loss of language modelling on the whole texts where it is asked for, else 0)."""
        texts, config = [self.tokens[split][i] for i in part], net.config
        padded = pad_to_grid(texts, config.vocab_size - 1, config.context_length)
        tokens, lengths = (x.to(machine.device) for x in padded)  # (part, T), (part,)
        targets, _ = pad_to_grid([self.targets[split][i] for i in part], IGNORED, config.context_length)
        targets = targets.to(machine.device)
        is_answer = targets != IGNORED
        states = net.transformer(tokens)  # (part, T, C)
        asked = states[is_answer]  # (answer tokens, C): the other states predict nothing that is learned
        on_grid = F.pad(asked, (0, 0, 0, -len(asked) % (4 * GRID)))  # few shapes, as in pad_to_grid
        logits = net.lm_head(on_grid)[: len(asked)]  # (answer tokens, V)
        losses = F.cross_entropy(logits.float(), targets[is_answer], reduction="none")  # (answer tokens,)
        row = is_answer.nonzero()[:, 0]  # (answer tokens,): the example that each belongs to
        mean = losses.new_zeros(len(part)).index_add(0, row, losses) / is_answer.sum(1)
        wrong = torch.zeros(len(part), device=machine.device).index_add(
            0, row, (logits.argmax(1) != targets[is_answer]).float()
        )
        language = language_loss(net, states, tokens, lengths) if self.config.lm_loss else mean.new_zeros(())
        return mean, wrong == 0, language

    def loss(
        self,
        net: GPT,
        part: np.ndarray,
        machine: Machine,
        random: np.random.Generator,
        batch: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        losses, _, language = self.losses(net, "train", part, machine)
        loss = losses.mean()
        return loss + self.language_weight(part, batch) * language, loss

    @torch.inference_mode()
    def validate(self, net: GPT, machine: Machine) -> tuple[float, float]:
        """An answer is exact if each of its tokens is the likeliest after the true ones before it: then writing the
        likeliest tokens one after the other gives this answer. So nothing needs to be written here. (Rarely, a model
        would write the same text in other tokens; that does not count here.)"""
        net.eval()
        order = np.argsort([len(ids) for ids in self.tokens["val"]], kind="stable")
        losses, exact = [], []
        for part in np.array_split(order, -(-len(order) // 64)):
            with machine.autocast():
                of_part = self.losses(net, "val", part, machine)
            losses += of_part[0].tolist()
            exact += of_part[1].tolist()
        net.train()
        return float(np.mean(losses)), float(np.mean(exact))

    def save_model(self, net: GPT, folder: Path) -> None:
        save_answering_model(net, self.tokenizer, folder, self.room)

    def measure(self, net: GPT, machine: Machine) -> dict[str, Any]:
        from gpt.finetuning.answer_measures import measure_answers  # here, because scikit-learn takes seconds to import

        asked = [asked for conversation in self.examples["test"] for asked in conversation.prompts()]
        true = [answer for conversation in self.examples["test"] for _, answer in conversation.turns]
        written = write_answers(net, self.tokenizer, asked, machine, self.room, plain=self.config.plain)
        training = [turn for conversation in self.examples["train"] for turn in conversation.turns]
        return measure_answers([prompt.text() for prompt in asked], true, written, training, self.world_score)

    def describe_measures(self, report: dict) -> str:
        from gpt.finetuning.answer_measures import describe_answers

        return describe_answers(report)

    def plot(self, report: dict, folder: Path) -> None:
        from gpt.finetuning.report_plots import plot_scores

        names = [name for name in report["test"] if name != "exact_95"]
        plot_scores({"the GPT": report["test"]} | report["baselines"], names, folder / "scores.png")
