"""Finding the story that a question is about: with a model's hidden states, and by counting words.

    python finetune.py --task answer --model out/tiny --data data/questions --out out/questions
    python -m benchmarks.retrieval --model out/tiny --answers out/questions

500 test stories, and a question about each. To find the story, hero and thing precede the question: "Mia and the
yellow train. Who had the train in the end?" Several stories may be about such a pair, so the first line says how often
the right one would be found by these two alone. Then the answering model is asked without a story, with the one that
was found, and with the right one (exact match; retrieval-augmented generation, Lewis et al. 2020).
"""

import itertools
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from benchmarks.roofline import table
from data.world.recorder import Draw
from data.world.tasks.questions import QUESTION_KINDS, can_answer, question_about
from data.world.tasks.told import told_for
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.conversations import Conversation
from gpt.finetuning.saved import kind_of, load_fine_tuned, room_for_answer
from gpt.finetuning.written import write_answers
from gpt.inside.retrieval import nearest, text_vectors
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine


@dataclass(frozen=True)
class RetrievalConfig:
    model: Path
    """the folder of a model of English stories"""
    answers: Path | None = None
    """the folder of a model that finetune.py --task answer made of it"""
    stories: int = 500
    """test stories to choose from"""
    seed: int = 1
    """the seed that the questions of data/questions were made with: the answering model has not seen test stories"""

    def __post_init__(self) -> None:
        if self.stories < 2:
            raise UserError(f"--stories is {self.stories}: there must be at least 2 to choose from")
        if self.answers and kind_of(self.answers) != "answers":
            raise UserError(f"--answers is {self.answers}: give a folder that finetune.py --task answer wrote")


class Asked(NamedTuple):
    """A story with a question about it."""

    story: str
    about: str  # hero and thing
    question: str
    answer: str


def ask(seed: int, count: int) -> list[Asked]:
    """Test stories, each with a question of a kind that it can answer."""
    asked = []
    for told in itertools.islice(told_for("test", seed, "en"), count):
        draw = Draw(f"{seed} {told.number} retrieval")
        kind = draw.choose([kind for kind in QUESTION_KINDS if can_answer(told, kind)])
        question, answer = question_about(told, kind, draw)
        roles = told.world.roles
        about = f"{roles['hero']} and the {told.world.thing(roles['thing']).adjective} {roles['thing']}"
        asked.append(Asked(told.text, about, question, answer))
    return asked


def find_with_states(model: GPT, queries: list[list[int]], stories: list[list[int]]) -> dict[str, Tensor]:
    """{layer and way: the number of the story found for each query}."""
    asked, told = text_vectors(model, queries), text_vectors(model, stories)  # (L + 1, N, C)
    return {
        f"{f'states after block {layer}' if layer else 'embeddings'}{', centred' if centred else ''}": nearest(
            asked[layer], told[layer], centred
        )
        for layer in range(len(told))
        for centred in (False, True)
    }


def find_with_words(queries: list[str], stories: list[str]) -> Tensor:
    """The same by TF-IDF: words that are rare among the stories count most."""
    vectorizer = TfidfVectorizer().fit(stories)
    told, asked = vectorizer.transform(stories), vectorizer.transform(queries)
    return torch.from_numpy((asked @ told.T).toarray()).argmax(1)  # rows have length 1: this is the cosine


def main() -> None:
    config = parse_flags(lambda: tyro.cli(RetrievalConfig, description=__doc__))
    asked = ask(config.seed, config.stories)
    stories, queries = [one.story for one in asked], [f"{one.about}. {one.question}" for one in asked]
    model, tokenizer = load_model(config.model), load_tokenizer(config.model)
    machine = pick_machine("cpu", "float32", "off")
    speed_up(model, machine.device, machine.dtype)
    ids = [[[tokenizer.end_of_text, *tokenizer.encode(text)] for text in texts] for texts in (queries, stories)]
    found = find_with_states(model, *ids) | {"TF-IDF": find_with_words(queries, stories)}

    pairs = Counter(one.about for one in asked)
    rows = [["hero and thing alone, then chance", f"{len(pairs) / len(asked):.1%}", "100.0%"]]
    for name, numbers in found.items():
        right = [number == i for i, number in enumerate(numbers.tolist())]
        about = [asked[number].about == asked[i].about for i, number in enumerate(numbers.tolist())]
        rows.append([name, f"{statistics.mean(right):.1%}", f"{statistics.mean(about):.1%}"])
    print(table([f"{len(asked)} stories", "recall@1", "same hero and thing"], rows))
    if config.answers is None:
        return

    net, answering = load_fine_tuned(config.answers, machine.device), load_tokenizer(config.answers)
    assert isinstance(net, GPT)
    speed_up(net, machine.device, machine.dtype)
    best = max((name for name in found if name != "TF-IDF"), key=lambda name: hits(found[name]))
    given = {"none": None, "found by TF-IDF": found["TF-IDF"], f"found by {best}": found[best]}
    rows = []
    for name, numbers in (given | {"the right one": torch.arange(len(asked))}).items():
        texts = [""] * len(asked) if numbers is None else [stories[i] + "\n" for i in numbers.tolist()]
        prompts = [Conversation(((text + one.question, ""),)) for text, one in zip(texts, asked, strict=True)]
        written = write_answers(
            net, answering, prompts, machine, room_for_answer(config.answers, net.config.context_length)
        )
        exact = statistics.mean(answer == one.answer for answer, one in zip(written, asked, strict=True))
        rows.append([name, f"{exact:.1%}"])
    print("\n" + table(["story before the question", "exact answers"], rows))


def hits(numbers: Tensor) -> int:
    return int((numbers == torch.arange(len(numbers))).sum())


if __name__ == "__main__":
    run_main(main)
