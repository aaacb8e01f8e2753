"""What can happen. Each event is one function: what must be true before it, then what it changes.

An event is named by its function; the arguments' names say what they are (`who` and `to` are people, `thing` is a
thing, all the rest are words). `@event(draw, ...)` says from which options the last arguments are
drawn when a story is made: a list (all equally likely), or a list and whole-number weights. When a story is
judged nothing is drawn: the same functions object, by raising `Contradiction`.
"""

import inspect

from data.world import people, places, things
from data.world.people import GENDER
from data.world.state import GONE, Contradiction

EVENTS = {}  # name -> (function, names of its arguments, draws for the last of them)


def event(*draws):
    def register(function):
        EVENTS[function.__name__] = (function, list(inspect.signature(function).parameters)[1:], draws)
        return function

    return register


# -- what a story can draw from --------------------------------------------------------------------------
def anything(words):
    words = list(words)
    return lambda world, *chosen: words


def new_name(world, *chosen):
    return [name for name in people.NAMES if name not in world.people]


def species_for(world, *chosen):
    """Half of all characters are children, half are animals. The name comes just before."""
    child = "girl" if GENDER[chosen[-1]] == "she" else "boy"
    return [child, *people.ANIMALS], [len(people.ANIMALS)] + [1] * len(people.ANIMALS)


def new_noun(world, *chosen):
    return [noun for noun in things.NOUNS if noun not in world.things]


def adjective_for(world, *chosen):
    return things.ADJECTIVES_OF[things.KIND_OF[chosen[-1]]]


def spot_of(world, who, noun, *chosen):
    """Where the thing is; where it may be, if nobody knows yet."""
    thing = world.things[noun]
    return [thing.where] if thing.where else spots_left(world, who, noun)


def spots_left(world, who, noun, *chosen):
    """The spots where the thing is not, as far as anyone has told."""
    thing = world.things[noun]
    spots = places.SPOTS_OF[world.people[who].place]
    return [spot for spot in spots if spot not in thing.not_there and spot != thing.where]


def fact(name):
    return lambda world, *chosen: [world.facts[name]]


def feeling_of(world, who):
    return list(people.FEELINGS[world.people[who].mood])


def other_place(world, *chosen):
    return [place for place in places.PLACES if place != world.place]


# -- the beginning ---------------------------------------------------------------------------------------
def check_species(name, species):
    if species in people.CHILDREN and (species == "girl") != (GENDER[name] == "she"):
        raise Contradiction(f"{name} is not a {species}")


@event(new_name, species_for, anything(people.TRAITS))
def hero(world, name, species, trait):
    check_species(name, species)
    world.add_person("hero", name, None)


@event(anything(people.HOBBIES))
def like(world, who, hobby):
    world.person(who)


@event(anything(people.JOBS))
def dream(world, who, job):
    world.person(who)


@event(anything(places.WEATHERS), anything(places.DAYPARTS), anything(places.PLACES))
def go(world, who, weather, daypart, place):
    world.person(who).place = world.place = place
    world.facts["place"], world.facts["weather"] = place, weather


@event(anything(places.SIGHTS))
def see(world, who, sight):
    world.here(who)


@event(new_noun, adjective_for)
def have(world, who, noun, adjective):
    world.here(who)
    world.add_thing(noun, adjective, who, who)


@event(new_name, species_for, anything(people.TRAITS))
def meet(world, who, name, species, trait):
    check_species(name, species)
    world.here(who)
    world.add_person("friend", name, world.people[who].place)


@event()
def greet(world, who, to):
    world.here(who, to)


@event()
def enjoy(world, who, thing):
    world.here(who)
    world.held(thing, who)


@event()
def admire(world, who, thing):
    world.here(who)
    world.not_held(thing, who)


# -- lost and found --------------------------------------------------------------------------------------
@event()
def lose(world, who, thing):
    world.here(who)
    world.held(thing, who).where = None
    world.people[who].mood = "loss"
    world.facts["loser"] = who


@event(feeling_of)
def feel(world, who, feeling):
    person = world.person(who)
    if person.mood is None:
        raise Contradiction(f"nothing has happened that would make {who} {feeling}")
    if not person.feels_as(feeling):
        raise Contradiction(f"{who} has no reason to be {feeling} now")
    world.facts["feeler"], world.facts["feeling"] = who, feeling


@event(spots_left)
def search(world, who, thing, spot):
    """In vain."""
    (person,) = world.here(who)
    lost = world.not_held(thing, who)
    world.spot_here(spot, person.place)
    if lost.where == spot:
        raise Contradiction(f"{lost} is {spot}, so {who} would find it there")
    if lost.where in GENDER or lost.where == GONE:
        raise Contradiction(f"{lost} is not lost: {lost.whereabouts()}")
    if spot in lost.not_there:
        raise Contradiction(f"it is known already that {lost} is not {spot}")
    lost.not_there.append(spot)


