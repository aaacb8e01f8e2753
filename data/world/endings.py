"""How a story can end: a last sentence, and perhaps a question whose answer follows from the story."""

from data.world import places
from data.world.draws import anything, event, fact
from data.world.state import Contradiction


@event(anything(places.TREATS))
def end_treat(world, treat):
    pass


@event(anything(places.GAMES))
def end_game(world, game):
    pass


@event()
def end_friends(world):
    pass


@event()
def end_lesson_lost(world, who):
    world.here(who)


@event()
def end_lesson_sorry(world):
    if "sorry" not in world.facts:
        raise Contradiction("nobody has said sorry")


@event()
def end_lesson_kind(world):
    pass


def check(world, fact, answer):
    if fact not in world.facts:
        raise Contradiction("the story does not say")
    if world.facts[fact] != answer:
        raise Contradiction(f"the answer is {world.facts[fact]}, not {answer}")


@event(fact("spot"))
def q_where(world, thing, spot):
    check(world, "found", thing)
    check(world, "spot", spot)


@event(fact("finder"))
def q_finder(world, thing, who):
    check(world, "found", thing)
    check(world, "finder", who)


@event(lambda world, thing: [world.things[thing].where])
def q_holder(world, thing, who):
    world.held(thing, who)


@event(fact("feeler"), fact("feeling"))
def q_feeling(world, who, feeling):
    check(world, "feeler", who)
    check(world, "feeling", feeling)
    if not world.people[who].feels_as(feeling):
        raise Contradiction(f"{who} does not feel {feeling} any more")


@event(fact("broken"), fact("breaker"))
def q_breaker(world, thing, who):
    check(world, "broken", thing)
    check(world, "breaker", who)


@event(fact("broken"), fact("tool"))
def q_tool(world, thing, tool):
    check(world, "broken", thing)
    check(world, "tool", tool)


@event(fact("need"), fact("needy"))
def q_needy(world, need, who):
    check(world, "need", need)
    check(world, "needy", who)


@event(fact("left at"))
def q_belief(world, who, spot):
    check(world, "left at", spot)
    check(world, "wronged", who)


@event(fact("birthday"))
def q_birthday(world, who):
    check(world, "birthday", who)


@event(fact("place"))
def q_place(world, who, place):
    check(world, "place", place)
    world.here(who)


@event(lambda world, thing: [world.things[thing].adjective])
def q_like(world, thing, adjective):
    if world.thing(thing).adjective != adjective:
        raise Contradiction(f"the {thing} is {world.things[thing].adjective}")
