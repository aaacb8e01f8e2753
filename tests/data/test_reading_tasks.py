"""The tasks that read a text: their answers are true, and counting words does not find them."""

import re
from collections import Counter
from functools import cache
from itertools import islice, pairwise

import numpy as np
import pytest

from data.world.judge import judge
from data.world.reviews import is_held_out
from data.world.story import LANGUAGES
from data.world.tasks import claims, ratings, relations, spans, summaries
from data.world.tasks.told import HELD_OUT_PAIRS, NAME_NUMBER, NOUN_NUMBER, replay
from gpt.finetuning.baselines import baselines
from tests.data.test_reviews import opinions

MAKERS = {
    "summaries": summaries.summary_rows,
    "spans": spans.entity_rows,
    "relations": relations.relation_rows,
    "claims": claims.inference_rows,
    "topics": ratings.topic_rows,
    "stars": ratings.star_rows,
}
STORY_TASKS = ("summaries", "spans", "relations", "claims")
LABELS = {"claims": list(claims.LABELS), "topics": ratings.LABELS, "stars": list("12345")}
SIZES = {"train": 270, "val": 30, "test": 30}
BOTH = pytest.mark.parametrize("language", ["en", "zh"])
GARBAGE = ["", " ", "\n", "\ufffd\x00", "Mia", "Mia, a girl, lost", "It was.", "小美", "。", "{who} [(", "a" * 5000]


@cache
def rows(task, language, split="train"):
    return list(islice(MAKERS[task](split, 1, language), SIZES[split]))


def story_of(row):
    return row.get("prompt", row.get("text")).partition("\n")[0]


@cache
def world_of(story, language):
    verdict = judge(story, language)
    assert verdict.consistent, verdict.reason
    return replay(verdict.events), verdict.events


# -- all of them -----------------------------------------------------------------------------------------------
@BOTH
@pytest.mark.parametrize("task", MAKERS)
def test_no_text_is_there_twice_in_one_split_or_in_two(task, language):
    made = [row for split in SIZES for row in rows(task, language, split)]
    assert len({story_of(row) if task in STORY_TASKS else row["text"] for row in made}) == sum(SIZES.values())


@BOTH
@pytest.mark.parametrize("task", MAKERS)
def test_the_same_seed_gives_the_same_rows(task, language):
    for split in ("train", "val"):
        assert list(islice(MAKERS[task](split, 1, language), 20)) == rows(task, language, split)[:20]
        assert list(islice(MAKERS[task](split, 2, language), 20)) != rows(task, language, split)[:20]


@pytest.mark.parametrize("task", STORY_TASKS)
def test_the_test_alone_pairs_its_heroes_with_its_things(task):
    for split in SIZES:
        for row in rows(task, "en", split)[:50]:
            roles = world_of(story_of(row), "en")[0].roles
            pair = NAME_NUMBER[roles["hero"]] + NOUN_NUMBER[roles["thing"]]
            assert (pair % HELD_OUT_PAIRS == 0) == (split == "test")


@BOTH
@pytest.mark.parametrize("task", LABELS)
def test_the_labels_are_equally_frequent(task, language):
    size = SIZES["train"] // len(LABELS[task])
    assert Counter(row["label"] for row in rows(task, language)) == dict.fromkeys(LABELS[task], size)


@BOTH
@pytest.mark.parametrize("task, most", [("claims", 0.5), ("topics", 0.55), ("stars", 0.5)])
def test_counting_words_and_pairs_of_words_is_not_enough(task, most, language):
    assert accuracy_of_tfidf(task, language, lambda row: row["text"]) < most


@cache
def many_rows(task, language):
    sizes = {"train": 540, "val": 90, "test": 180}
    return {split: list(islice(MAKERS[task](split, 3, language), size)) for split, size in sizes.items()}


def accuracy_of_tfidf(task, language, text):
    data = many_rows(task, language)
    texts = {split: [text(row) for row in made] for split, made in data.items()}
    targets = {split: np.array([LABELS[task].index(row["label"]) for row in made]) for split, made in data.items()}
    return (baselines(texts, targets, regression=False)["tfidf"] == targets["test"]).mean()


# -- summaries -------------------------------------------------------------------------------------------------
@BOTH
def test_every_summary_says_what_is_true_at_the_end_of_its_story(language):
    shapes = set()
    for row in rows("summaries", language):
        world, events = world_of(row["prompt"], language)
        shape, facts = summaries.read_summary(row["answer"], language)
        roles, thing = world.roles, world.things[world.roles["thing"]]
        true = {"who": roles["hero"], "to": roles.get("friend"), "elder": roles.get("elder"), "noun": thing.noun}
        true |= {"adjective": thing.adjective, "species": events[0][1][1], "start": world.facts.get("left at")}
        true |= {name: world.facts.get(name) for name in ("place", "spot", "tool", "need")}
        true["goal"] = world.facts.get("go to")
        assert facts == {slot: true[slot] for slot in facts}
        assert None not in facts.values()
        shapes.add(shape)
    assert shapes == set(summaries.FORMS[language])


