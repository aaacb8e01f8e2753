"""More events: things are broken and mended, wanted by two, given to a friend in need, and fetched."""

from data.world import people, places, things
from data.world.draws import (
    adjective_for,
    anything,
    event,
    new_name,
    new_noun,
    other_place,
    species_for,
    spots_left,
)
from data.world.events import check_species, come_back
from data.world.people import GENDER
from data.world.state import GONE, Contradiction


# -- broken and mended -----------------------------------------------------------------------------------
@event()
def borrow(world, who, to, thing):
    world.here(who, to)
    world.held(thing, to)


@event()
def drop(world, who, thing):
    world.here(who)
    dropped = world.held(thing, who)
    if not things.lasts(thing):
        raise Contradiction(f"nobody mends a {dropped.noun}, so nobody damages it")
    if dropped.broken:
        raise Contradiction(f"{dropped} is broken already")
    dropped.broken = True
    world.people[dropped.owner].mood = "loss"
    world.people[who].mood = "guilt"
    world.facts |= {"breaker": who, "broken": thing, "wrong by": who, "wronged": dropped.owner}


@event(anything(things.TOOLS))
def mend(world, who, thing, tool):
    world.here(who)
    mended = world.thing(thing)
    if not mended.broken:
        raise Contradiction(f"{mended} is not broken")
    if mended.where not in GENDER:
        raise Contradiction(f"{who} cannot mend {mended}: {mended.whereabouts()}")
    mended.broken, mended.where = False, who
    world.people[mended.owner].mood = "joy"
    world.facts["tool"], world.facts["mender"] = tool, who


@event(spots_left)
def hide(world, who, thing, spot):
    (person,) = world.here(who)
    hidden = world.held(thing, who)
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
    if world.people[to].need != things.NEED_OF[offered.kind]:
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


@event(new_noun, adjective_for, other_place, anything(places.SPOTS))
def request(world, who, to, noun, adjective, place, spot):
    world.here(who, to)
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
