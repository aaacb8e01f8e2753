"""dialogue: three or four questions about one story, where the later ones mean nothing without those before.

"And the other one?" asks about somebody whom no word names: who it is, and what is asked, follows from the turns
before. So the same words about the same story have different answers in different dialogues, and in each dialogue this
is so for two later turns at least. A pattern is a list of turns; all patterns are equally frequent.
"""

from collections.abc import Iterator

from data.world.people import GENDER
from data.world.recorder import Draw
from data.world.state import World
from data.world.story import happen
from data.world.tasks.dialogue_words import TALK
from data.world.tasks.questions import answering, can_answer, is_shared, question_about
from data.world.tasks.speech import ask_and_answer
from data.world.tasks.told import Told, told_for
from data.world.tasks.waiting import Waiting

PATTERNS = [
    "who like other", "who like other name", "who else like", "who else like other", "about other name",
    "about else like", "first then then", "first then like other", "last before before", "last before like other",
    "place next next", "place next there", "place there next there", "sent there next", "sent next there",
    "looked put like", "looked really put like", "found put like", "found earlier put like",
]  # fmt: skip
WHO = ("q_finder", "q_holder", "q_breaker", "q_needy", "q_birthday")  # questions whose answer is a person
ABOUT_TWO = {"like", "other", "else", "about"}  # these turns need two people to choose from


def dialogue_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"turns": [{"role": "user" or "assistant", "content": ...}, ...]}.

    The first content is the story, a line break and a question.
    """
    stories = Waiting(told_for(split, seed, language))
    draw = Draw(f"{seed} dialogue {split}")
    while True:
        pattern = draw.choose(PATTERNS)
        told = stories.next_that(lambda told, pattern=pattern: allows_pattern(told, pattern))
        turns = []
        for question, answer in dialogue_about(told, pattern, Draw(f"{seed} {told.number} {language} {pattern}")):
            question = question if turns else f"{told.text}\n{question}"
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        yield {"turns": turns}


def allows_pattern(told: Told, pattern: str) -> bool:
    """Whether the story has all that the turns of this pattern ask for."""
    turns, roles, facts = pattern.split(), told.world.roles, told.world.facts
    if ABOUT_TWO & set(turns) and ("friend" not in roles or "elder" in roles):
        return False
    match turns[0]:
        case "who":
            return bool(who_questions(told))
        case "first" | "last":
            return not is_shared(told) and len(holders(told)) > turns.count("then") + turns.count("before")
        case "place" | "sent":
            return "go to" in facts
        case "looked" | "found":
            return "left at" in facts
    return True


def who_questions(told: Told) -> list[str]:
    """The kinds of question of this story that one of the two people answers."""
    return [kind for kind in WHO if can_answer(told, kind)]


def holders(told: Told) -> list[str]:
    """In whose hands the thing was, in this order."""
    world, hands = World(), []
    for event, arguments in told.events:
        happen(world, event, arguments)
        for thing in world.things.values():
            if thing.where in GENDER and hands[-1:] != [thing.where]:
                hands.append(thing.where)
    return hands


def dialogue_about(told: Told, pattern: str, chooser: Draw) -> list[tuple[str, str]]:
    """[(question, answer)] for the turns of a pattern that the story allows."""
    dialogue = Dialogue(told, chooser)
    return [dialogue.turn(name) for name in pattern.split()]


class Dialogue:
    """What was spoken of last, which the next turn refers to."""

    def __init__(self, told: Told, chooser: Draw):
        self.told, self.chooser, self.roles = told, chooser, told.world.roles
        facts = told.world.facts
        self.person = self.roles["hero"]  # "that one"
        self.step = 0  # how far along the hands or the places
        self.places = [facts["place"], facts.get("go to"), facts["place"]]
        self.looks = {}  # name -> what a person is like
        self.spots = {}  # name -> where this person put the thing
        for event, arguments in told.events:
            if event in ("hero", "meet", "birthday"):
                *_, name, species, trait = arguments
                self.looks[name] = {"species": species, "trait": trait}
            elif event in ("put", "move"):
                who, _, self.spots[who] = arguments

    def turn(self, name: str) -> tuple[str, str]:
        """The next question and its answer, which changes what is spoken of."""
        match name:
            case "who":
                kind = self.chooser.choose(who_questions(self.told))
                self.person = answering(self.told.world, kind)["who"]
                return question_about(self.told, kind, self.chooser)
            case "looked":  # where the hero had put it
                return question_about(self.told, "q_belief", self.chooser)
            case "found":  # where the friend had moved it
                self.person = self.roles["friend"]
                return question_about(self.told, "q_where", self.chooser)
            case "about":
                self.person = self.chooser.choose([self.roles["hero"], self.roles["friend"]])
            case "other" | "else" | "really" | "earlier":
                self.person = self.roles["friend" if self.person == self.roles["hero"] else "hero"]
            case "sent" | "then" | "next":
                self.step += 1
            case "last" | "before":
                self.step -= 1
            case "there":
                name = "nobody" if self.step == 1 else "somebody"
        if name in ("first", "last", "then", "before"):
            self.person = holders(self.told)[self.step]
        spoken = TALK[self.told.language]
        return ask_and_answer(self.told.world, spoken, spoken.forms[name][0], self.arguments(), self.chooser)

    def arguments(self) -> dict:
        """A word for each slot that a form may have."""
        words = {"who": self.person, "thing": self.roles["thing"], "elder": self.roles.get("elder")}
        words |= {"place": self.places[self.step], "spot": self.spots.get(self.person)}
        return words | self.looks.get(self.person, {})