@BOTH
def test_the_outcome_that_a_summary_tells_is_the_outcome_of_the_story(language):
    for row in rows("summaries", language):
        world, events = world_of(row["prompt"], language)
        shape, names = summaries.read_summary(row["answer"], language)[0], [event for event, _ in events]
        roles, facts = world.roles, world.facts
        assert ("mended" in shape) == ("breaker" in facts), row
        assert (shape == "never_mended") == ("breaker" in facts and "mender" not in facts)
        if shape.startswith("mended_by_"):
            assert facts["mender"] == roles[shape.removeprefix("mended_by_")]
        if shape.startswith("lost_found_"):
            assert (facts["finder"] == roles["friend"]) == (shape == "lost_found_by_friend")
            assert ("tell" in names) == (shape == "lost_found_when_told")
        if shape.startswith("snatched"):
            assert (facts.get("sorry") == roles["friend"]) == (shape == "snatched_and_sorry")
        assert (shape == "joke") == ("mover" in facts)
        assert (shape == "in_need") == ("needy" in facts)
        assert (shape == "birthday") == ("birthday" in facts)
        assert (shape == "errand") == ("asker" in facts)


@BOTH
def test_a_summary_with_any_one_fact_changed_is_wrong(language):
    changed = []
    for row in rows("summaries", language)[:25]:
        shape, facts = summaries.read_summary(row["answer"], language)
        for slot, word in facts.items():
            options = summaries.SPOKEN["en"].words[{"who": "name", "to": "name"}.get(slot, slot)]
            other = next(option for option in options if option not in facts.values() and option != word)
            changed.append((row, summaries.write_summary(shape, facts | {slot: other}, language)))
        changed += [(row, other["answer"]) for other in rows("summaries", language)[25:27]]
    made, written = zip(*changed, strict=True)
    arguments = [row["prompt"] for row in made], [row["answer"] for row in made]
    assert summaries.summary_score(*arguments, list(written)) == {"facts": 0.0, "readable": 1.0}
    assert summaries.summary_score(*arguments, arguments[1]) == {"facts": 1.0, "readable": 1.0}


@BOTH
def test_any_text_gets_a_verdict_as_a_summary_or_a_story(language):
    (row, *_) = rows("summaries", language)
    for text in [*GARBAGE, row["answer"][:-1], row["answer"] + row["answer"], row["prompt"]]:
        score = summaries.summary_score([row["prompt"]], [row["answer"]], [text])
        assert score == {"facts": 0.0, "readable": 0.0}
        score = summaries.summary_score([text], [row["answer"]], [row["answer"]])
        assert score["readable"] == 1.0 and score["facts"] == (text == row["prompt"])
    assert summaries.summary_score([], [], []) == {"facts": 0.0, "readable": 0.0}


def test_a_summary_whose_words_do_not_agree_cannot_be_read():
    assert summaries.read_summary("Ben, a boy, lost a red kite in the park. He found it in the basket.", "en")
    for text in (
        "Ben, a boy, lost a red kite in the park. She found it in the basket.",
        "Ben, a owl, lost a red kite in the park. He found it in the basket.",
        "小男孩小本在公园里弄丢了一本红色的风筝。他自己在篮子里找到了它。",
    ):
        assert summaries.read_summary(text, summaries.language_of(text)) is None


# -- entities --------------------------------------------------------------------------------------------------
def texts_of(label, language):
    words = LANGUAGES[language].words
    texts = {"PERSON": words["name"] | words["elder"], "PLACE": words["place"], "THING": words["noun"]}[label]
    return {text.removeprefix("the "): word for word, text in texts.items()}


@BOTH
def test_the_spans_cut_whole_words_of_their_kind_from_left_to_right(language):
    for split in SIZES:
        for row in rows("spans", language, split):
            before = 0
            for start, end, label in row["spans"]:
                assert before <= start < end
                assert row["text"][start:end] in texts_of(label, language)
                assert language == "zh" or re.search(r"\b" + row["text"][start:end] + r"\b", row["text"][start:])
                before = end


