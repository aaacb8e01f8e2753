"""What people say about a story: sentence forms of a task, with the words and the grammar of its language."""

from data.world.recorder import Draw
from data.world.state import World
from data.world.story import LANGUAGES
from data.world.telling import Form, Language

QUESTION_MARKS = {"en": "? ", "zh": "？"}  # what stands between a question and its answer


def with_forms(language: str, forms: dict[str, list[str]], more_words: dict[str, dict] | None = None) -> Language:
    """The language "en" or "zh" with other sentence forms: {name: [templates]}, slots as in english.py. more_words:
    for slots that the stories do not have, {slot: {word of the world: text}}."""
    known = LANGUAGES[language]
    return Language(
        words=known.words | (more_words or {}),
        pronouns=known.pronouns,
        the=known.the,
        it=known.it,
        between=known.between,
        inflect=known.inflect,
        gap=known.gap,
        forms=forms,
    )


def ask_and_answer(world: World, spoken: Language, form: Form, arguments: dict, chooser: Draw) -> tuple[str, str]:
    """Tell a form that is a question and its answer, such as "Who found {thing}? {who:name} did." -> (both apart)"""
    mark = mark_of(spoken)
    question, _, answer = spoken.tell(world, form, arguments, chooser).partition(mark)
    return question + mark.strip(), answer


def mark_of(spoken: Language) -> str:
    return QUESTION_MARKS["en" if spoken.gap else "zh"]  # only English has spaces between sentences
