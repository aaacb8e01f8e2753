"""qa: a story and a question about it. The answer is one sentence, and the story has all that it needs.

The questions are those that a story of the corpus may end with. All kinds are equally frequent: the kind is drawn
first, then the next story that can answer it is taken. A question has one answer, so an exact match is fair.
"""

from collections.abc import Iterator

from data.world.draws import EVENTS
from data.world.plots import QUESTIONS, next_steps
from data.world.recorder import Draw
from data.world.state import World
from data.world.story import LANGUAGES
from data.world.tasks.speech import ask_and_answer, mark_of
from data.world.tasks.told import Told, told_for
from data.world.tasks.waiting import Waiting
from data.world.telling import Form, Language

QUESTION_KINDS = [event.split()[0] for _, event, *_ in QUESTIONS if event != "stop"]  # "q_where", "q_finder", ...


def qa_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"prompt": story, line break, question; "answer": a sentence}."""
    stories = Waiting(told_for(split, seed, language))
    draw = Draw(f"{seed} qa {split}")
    while True:
        kind = draw.choose(QUESTION_KINDS)
        told = stories.next_that(lambda told, kind=kind: can_answer(told, kind))
        question, answer = question_about(told, kind, Draw(f"{seed} {told.number} {language} {kind}"))
        yield {"prompt": f"{told.text}\n{question}", "answer": answer}


def can_answer(told: Told, kind: str) -> bool:
    """Whether the story answers a question of this kind, and in one way only."""
    facts = told.world.facts
    if kind == "q_place" and ("go to" in facts or "left at" in facts):
        return False  # the hero goes to two places
    if kind == "q_holder" and is_shared(told):
        return False  # two have it in the end
    return answering(told.world, kind) is not None


def is_shared(told: Told) -> bool:
    return any(event == "share" for event, _ in told.events)


def answering(world: World, kind: str) -> dict | None:
    """The arguments of a question and its answer at the end of a story; None if the story has no answer."""
    for step in next_steps(world, "end")[0]:
        if step[1] == kind:
            arguments = [world.roles[role] for role in step[2]]
            for draw in step[3]:
                (only,) = draw(world, *arguments)
                arguments.append(only)
            return dict(zip(EVENTS[kind][1], arguments, strict=True))
    return None


def question_about(told: Told, kind: str, chooser: Draw) -> tuple[str, str]:
    """-> (question, answer). The words of the question are drawn; the answer follows from them and the story."""
    spoken = LANGUAGES[told.language]
    forms = one_for_each_question(spoken, kind)
    if kind == "q_where" and "left at" in told.world.facts:
        forms = forms[1:]  # the thing was in two spots, and only the second form asks where it was found
    return ask_and_answer(told.world, spoken, chooser.choose(forms), answering(told.world, kind), chooser)


def one_for_each_question(spoken: Language, kind: str) -> list[Form]:
    """The forms of this kind; of those that ask with the same words, the first."""
    if kind == "q_feeling":
        return spoken.forms[kind][:1]  # the second asks for yes
    by_question = {}
    for form in spoken.forms[kind]:
        question, _, _ = "{}".join(form.literals).partition(mark_of(spoken))
        by_question.setdefault(question, form)
    return list(by_question.values())
