"""Summaries: a story in one or two sentences, and a reader that checks every fact of a summary.

Each plot has its own shape: what was lost, who found it and where; what was damaged and with which tool it was mended;
and so on. There is one sentence form for a shape, so a story has exactly one summary. The facts stand in different
sentences of the story, the wording of the story does not matter, and each fact can be wrong.
"""

import re
from collections.abc import Iterator

from data.world.draws import EVENTS
from data.world.judge import judge
from data.world.story import LANGUAGES
from data.world.tasks.speech import with_forms
from data.world.tasks.told import told_for
from data.world.telling import AGREEING

LENT_EN = "{who:name}, {species:a}, lent {to:name} {adjective:a} {noun} {place:at}, and {to:she} damaged it. "
LOST_EN = "{who:name}, {species:a}, lost {adjective:a} {noun} {place:at}. "
SNATCHED_EN = "{to:name} snatched {adjective:a} {noun} from {who:name}, {species:a}, {place:at}. "
LENT_ZH = "{species}{who:name}在{place:at}把一{noun:m}{adjective}{noun}借给{to:name}，{to:she}把它弄坏了。"
LOST_ZH = "{species}{who:name}在{place:at}弄丢了一{noun:m}{adjective}{noun}。"
SNATCHED_ZH = "{to:name}在{place:at}抢走了{species}{who:name}的一{noun:m}{adjective}{noun}。"

# Which events of a story say what a slot needs, and which of their arguments it is: {slot: (argument, events)}.
SAID_BY = {
    "who": ("name", ["hero"]), "species": ("species", ["hero"]), "to": ("name", ["meet", "birthday"]),
    "elder": ("elder", ["come", "elder_here"]), "noun": ("noun", ["have", "request"]),
    "adjective": ("adjective", ["have", "request"]), "place": ("place", ["go"]), "goal": ("place", ["walk"]),
    "start": ("spot", ["put"]), "spot": ("spot", ["find", "take"]), "tool": ("tool", ["mend"]),
    "need": ("need", ["need"]),
}  # fmt: skip
# {who} is the hero, {to} the friend; a thing that was moved was first at {start}; an errand goes from {place} to {goal}
FORMS = {
    "en": {
        "lost_found_alone": LOST_EN + "{who:she} found it {spot}.",
        "lost_found_when_told": LOST_EN + "{to:name} knew where it was, and {who:she} found it {spot}.",
        "lost_found_by_friend": LOST_EN + "{to:name} found it {spot} and gave it back.",
        "joke": "{who:name}, {species:a}, left {adjective:a} {noun} {start} {place:at}. "
        "For a joke, {to:name} hid it {spot}, but {who:she} found it there.",
        "mended_by_friend": LENT_EN + "{to:she} mended it with {tool}.",
        "mended_by_elder": LENT_EN + "{elder} mended it with {tool}.",
        "mended_by_hero": LENT_EN + "{to:she} hid it {spot}, but {who:she} found it and mended it with {tool}.",
        "never_mended": LENT_EN + "{to:she} hid it {spot}, but {who:she} found it and forgave {to:name}.",
        "snatched_with_elder": SNATCHED_EN + "When {elder} came, {to:she} gave it back, and they shared it.",
        "snatched_and_sorry": SNATCHED_EN + "{to:she} said sorry and gave it back, and they shared it.",
        "in_need": "{to:name} was {need} {place:at}. {who:name}, {species:a}, gave {to:name} {adjective:a} {noun}.",
        "birthday": "It was {to:name}'s birthday. {who:name}, {species:a}, hid {adjective:a} {noun} {spot} {place:at}, "
        "and {to:she} found it.",
        "errand": "{elder} sent {who:name}, {species:a}, from {place} to {goal}. "
        "{who:she} found {adjective:a} {noun} {spot} there and brought it back.",
    },
    "zh": {
        "lost_found_alone": LOST_ZH + "{who:she}自己在{spot}找到了它。",
        "lost_found_when_told": LOST_ZH + "{to:name}知道它在哪儿，{who:she}在{spot}找到了它。",
        "lost_found_by_friend": LOST_ZH + "{to:name}在{spot}找到了它，还给了{who:name}。",
        "joke": "{species}{who:name}在{place:at}把一{noun:m}{adjective}{noun}放在{start}。"
        "{to:name}开玩笑把它藏在{spot}，但{who:she}还是找到了。",
        "mended_by_friend": LENT_ZH + "{to:she}用{tool}修好了它。",
        "mended_by_elder": LENT_ZH + "{elder}用{tool}修好了它。",
        "mended_by_hero": LENT_ZH + "{to:she}把它藏在{spot}，{who:she}找到后用{tool}修好了它。",
        "never_mended": LENT_ZH + "{to:she}把它藏在{spot}，{who:she}找到后原谅了{to:name}。",
        "snatched_with_elder": SNATCHED_ZH + "{elder}来了以后，{to:she}把它还了回去，他们一起分享了它。",
        "snatched_and_sorry": SNATCHED_ZH + "{to:she}道了歉，把它还了回去，他们一起分享了它。",
        "in_need": "{to:name}在{place:at}有点{need}。{species}{who:name}给了{to:she}一{noun:m}{adjective}{noun}。",
        "birthday": "今天是{to:name}的生日。{species}{who:name}在{place:at}把一{noun:m}{adjective}{noun}藏在{spot}，"
        "{to:she}找到了。",
        "errand": "{elder}让{species}{who:name}从{place}去{goal}。"
        "{who:she}在{spot}找到一{noun:m}{adjective}{noun}，带了回来。",
    },
}


