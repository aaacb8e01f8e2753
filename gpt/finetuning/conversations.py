"""Prompts with their answers, and conversations of several turns: read from files, and turned into tokens.

A conversation becomes one row of tokens, in which only the answers are learned:

    <|endoftext|> prompt \\n answer <|endoftext|> prompt \\n answer <|endoftext|>
                            ^^^^^^^^^^^^^^^^^^^^            ^^^^^^^^^^^^^^^^^^^^   what the loss is about

So a model that is given a prompt and a line break writes the answer and then says that it is complete. No token is
added to the vocabulary.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt.dataset import IGNORED
from gpt.errors import UserError
from gpt.files.tables import read_objects, read_rows, whole_characters
from gpt.tokenizer import Tokenizer


@dataclass(frozen=True)
class Conversation:
    """Turns, each a prompt and its answer. Where the last answer is still to be written, it is empty."""

    turns: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """All that was said, a line for each."""
        return "\n".join(text for turn in self.turns for text in turn if text)

    def prompts(self) -> list["Conversation"]:
        """One conversation for each answer, which ends with the prompt of that answer."""
        return [Conversation((*self.turns[:i], (prompt, ""))) for i, (prompt, _) in enumerate(self.turns)]


def read_conversations(path: Path, with_answers: bool = True) -> list[Conversation]:
    """The conversations of one file: CSV with the columns `prompt` and `answer`, or JSONL with those keys or with
    {"turns": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]}.

    with_answers: otherwise each ends with a prompt. Raises UserError, with the line number, if the file is damaged,
    if a prompt or an answer is empty, or if the speakers do not take turns; or if the file is empty.
    """
    keys = ("prompt", "answer") if with_answers else ("prompt",)
    if path.suffix.lower() == ".csv":
        rows = ((line, list(row.values())) for line, row in read_rows(path, keys))
    else:
        rows = ((line, texts_of(row, f"{path}, line {line}", keys)) for line, row in read_objects(path))
    conversations = []
    for line, texts in rows:
        for number, text in enumerate(texts):
            if not text:
                name = "answer" if number % 2 else "prompt"
                raise UserError(f"{path}, line {line}: the {name} is empty: fill it in or remove the line")
        texts += [] if with_answers else [""]
        conversations.append(Conversation(tuple(zip(texts[::2], texts[1::2], strict=True))))
    if not conversations:
        raise UserError(f"{path} holds no examples")
    return conversations


def texts_of(row: dict[str, Any], place: str, keys: tuple[str, ...]) -> list[str]:
    """What is said in one line of JSONL, prompts and answers in turns. Raises UserError if it is neither that nor a
    list of turns."""
    if "turns" not in row:
        for name in keys:
            if not isinstance(row.get(name), str | int | float):
                raise UserError(f'{place}: there is no key {name!r} with a text in it, and no list "turns"')
        return [whole_characters(str(row[name])).strip() for name in keys]
    turns = row["turns"]
    if not isinstance(turns, list) or not turns:
        raise UserError(f"{place}: turns must be a list of at least one turn")
    for number, turn in enumerate(turns):
        speaker = "assistant" if number % 2 else "user"
        if not isinstance(turn, dict) or not isinstance(turn.get("content"), str):
            raise UserError(f'{place}, turn {number + 1}: it must be {{"role": "{speaker}", "content": "..."}}')
        if turn.get("role") != speaker:
            said = json.dumps(turn["role"], ensure_ascii=False) if "role" in turn else "missing"
            raise UserError(
                f'{place}, turn {number + 1}: the role is {said}, but it must be "{speaker}": user and assistant take '
                "turns, and the user begins"
            )
    if len(turns) % 2 == len(keys) % 2:
        return [whole_characters(turn["content"]).strip() for turn in turns]
    needed = "the assistant's answer" if len(keys) == 2 else "the user's prompt"
    raise UserError(f"{place}: the last turn must be {needed}")


def encode_conversation(tokenizer: Tokenizer, conversation: Conversation) -> tuple[list[int], list[int]]:
    """(Ids, targets): the ids of a whole conversation but its last one, and for each of them the next id where that
    belongs to an answer, IGNORED elsewhere. An empty answer is left out: the ids end with the prompt's line break."""
    ids, is_answer = [tokenizer.end_of_text], [False]
    for prompt, answer in conversation.turns:
        asked = tokenizer.encode(prompt + "\n")
        written = [*tokenizer.encode(answer), tokenizer.end_of_text] if answer else []
        ids += asked + written
        is_answer += [False] * len(asked) + [True] * len(written)
    if not is_answer[-1]:
        return ids, []
    return ids[:-1], [token if learned else IGNORED for token, learned in zip(ids[1:], is_answer[1:], strict=True)]


def cut_beginning(ids: list[int], context_length: int) -> list[int]:
    """The first id and the last ones, together at most context_length: what is oldest is forgotten."""
    return ids if len(ids) <= context_length else [ids[0], *ids[len(ids) - context_length + 1 :]]
