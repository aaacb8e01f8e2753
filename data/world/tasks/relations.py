"""Relations: who gave what to whom, in the order of the story.

The roles alone do not show the answer: a hero gives and is given to, and one story in five has two givings. In the
sentences that tell a giving, two people in five are "she" or "he" and one thing in five is "it": who and what that is,
the sentence before shows.
"""

from collections.abc import Iterator

from data.world.story import LANGUAGES
from data.world.tasks.told import told_for

GIVINGS = ("give", "give_back")  # their arguments: giver, thing, receiver
MARKS = {"en": (", ", "; "), "zh": ("，", "；")}  # between the words of a giving, and between two givings


def relation_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"prompt": story, "answer": "giver, thing, receiver; giver, thing, receiver"}."""
    for told in told_for(split, seed, language):
        if any(event in GIVINGS for event, _ in told.events):
            yield {"prompt": told.text, "answer": givings(told.events, language)}


def givings(events: list, language: str) -> str:
    """All givings among the events of a story."""
    words = LANGUAGES[language].words
    names = words["name"] | words["elder"]
    comma, semicolon = MARKS[language]
    return semicolon.join(
        comma.join([names[giver], words["noun"][thing], names[receiver]])
        for event, (giver, thing, receiver) in (pair for pair in events if pair[0] in GIVINGS)
    )