@BOTH
def test_every_mention_is_marked(language):
    edge = r"\b" if language == "en" else ""
    texts = {text: label for label in spans.WORDS for text in texts_of(label, language)}
    anywhere = re.compile(f"{edge}(?:{'|'.join(texts)}){edge}")
    words = LANGUAGES[language].words
    others = [text for kind in ("errand", "sight", "game", "treat", "job", "hobby") for text in words[kind].values()]
    others += ["o'clock"]
    other = re.compile("|".join(sorted(map(re.escape, others), key=len, reverse=True)))
    both_ways = 0
    for row in rows("spans", language):
        marked = {(start, end): label for start, end, label in row["spans"]}
        elsewhere = [match.span() for match in other.finditer(row["text"])]
        for match in anywhere.finditer(row["text"]):
            if any(start <= match.start() and match.end() <= end for start, end in elsewhere):
                assert match.span() not in marked
                both_ways += 1
            else:
                assert marked.pop(match.span()) == texts[match[0]], (match[0], row)
        assert not marked
    assert both_ways > 0  # a word can be an entity here and not there


@BOTH
def test_one_word_in_five_is_marked_in_the_test_alone_and_all_its_stories_have_some(language):
    held_out = {label: list(words)[4::5] for label, words in spans.WORDS.items()}
    for split in SIZES:
        for row in rows("spans", language, split):
            marked = {texts_of(label, language)[row["text"][start:end]]: label for start, end, label in row["spans"]}
            new = [word for word, label in marked.items() if word in held_out[label]]
            assert len(new) >= 2 if split == "test" else not new


# -- relations -------------------------------------------------------------------------------------------------
@BOTH
def test_every_giving_of_a_story_is_told_in_order(language):
    comma, semicolon = (", ", "; ") if language == "en" else ("，", "；")
    words = LANGUAGES[language].words
    meant = {text: word for kind in ("name", "elder", "noun") for word, text in words[kind].items()}
    numbers = Counter()
    for row in rows("relations", language):
        world, events = world_of(row["prompt"], language)
        given = [tuple(meant[word] for word in giving.split(comma)) for giving in row["answer"].split(semicolon)]
        assert given == [arguments for event, arguments in events if event in ("give", "give_back")]
        assert {thing for _, thing, _ in given} <= set(world.things)
        numbers[len(given)] += 1
    assert set(numbers) == {1, 2} and numbers[2] > 25


@BOTH
def test_one_story_in_three_names_a_giver_or_receiver_by_a_pronoun(language):
    pronoun = {
        "en": r"\b([Ss]?[Hh]e (gave|handed|brought|said, and gave)|to (her|him)\b|,\" s?he said\.)",
        "zh": "[她他](把[^。]*(给了|递给|还给|交还给)|说着|说。)|(给了|递给|还给了?|交还给|交到)[她他]",
    }
    found = [re.search(pronoun[language], row["prompt"]) for row in rows("relations", language)]
    assert sum(map(bool, found)) > len(found) / 3


# -- claims ----------------------------------------------------------------------------------------------------
def claim_of(row, language):
    """-> (kind, {"who": ..., ...}) of the claim in the last line."""
    (reading,) = claims.SPOKEN[language].read(row["text"].partition("\n")[2])
    slots = [slot.argument for slot in reading.form.slots]
    return reading.form.event, dict(zip(slots, reading.meanings, strict=True))


def label_of(world, events, kind, claim):
    """The label, from what is true at the end of the story."""
    facts, who = world.facts, claim["who"]
    if kind in ("dream", "hobby"):
        told = {arguments[0]: arguments[1] for event, arguments in events if event in ("dream", "like")}
        of_this_kind = {"dream": "dream", "hobby": "like"}[kind] in [event for event, _ in events]
        if not of_this_kind or who not in told:
            return "unknown"
        return "follows" if told[who] == claim["job" if kind == "dream" else "hobby"] else "contradicts"
    snatcher = facts.get("wrong by") if "snatch" in dict(events) else None
    givings = [arguments for event, arguments in events if event.startswith("give")]
    true = {
        "find": (facts.get("finder"), facts.get("spot")),
        "mend": (facts.get("mender"), facts.get("tool")),
        "drop": (facts.get("breaker"), None),
        "snatch": (snatcher, None),
        "fetch": (world.roles["hero"] if "go to" in facts else None, facts.get("go to")),
        "give": (givings[0][0], givings[0][2]) if givings else (None, None),
        "birthday": (facts.get("birthday"), None),
    }[kind]
    word = next((claim[name] for name in ("spot", "tool", "place", "to") if name in claim), None)
    assert claim.get("noun", world.roles["thing"]) == world.roles["thing"]
    if true[0] is None:
        return "unknown"
    return "follows" if true == (who, word) else "contradicts"


@BOTH
def test_the_label_of_a_claim_is_what_the_story_says(language):
    for split in SIZES:
        for row in rows("claims", language, split):
            world, events = world_of(story_of(row), language)
            assert row["label"] == label_of(world, events, *claim_of(row, language)), row


