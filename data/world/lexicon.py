"""All words of the world, by the argument that they can be: {argument: {English: Chinese}}."""

from data.world import people, places, things

LEXICON = {
    "name": people.NAMES,
    "elder": people.ELDERS,
    "species": people.SPECIES,
    "trait": people.TRAITS,
    "hobby": people.HOBBIES,
    "job": people.JOBS,
    "feeling": {english: chinese for words in people.FEELINGS.values() for english, chinese in words.items()},
    "noun": things.NOUNS,
    "adjective": things.ADJECTIVES,
    "need": things.NEEDS,
    "tool": things.TOOLS,
    "place": places.PLACES,
    "spot": places.SPOTS,
    "weather": places.WEATHERS,
    "daypart": places.DAYPARTS,
    "errand": places.ERRANDS,
    "sight": places.SIGHTS,
    "treat": places.TREATS,
    "game": places.GAMES,
}
