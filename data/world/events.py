"""What can happen. Each event is one function: it checks what must be true before, then it changes the world.

An event has the name of its function. The arguments' names give their types (`who` and `to` are people, `thing` is a
thing, all others are words). `@event(draw, ...)` gives the options from which the last arguments are drawn when a
story is made: a list (all equally likely), or a list and integer weights. When a story is judged, nothing is drawn;
the same functions raise `Contradiction` if the event is impossible.
"""

from data.world import people, places
from data.world.draws import (
    adjective_for,
    anything,
    event,
    fact,
    feeling_of,
    job_for,
    new_name,
    new_noun,
    species_for,
    spot_of,
    spots_left,
)
from data.world.people import GENDER
from data.world.state import GONE, Contradiction


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


@event(job_for)
def dream(world, who, job):
    world.person(who)


@event(anything(places.WEATHERS), anything(places.DAYPARTS), anything(places.PLACES))
def go(world, who, weather, daypart, place):
    world.person(who).place = world.place = place
    world.facts["place"] = place


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
    """Look in a spot and not find the thing."""
    world.here(who)
    lost = world.not_held(thing, who)
    if lost.where == spot:
        raise Contradiction(f"{lost} is {spot}, so {who} would find it there")
    if lost.where in GENDER or lost.where == GONE:
        raise Contradiction(f"{lost} is not lost: {lost.whereabouts()}")
    if spot in lost.not_there:
        raise Contradiction(f"it is known already that {lost} is not {spot}")
    lost.not_there.append(spot)


@event(fact("left at"))
def look_first(world, who, thing, spot):
    """Come back and look where the thing was left. (A false belief: `who` was away when it was moved.)"""
    come_back(world, who)
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
    left.where, left.place = spot, person.place
    world.facts["left at"] = spot


@event(anything(places.ERRANDS))
def leave(world, who, errand):
    world.here(who)[0].place = None


@event(spots_left)
def move(world, who, thing, spot):
    world.here(who)
    moved = world.thing(thing)
    if moved.where == spot:
        raise Contradiction(f"{moved} is {spot} already")
    if moved.where is None or moved.where in GENDER or moved.where == GONE:
        raise Contradiction(f"{who} cannot move {moved}: {moved.whereabouts()}")
    if world.people[moved.owner].place is not None:
        raise Contradiction(f"{moved.owner} is there and would see it")
    moved.where = spot
    world.facts["mover"], world.facts["wronged"] = who, moved.owner
    world.facts["wrong by"] = who


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
