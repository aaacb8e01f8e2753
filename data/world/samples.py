"""How good is a model of the toy world? Let it tell stories, and judge them."""

from typing import NamedTuple

from data.world.judge import judge
from gpt.generate import Batch, generate_text
from gpt.model import GPT
from gpt.sampling import Sampling
from gpt.tokenizer import Tokenizer

LONGEST_STORY = 400  # tokens, with a vocabulary of 1,024: no story takes so many


class Told(NamedTuple):
    grammatical: float  # the share of stories whose every sentence is one of the language's
    consistent: float  # of those, the share that never contradict themselves
    story: str  # the first of them
    verdict: str  # and what the judge says of it


def tell_and_judge(model: GPT, tokenizer: Tokenizer, language: str, count: int, temperature: float, seed: int) -> Told:
    """Sample `count` stories side by side and judge each."""
    prompts = [[tokenizer.end_of_text]] * count
    seeds = list(range(seed, seed + count))
    batch = Batch(model, prompts, seeds, LONGEST_STORY, Sampling(temperature))
    stories = [""] * count
    for row, text, _ in generate_text(batch, tokenizer):
        stories[row] += text
    verdicts = [judge(story, language) for story in stories]
    grammatical = sum(verdict.grammatical for verdict in verdicts)
    consistent = sum(verdict.consistent for verdict in verdicts)
    reason = "consistent" if verdicts[0].consistent else verdicts[0].reason
    return Told(grammatical / count, consistent / max(1, grammatical), stories[0], reason)
