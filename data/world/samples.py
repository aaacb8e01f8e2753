"""How good is a model of the toy world? It tells stories, and the judge judges them."""

from typing import NamedTuple

from data.world.bilingual import BOTH, judge_both
from data.world.judge import judge
from gpt.fast.batch import Batch
from gpt.model import GPT
from gpt.running.streaming import stream_texts, stream_texts_plainly
from gpt.sampling import Sampling
from gpt.tokenizer import Tokenizer

LONGEST_STORY = 400  # tokens, with a vocabulary of 1,024: every story is shorter
AT_ONCE = 50  # more are hardly faster, and their cache would set the peak memory of a training run


class StoryQuality(NamedTuple):
    grammatical: float  # the share of grammatical stories
    consistent: float  # the share of these that are consistent
    story: str  # the first story
    verdict: str  # the judge's verdict on it


def judge_stories(stories: list[str], language: str) -> StoryQuality:
    """The judge's verdict on the stories on average, and on the first one."""
    verdicts = [judge_both(story) if language == BOTH else judge(story, language) for story in stories]
    grammatical = sum(verdict.grammatical for verdict in verdicts)
    consistent = sum(verdict.consistent for verdict in verdicts)
    reason = "consistent" if verdicts[0].consistent else verdicts[0].reason
    return StoryQuality(grammatical / len(stories), consistent / max(1, grammatical), stories[0], reason)


def sample_stories(
    model: GPT, tokenizer: Tokenizer, count: int, temperature: float, seed: int, opening: str = ""
) -> list[str]:
    """Sample `count` stories that begin with `opening`, AT_ONCE in a batch. Story i depends only on seed + i."""
    stories, prompt = [opening] * count, [tokenizer.end_of_text, *tokenizer.encode(opening)]
    for first in range(0, count, AT_ONCE):
        rows = range(first, min(first + AT_ONCE, count))
        batch = Batch(model, [prompt] * len(rows), [seed + row for row in rows], LONGEST_STORY, Sampling(temperature))
        for row, text, _ in stream_texts(batch, tokenizer):
            stories[first + row] += text
    return stories


def sample_stories_plainly(model: GPT, tokenizer: Tokenizer, count: int, temperature: float, seed: int) -> list[str]:
    """The same stories with the plain `generate`, one after the other."""
    stories, prompts = [""] * count, [[tokenizer.end_of_text]] * count
    seeds = [seed + row for row in range(count)]
    for row, text, _ in stream_texts_plainly(model, tokenizer, prompts, seeds, LONGEST_STORY, temperature=temperature):
        stories[row] += text
    return stories