SPOKEN = {
    language: with_forms(
        language,
        {shape: [form] for shape, form in forms.items()},
        {"start": LANGUAGES[language].words["spot"], "goal": LANGUAGES[language].words["place"]},
    )
    for language, forms in FORMS.items()
}


def shape_of(happened: dict) -> str | None:
    """The summary form for a story with these events, {event: its arguments}; None if they are no plot of the world."""
    if "lose" in happened:
        if happened.get("find", {}).get("who") != happened["hero"]["name"]:
            return "lost_found_by_friend"
        return "lost_found_when_told" if "tell" in happened else "lost_found_alone"
    if "drop" in happened:
        if "hide" in happened:
            return "mended_by_hero" if "mend" in happened else "never_mended"
        return "mended_by_elder" if "come" in happened else "mended_by_friend"
    if "snatch" in happened:
        return "snatched_with_elder" if "advise" in happened else "snatched_and_sorry"
    keys = {"move": "joke", "need": "in_need", "birthday": "birthday", "request": "errand"}
    return next((shape for event, shape in keys.items() if event in happened), None)


def facts_of(story: list) -> tuple[str, dict[str, str]] | None:
    """-> (shape, {slot: word of the world}): what the summary says; None if the events are no plot of this world."""
    happened = {event: dict(zip(EVENTS[event][1], arguments, strict=True)) for event, arguments in story}
    shape, facts = shape_of(happened), {}
    if shape is None:
        return None
    (form,) = SPOKEN["en"].forms[shape]
    for slot in form.slots:
        argument, events = SAID_BY[slot.argument]
        facts[slot.argument] = next((happened[event][argument] for event in events if event in happened), None)
    return shape, facts


def write_summary(shape: str, facts: dict[str, str], language: str) -> str:
    """The summary that says these facts."""
    (form,) = SPOKEN[language].forms[shape]
    return SPOKEN[language].tell(None, form, facts, None)  # its forms leave no choice: no world, no chooser


def read_summary(text: str, language: str) -> tuple[str, dict[str, str]] | None:
    """-> (shape, facts) of a summary; None if it cannot be read."""
    for reading in SPOKEN[language].read(text):
        pairs = zip(reading.form.slots, reading.meanings, strict=True)
        facts = {slot.argument: meaning for slot, meaning in pairs if slot.style not in AGREEING}
        if write_summary(reading.form.event, facts, language) == text:  # "she" for "he" or a wrong measure word differ
            return reading.form.event, facts
    return None


def summary_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"prompt": story, "answer": its summary}."""
    for told in told_for(split, seed, language):
        yield {"prompt": told.text, "answer": write_summary(*facts_of(told.events), language)}


def summary_score(prompts: list[str], truths: list[str], written: list[str]) -> dict[str, float]:
    """Shares of the written summaries. "facts": each fact is right for the story; "readable": it can be read.

    The facts are those of the judged story, so `truths` shows only in which language to read a summary.
    """
    right = readable = 0
    for prompt, truth, text in zip(prompts, truths, written, strict=True):
        summary = read_summary(text.strip(), language_of(truth))
        readable += summary is not None
        right += summary is not None and summary == facts_of(judge(prompt.strip(), language_of(prompt)).events)
    return {"facts": right / max(1, len(written)), "readable": readable / max(1, len(written))}


def language_of(text: str) -> str:
    """Chinese if it has a Chinese character, and English otherwise."""
    return "zh" if re.search("[一-鿿]", text) else "en"
