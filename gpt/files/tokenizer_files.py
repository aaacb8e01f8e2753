"""Save and load a tokenizer as GPT-2's two files, vocab.json and merges.txt, with the settings of `transformers`.

The list of merges defines the tokenizer. The files write an unprintable byte as a character from U+0100 on: a space is
"Ġ".
"""

import json
from pathlib import Path

from gpt.errors import UserError
from gpt.files.atomic import make_folder, write_text
from gpt.tokenizer import BYTE_ORDER, END_OF_TEXT, PRINTABLE, Tokenizer

BYTE_TO_CHAR = dict(zip(BYTE_ORDER, [*map(chr, PRINTABLE), *map(chr, range(256, 512))], strict=False))
MASK, PADDING = "<|mask|>", "<|padding|>"  # how `transformers` writes the two ids that a masked model has more
CHAR_TO_BYTE = {char: byte for byte, char in BYTE_TO_CHAR.items()}


def to_chars(token: bytes) -> str:
    """The characters that stand for a token's bytes in the files."""
    return "".join(BYTE_TO_CHAR[byte] for byte in token)


def to_bytes(chars: str) -> bytes:
    """The inverse of to_chars. Raises KeyError for any other character."""
    return bytes(CHAR_TO_BYTE[char] for char in chars)


def vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    """The content of vocab.json: the characters of each token -> its id."""
    return {to_chars(token): i for token, i in tokenizer.ids.items()} | {END_OF_TEXT: tokenizer.end_of_text}


def save_tokenizer(tokenizer: Tokenizer, folder: Path | str) -> None:
    """Write vocab.json and merges.txt to an existing folder. Raises UserError if they cannot be written."""
    lines = ["#version: 0.2", *(f"{to_chars(left)} {to_chars(right)}" for left, right in tokenizer.merges)]
    write_text(Path(folder) / "vocab.json", json.dumps(vocabulary(tokenizer), ensure_ascii=False))
    write_text(Path(folder) / "merges.txt", "\n".join(lines) + "\n")


def save_tokenizer_with_settings(tokenizer: Tokenizer, context_length: int, folder: Path, masked: bool = False) -> None:
    """Write all files of a tokenizer, including tokenizer_config.json, and create the folder if it does not exist.
    masked: `transformers` then knows two more tokens, MASK and PADDING. Raises UserError if a file cannot be written.
    """
    make_folder(folder)
    save_tokenizer(tokenizer, folder)
    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "add_bos_token": tokenizer.add_bos_token,
        "model_max_length": context_length,
    }
    if masked:
        added = {str(tokenizer.vocab_size + i): added_token(token) for i, token in enumerate((MASK, PADDING))}
        settings |= {"mask_token": MASK, "pad_token": PADDING, "added_tokens_decoder": added}
    write_text(folder / "tokenizer_config.json", json.dumps(settings, indent=2) + "\n")


def added_token(token: str) -> dict:
    """A token outside vocab.json, as `transformers` describes it. MASK takes the space before it along, as the word in
    its place would."""
    about = {"content": token, "lstrip": token == MASK, "rstrip": False, "normalized": False, "single_word": False}
    return about | {"special": True}


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """Read a folder's vocab.json and merges.txt, ours or GPT-2's, and add_bos_token from tokenizer_config.json, if that
    exists; or the tokenizer.json that `transformers` writes in their place. Raises UserError if a file is missing or
    damaged, or if it holds another kind of tokenizer."""
    folder = Path(folder)
    missing = [name for name in ("vocab.json", "merges.txt") if not (folder / name).is_file()]
    if missing and not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder} holds no {missing[0]}: it is not a folder with a tokenizer")
    add_bos_token = adds_bos_token(folder / "tokenizer_config.json")
    try:
        if missing:
            vocab, pairs, add_bos_token = read_tokenizer_json(folder / "tokenizer.json")
        else:
            vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
            lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
            lines = lines[1:] if lines[0].startswith("#version") else lines
            pairs = [line.split(" ") for line in lines if line]
        tokenizer = Tokenizer([(to_bytes(left), to_bytes(right)) for left, right in pairs], add_bos_token)
        if vocab == vocabulary(tokenizer):
            return tokenizer
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):  # not JSON, not UTF-8, another layout, ...
        pass
    parts = f"256 bytes, then the merges in their order, then {END_OF_TEXT}"
    if missing:
        raise UserError(f"tokenizer.json in {folder} is of another kind than GPT-2's ({parts}; nothing else is read)")
    raise UserError(f"vocab.json and merges.txt in {folder} do not fit each other as GPT-2's do ({parts})")


def read_tokenizer_json(path: Path) -> tuple[dict[str, int], list[list[str]], bool]:
    """The vocabulary, the merges and add_bos_token from the one file of the library `tokenizers`. Raises ValueError,
    KeyError, TypeError, AttributeError or IndexError if it cuts texts in another way than GPT-2."""
    content = json.loads(path.read_text(encoding="utf-8"))
    cut, model = content["pre_tokenizer"], content["model"]
    if content["normalizer"] or model["type"] != "BPE" or cut["type"] != "ByteLevel" or cut["add_prefix_space"]:
        raise ValueError
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    first = (content["post_processor"] or {}).get("single", [{}])[0]  # {"SpecialToken": ...} or {"Sequence": ...}
    return model["vocab"] | {END_OF_TEXT: added[END_OF_TEXT]}, pairs, "SpecialToken" in first


def adds_bos_token(path: Path) -> bool:
    """Whether a tokenizer_config.json sets add_bos_token; False if there is none. Raises UserError if it is damaged."""
    try:
        return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("add_bos_token") is True
    except (ValueError, AttributeError):
        raise UserError(f"{path} is not a JSON object: restore it, or remove it") from None
