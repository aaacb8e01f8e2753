"""Turn events into sentences, and sentences back into events.

A language has a few sentence forms for every event, such as "{who} gave {thing} to {to:him}." A slot names an
argument of the event and perhaps a style. If the language leaves a choice (a name or a pronoun, "the red kite",
"the kite" or "it"), that choice is drawn like any other.

Reading does not look at the world: each form is a regular expression, and what it captures is kept as it was said
("she", "it") until the judge, who knows the world, finds out what it means.
"""

import re
from typing import NamedTuple

from data.world.people import GENDER
from data.world.things import KIND_OF

NAME, PRONOUN = "name", "pronoun"
FULL, SHORT, IT = "full", "short", "it"
AGREEING = ("her", "she", "m")  # styles that only agree with a word elsewhere: her or his, a measure word


class Slot(NamedTuple):
    argument: str  # "who", "thing", "spot", ...
    style: str  # "" or how to say it: "him", "her", "a", ...
    said: dict  # meaning (a word of the world, "she", "he", "it") -> text
    meant: dict  # text -> meaning
    pattern: str


class Form(NamedTuple):
    event: str
    kind: str  # only for things of this kind: one eats a pie but wears a hat; "" for all
    index: int  # which of the forms of this event and kind
    literals: list  # the text before, between and after the slots
    slots: list
    pattern: str  # a regular expression with a group for each slot


class Reading(NamedTuple):
    form: Form
    meanings: list  # one for each slot; for a thing (how it was said, adjective or None, noun or None)
    end: int  # where in the text the sentence ends


class Language:
    """The words of a language, its sentence forms, and the few rules that its slots need.

    words:     {argument: {word of the world: text}}
    pronouns:  {style: {"she": text, "he": text}}
    the, it:   the text before a known thing ("the "), and its pronoun
    between:   the text between an adjective and its noun
    gap:       the text between two sentences
    inflect:   (argument, style, word, text) -> text in that style
    forms:     {"event" or "event kind": [templates]}
    """

    def __init__(self, *, words, pronouns, the, it, between, inflect, gap, forms):
        self.words, self.pronouns, self.inflect = words, pronouns, inflect
        self.the, self.it, self.between, self.gap = the, it, between, gap
        self.forms = {}
        for key, templates in forms.items():
            event, _, kind = key.partition(" ")
            self.forms[key] = [self._form(event, kind, *numbered) for numbered in enumerate(templates)]
        self._compiled = {}
        self._starting = {}  # the first letter of a sentence -> the forms that start with it
        self._starting_with_slot = []
        for forms in self.forms.values():
            for form in forms:
                if form.literals[0]:
                    self._starting.setdefault(form.literals[0][:1], []).append(form)
                else:
                    self._starting_with_slot.append(form)

    # -- making a form from its template -----------------------------------------------------------------
    def _form(self, event, kind, index, template):
        pieces = re.split(r"\{(\w+)(?::(\w+))?\}", template)
        literals, slots, pattern = pieces[0::3], [], re.escape(pieces[0])
        for argument, style, before, after in zip(pieces[1::3], pieces[2::3], literals, literals[1:], strict=False):
            slot = self._slot(argument, style or "", before == "" or before.endswith((". ", "? ", "! ")))
            slots.append(slot)
            pattern += f"({slot.pattern}){re.escape(after)}"
        return Form(event, kind, index, literals, slots, pattern)

    def _slot(self, argument, style, starts_sentence):
        def text(words):
            return words[:1].upper() + words[1:] if starts_sentence else words

        if argument in ("who", "to"):
            said = {} if style in AGREEING else self.words["name"] | self.words["elder"]
            said = said | self.pronouns.get(style, {})
        else:
            words = self.words["noun" if argument == "thing" else argument].items()
            said = {word: self.inflect(argument, style, word, plain) for word, plain in words}
        if argument == "thing" and style == "":
            adjectives = _either(self.words["adjective"].values())
            known = f"{text(self.the)}(?:(?:{adjectives}){self.between})?(?:{_either(said.values())})"
            pattern = f"{known}|{text(self.it)}"
            said = said | {"the": text(self.the), "it": text(self.it)}
        else:
            said = {word: text(plain) for word, plain in said.items()}
            pattern = _either(said.values())
        return Slot(argument, style, said, {plain: word for word, plain in said.items()}, pattern)

    # -- telling an event --------------------------------------------------------------------------------
    def forms_for(self, event, arguments):
        """The forms that can tell this event with these arguments."""
        if "thing" in arguments:
            special = self.forms.get(f"{event} {KIND_OF[arguments['thing']]}")
            if special:
                return special
        return self.forms[event]

    def tell(self, world, form, arguments, chooser):
        """The sentence; `chooser` chooses how to refer to each person and thing."""
        parts = [form.literals[0]]
        for slot, literal in zip(form.slots, form.literals[1:], strict=True):
            value = arguments[slot.argument]
            if slot.argument in ("who", "to"):
                if slot.style in AGREEING:
                    parts.append(slot.said[GENDER[value]])
                elif slot.style == "name" or self._how_person(world, value, chooser) == NAME:
                    parts.append(slot.said[value])
                else:
                    parts.append(slot.said[GENDER[value]])
            elif slot.argument == "thing" and slot.style == "":
                parts.append(self._tell_thing(world, slot, value, chooser))
            else:
                parts.append(slot.said[value])
            parts.append(literal)
        return "".join(parts)

    def _how_person(self, world, name, chooser):
        if world.may_say_pronoun(name):
            return chooser.weigh([NAME, PRONOUN], [1, 1])
        return chooser.choose([NAME])

    def _tell_thing(self, world, slot, noun, chooser):
        if world.thing_named == noun:
            how = chooser.weigh([FULL, SHORT, IT], [1, 1, 2])
        else:
            how = chooser.weigh([FULL, SHORT], [1, 1])
        if how == IT:
            return slot.said["it"]
        if how == SHORT:
            return slot.said["the"] + slot.said[noun]
        adjective = self.words["adjective"][world.things[noun].adjective]
        return slot.said["the"] + adjective + self.between + slot.said[noun]

    # -- reading a sentence ------------------------------------------------------------------------------
    def read(self, text, start=0):
        """All readings of a sentence that starts here. (There is at most one: the tests check this.)"""
        readings = []
        for form in self._starting.get(text[start : start + 1], []) + self._starting_with_slot:
            match = self._matcher(form.pattern)(text, start)
            if match:
                pairs = zip(form.slots, match.groups(), strict=True)
                readings.append(Reading(form, [self._meaning(*pair) for pair in pairs], match.end()))
        return readings

    def _matcher(self, pattern):
        """Compiled on first use: writing stories does not need it."""
        if pattern not in self._compiled:
            self._compiled[pattern] = re.compile(pattern).match
        return self._compiled[pattern]

    def _meaning(self, slot, text):
        if slot.argument != "thing" or slot.style:
            return slot.meant[text]
        if text == slot.said["it"]:
            return IT, None, None
        text = text.removeprefix(slot.said["the"])
        if text in slot.meant:
            return SHORT, None, slot.meant[text]
        for adjective, plain in self.words["adjective"].items():
            noun = text.removeprefix(plain + self.between)
            if noun != text and noun in slot.meant:
                return FULL, adjective, slot.meant[noun]
        raise AssertionError(f"the pattern let {text!r} pass")


def _either(texts):
    """Longest first, so that a match never stops inside a longer word."""
    return "|".join(map(re.escape, sorted(set(texts), key=lambda text: (-len(text), text))))
