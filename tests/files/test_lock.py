"""One process at a time in a folder: two runs into one never mix, and nobody waits for a dead one."""

import errno
import sys
import time

import pytest
from filelock import FileLock

import data.default
from data.default import default_stories, make_default_data
from data.prepare import PrepareConfig
from gpt.errors import UserError
from gpt.files.lock import LOCK_FILE, alone_in
from gpt.finetuning.finetune_config import DEFAULTS
from gpt.running.run_folder import read_metrics
from tests.processes import finish, start_python, start_train, training

HOLD = "import sys, time, pathlib\nfrom gpt.files.lock import alone_in\nwith alone_in(pathlib.Path(sys.argv[1])):\n"
HOLD += "    print('mine', flush=True)\n    time.sleep(float(sys.argv[2]))\n"


def hold(tmp_path, folder, seconds):
    """A process that holds the folder so long."""
    (tmp_path / "hold.py").write_text(HOLD, encoding="utf-8")
    process = start_python(str(tmp_path / "hold.py"), str(folder), str(seconds), log=tmp_path / "hold")
    log = tmp_path / "hold.log"
    while process.is_alive() and not (log.exists() and "mine" in log.read_text(encoding="utf-8")):
        time.sleep(0.01)
    assert process.is_alive(), (tmp_path / "hold.err").read_text(encoding="utf-8")
    return process


def test_a_folder_that_another_process_writes_to_is_refused_until_that_ends(tmp_path):
    process = hold(tmp_path, tmp_path / "out", 60)
    expected = pytest.raises(UserError, match=r"another process is writing to .*out: wait for its end")
    with expected, alone_in(tmp_path / "out"):
        pass
    with alone_in(tmp_path / "other"):
        pass
    process.kill()  # the system takes the lock back
    process.join()
    with alone_in(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()


def test_who_waits_is_told_so_and_goes_on_when_the_other_ends(tmp_path, capsys):
    process = hold(tmp_path, tmp_path / "out", 1.0)
    with alone_in(tmp_path / "out", wait=True):
        (tmp_path / "out" / "mine").touch()
    assert "waiting for its end" in capsys.readouterr().out
    assert finish([process]) == [0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_nothing_is_left_of_a_lock_nor_of_a_folder_that_was_made_for_it(tmp_path):
    with pytest.raises(KeyError), alone_in(tmp_path / "new" / "below" / "it"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    with alone_in(tmp_path / "old"):
        pass
    assert (tmp_path / "old").is_dir() and not list((tmp_path / "old").iterdir())


def test_a_process_may_take_again_what_it_has(tmp_path):
    with alone_in(tmp_path / "out"):
        with alone_in(tmp_path / "." / "out", wait=True):
            pass
        assert (tmp_path / "out" / LOCK_FILE).exists()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_its_last_owner_removes_at_that_moment_is_made_again(tmp_path, monkeypatch):
    take, times = FileLock.acquire, []

    def come_late(lock, **more):
        times.append(more)
        if len(times) == 1:
            (tmp_path / "out").rmdir()
            raise FileNotFoundError
        return take(lock, **more)

    monkeypatch.setattr(FileLock, "acquire", come_late)
    with alone_in(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()
    assert len(times) == 2


@pytest.mark.parametrize("answer", [OSError(errno.ENOLCK, "no locks available"), NotImplementedError()])
def test_a_drive_without_locks_can_be_written_to(tmp_path, monkeypatch, answer):
    def refuse(*what, **more):
        raise answer

    monkeypatch.setattr("gpt.files.lock.FileLock.acquire", refuse)
    with alone_in(tmp_path / "out"):
        (tmp_path / "out" / "mine").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("more", ["--resume", "--overwrite"])
def test_a_second_training_into_the_same_folder_is_refused_and_harms_nothing(corpus, tmp_path, more):
    settings = {"data": corpus, "max_steps": 100_000, "eval_every": 50_000, "log_every": 1}
    first = start_train(tmp_path / "run", **settings)
    while first.is_alive() and not read_metrics(tmp_path / "run"):
        time.sleep(0.001)
    words = training(tmp_path / "run", more, **settings)
    assert finish([start_python(*words, log=tmp_path / "second")]) == [2]
    error = (tmp_path / "second.err").read_text(encoding="utf-8")
    assert error.startswith("error: another process is writing to ") and error.count("\n") == 1
    assert first.is_alive()
    first.terminate()
    first.join(60)
    steps = [row["step"] for row in read_metrics(tmp_path / "run")]
    assert steps == list(range(1, len(steps) + 1))


def test_a_second_data_prepare_is_refused_and_the_first_one_ends_well(tmp_path, python_source):
    (tmp_path / "text.txt").write_text(python_source[:200_000], encoding="utf-8")
    process = hold(tmp_path, tmp_path / "out", 60)
    (tmp_path / "out" / ".prepare-live").mkdir()  # as another process has it while it writes
    with pytest.raises(UserError, match="another process"):
        data.prepare.prepare(PrepareConfig((tmp_path / "text.txt",), tmp_path / "out", 257))
    assert (tmp_path / "out" / ".prepare-live").is_dir()
    process.kill()
    process.join()
    data.prepare.prepare(PrepareConfig((tmp_path / "text.txt",), tmp_path / "out", 257))
    assert {path.name for path in (tmp_path / "out").iterdir()} == data.prepare.OUR_FILES


@pytest.mark.parametrize("kind", ["stories", "reviews"])
def test_who_finds_the_default_data_being_made_waits_and_uses_it(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    process = hold(tmp_path, tmp_path / "data", 60)

    def now_it_is_made(*what, **more):
        if "waiting" in " ".join(map(str, what)):
            folder = tmp_path / "data" / ("stories-300" if kind == "stories" else "reviews")
            folder.mkdir()
            (folder / ("meta.json" if kind == "stories" else "train.csv")).touch()
            process.kill()

    monkeypatch.setattr("builtins.print", now_it_is_made)
    for name in ("write_stories", "prepare", "write_reviews"):
        monkeypatch.setattr(data.default, name, lambda *what, **more: pytest.fail("it was made twice"))
    if kind == "stories":
        default_stories(300)
    else:
        make_default_data("classification", DEFAULTS["classification"][0])
    process.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_data_that_is_there_is_used_where_nobody_may_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "stories-300").mkdir(parents=True)
    (tmp_path / "data" / "stories-300" / "meta.json").touch()
    monkeypatch.setattr(data.default, "alone_in", lambda *what, **more: pytest.fail("a lock was asked for"))
    assert default_stories(300).name == "stories-300"