@event(fact("left at"))
def look_first(world, who, thing, spot):
    """In vain, where they believe it is. (A false belief: they were away when it was moved.)"""
    search(world, who, thing, spot)
    if world.facts.get("left at") != spot:
        raise Contradiction(f"{who} did not leave it {spot}")
    world.people[who].mood = "loss"


@event()
def ask(world, who, to, thing):
    world.here(who, to)
    if world.not_held(thing, who).where == to:
        raise Contradiction(f"{who} can see that {to} has it")


@event()
def no_idea(world, who):
    world.here(who)
    if world.facts.get("mover") == who:
        raise Contradiction(f"{who} knows where it is")


@event(spot_of)
def tell(world, who, thing, spot):
    """Somebody who knows says where the thing is."""
    (person,) = world.here(who)
    lost = world.thing(thing)
    world.spot_here(spot, person.place)
    if lost.where not in (None, spot):
        raise Contradiction(f"{lost} is not {spot}: {lost.whereabouts()}")
    if spot in lost.not_there:
        raise Contradiction(f"somebody looked {spot} already, and {lost} was not there")
    lost.where, lost.place = spot, person.place


@event(spot_of)
def find(world, who, thing, spot):
    tell(world, who, thing, spot)
    found = world.thing(thing)
    found.where = who
    for name in {found.owner, who}:
        world.people[name].mood = "loss" if found.broken else "joy"
    world.facts |= {"finder": who, "spot": spot, "found": thing}


@event()
def give(world, who, thing, to):
    _, receiver = world.here(who, to)
    given = world.held(thing, who)
    given.where = to
    receiver.mood = "joy"
    world.facts["helper"], world.facts["helped"] = who, to


@event()
def give_back(world, who, thing, to):
    if world.thing(thing).owner != to:
        raise Contradiction(f"{world.thing(thing)} does not belong to {to}")
    give(world, who, thing, to)


@event()
def thank(world, who, to):
    world.here(who, to)
    if (world.facts.get("helper"), world.facts.get("helped")) != (to, who):
        raise Contradiction(f"{to} has done nothing for {who} to be thanked for")


# -- a joke: put here, moved there -----------------------------------------------------------------------
@event(spots_left)
def put(world, who, thing, spot):
    (person,) = world.here(who)
    left = world.held(thing, who)
    world.spot_here(spot, person.place)
    left.where, left.place = spot, person.place
    world.facts["left at"] = spot


@event(anything(places.ERRANDS))
def leave(world, who, errand):
    world.here(who)[0].place = None


@event(spots_left)
def move(world, who, thing, spot):
    (person,) = world.here(who)
    moved = world.thing(thing)
    world.spot_here(spot, person.place)
    if moved.where == spot:
        raise Contradiction(f"{moved} is {spot} already")
    if moved.where is None or moved.where in GENDER or moved.where == GONE:
        raise Contradiction(f"{who} cannot move {moved}: {moved.whereabouts()}")
    if world.people[moved.owner].place is not None:
        raise Contradiction(f"{moved.owner} is there and would see it")
    moved.where = spot
    world.facts["mover"], world.facts["wronged"] = who, moved.owner
    world.facts["wrong by"] = who


@event()
def come_back(world, who):
    if world.person(who).place is not None:
        raise Contradiction(f"{who} has not been away")
    world.people[who].place = world.place


@event()
def sorry(world, who, to):
    world.here(who, to)
    if (world.facts.get("wrong by"), world.facts.get("wronged")) != (who, to):
        raise Contradiction(f"{who} has done {to} no wrong")
    world.facts["sorry"] = who


@event()
def forgive(world, who, to):
    world.here(who, to)
    if world.facts.get("sorry") != to:
        raise Contradiction(f"{to} has not said sorry")


# -- broken and mended -----------------------------------------------------------------------------------
@event()
def borrow(world, who, to, thing):
    world.here(who, to)
    world.held(thing, to)


@event()
def drop(world, who, thing):
    world.here(who)
    dropped = world.held(thing, who)
    if not things.breaks(thing):
        raise Contradiction(f"a {dropped.noun} does not break")
    if dropped.broken:
        raise Contradiction(f"{dropped} is broken already")
    dropped.broken = True
    world.people[dropped.owner].mood = "loss"
    world.people[who].mood = "guilt"
    world.facts |= {"breaker": who, "broken": thing, "wrong by": who, "wronged": dropped.owner}