@BOTH
def test_each_kind_of_claim_has_each_label_equally_often(language):
    counts = Counter((claim_of(row, language)[0], row["label"]) for row in rows("claims", language))
    assert counts == {(kind, label): 10 for kind in claims.KINDS for label in claims.LABELS}


@BOTH
def test_a_claim_alone_does_not_show_its_label(language):
    assert accuracy_of_tfidf("claims", language, lambda row: row["text"].partition("\n")[2]) < 0.45


@BOTH
def test_a_dream_is_claimed_of_the_friend_too_and_then_it_is_unknown(language):
    of_the_friend, with_the_heros_word = 0, 0
    for row in rows("claims", language):
        kind, claim = claim_of(row, language)
        if kind in ("dream", "hobby"):
            world, events = world_of(story_of(row), language)
            if claim["who"] == world.roles.get("friend"):
                assert row["label"] == "unknown"
                of_the_friend += 1
                with_the_heros_word += any(set(claim.values()) & set(arguments[1:]) for _, arguments in events[1:2])
    assert of_the_friend > 4 and with_the_heros_word > 1


# -- topics and stars ------------------------------------------------------------------------------------------
def topic_forms_in(text, language):
    """[(number of the form, topic it names)] of a review."""
    found = []
    for number, (form, _) in enumerate(ratings.TWINS[language]):
        for topic, name in ratings.NAMES[language].items():
            pattern = re.escape(form).replace(r"\{topic\}", name).replace(r"\{person\}", r"\w+?")
            found += [(number, topic)] if re.search(pattern, text) else []
    return found


def topics_in(text, language):
    """The topics whose opening sentence is in a review."""
    found = set()
    for topic, (openings, _) in ratings.TOPICS[language].items():
        for opening in openings:
            pattern = re.sub(r"\\\{\w+\\\}", r"[^.，。]+?", re.escape(opening))
            found |= {topic} if re.search(r"(?<![^。 .])" + pattern, text, re.IGNORECASE) else set()
    return found


@BOTH
def test_a_reader_finds_the_topic_of_a_review(language):
    for split in SIZES:
        for row in rows("topics", language, split):
            ((form, named),) = topic_forms_in(row["text"], language)
            topics = topics_in(row["text"], language)
            assert len(topics) == 2 and {row["label"], named} <= topics
            assert ratings.TWINS[language][form][1] == (named == row["label"])
            (unnamed,) = topics - {named}
            pair = ratings.LABELS.index(named) + 2 * ratings.LABELS.index(unnamed)
            assert is_held_out(form, pair) == (split == "test")


@BOTH
def test_a_reader_finds_the_stars_of_a_review(language):
    for split in SIZES:
        for row in rows("stars", language, split):
            found = opinions(row["text"], language, "hard")
            assert len(found) == 4 and row["label"] == str(1 + sum(likes for _, _, likes, *_ in found)), row
            new = [is_held_out(form, numbers[0]) for *_, form, numbers in found]
            assert sum(new) == (split == "test")


@BOTH
def test_twins_name_the_topic_equally_often_with_opposite_meanings(language):
    twins = ratings.TWINS[language]
    assert [means_it for _, means_it in twins] == [True, False] * (len(twins) // 2)
    met = Counter(topic_forms_in(row["text"], language)[0][0] for row in rows("topics", language))
    assert set(met) == set(range(len(twins)))
    straight = sum(count for form, count in met.items() if twins[form][1])
    assert abs(straight - SIZES["train"] / 2) < 4 * (SIZES["train"] / 4) ** 0.5  # four standard deviations


@BOTH
def test_no_pair_of_words_in_a_twin_holds_the_topic_and_what_differs(language):
    topic = "XX" if language == "en" else "X"  # in English, words of one letter are not counted

    def pairs_with_topic(form):
        words = re.findall(r"\w\w+" if language == "en" else r"\w", form.replace("{topic}", topic))
        return {pair for pair in pairwise(words) if topic in pair}

    for (form, _), (twin, _) in zip(*[iter(ratings.TWINS[language])] * 2, strict=True):
        assert pairs_with_topic(form) == pairs_with_topic(twin)


@BOTH
def test_an_answer_says_what_the_story_says_in_the_words_of_the_claim_and_then_the_label(language):
    for row in rows("claims", language):
        claim = row["prompt"].partition("\n")[2]
        reason, label = row["answer"].rsplit(" ", 1)
        assert row["prompt"] == row["text"] and label == row["label"]
        assert (reason == claim) == (label == "follows")
        assert (reason == claims.SILENT[language]) == (label == "unknown")
