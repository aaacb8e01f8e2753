"""Tasks about the toy world whose answers are exact: `python -m data.world tasks --kind ...` writes them.

kind         file             what a model needs
qa           questions.py     to find one fact in a story, or to work it out: who has it in the end?
translation  translations.py  every event in the right order, and the grammar of another language
summary      summaries.py     to choose the few facts that matter, from sentences that stand far apart
dialogue     dialogue.py      to remember earlier turns: "And the other one?"
entities     spans.py         to know which words name a person, a place, a thing, ..., and where they end
relations    relations.py     to list who did what with what, also where the story says "she" and "it"
inference    claims.py        to tell what follows from a story from what contradicts it and what it leaves open
topics       ratings.py       to see what a whole story is about
stars        ratings.py       to weigh several statements into one number
control      control.py       to plan: a story with a given hero, place and ending

`told.py` tells the stories and keeps the splits apart, `waiting.py` finds the next story that suits a task, `speech.py`
(with `dialogue_words.py`) makes sentences that no story has. `writing.py` writes the files, and `score.py` scores
answers of which more than one can be right. Rows are {"prompt", "answer"}, {"turns"}, {"text", "spans"} or
{"text", "label"}.
"""
