"""Words of the reviews that may stand for each other: exchanging them changes no label.

Feelings are exchanged only among words that training combines with the same sentence forms (see is_held_out in
reviews.py): so augmented training texts, too, lack the combinations that the test keeps for itself.
"""

from collections import Counter
from pathlib import Path

from data.world.people import SPECIES, TRAITS
from data.world.places import PLACES
from data.world.review_words import WORDS
from gpt.files.atomic import write_text
from gpt.finetuning.synonyms import SYNONYMS


def exchangeable(language, tones, held_out):
    """Groups of words: of the two `tones`, good and bad, every `held_out`-th word, and then what has no tone at all.
    Words with two meanings are in none."""
    words, in_english = WORDS[language], language == "en"
    groups = [tone[i::held_out] for tone in tones for i in range(held_out)]
    groups += [words.people, words.dish, words.toy, words.company, words.day]
    groups += [list(names) if in_english else list(names.values()) for names in (SPECIES, PLACES)]
    counts = Counter([word for group in groups for word in group] + list(TRAITS if in_english else TRAITS.values()))
    groups = [[word for word in group if counts[word] == 1] for group in groups]
    return [group for group in groups if len(group) > 1]


def write_exchangeable(folder: Path, groups):
    """synonyms.txt, as gpt/finetuning/synonyms.py reads it."""
    head = "# words that may stand for each other without changing a label: one group on each line\n"
    write_text(folder / SYNONYMS, head + "".join(", ".join(group) + "\n" for group in groups))