@event(lambda world, who, noun: things.TOOLS_OF[world.things[noun].kind])
def mend(world, who, thing, tool):
    world.here(who)
    mended = world.thing(thing)
    if not mended.broken:
        raise Contradiction(f"{mended} is not broken")
    if tool not in things.TOOLS_OF[mended.kind]:
        raise Contradiction(f"nobody mends a {mended.noun} with {tool}")
    if mended.where not in GENDER:
        raise Contradiction(f"{who} cannot mend {mended}: {mended.whereabouts()}")
    mended.broken, mended.where = False, who
    world.people[mended.owner].mood = "joy"
    world.facts["tool"], world.facts["mender"] = tool, who


@event(spots_left)
def hide(world, who, thing, spot):
    (person,) = world.here(who)
    hidden = world.held(thing, who)
    world.spot_here(spot, person.place)
    hidden.where, hidden.place = spot, person.place


# -- wanted by two ---------------------------------------------------------------------------------------
@event()
def snatch(world, who, thing, to):
    world.here(who, to)
    world.held(thing, to).where = who
    world.people[to].mood = "anger"
    world.facts["wrong by"], world.facts["wronged"] = who, to


@event()
def demand(world, who, thing):
    world.here(who)
    world.not_held(thing, who)


@event(anything(people.ELDERS))
def come(world, elder):
    world.add_person("elder", elder, world.place)


@event()
def advise(world, who):
    world.here(who)


@event()
def share(world, who, to, thing):
    world.here(who, to)
    shared = world.held(thing, who)
    if shared.kind in ("food", "drink"):
        shared.where = GONE
    world.people[who].mood = world.people[to].mood = "joy"


# -- in need, a birthday, an errand ----------------------------------------------------------------------
@event(lambda world, who: [things.NEED_OF[world.things[world.roles["thing"]].kind]])
def need(world, who, need):
    world.here(who)[0].need = need
    world.facts["needy"], world.facts["need"] = who, need


@event()
def offer(world, who, to, thing):
    world.here(who, to)
    offered = world.held(thing, who)
    if world.people[to].need != things.NEED_OF.get(offered.kind):
        raise Contradiction(f"{to} does not need {offered}")


@event()
def use(world, who, thing):
    (person,) = world.here(who)
    used = world.held(thing, who)
    if used.kind in ("food", "drink"):
        used.where = GONE
    person.need, person.mood = None, "joy"


@event(new_name, species_for, anything(people.TRAITS))
def birthday(world, who, name, species, trait):
    check_species(name, species)
    world.here(who)
    world.add_person("friend", name, None)
    world.facts["birthday"] = name


@event()
def arrive(world, who):
    come_back(world, who)


@event()
def wish(world, who, to):
    world.here(who, to)
    if world.facts.get("birthday") != to:
        raise Contradiction(f"it is not {to}'s birthday")


@event(new_noun)
def guess(world, who, noun):
    world.here(who)
    if noun in world.things:
        raise Contradiction(f"it is a {noun}, so the answer is yes")


@event(anything(people.ELDERS))
def elder_here(world, elder):
    world.add_person("elder", elder, world.place)


@event(new_noun, adjective_for, other_place, lambda world, *chosen: places.SPOTS_OF[chosen[-1]])
def request(world, who, to, noun, adjective, place, spot):
    world.here(who, to)
    world.spot_here(spot, place)
    if place == world.place:
        raise Contradiction(f"they are in {place} already")
    world.add_thing(noun, adjective, who, spot).place = place
    world.facts |= {"go to": place, "asker": who, "back to": world.place, "wanted": noun}


@event(lambda world, who: [world.facts["go to"]])
def walk(world, who, place):
    if world.facts.get("go to") != place:
        raise Contradiction(f"{who} was not sent to {place}")
    world.person(who).place = place


@event(lambda world, who, noun: [world.things[noun].where])
def take(world, who, thing, spot):
    (person,) = world.here(who)
    taken = world.not_held(thing, who)
    if taken.where != spot:
        raise Contradiction(f"{taken} is not {spot}: {taken.whereabouts()}")
    if taken.place != person.place:
        raise Contradiction(f"{taken} is in another place")
    taken.where = who
    world.facts["spot"], world.facts["found"] = spot, thing


@event(lambda world, who: [world.facts["back to"]])
def walk_back(world, who, place):
    if world.facts.get("back to") != place:
        raise Contradiction(f"{who} did not come from {place}")
    if world.person(who).place == place:
        raise Contradiction(f"{who} is in {place} already")
    world.people[who].place = place
