"""translation: a story in one language, and the same story in the other."""

from collections.abc import Iterator

from data.world.tasks.told import tell, told_for

OTHER_LANGUAGE = {"en": "zh", "zh": "en"}


def translation_rows(split: str, seed: int, language: str) -> Iterator[dict]:
    """Endless rows {"prompt": a story in `language`, "answer": the same events in the other language}."""
    for told in told_for(split, seed, language):
        yield {"prompt": told.text, "answer": tell(seed, told.number, OTHER_LANGUAGE[language]).text}
