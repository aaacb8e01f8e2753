"""The state of a world: who is there, who has what, where it is, what people feel.

The world raises `Contradiction` for a statement that cannot be true in it.
"""

from data.world.people import GENDER, MOOD_OF
from data.world.things import KIND_OF


class Contradiction(Exception):
    """Its message says in plain English what is impossible."""


class Person:
    def __init__(self, name, place):
        self.name = name
        self.place = place  # None while away
        self.mood = None  # the mood that the last event caused, or None
        self.need = None

    def feels_as(self, feeling):
        return self.mood == MOOD_OF[feeling]


class Thing:
    def __init__(self, noun, adjective, owner, where):
        self.noun = noun
        self.adjective = adjective
        self.kind = KIND_OF[noun]
        self.owner = owner
        self.where = where  # a person's name, a spot, None when nobody knows yet, or GONE
        self.place = None  # the place of the spot
        self.broken = False
        self.not_there = []  # spots where somebody looked without finding it

    def __str__(self):
        return f"the {self.adjective} {self.noun}"

    def whereabouts(self):
        if self.where is None:
            return "nobody knows where it is"
        if self.where == GONE:
            return "it is eaten up"
        return f"{self.where} has it" if self.where in GENDER else f"it is {self.where}"


GONE = "gone"


class World:
    def __init__(self, planted_bias=50):
        self.planted_bias = planted_bias  # percent of those who want a girls' job that are girls; 50: no bias
        self.people = {}  # name -> Person
        self.things = {}  # noun -> Thing
        self.roles = {}  # "hero", "friend", "elder" -> name; "thing" -> noun
        self.facts = {}  # what a question may ask about: "finder", "spot", "breaker", ...
        self.place = None  # where the story is now
        self.named = ()  # the people in the sentence before: a pronoun can only mean one of them
        self.thing_named = None  # the only thing in the sentence before: what "it" means

    # -- who and what there is ---------------------------------------------------------------------------
    def person(self, name):
        if name not in self.people:
            raise Contradiction(f"nobody called {name} is in the story yet")
        return self.people[name]

    def thing(self, noun):
        if noun not in self.things:
            raise Contradiction(f"there is no {noun} in the story yet")
        return self.things[noun]

    def add_person(self, role, name, place):
        if name in self.people:
            raise Contradiction(f"{name} is in the story already")
        self.people[name] = Person(name, place)
        self.roles.setdefault(role, name)

    def add_thing(self, noun, adjective, owner, where):
        if noun in self.things:
            raise Contradiction(f"there is already a {noun} in the story")
        self.roles.setdefault("thing", noun)
        self.things[noun] = Thing(noun, adjective, owner, where)
        return self.things[noun]

    def here(self, *names):
        """The people; raises `Contradiction` if they are not in one place."""
        people = [self.person(name) for name in names]
        for person in people:
            if person.place is None:
                raise Contradiction(f"{person.name} is not there")
            if person.place != people[0].place:
                raise Contradiction(f"{person.name} and {people[0].name} are not in the same place")
        if len(set(names)) < len(names):
            raise Contradiction(f"{names[0]} cannot do that to {names[0]}")
        return people

    def held(self, noun, name):
        """The thing; raises `Contradiction` if that person does not have it."""
        thing = self.thing(noun)
        if thing.where != name:
            raise Contradiction(f"{name} does not have {thing}: {thing.whereabouts()}")
        return thing

    def not_held(self, noun, name):
        thing = self.thing(noun)
        if thing.where == name:
            raise Contradiction(f"{name} has {thing} all the time")
        return thing

    def meaning(self, pronoun):
        """The only person of that gender in the sentence before or, if it names none, in the story."""
        candidates = self.could_be(pronoun)
        if len(candidates) != 1:
            which = "nobody" if not candidates else " or ".join(candidates)
            raise Contradiction(f'"{pronoun}" could be {which}: the sentence before does not say')
        return candidates[0]

    def could_be(self, pronoun):
        before = [name for name in self.named if GENDER[name] == pronoun]
        return before or [name for name in self.people if GENDER[name] == pronoun]

    def may_say_pronoun(self, name):
        return self.could_be(GENDER[name]) == [name]
