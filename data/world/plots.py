"""The plots: what may happen next at each point of a story, and how often.

A point is a name with a list of steps `(weight, event, next point)`. A fourth part is a condition on the world. An
event here names the people and things by their role in the story; `events.py` gives its other draws (a spot, a
feeling). The steps of one point all have different events, so a text shows which steps its story took.
"""

from data.world import dealings, endings, events, people, things  # noqa: F401 (importing registers the events)
from data.world.draws import EVENTS
from data.world.people import GENDER


def main_thing(world):
    return world.things[world.roles["thing"]]


def lasts(world):
    return things.lasts(world.roles["thing"])


def knows(*facts):
    return lambda world: all(fact in world.facts for fact in facts)


def still_feels(world):
    facts = world.facts
    return facts.get("feeling") in people.FEELINGS["joy"] and world.people[facts["feeler"]].feels_as(facts["feeling"])


TURN = [
    (6, "lose hero thing", "lost", lasts),
    (3, "snatch friend thing hero", "snatched"),
    (6, "need friend", "in need"),
]
LONG_TURN = [(4, "put hero thing", "put down"), (12, "borrow friend hero thing", "asked for it", lasts)]
MEETING = [(6, "meet hero", "met"), (1, "birthday hero", "birthday")]
PLACE = [(8, "have hero", "has"), (1, "elder_here", "elder")]

ENDING = [
    (3, "end_treat", "end"),
    (3, "end_game", "end"),
    (2, "end_friends", "end", lambda world: "friend" in world.roles),
    (2, "end_lesson_lost hero", "end", knows("loser")),
    (2, "end_lesson_sorry", "end", knows("sorry")),
    (2, "end_lesson_kind", "end", knows("needy")),
]
QUESTIONS = [
    (16, "stop", "over"),
    (3, "q_where thing", "over", knows("finder")),
    (2, "q_finder thing", "over", knows("finder")),
    (2, "q_holder thing", "over", lambda world: main_thing(world).where in GENDER),
    (2, "q_feeling", "over", still_feels),
    (2, "q_breaker", "over", knows("breaker")),
    (2, "q_tool", "over", knows("tool")),
    (2, "q_needy", "over", knows("needy")),
    (3, "q_belief hero", "over", knows("left at", "mover")),
    (2, "q_birthday", "over", knows("birthday")),
    (1, "q_place hero", "over"),
    (1, "q_like thing", "over"),
]
HERO_GLAD = [(2, "feel hero", "closing"), *ENDING]
FRIEND_GLAD = [(2, "feel friend", "closing"), (2, "thank friend hero", "closing"), *ENDING]
ASK = (3, "ask hero friend thing", "asked")
FIND = (2, "find hero thing", "found")
OWN_UP = [(3, "sorry friend hero", "sorry for it"), (1, "hide friend thing", "hid it")]

