"""What the commands of look.py are given: a model folder, a text, a picture to write."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from gpt.errors import UserError

Folder = Annotated[Path, arg(help="a model folder")]
Text = Annotated[str, arg(help="the text, or @ and the name of a file with it")]
Picture = Annotated[Path, arg(help="the picture to write, a .png")]


def check_picture(path: Path) -> None:
    """Raises UserError where no picture can be written, before any work is done for it."""
    if path.suffix.lower() != ".png":
        raise UserError(f"--out is {path}: the picture is a .png, let its name say so")
    if not path.parent.is_dir():
        raise UserError(f"--out is {path}, but there is no folder {path.parent}: make it, or choose another one")


def load_for_look(folder: Path) -> tuple:
    """A model folder's model and tokenizer."""
    from gpt.files.checkpoint import load_model
    from gpt.files.tokenizer_files import load_tokenizer

    return load_model(folder), load_tokenizer(folder)


def read_text(text: str, tokenizer, most: int | None = None) -> tuple[list[int], list[str]]:
    """A text, or the file that it names after an @, as ids and as what each shows; at most `most` tokens."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{text[1:]} is not UTF-8 text: see its byte {error.start}") from None
    tokens = tokenizer.encode_document(text)
    before = int(tokenizer.add_bos_token)  # tokens that are not the text's own
    if len(tokens) - before < 2:
        raise UserError("the text is too short: at least two tokens are needed")
    if most is not None and len(tokens) > most:
        raise UserError(f"the text has {len(tokens) - before} tokens: at most {most - before} fit here, shorten it")
    return tokens, [show_token(tokenizer, token) for token in tokens]


def show_token(tokenizer, token: int) -> str:
    """A token as text, or as hexadecimal bytes where it holds only part of a character."""
    data = tokenizer.decode_bytes([token])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"<{data.hex()}>"
