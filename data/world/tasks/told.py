"""Stories with all that is true in them, in splits that share no story.

Story `number` is the same in every language. It belongs to one split, whatever the kind of task: so a text that is
translated in training is not asked about in a test. The hero's name and the main thing are paired: one pair in five is
told in the test alone, and each test story has such a pair (as in "compositional generalisation"; Lake and Baroni
2018), so a model that has only learned pairs by heart fails.
"""

from collections.abc import Iterator
from typing import NamedTuple

from data.world.people import NAMES
from data.world.state import World
from data.world.story import happen, remember_named, stories
from data.world.things import NOUNS

SPLITS = ("train", "val", "test")
HELD_OUT_PAIRS = 5  # one pair of a hero and a thing in this many is told in the test alone
NAME_NUMBER = {name: i for i, name in enumerate(NAMES)}
NOUN_NUMBER = {noun: i for i, noun in enumerate(NOUNS)}


class Told(NamedTuple):
    """A story, and the world at its end."""

    number: int
    language: str
    text: str
    events: list  # (event, arguments) of each sentence, without the question at the end
    world: World  # world.roles: hero, friend, elder, thing; world.facts: finder, spot, tool, ...


def split_of(number: int) -> str:
    """Eight stories of ten are for training, one for validation and one for testing."""
    return {8: "val", 9: "test"}.get(number % 10, "train")


def tell(seed: int, number: int, language: str) -> Told:
    """One story, without the question that a story of the corpus may end with."""
    story = next(stories(f"{seed} tasks", language, number))
    text, _, _ = story.text.partition("\n")
    events = [(event, arguments) for event, arguments in story.sentences if not event.startswith("q_")]
    return Told(number, language, text, events, replay(events))


def replay(events: list) -> World:
    """The world after these events. Raises Contradiction if they cannot happen."""
    world = World()
    for event, arguments in events:
        happen(world, event, arguments)
        remember_named(world, event, arguments)
    return world


def is_held_out_pair(first: int, second: int) -> bool:
    """Whether the test alone has this pair, of the numbers of two words."""
    return (first + second) % HELD_OUT_PAIRS == 0


def is_held_out(told: Told) -> bool:
    """Whether the test alone has stories with this hero and this thing."""
    return is_held_out_pair(NAME_NUMBER[told.world.roles["hero"]], NOUN_NUMBER[told.world.roles["thing"]])


def told_for(split: str, seed: int, language: str) -> Iterator[Told]:
    """An endless iterator over the stories of one split."""
    number = 0
    while True:
        if split_of(number) == split:
            told = tell(seed, number, language)
            if is_held_out(told) == (split == "test"):
                yield told
        number += 1
