"""Judge a story: is every sentence known, is every event possible, and how probable is the story?

The judge runs the generator backwards. It reads each sentence without looking at the world (`telling.py`). The event
then happens in a new world, which raises `Contradiction` if it is impossible (`events.py`). The generator's own code
follows the choices and adds up their -log2 p. The judge has no other knowledge about stories.
"""

import math
import re
from typing import NamedTuple

from data.world.draws import EVENTS
from data.world.plots import next_steps
from data.world.recorder import Follow, Impossible
from data.world.state import Contradiction, World
from data.world.story import LANGUAGES, draw_event, gap_before, happen, remember_named
from data.world.telling import AGREEING, FULL, IT, NAME, PRONOUN


class Verdict(NamedTuple):
    grammatical: bool  # every sentence is a complete form of the language, and its words agree
    consistent: bool  # grammatical, complete, and no sentence contradicts those before it
    reason: str  # the first mistake, in plain English; "" if there is none
    bits: float  # -log2 of its probability; math.inf if the generator never tells it
    events: list  # (event, arguments) for each sentence up to the first mistake


def judge(text, language="en", planted_bias=50):
    """The verdict on one story (`text` without an end-of-text token). Any text gets one; nothing is raised.
    planted_bias: that of the generator whose probability is asked for (see `World`); nothing else depends on it."""
    told_in = LANGUAGES[language]
    sentences, mistake = read(told_in, text)
    if mistake:
        return Verdict(False, False, mistake, math.inf, [])
    world, point, chooser, events = World(planted_bias), "begin", Follow(), []
    for start, reading in sentences:
        try:
            event, arguments, hows = understand(world, reading)
            if not events and event != "hero":
                raise Contradiction("a story begins with its hero")
            if events and is_ending(events[-1][0]) and not event.startswith("q_"):
                raise Contradiction("the story has ended already")
            point = follow_event(world, point, chooser, event, arguments)
            happen(world, event, arguments)
            sentence, point = follow_telling(world, told_in, point, chooser, reading, arguments, hows)
            if sentence != text[start : reading.end]:  # "his" for "her", or a wrong measure word
                reason = f"sentence {count_sentences(text[:start]) + 1} should be: {sentence}"
                return Verdict(False, False, reason, math.inf, events)
        except Contradiction as objection:
            number = count_sentences(text[:start]) + 1
            reason = f"sentence {number}: {text[start : reading.end]} But {objection}."
            return Verdict(True, False, reason, math.inf, events)
        remember_named(world, event, arguments)
        events.append((event, tuple(arguments)))
    if not is_ending(events[-1][0]):
        return Verdict(True, False, "the story stops before its end", math.inf, events)
    point = follow_event(world, point, chooser, "stop", [])
    return Verdict(True, True, "", chooser.bits if point == "over" else math.inf, events)


def read(language, text):
    """-> ([(start, reading of a sentence)], "" or what could not be read). Uses only the text."""
    sentences, position = [], 0
    while position < len(text):
        for gap in (language.gap if position else "", "\n"):
            readings = language.read(text, position + len(gap)) if text.startswith(gap, position) else []
            readings = [r for r in readings if gap_before(r.form.event, language, text[:position]) == gap]
            if readings:
                break
        else:
            rest = text[position:].strip()
            return sentences, f"sentence {count_sentences(text[:position]) + 1} cannot be read: {rest[:60]}"
        sentences.append((position + len(gap), readings[0]))
        position = readings[0].end
    return sentences, "" if sentences else "there is no text"


def understand(world, reading):
    """Find out whom and what a sentence means -> (event, arguments, the choice made in each slot that has one)."""
    form, meant, hows = reading.form, {}, [reading.form]
    for slot, meaning in zip(form.slots, reading.meanings, strict=True):
        if slot.style in AGREEING:
            continue  # determined by a name elsewhere in the sentence; checked when it is told again
        if slot.argument in ("who", "to"):
            how = PRONOUN if meaning in ("she", "he") else NAME
            if slot.style != "name":
                hows.append(how)
            meaning = world.meaning(meaning) if how == PRONOUN else meaning
        elif slot.argument == "thing" and slot.style == "":
            how, adjective, noun = meaning
            hows.append(how)
            meaning = world.thing_named if how == IT else noun
            if meaning is None:
                raise Contradiction('"it" could be anything: the sentence before does not say')
            if how == FULL and world.thing(meaning).adjective != adjective:
                raise Contradiction(f"the {meaning} is {world.thing(meaning).adjective}")
        if slot.argument == "thing" and form.kind not in ("", world.thing(meaning).kind):
            raise Contradiction(f"nobody does that with a {meaning}")
        if meant.setdefault(slot.argument, meaning) != meaning:
            raise Contradiction(f"it means both {meant[slot.argument]} and {meaning}")
    return form.event, [meant[argument] for argument in EVENTS[form.event][1]], hows


def follow_event(world, point, chooser, event, arguments):
    """The point after the event; None if the generator cannot choose the event here."""
    for step in next_steps(world, point)[0] if point else ():
        roles = [world.roles[role] for role in step[2]]
        if step[1] == event and roles == arguments[: len(roles)]:
            chooser.wanted = [step, *arguments[len(roles) :]]
            try:
                return draw_event(world, point, chooser)[2]
            except Impossible:
                return None
    return None


def follow_telling(world, language, point, chooser, reading, arguments, hows):
    """-> (the sentence as the generator tells it, the point or None if it cannot choose this form)."""
    named = dict(zip(EVENTS[reading.form.event][1], arguments, strict=True))
    chooser.wanted = hows
    try:
        chooser.choose(language.forms_for(reading.form.event, named))
    except Impossible:
        point = None
    return language.tell(world, reading.form, named, chooser), point


def is_ending(event):
    return event.startswith(("end_", "q_"))


def count_sentences(text):
    return len(re.findall(r'[.!?。！？]["”]?(?=\s|$|[^\s"”])', text))
