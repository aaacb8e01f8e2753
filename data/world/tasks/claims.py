"""Inference: does a claim follow from a story, contradict it, or is it unknown? (Bowman et al. 2015, "A large annotated
corpus for learning natural language inference".)

The rule of this world. Each person has one dream and one favourite hobby: another one contradicts, but what the story
tells of one person leaves the other's unknown. Each other fact happens once in a story, to one person, in one spot or
place, with one tool: the same claim with another person or word contradicts. What the story does not tell is unknown.

Words do not show the label. The kind of the claim and the label are drawn first, each pair equally often, and then the
next story that allows them is taken, so a claim alone says nothing. An unknown claim is made about stories of another
plot, of which other claims follow or contradict, so a story alone says little. A word that is not the truth is one that
the story has elsewhere, half of the time that it has one. A claim that is unknown only because it is about the friend
instead of the hero may say what is true of the hero.

Each row can be learned in two ways. As a label for a text, a model must compare the claim with the story in one go. As
an answer, it first writes what the story says, in the claim's words, and then the label: a chain of thought (Wei et al.
2022, "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models"; for inference, Camburu et al. 2018,
"e-SNLI").
"""

from collections.abc import Iterator
from typing import NamedTuple

from data.world.draws import EVENTS
from data.world.lexicon import LEXICON
from data.world.recorder import Draw
from data.world.tasks.ratings import in_turn
from data.world.tasks.speech import with_forms
from data.world.tasks.told import Told, told_for
from data.world.tasks.waiting import Waiting
from data.world.things import lasts

LABELS = ("follows", "contradicts", "unknown")
SILENT = {"en": "The story does not say.", "zh": "故事里没说。"}


class Kind(NamedTuple):
    """A kind of claim."""

    events: tuple  # a story with just one of these tells it
    word: str  # which argument of the event the claim names, beside who it was; "" if none
    own: bool  # is it about one person only, so that it leaves another's unknown?
    silent: tuple  # unknown in stories that have one of these events
    doubtful: tuple = ()  # nothing is claimed of stories that have one of these


KINDS = {
    "dream": Kind(("dream",), "job", True, ("dream", "like")),
    "hobby": Kind(("like",), "hobby", True, ("like", "dream")),
    "find": Kind(("find",), "spot", False, ("drop",)),
    "mend": Kind(("mend",), "tool", False, ("hide",)),
    "drop": Kind(("drop",), "", False, ("request", "need")),
    "snatch": Kind(("snatch",), "", False, ("lose",)),
    "fetch": Kind(("walk",), "place", False, ("snatch",)),
    "give": Kind(("give", "give_back"), "", False, ("lose", "put"), ("drop", "share", "request")),
    "birthday": Kind(("birthday",), "", False, ("drop", "request")),
}
FORMS = {
    "en": {
        "dream": ["{who:name}'s dream was to be {job}.", "Most of all, {who:name} wanted to be {job}."],
        "hobby": ["{who:name} loved {hobby} more than anything.", "Most of all, {who:name} liked {hobby}."],
        "find": ["{who:name} found the {noun} {spot}.", "The {noun} was found {spot} by {who:name}."],
        "mend": ["{who:name} mended the {noun} with {tool}.", "The {noun} was mended with {tool} by {who:name}."],
        "drop": ["{who:name} damaged the {noun}.", "The {noun} was damaged by {who:name}."],
        "snatch": ["{who:name} took the {noun} without asking.", "Without asking, {who:name} took the {noun}."],
        "fetch": ["{who:name} fetched the {noun} from {place}.", "The {noun} was fetched from {place} by {who:name}."],
        "give": ["{who:name} gave the {noun} to {to:name}.", "The {noun} was given to {to:name} by {who:name}."],
        "birthday": ["It was {who:name}'s birthday.", "{who:name} had a birthday."],
    },
    "zh": {
        "dream": ["{who:name}最大的梦想是当{job}。", "{who:name}最想当{job}。"],
        "hobby": ["{who:name}最爱的事是{hobby}。", "{who:name}最喜欢的事就是{hobby}。"],
        "find": ["{who:name}在{spot}找到了{noun}。", "{noun}被{who:name}在{spot}找到了。"],
        "mend": ["{who:name}用{tool}修好了{noun}。", "{noun}被{who:name}用{tool}修好了。"],
        "drop": ["{who:name}弄坏了{noun}。", "{noun}被{who:name}弄坏了。"],
        "snatch": ["{who:name}没问一声就拿走了{noun}。", "{noun}被{who:name}问也不问就拿走了。"],
        "fetch": ["{who:name}从{place}取来了{noun}。", "{noun}被{who:name}从{place}取来了。"],
        "give": ["{who:name}把{noun}给了{to:name}。", "{noun}被{who:name}交给了{to:name}。"],
        "birthday": ["今天是{who:name}的生日。", "{who:name}今天过生日。"],
    },
}
SPOKEN = {language: with_forms(language, forms) for language, forms in FORMS.items()}


