"""Make a story: draw events one after another, tell each in a sentence, and count all choices."""

from typing import NamedTuple

from data.world.chinese import CHINESE
from data.world.draws import EVENTS
from data.world.english import ENGLISH
from data.world.people import GENDER
from data.world.plots import next_steps
from data.world.recorder import Draw
from data.world.state import World

LANGUAGES = {"en": ENGLISH, "zh": CHINESE}


class Story(NamedTuple):
    text: str
    bits: float  # -log2 of the probability of this text, including the decision to end it
    sentences: list  # (event, arguments, form index, ...) for each sentence: what was chosen


def happen(world, event, arguments):
    """Let the event change the world; raises `Contradiction` if it is impossible."""
    EVENTS[event][0](world, *arguments)


def remember_named(world, event, arguments):
    """Store what the next sentence's pronouns can mean."""
    world.named = tuple(dict.fromkeys(value for value in arguments if value in GENDER))
    named_things = [value for value in arguments if value in world.things]
    world.thing_named = named_things[0] if len(named_things) == 1 else None


def draw_event(world, point, chooser):
    """What happens next: (event or "stop" at the end, its arguments, the point after it)."""
    steps, weights = next_steps(world, point)
    _, event, roles, draws, then, _ = chooser.weigh(steps, weights)
    arguments = [world.roles[role] for role in roles]
    for draw in draws:
        options = draw(world, *arguments)
        pick = chooser.weigh(*options) if isinstance(options, tuple) else chooser.choose(options)
        arguments.append(pick)
    return event, arguments, then


def tell_event(world, language, event, arguments, chooser):
    """The sentence for an event that has just happened."""
    named = dict(zip(EVENTS[event][1], arguments, strict=True))
    form = chooser.choose(language.forms_for(event, named))
    sentence = language.tell(world, form, named, chooser)
    remember_named(world, event, arguments)
    return sentence


def tell_story(language, events, telling, planted_bias=50):
    """One story. `events` chooses what happens, `telling` chooses the words."""
    world, point, text, sentences = World(planted_bias), "begin", "", []
    while True:
        event, arguments, point = draw_event(world, point, events)
        if event == "stop":
            return Story(text, events.bits + telling.bits, sentences)
        happen(world, event, arguments)
        sentence = tell_event(world, language, event, arguments, telling)
        text += gap_before(event, language, text) + sentence
        sentences.append((event, tuple(arguments)))


def gap_before(event, language, text):
    """A question has its own line."""
    if not text:
        return ""
    return "\n" if event.startswith("q_") else language.gap


def stories(seed=1, language="en", start=0, planted_bias=50):
    """An endless iterator of stories. Story i of a seed is always the same, with the same events in every language.
    Sets that must not overlap use different numbers. With another `planted_bias` (see `World`) only the jobs differ."""
    told_in = LANGUAGES[language]
    number = start
    while True:
        events = Draw(f"{seed} {number} events")
        yield tell_story(told_in, events, Draw(f"{seed} {number} {language}"), planted_bias)
        number += 1
