"""Reviews with five labels: what a review is about, and how many stars it gives.

Both use the idea of data/world/reviews.py: each sentence form has a twin with the opposite meaning and the same words
in the same places ("I leave out everything but the film", "I leave out nothing but the film"), and in the test a form
meets a word that it never meets in training.

A review of `topic_rows` tells and judges something of two topics. One sentence names one of the two: as what the review
is about or, equally often, as what it is not about. So who counts words, or pairs of them, can know the two and must
guess which.

A review of `star_rows` judges four sides. It has one star, and one more for each side that the writer likes.
"""

from collections.abc import Iterator
from itertools import islice

from data.world.recorder import Draw
from data.world.review_words import WORDS
from data.world.reviews import fill, is_held_out, opinion

BOOK = {
    "en": (
        [
            'On {day} I read a book called "The {trait} {species}".',
            "I read a new book {company}.",
            'Last {day} I got a book called "The {species}".',
            "The book was about the {species} who went to {place}.",
        ],
        ["the cover", "the plot", "the first chapter", "the last page", "the language", "the title"],
    ),
    "zh": (
        [
            "{day}，我读了一本书，写的是{trait}{species}。",
            "我{company}读了一本新书。",
            "上个{day}，我得到一本写{species}的书。",
            "书里写的是{species}在{place}的故事。",
        ],
        ["封面", "情节", "第一章", "最后一页", "文字", "书名"],
    ),
}
TOPICS = {language: WORDS[language].topics | {"book": BOOK[language]} for language in WORDS}
LABELS = list(TOPICS["en"])
NAMES = {
    "en": {topic: f"the {topic}" for topic in LABELS},
    "zh": {"film": "那部电影", "meal": "那顿饭", "toy": "那个玩具", "place": "那个地方", "book": "那本书"},
}
TWINS = {  # (form, is the review about what it names?), each next to its twin
    "en": [
        ("It is true that this review is about {topic}.", True),
        ("It is not true that this review is about {topic}.", False),
        ("I meant to review {topic} today, and that is what I am doing.", True),
        ("I meant to review {topic} today, but I am doing the other one.", False),
        ("My {person} says that I am judging {topic} here, and that is right.", True),
        ("My {person} says that I am judging {topic} here, but that is wrong.", False),
        ("Am I judging {topic} here? Yes, I am.", True),
        ("Am I judging {topic} here? No, I am not.", False),
        ("If you think that my opinion is about {topic}, you are right.", True),
        ("If you think that my opinion is about {topic}, you are wrong.", False),
        ("In the end I chose to rate {topic} today, but not at first.", True),
        ("At first I chose to rate {topic} today, but not in the end.", False),
        ("As for {topic}, that is what I am rating.", True),
        ("As for {topic}, that is not what I am rating.", False),
        ("I leave out everything but {topic}.", True),
        ("I leave out nothing but {topic}.", False),
    ],  # a word stands between {topic} and where two twins differ, so that no pair of words shows the label
    "zh": [
        ("说这篇评论评的是{topic}，这话一点没错。", True),
        ("说这篇评论评的是{topic}，这话可不对。", False),
        ("我本来想评{topic}，最后也真的评了。", True),
        ("我本来想评{topic}，最后评的是另一样。", False),
        ("我{person}说我评的是{topic}，说对了。", True),
        ("我{person}说我评的是{topic}，说错了。", False),
        ("我评的是{topic}吗？是的。", True),
        ("我评的是{topic}吗？不是。", False),
        ("你要是猜我评的是{topic}，那就猜对了。", True),
        ("你要是猜我评的是{topic}，那就猜错了。", False),
        ("说起{topic}，我后来想评它，一开始可不想。", True),
        ("说起{topic}，我一开始想评它，后来可不想。", False),
        ("说到{topic}，这篇评的正是它。", True),
        ("说到{topic}，这篇评的不是它。", False),
        ("除了{topic}，别的我都不评。", True),
        ("除了{topic}，别的我都要评。", False),
    ],
}


def in_turn(draw: Draw, options: list) -> Iterator:
    """Endless: all options in random order, then all again in another order, and so on."""
    while True:
        left = list(options)
        while left:
            left.remove(option := draw.choose(left))
            yield option


def topic_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"text": review, "label": "film", "meal", "toy", "place" or "book"}."""
    draw, words = Draw(f"{seed} topics {language} {split}"), WORDS[language]
    for label in in_turn(draw, LABELS):
        other = draw.choose([topic for topic in LABELS if topic != label])
        openings, judgements, judged = [], [], ""
        for topic in islice(in_turn(draw, [label, other]), 2):
            opening, sides = TOPICS[language][topic]
            openings.append(fill(draw, draw.choose(opening), words))
            judged = draw.choose([side for side in sides if side != judged])  # a place may have food, as a meal has
            judgements.append(opinion(draw, language, "easy", judged, draw.choose([True, False]), False))
        about = [statement(draw, language, label, other, split == "test")]
        sentences = openings + judgements
        yield {"text": words.gap.join(draw.choose([about + sentences, sentences + about])), "label": label}


def statement(draw: Draw, language: str, label: str, other: str, in_test: bool) -> str:
    """The sentence that says what the review is about."""
    straight = draw.choose([True, False])
    named, unnamed = (label, other) if straight else (other, label)
    pair = LABELS.index(named) + 2 * LABELS.index(unnamed)  # so that each form meets each topic in training
    forms = [
        form
        for number, (form, means_it) in enumerate(TWINS[language])
        if means_it == straight and is_held_out(number, pair) == in_test
    ]
    return fill(draw, draw.choose(forms), WORDS[language], topic=NAMES[language][named])


def star_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"text": review, "label": "1" to "5"}."""
    draw, words = Draw(f"{seed} stars {language} {split}"), WORDS[language]
    for stars in in_turn(draw, range(1, 6)):
        opening, sides = TOPICS[language][draw.choose(LABELS)]
        sentences = [fill(draw, draw.choose(opening), words)]
        new = draw.choose(range(4)) if split == "test" else None
        likes = in_turn(draw, [number < stars - 1 for number in range(4)])
        for number, (side, liked) in enumerate(islice(zip(in_turn(draw, sides), likes, strict=True), 4)):
            sentences.append(opinion(draw, language, "hard", side, liked, number == new))
        yield {"text": words.gap.join(sentences), "label": str(stars)}