def inference_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"text": story, line break, claim; "label": "follows", "contradicts" or "unknown"; "prompt": the
    text; "answer": what the story says about the claim, and the label}."""
    stories = Waiting(told_for(split, seed, language))
    draw = Draw(f"{seed} claims {split}")
    for kind, label in in_turn(draw, [(kind, label) for kind in KINDS for label in LABELS]):
        told = stories.next_that(lambda told, kind=KINDS[kind], label=label: allows(told, kind, label))
        claim = make_claim(told, KINDS[kind], label, draw)
        spoken, form = SPOKEN[language], draw.choose(SPOKEN[language].forms[kind])
        text = f"{told.text}\n{spoken.tell(None, form, claim, None)}"
        reason = SILENT[language]
        if label != "unknown":
            truth = with_receiver(told, truth_of(told, KINDS[kind]) | {"noun": claim["noun"]})
            reason = spoken.tell(None, form, truth, None)
        yield {"text": text, "label": label, "prompt": text, "answer": f"{reason} {label}"}


def truth_of(told: Told, kind: Kind) -> dict[str, str]:
    """What the story tells: {"who": ..., kind.word: ...}, or {} if it tells nothing of this kind."""
    for event, arguments in told.events:
        if event in kind.events:
            facts = dict(zip(EVENTS[event][1], arguments, strict=True))
            who = told.world.roles["friend"] if event == "birthday" else facts["who"]  # `who` there gives the present
            return {"who": who} | ({kind.word: facts[kind.word]} if kind.word else {})
    return {}


def allows(told: Told, kind: Kind, label: str) -> bool:
    """Whether the story allows a claim of this kind with this label."""
    truth, roles, happened = truth_of(told, kind), told.world.roles, {event for event, _ in told.events}
    if roles.get("elder") in truth.values() or happened & set(kind.doubtful):
        return False  # elders come into few stories: one in a claim would show the label
    if not kind.own and not lasts(roles["thing"]):
        return False  # so would food, which nobody damages or loses
    if label == "unknown":
        return (not truth or (kind.own and "friend" in roles)) and bool(happened & set(kind.silent))
    return bool(truth)


def make_claim(told: Told, kind: Kind, label: str, draw: Draw) -> dict[str, str]:
    """The arguments of the claim's sentence."""
    truth, roles = truth_of(told, kind), told.world.roles
    both = [roles[role] for role in ("hero", "friend") if role in roles]
    claim = truth | {"noun": roles["thing"]}
    if label == "unknown":
        others = [name for name in both if name != truth.get("who")]
        claim["who"] = roles["hero"] if kind.own and not truth else draw.choose(others)
        if kind.word:
            claim[kind.word] = other_word(told, kind.word, None, draw)
    elif label == "contradicts" and (kind.own or len(both) == 1 or (kind.word and draw.choose([True, False]))):
        claim[kind.word] = other_word(told, kind.word, truth[kind.word], draw)
    elif label == "contradicts":
        claim["who"] = both[both.index(truth["who"]) - 1]
    return with_receiver(told, claim)


def with_receiver(told: Told, facts: dict[str, str]) -> dict[str, str]:
    """The facts, and who got something if facts["who"] gave it; only a claim about giving says it."""
    both = [told.world.roles[role] for role in ("hero", "friend") if role in told.world.roles]
    return facts | {"to": both[both.index(facts["who"]) - 1]}


def other_word(told: Told, argument: str, truth: str | None, draw: Draw) -> str:
    """A word that is not the truth: half of the time one that the story has elsewhere, if it has one."""
    said = {
        word
        for event, arguments in told.events
        for name, word in zip(EVENTS[event][1], arguments, strict=True)
        if name == argument and word != truth
    }
    if said and draw.choose([True, False]):
        return draw.choose(sorted(said))
    return draw.choose([word for word in LEXICON[argument] if word != truth])
