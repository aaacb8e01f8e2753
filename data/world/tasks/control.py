"""control: one line says who a story is about, where it happens and how it ends; the answer is such a story.

Many stories obey the same line, so an exact match would be unfair: the judge finds out what a story is about. One pair
in five of a hero and a place is asked for in the test alone, and each test line has such a pair: no story of training
obeys it.
"""

from collections.abc import Iterator

from data.world.judge import Verdict
from data.world.places import PLACES
from data.world.tasks.speech import with_forms
from data.world.tasks.told import NAME_NUMBER, is_held_out_pair, told_for

PLACE_NUMBER = {place: i for i, place in enumerate(PLACES)}
# fmt: off
LINES = {
    "en": with_forms("en", {
        "end_treat": ["A story about {name} {place:at} that ends with a treat."],
        "end_game": ["A story about {name} {place:at} that ends with a game."],
        "end_friends": ["A story about {name} {place:at} that ends with happy friends."],
        "end_lesson_lost": ["A story about {name} {place:at} that ends with more care for things."],
        "end_lesson_sorry": ["A story about {name} {place:at} that ends with a lesson about saying sorry."],
        "end_lesson_kind": ["A story about {name} {place:at} that ends with a lesson about helping a friend."],
    }),
    "zh": with_forms("zh", {
        "end_treat": ["讲一个{name}在{place:at}的故事，最后大家吃好吃的。"],
        "end_game": ["讲一个{name}在{place:at}的故事，最后大家一起玩。"],
        "end_friends": ["讲一个{name}在{place:at}的故事，最后朋友们都很快乐。"],
        "end_lesson_lost": ["讲一个{name}在{place:at}的故事，最后学会爱惜东西。"],
        "end_lesson_sorry": ["讲一个{name}在{place:at}的故事，最后明白要说对不起。"],
        "end_lesson_kind": ["讲一个{name}在{place:at}的故事，最后明白要帮助朋友。"],
    }),
}
# fmt: on


def control_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"prompt": one line, "answer": a story that obeys it}."""
    lines = LINES[language]
    for told in told_for(split, seed, language):
        (name,), (place,), (ending,) = controls_of(told.events)
        if is_held_out_pair(NAME_NUMBER[name], PLACE_NUMBER[place]) != (split == "test"):
            continue
        # such a form leaves no choice, so it needs no world and no chooser
        line = lines.tell(None, lines.forms[ending][0], {"name": name, "place": place}, None)
        yield {"prompt": line, "answer": told.text}


def controls_of(events: list) -> tuple[list[str], list[str], list[str]]:
    """-> (heroes, places they went to, endings): what a line asks for. A story has one of each, other texts may not."""
    return (
        [arguments[0] for event, arguments in events if event == "hero"],
        [arguments[-1] for event, arguments in events if event == "go"],
        [event for event, _ in events if event.startswith("end_")],
    )


def obeys(verdict: Verdict, asked: Verdict) -> bool:
    """Whether a judged text is consistent, with the same hero, place and ending as another one."""
    return verdict.consistent and controls_of(verdict.events) == controls_of(asked.events)
