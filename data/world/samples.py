"""How good is a model of the toy world? Let it tell stories, and judge them."""

from typing import NamedTuple

from data.world.judge import judge
from gpt.generate import Batch, generate_text
from gpt.model import GPT
from gpt.sampling import Sampling
from gpt.tokenizer import Tokenizer

LONGEST_STORY = 400  # tokens, with a vocabulary of 1,024: no story takes so many
AT_ONCE = 50  # more are hardly faster, and their cache would be the peak of a training run's memory


class Told(NamedTuple):
    grammatical: float  # the share of stories whose every sentence is one of the language's
    consistent: float  # of those, the share that never contradict themselves
    story: str  # the first of them
    verdict: str  # and what the judge says of it


def tell_and_judge(model: GPT, tokenizer: Tokenizer, language: str, count: int, temperature: float, seed: int) -> Told:
    """Sample `count` stories, AT_ONCE side by side, and judge each."""
    stories = [""] * count
    for first in range(0, count, AT_ONCE):
        rows = range(first, min(first + AT_ONCE, count))
        prompts = [[tokenizer.end_of_text]] * len(rows)
        batch = Batch(model, prompts, [seed + row for row in rows], LONGEST_STORY, Sampling(temperature))
        for row, text, _ in generate_text(batch, tokenizer):
            stories[first + row] += text
    verdicts = [judge(story, language) for story in stories]
    grammatical = sum(verdict.grammatical for verdict in verdicts)
    consistent = sum(verdict.consistent for verdict in verdicts)
    reason = "consistent" if verdicts[0].consistent else verdicts[0].reason
    return Told(grammatical / count, consistent / max(1, grammatical), stories[0], reason)