PLOTS = {
    "begin": [(1, "hero", "introduced")],
    "introduced": [(3, "like hero", "known"), (3, "dream hero", "known"), (4, "go hero", "on the way")],
    "known": [(1, "go hero", "there")],
    "on the way": [(1, "see hero", "there")],
    "there": PLACE,
    "has": MEETING,
    "met": [(8, "greet friend hero", "greeted"), (8, "admire friend thing", "greeted"), *TURN, *LONG_TURN],
    "greeted": TURN,
    # lost and found
    "lost": [(2, "feel hero", "sad"), (2, "search hero thing", "searched"), ASK],
    "sad": [ASK],
    "searched": [ASK, FIND],
    "asked": [(1, "no_idea friend", "helping"), (1, "tell friend thing", "told")],
    "told": [FIND],
    "helping": [(1, "find friend thing", "found by friend")],
    "found by friend": [(1, "give_back friend thing hero", "returned")],
    "returned": [(2, "thank hero friend", "closing"), *HERO_GLAD],
    "found": HERO_GLAD,
    # a joke: put here, moved there
    "put down": [(1, "leave hero", "away")],
    "away": [(1, "move friend thing", "moved")],
    "moved": [(1, "look_first hero thing", "puzzled")],
    "puzzled": [(2, "search hero thing", "joke told"), (3, "ask hero friend thing", "asked joker")],
    "asked joker": [(1, "tell friend thing", "joke told")],
    "joke told": [(1, "find hero thing", "found joke")],
    "found joke": [(3, "sorry friend hero", "closing"), *HERO_GLAD],
    # broken and mended
    "asked for it": [(1, "give hero thing friend", "lent")],
    "lent": [(1, "drop friend thing", "broken")],
    "broken": [(5, "feel friend", "ashamed"), *OWN_UP],
    "ashamed": [(1, "sorry friend hero", "sorry for it")],
    "hid it": [(1, "find hero thing", "found broken")],
    "found broken": [(1, "sorry friend hero", "sorry and found")],
    "sorry and found": [(1, "mend hero thing", "found"), (1, "forgive hero friend", "closing")],
    "sorry for it": [(3, "forgive hero friend", "forgiven"), (2, "come", "mender")],
    "forgiven": [(1, "mend friend thing", "mended")],
    "mended": [(1, "give_back friend thing hero", "closing")],
    "mender": [(1, "mend elder thing", "mended by elder")],
    "mended by elder": [(1, "give_back elder thing hero", "closing")],
    # wanted by two
    "snatched": [(2, "feel hero", "angry"), (3, "demand hero thing", "demanded")],
    "angry": [(1, "come", "adviser"), (1, "demand hero thing", "demanded")],
    "demanded": [(3, "sorry friend hero", "sorry for taking"), (2, "come", "adviser")],
    "adviser": [(1, "advise elder", "advised")],
    "advised": [(1, "give_back friend thing hero", "sharing")],
    "sorry for taking": [(1, "give_back friend thing hero", "had it back")],
    "had it back": [(1, "forgive hero friend", "sharing"), (1, "share hero friend thing", "found")],
    "sharing": [(1, "share hero friend thing", "closing")],
    # a friend in need
    "in need": [(2, "offer hero friend thing", "offered"), (1, "give hero thing friend", "given")],
    "offered": [(1, "give hero thing friend", "given")],
    "given": [(1, "use friend thing", "helped")],
    "helped": FRIEND_GLAD,
    # a birthday
    "birthday": [(1, "hide hero thing", "present hidden")],
    "present hidden": [(1, "arrive friend", "guest")],
    "guest": [(1, "wish hero friend", "wished")],
    "wished": [(1, "guess friend", "guessed"), (1, "tell hero thing", "told friend")],
    "guessed": [(1, "tell hero thing", "told friend")],
    "told friend": [(1, "find friend thing", "unwrapped")],
    "unwrapped": [(2, "feel friend", "closing"), *ENDING],
    # an errand
    "elder": [(1, "request elder hero", "sent")],
    "sent": [(1, "walk hero", "at the spot")],
    "at the spot": [(1, "take hero thing", "taken")],
    "taken": [(1, "walk_back hero", "returning")],
    "returning": [(1, "give hero thing elder", "delivered")],
    "delivered": [(2, "thank elder hero", "closing"), *ENDING],
    # the end
    "closing": ENDING,
    "end": QUESTIONS,
    "over": [(1, "stop", "over")],
}


def compile_step(weight, words, then, allowed=None):
    name, *roles = words.split()
    return weight, name, roles, EVENTS[name][2] if name != "stop" else (), then, allowed


STEPS = {point: [compile_step(*step) for step in steps] for point, steps in PLOTS.items()}


def next_steps(world, point):
    """What may happen next: the steps `(weight, event, roles, draws, next point, _)` and their weights."""
    steps = [step for step in STEPS[point] if step[5] is None or step[5](world)]
    return steps, [step[0] for step in steps]
