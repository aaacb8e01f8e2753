"""The arguments of the commands of look.py: a model folder, a text, a picture to write."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from gpt.errors import UserError
from gpt.files.encodings import read_user_text
from gpt.files.tokenizer_files import MASK, PADDING

Folder = Annotated[Path, arg(help="a model folder")]
Text = Annotated[str, arg(help="the text, or @ followed by the name of a text file")]
Picture = Annotated[Path, arg(help="the .png file to write")]


def check_picture(path: Path) -> None:
    """Raises UserError if `path` does not end in .png, its folder does not exist, or it is a file that is not one of
    our pictures: before any other work is done."""
    if path.suffix.lower() != ".png":
        raise UserError(f"--out is {path}: the picture is a .png, so its name must end in .png")
    if not path.parent.is_dir():
        raise UserError(f"--out is {path}, but there is no folder {path.parent}: create it, or choose another one")
    if path.exists() and path.stat().st_size and not is_our_picture(path):
        raise UserError(f"{path} exists, and was not drawn by look.py: choose another name with --out")


def is_our_picture(path: Path) -> bool:
    from PIL import Image  # here, because they take a second to import

    from gpt.running.plots import PROGRAM

    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == PROGRAM
    except OSError:  # a folder, or no picture at all
        return False


def load_for_look(folder: Path, must_be_causal: bool = False) -> tuple:
    """(The model, the tokenizer) of a model folder. Raises UserError as load_model and load_tokenizer do, and for a
    masked model where that would make no sense."""
    from gpt.files.checkpoint import load_model
    from gpt.files.tokenizer_files import load_tokenizer
    from gpt.generate import check_causal

    model = load_model(folder)
    if must_be_causal:
        check_causal(model)
    return model, load_tokenizer(folder)


def read_text(text: str, tokenizer, most: int | None = None) -> tuple[list[int], list[str]]:
    """A text, or the file that it names after an @, as token ids and as the string of each token.

    Raises UserError if there are fewer than two tokens or more than `most`, or if the file is not UTF-8.
    """
    if text.startswith("@"):
        text = read_user_text(Path(text[1:]))
    tokens = tokenizer.encode_document(text)
    before = int(tokenizer.add_bos_token)  # number of tokens added before the text
    if len(tokens) - before < 2:
        raise UserError("the text is too short: at least two tokens are needed")
    if most is not None and len(tokens) > most:
        raise UserError(f"the text has {len(tokens) - before} tokens: at most {most - before} fit here; shorten it")
    return tokens, [show_token(tokenizer, token) for token in tokens]


def show_token(tokenizer, token: int) -> str:
    """A token as text, or as hexadecimal bytes if they are not valid UTF-8, such as part of a character."""
    if token >= tokenizer.vocab_size:  # one of the two more that a masked model has
        return (MASK, PADDING)[token - tokenizer.vocab_size]
    data = tokenizer.decode_bytes([token])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"<{data.hex()}>"
