"""Dialogues: each answer follows from the story and the turns before, and not from less."""

import itertools
from collections import defaultdict

import pytest

from data.world.judge import judge
from data.world.lexicon import LEXICON
from data.world.people import CHILDREN
from data.world.recorder import Draw
from data.world.tasks.dialogue import PATTERNS, allows_pattern, dialogue_about, dialogue_rows
from data.world.tasks.told import told_for

BOTH = pytest.mark.parametrize("language", ["en", "zh"])


@BOTH
def test_later_turns_need_the_earlier_ones(language):
    """Two later turns of each dialogue have another answer after other turns about the same story."""
    seen = set()
    for told in itertools.islice(told_for("train", 1, language), 80):
        dialogues = [
            (pattern, dialogue_about(told, pattern, Draw(f"{seed}")))
            for pattern in PATTERNS if allows_pattern(told, pattern) for seed in range(6)
        ]  # fmt: skip
        answers = defaultdict(set)
        for _, turns in dialogues:
            for question, answer in turns[1:]:
                answers[question].add(answer)
        for pattern, turns in dialogues:
            assert len(turns) in (3, 4)
            assert sum(len(answers[question]) > 1 for question, _ in turns[1:]) >= 2, (told.text, turns)
            seen.add(pattern)
    assert seen == set(PATTERNS)


@BOTH
def test_every_answer_follows_from_the_turns_before(language):
    kinds = set()
    for row in itertools.islice(dialogue_rows("val", 1, language), 200):
        roles, words = zip(*((turn["role"], turn["content"]) for turn in row["turns"]), strict=True)
        assert roles == ("user", "assistant") * (len(roles) // 2) and len(roles) in (6, 8)
        story, _, opening = words[0].partition("\n")
        verdict = judge(story, language)
        assert verdict.consistent, verdict.reason
        listener = Listener(verdict.events, language)
        listener.hear_first(opening, words[1])
        for question, answer in zip(words[2::2], words[3::2], strict=True):
            listener.check(question, answer)
            kinds.add(question)
    assert kinds == set(list(FOLLOW_UPS)[:10] if language == "en" else list(FOLLOW_UPS)[10:])


HOLDS = {"have": 0, "snatch": 0, "find": 0, "take": 0, "mend": 0, "give": 2, "give_back": 2}  # who has it after this
FOLLOW_UPS = {
    "What is that one like?": "like", "And the other one?": "other", "And who is the other one?": "else",
    "What is that one called?": "name", "And then?": "then", "And before that?": "before", "And where next?": "next",
    "Was anybody else there?": "there", "Who put it there?": "put", "And where was it really?": "really",
    "那一位是什么样的？": "like", "另一位呢？": "other", "另一位是谁？": "else", "那一位叫什么名字？": "name",
    "然后呢？": "then", "在那之前呢？": "before", "接着又去了哪里？": "next", "那里还有别人吗？": "there",
    "是谁放在那里的？": "put", "其实在哪里？": "really",
}  # fmt: skip


class Listener:
    """Understands a dialogue as a person would: from what happened, and from what was said last."""

    def __init__(self, events, language):
        self.language = language
        self.looks = {a[-3]: self.look(*a[-2:]) for event, a in events if event in ("hero", "meet", "birthday")}
        hands = [a[HOLDS[event]] for event, a in events if event in HOLDS]
        self.hands = [name for name, _ in itertools.groupby(hands)]
        self.places = [a[-1] for event, a in events if event in ("go", "walk", "walk_back")]
        self.spots = {a[2]: a[0] for event, a in events if event in ("put", "move")}  # where it was put -> by whom
        self.elder = next((a[0] for event, a in events if event == "elder_here"), None)
        self.person = self.spot = self.step = None

    def look(self, species, trait):
        if self.language == "en":
            article = "An" if trait[0] in "aeiou" or trait == "honest" else "A"
            return f"{article} {trait} {species}."
        return f"是一{'个' if species in CHILDREN else '只'}{LEXICON['trait'][trait]}{LEXICON['species'][species]}。"

    def says(self, answer, word, argument):
        return (word if self.language == "en" else LEXICON[argument][word]) in answer

    def hear_first(self, question, answer):
        for name, look in self.looks.items():
            if self.says(answer, name, "name") or answer == look:
                self.person = name
        self.spot = next((spot for spot in self.spots if self.says(answer, spot, "spot")), None)
        if len(self.places) > 1:
            (self.step,) = [i for i, place in enumerate(self.places[:2]) if self.says(answer, place, "place")]
        else:
            last = " last?" in question or "最后到了" in question
            self.step = len(self.hands) - 1 if last else 0

    def check(self, question, answer):
        kind = FOLLOW_UPS[question]
        if kind == "really" or (kind == "before" and self.spot):
            (self.spot,) = self.spots.keys() - {self.spot}
            assert self.says(answer, self.spot, "spot")
        elif kind == "put":
            self.person = self.spots[self.spot]
            assert self.says(answer, self.person, "name")
        elif kind in ("then", "before"):
            self.step += 1 if kind == "then" else -1
            self.person = self.hands[self.step]
            assert self.says(answer, self.person, "name" if self.person in self.looks else "elder")
        elif kind == "next":
            self.step += 1
            assert self.says(answer, self.places[self.step], "place")
        elif kind == "there":
            assert self.says(answer, self.elder, "elder") == (self.places[self.step] == self.places[0])
        else:
            if kind in ("other", "else"):
                (self.person,) = self.looks.keys() - {self.person}
            if kind in ("like", "other"):
                assert answer == self.looks[self.person]
            else:
                assert self.says(answer, self.person, "name")
