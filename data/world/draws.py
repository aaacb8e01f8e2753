"""The registry of events, and the options that each draws from when a story is made."""

import inspect
import math

from data.world import people, places, things
from data.world.people import GENDER

EVENTS = {}  # name -> (function, names of its arguments, draws for the last of them)


def event(*draws):
    def register(function):
        EVENTS[function.__name__] = (function, list(inspect.signature(function).parameters)[1:], draws)
        return function

    return register


def anything(words):
    words = list(words)
    return lambda world, *chosen: words


ANY_NAME, GIRLS, BOYS = list(people.NAMES), list(people.GIRLS), list(people.BOYS)


def new_name(world, *chosen):
    """A girl's name for a boy's friend, and a boy's for a girl's: then "she" and "he" are unambiguous."""
    if "hero" not in world.roles:
        return ANY_NAME
    return BOYS if GENDER[world.roles["hero"]] == "she" else GIRLS


def species_for(world, *chosen):
    """Half of all characters are children, half are animals. The argument before is the name."""
    child = "girl" if GENDER[chosen[-1]] == "she" else "boy"
    return [child, *people.ANIMALS], [len(people.ANIMALS)] + [1] * len(people.ANIMALS)


def job_for(world, who):
    """All jobs alike, or some more often for one gender. A gender wants all planted jobs together as often as before:
    so whoever wants a girls' job is a girl in `planted_bias` of 100 cases, and the other jobs stay as they were."""
    own, other = (people.GIRLS_JOBS, people.BOYS_JOBS)[:: 1 if GENDER[who] == "she" else -1]
    share = world.planted_bias
    weights = [share if job in own else 100 - share if job in other else 50 for job in people.JOBS]
    return list(people.JOBS), [weight // math.gcd(*weights) for weight in weights]


def new_noun(world, *chosen):
    return [noun for noun in things.NOUNS if noun not in world.things]


def adjective_for(world, *chosen):
    return things.ADJECTIVES_OF[things.KIND_OF[chosen[-1]]]


def spot_of(world, who, noun, *chosen):
    """Where the thing is or, if nobody knows yet, where it may be."""
    thing = world.things[noun]
    return [thing.where] if thing.where else spots_left(world, who, noun)


def spots_left(world, who, noun, *chosen):
    """The spots that nobody has searched, without the one where the thing is."""
    thing = world.things[noun]
    return [spot for spot in places.SPOTS if spot not in thing.not_there and spot != thing.where]


def fact(name):
    return lambda world, *chosen: [world.facts[name]]


def feeling_of(world, who):
    return list(people.FEELINGS[world.people[who].mood])


def other_place(world, *chosen):
    return [place for place in places.PLACES if place != world.place]
