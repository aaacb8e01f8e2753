"""The exact entropy of the world, not an estimate from samples: how many bits a story holds on average.

The generator moves from state to state. In a state, the entropy of the rest of the story is an average over the
possible choices: -log2 of the choice's probability plus the entropy of the next state (the chain rule). The story goes
on in the same way after a lost kite as after a lost boat, so equivalent options are followed once, and the entropy of
equivalent states is computed once: a few thousand states in all.
"""

import copy
import math
from itertools import groupby

from data.world.draws import EVENTS
from data.world.people import GENDER, MOOD_OF
from data.world.places import SPOTS
from data.world.plots import next_steps
from data.world.state import World
from data.world.story import LANGUAGES, happen, remember_named
from data.world.things import KIND_OF


def story_entropy(language="en", planted_bias=50):
    """Bits in the average story: the expectation of `Story.bits`, exact except for rounding."""
    return entropy_from(World(planted_bias), "begin", LANGUAGES[language], {})


def entropy_from(world, point, language, known):
    """The entropy of the rest of the story."""
    key = (point, likeness(world))
    if key not in known:
        steps, weights = next_steps(world, point)
        known[key] = 0.0
        for step, weight in zip(steps, weights, strict=True):
            probability = weight / sum(weights)
            known[key] += probability * (after_step(world, step, language, known) - math.log2(probability))
    return known[key]


def after_step(world, step, language, known):
    _, event, roles, draws, then, _ = step
    if event == "stop":
        return 0.0
    return after_draws(world, event, [world.roles[role] for role in roles], draws, then, language, known)


def after_draws(world, event, arguments, draws, then, language, known):
    """The entropy of the remaining draws, of telling the event, and of the rest of the story."""
    if not draws:
        world = copy.deepcopy(world)
        happen(world, event, arguments)
        bits = telling_entropy(world, language, event, arguments)
        remember_named(world, event, arguments)
        return bits + entropy_from(world, then, language, known)
    options = draws[0](world, *arguments)
    options, weights = options if isinstance(options, tuple) else (options, [1] * len(options))
    total, bits = sum(weights), 0.0
    for _, alike in groupby(
        sorted(zip(map(str, map(option_likeness, options)), options, weights, strict=True)), lambda o: o[0]
    ):
        alike = list(alike)
        chosen = alike[0][1]
        follow = after_draws(world, event, [*arguments, chosen], draws[1:], then, language, known)
        bits += sum(weight / total * (follow - math.log2(weight / total)) for _, _, weight in alike)
    return bits


def option_likeness(option):
    """Options with the same return value lead to states with the same entropy."""
    if option in KIND_OF:
        return KIND_OF[option]
    return GENDER.get(option)


def likeness(world):
    """Worlds with the same return value have the same entropy. People appear by role, things by kind, words not at all.
    (There are as many women as men, and as many girls' jobs as boys', so only who has the hero's gender matters.)"""
    role_of = {name: role for role, name in world.roles.items()}

    def plain(value):
        if value in role_of:
            return role_of[value]
        if value in SPOTS:
            return "spot"
        return MOOD_OF.get(value, "word") if value is not None else None

    people = [
        (
            role_of[name],
            GENDER[name] == GENDER[world.roles["hero"]],
            person.place == world.place,
            person.place is None,
            person.mood,
        )
        for name, person in world.people.items()
    ]
    things = [
        (
            role_of[noun],
            thing.kind,
            plain(thing.owner),
            plain(thing.where),
            thing.broken,
            len(thing.not_there),
            thing.where in thing.not_there,
        )
        for noun, thing in world.things.items()
    ]
    facts = sorted(world.facts), plain(world.facts.get("feeler")), plain(world.facts.get("feeling"))
    return str((people, things, facts, [plain(name) for name in world.named], plain(world.thing_named)))


def telling_entropy(world, language, event, arguments):
    """The entropy of choosing the sentence form, and how to refer to each person and thing in it."""
    named = dict(zip(EVENTS[event][1], arguments, strict=True))
    forms = language.forms_for(event, named)
    counter = Entropies()
    for form in forms:
        language.tell(world, form, named, counter)
    return math.log2(len(forms)) + counter.bits / len(forms)


class Entropies:
    """A chooser that takes the first option and adds up the entropies of the choices."""

    def __init__(self):
        self.bits = 0.0

    def choose(self, options):
        self.bits += math.log2(len(options))
        return options[0]

    def weigh(self, options, weights):
        total = sum(weights)
        self.bits -= sum(weight / total * math.log2(weight / total) for weight in weights)
        return options[0]
