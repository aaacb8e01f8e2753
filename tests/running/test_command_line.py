"""What a Chinese keyboard or a word processor puts into a command ends in one line that says what to type."""

import sys

import pytest

import data.prepare
import look
import sample
import train
from gpt.running.command_line import as_typed, hint_about, run_main


def complaint(monkeypatch, capsys, module, *arguments):
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as exit_:
        run_main(module.main)
    err = capsys.readouterr().err
    assert exit_.value.code == 2 and err.count("\n") == 1
    return err


@pytest.mark.parametrize("flag", ["——out", "—out", "–-out", "－－out", "－－out=book", "—–out"])
def test_a_flag_with_other_dashes_is_named(flag, monkeypatch, capsys):
    err = complaint(monkeypatch, capsys, data.prepare, "book.txt", flag, "book")
    assert f"type --out in place of {flag.split('=')[0]}" in err


def test_other_dashes_inside_a_flag_count_too(monkeypatch, capsys):
    err = complaint(monkeypatch, capsys, data.prepare, "book.txt", "--out", "book", "--vocab—size", "300")
    assert "type --vocab-size in place of --vocab—size" in err


def test_a_flag_that_is_taken_for_a_file_is_named_too(monkeypatch, capsys, tmp_path):
    (tmp_path / "book.txt").write_text("a book", encoding="utf-8")
    err = complaint(
        monkeypatch, capsys, data.prepare, str(tmp_path / "book.txt"), "--out", str(tmp_path / "out"), "——overwrite"
    )
    assert "type --overwrite in place of ——overwrite" in err


def test_curly_quotes_and_wide_spaces_are_named(monkeypatch, capsys):
    assert 'type " in place of “ and ”' in complaint(monkeypatch, capsys, sample, "--prompt", "“从前", "有一只猫”")
    assert "an ordinary space" in complaint(monkeypatch, capsys, data.prepare, "book.txt", "--out　book")


@pytest.mark.parametrize("text", ["——你好", "他说：“你好”吗", "--out", "-5", "a—b", "一 二", "x=—"])
def test_what_belongs_to_a_text_is_left_alone(text):
    assert hint_about(["--prompt", text]) == ""


def test_a_flag_that_is_nearly_right_is_answered_with_the_right_one(monkeypatch, capsys):
    assert "you meant --max-steps" in complaint(monkeypatch, capsys, train, "tiny", "--max-step", "3")
    assert "you meant --temperature" in complaint(monkeypatch, capsys, sample, "--model", "x", "--temprature", "1")
    assert "meant" not in complaint(monkeypatch, capsys, train, "tiny", "--xyzzy")
    assert "meant" not in complaint(monkeypatch, capsys, train, "tiny", "--max-steps", "二十")


def test_a_command_that_is_nearly_right_is_answered_with_the_right_one(monkeypatch, capsys):
    err = complaint(monkeypatch, capsys, look, "surprize", "--model", "out/tiny", "--text", "x")
    assert err.startswith("error: surprize is none of surprise, next-tokens, ")
    assert err.endswith(", runs; perhaps you meant surprise (--help explains)\n")
    assert "tin is none of tiny, " in complaint(monkeypatch, capsys, train, "tin", "--max-steps", "3")
    assert "meant" not in complaint(monkeypatch, capsys, train, "huge")


def test_a_flag_of_another_command_is_named_with_that_command(monkeypatch, capsys):
    err = complaint(monkeypatch, capsys, look, "surprise", "--model", "out/tiny", "--text", "x", "--layer", "2")
    assert "--layer (applied to command surprise)" in err and "belongs to command attention" in err
    assert "meant" not in err and "Arguments" not in err


@pytest.mark.parametrize(
    ("system", "typed"),
    [("Windows", 'python sample.py --model "我的 书\\run"'), ("Linux", "python sample.py --model '我的 书\\run'")],
)
def test_a_command_to_go_on_with_has_the_quotes_of_its_system(system, typed, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: system)
    assert as_typed("python", "sample.py", "--model", "我的 书\\run") == typed
    assert as_typed("python", "sample.py", "--model", "run") == "python sample.py --model run"
