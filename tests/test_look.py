"""look.py: every command prints its numbers and writes its picture."""

import sys

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

import look
from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import save_classifier
from gpt.inside import inside_plots as plots_inside
from gpt.running import plots
from gpt.tokenizer import Tokenizer
from tests.helpers import random_model

TEXT = "the cat sat on\nthe mat for $5"


@pytest.fixture(scope="module", params=["learned", "rotary"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer.train([f"{TEXT} " * 50], 300)
    save_model(random_model(request.param, tokenizer.vocab_size), tokenizer, folder)
    return folder


def run(monkeypatch, capsys, command, *flags):
    monkeypatch.setattr(sys, "argv", ["look.py", command, *map(str, flags)])
    look.main()
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["surprise", "next-tokens", "attention", "heads", "lens", "embeddings", "reasons", "places"]
)
def test_a_picture_is_written(monkeypatch, capsys, folder, tmp_path, command, pictures):
    picture = tmp_path / "picture.png"
    text = () if command == "places" else ("--text", TEXT)
    out = run(monkeypatch, capsys, command, "--model", folder, *text, "--out", picture)
    assert str(picture) in out
    pixels = imread(picture)[..., :3]
    assert pixels.std() > 0.02 and min(pixels.shape[:2]) > 100  # something is drawn


def test_only_a_picture_of_our_own_is_replaced(monkeypatch, capsys, folder, tmp_path, pictures):
    flags = ("surprise", "--model", folder, "--text", TEXT, "--out")
    run(monkeypatch, capsys, *flags, tmp_path / "ours.png")
    run(monkeypatch, capsys, *flags, tmp_path / "ours.png")
    figure = Figure()
    figure.savefig(tmp_path / "drawn.png")  # by matplotlib, but not by us
    (tmp_path / "notes.png").write_text("not even a picture", encoding="utf-8")
    (tmp_path / "folder.png").mkdir()
    for name in ("drawn.png", "notes.png", "folder.png"):
        with pytest.raises(UserError, match="not drawn by"):
            run(monkeypatch, capsys, *flags, tmp_path / name)
    assert (tmp_path / "notes.png").read_text(encoding="utf-8") == "not even a picture"


def test_one_layer_of_attention_can_be_drawn_alone(monkeypatch, capsys, folder, tmp_path):
    flags = ("attention", "--model", folder, "--text", TEXT, "--out", tmp_path / "x.png", "--layer")
    out = run(monkeypatch, capsys, *flags, 2)
    assert [line.split()[0] for line in out.split("\n") if "previous" in line] == ["2.1", "2.2", "2.3", "2.4"]
    with pytest.raises(UserError, match="3 layers"):
        run(monkeypatch, capsys, *flags, 4)


@pytest.mark.parametrize("labels", [("good", "bad", "neither"), ("stars",)])
@pytest.mark.parametrize("add_bos_token", [False, True])  # what stands before the text is no reason
def test_the_reasons_of_a_classifier_and_of_a_regression(monkeypatch, capsys, folder, tmp_path, labels, add_bos_token):
    tokenizer = load_tokenizer(folder)
    tokenizer.add_bos_token = add_bos_token
    torch.manual_seed(0)
    config = random_model("rotary", tokenizer.vocab_size).config
    save_classifier(GPTClassifier(config, labels), tokenizer, tmp_path / "classifier")
    flags = ("--model", tmp_path / "classifier", "--text", TEXT, "--out", tmp_path / "x.png")
    out = run(monkeypatch, capsys, "reasons", *flags)
    number = len(tokenizer.encode(TEXT))
    assert len(out.strip().split("\n")) == number + 2 and "without the 3 tokens" in out


def test_part_of_a_character_is_shown_as_its_bytes_and_a_missing_font_said_once(
    monkeypatch, capsys, folder, tmp_path, recwarn, pictures
):
    flags = ("--text", "the 猫", "--out", tmp_path / "x.png", "--model", folder)
    assert "'<e7>'" in run(monkeypatch, capsys, "surprise", *flags)
    monkeypatch.setattr(plots, "INSTALLED", [])
    plots.say_that_no_font_has_chinese.cache_clear()
    plots_inside.plot_coloured_text(["猫", "犬"], [None, 1.0], (0, 12), "YlOrRd", "bits", "title", tmp_path / "x.png")
    assert capsys.readouterr().err.count("no font") == 1
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_surprise_is_printed_for_every_token_but_the_first(monkeypatch, capsys, folder, tmp_path):
    out = run(monkeypatch, capsys, "surprise", "--model", folder, "--text", TEXT, "--out", tmp_path / "x.png")
    assert out.count(" bits  ") == len(load_tokenizer(folder).encode(TEXT)) - 1


def test_a_text_can_come_from_a_file(monkeypatch, capsys, folder, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    given = run(monkeypatch, capsys, "layers", "--model", folder, "--text", TEXT)
    assert run(monkeypatch, capsys, "layers", "--model", folder, "--text", f"@{tmp_path}/text.txt") == given
    assert given.count("| layer") == 3


def test_neighbours_are_listed_for_each_word_and_words_of_several_tokens_refused(monkeypatch, capsys, folder):
    out = run(monkeypatch, capsys, "neighbours", "--model", folder, "--words", "the", " cat")
    assert out.startswith("'the': ") and "\n' cat': " in out
    with pytest.raises(UserError, match="tokens for this model"):
        run(monkeypatch, capsys, "neighbours", "--model", folder, "--words", "xyz")


def test_sizes_of_the_family_and_of_a_folder(monkeypatch, capsys, folder):
    out = run(monkeypatch, capsys, "sizes")
    assert "| gpt2 | 124,439,808 |" in out and "| gpt3 | 174,604,259,328 |" in out
    assert f"| {folder} |" in run(monkeypatch, capsys, "sizes", "--names", folder)


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("surprise", ("--text", "t"), "too short"),
        ("lens", ("--text", "x" * 40), "at most 24"),
        ("surprise", ("--text", "@/nowhere"), "nowhere"),
        ("embeddings", ("--text", "tttt"), "two different tokens"),
        ("embeddings", ("--text", TEXT, "--most", "1"), "two different tokens"),
        ("surprise", ("--text", TEXT, "--out", "x.jpg"), "the picture is a .png"),
        ("surprise", ("--text", TEXT, "--out", "nowhere/x.png"), "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(monkeypatch, capsys, folder, command, flags, message):
    with pytest.raises((UserError, FileNotFoundError), match=message):
        run(monkeypatch, capsys, command, "--model", folder, *flags)


def test_sizes_of_an_unknown_model_are_refused(monkeypatch, capsys):
    with pytest.raises(UserError, match="not a model folder"):
        run(monkeypatch, capsys, "sizes", "--names", "gpt5")
