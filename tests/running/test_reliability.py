"""Killed, out of room, out of data, out of numbers: whatever happens to a run, what it had saved stays whole."""

import dataclasses
import functools
import json
import os
import pickle
import random
import shutil
import signal
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

import train as train_script
from data.prepare import PrepareConfig, prepare
from gpt.dataset import Dataset
from gpt.errors import UserError
from gpt.files.atomic import temporary_path
from gpt.files.checkpoint import load_model, load_resume, save_model, save_resume
from gpt.files.tokenizer_files import load_tokenizer
from gpt.model import GPT
from gpt.optim import update
from gpt.running import run_folder
from gpt.running.run_folder import read_metrics
from tests.helpers import small_training
from tests.processes import start_train
from train import train


@pytest.fixture
def config(corpus, tmp_path):
    return small_training(corpus, tmp_path / "run")


@pytest.fixture
def before_step(monkeypatch):
    """Have something done just before a step: before_step(10, action)."""
    original = Dataset.batch
    actions = {}

    def batch(self, step):
        actions.pop(step, lambda: None)()
        return original(self, step)

    monkeypatch.setattr(Dataset, "batch", batch)
    return actions.__setitem__


def interrupt():
    signal.raise_signal(signal.SIGINT)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same(one, two):
    """Whether two nested states are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def results(folder):
    """All that a run leaves but for the time it took: metrics, the best model, and the state to go on from."""
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in read_metrics(folder)]
    state = load_resume(folder / "resume.pt")
    for changing in ("seconds", "config"):
        state.pop(changing)
    return {"rows": rows, "model": load_file(folder / "model.safetensors"), "state": state}


def wait_for(condition, process):
    while process.is_alive() and not condition():
        time.sleep(0.0005)


def age(path):
    return path.stat().st_mtime_ns if path.exists() else None


def test_a_run_killed_twelve_times_ends_with_the_bits_of_an_uninterrupted_one(corpus, tmp_path):
    settings = {"data": corpus, "max_steps": 180, "eval_every": 4, "log_every": 1, "model.dropout": 0.1}
    uninterrupted = start_train(tmp_path / "uninterrupted", **settings)
    draw = random.Random(0)
    out = tmp_path / "killed"
    resume = out / "resume.pt"
    in_a_save = 0
    for kill in range(12):
        process = start_train(out, *(["--resume"] if kill else []), **settings)
        for _ in range(min(kill, draw.randrange(3))):  # let so many saves pass, or it would never get on
            before = age(resume)
            wait_for(lambda before=before: age(resume) != before, process)
        if kill % 3 == 0:
            wait_for(temporary_path(resume).exists, process)
        elif kill % 3 == 1:
            wait_for(temporary_path(out / "model.safetensors").exists, process)
        else:
            wait_for(resume.exists, process)
            time.sleep(draw.uniform(0, 0.5))
        process.kill()
        process.join()
        assert process.exitcode != 0, "it was done before it could be killed"
        in_a_save += any(temporary_path(out / name).exists() for name in ("resume.pt", "model.safetensors"))
        if resume.exists():
            load_resume(resume)
        if (out / "model.safetensors").exists():
            load_model(out)
    assert in_a_save >= 3
    process = start_train(out, "--resume", **settings)
    process.join()
    uninterrupted.join()
    assert process.exitcode == 0 and uninterrupted.exitcode == 0, (tmp_path / "killed.err").read_text(encoding="utf-8")
    assert same(results(out), results(tmp_path / "uninterrupted"))
    assert not [path.name for path in out.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to ask a process with")
def test_a_second_signal_in_the_middle_of_a_save_stops_at_once_and_harms_nothing(corpus, tmp_path):
    settings = {"data": corpus, "max_steps": 500, "eval_every": 400}
    process = start_train(tmp_path / "run", **settings)
    resume = tmp_path / "run" / "resume.pt"
    wait_for(lambda: read_metrics(tmp_path / "run"), process)
    os.kill(process.pid, signal.SIGTERM)
    wait_for(temporary_path(resume).exists, process)
    os.kill(process.pid, signal.SIGINT)
    process.join(20)
    # 0: it had finished the save before the second signal came
    assert process.exitcode in (130, 0)
    assert not temporary_path(resume).exists()
    assert load_resume(resume)["step"] in (0, *range(10, 400))
    assert "Traceback" not in (tmp_path / "run.err").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit a file's size")
@pytest.mark.parametrize("victim", ["model.safetensors", "resume.pt"])
def test_a_save_that_finds_no_room_leaves_the_last_one_whole(config, before_step, tmp_path, victim):
    import resource

    train(dataclasses.replace(config, out=tmp_path / "undisturbed"))
    before_step(10, interrupt)
    train(config)
    before = contents(config.out)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = len(before["model.safetensors"]) + (500 if victim == "resume.pt" else -500)  # resume.pt is larger

    def fill_up():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))

    before_step(15, fill_up)
    try:
        with pytest.raises(UserError, match=f"cannot write .*{victim} .*File too large"):
            train(dataclasses.replace(config, resume=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    after = contents(config.out)
    assert after.keys() == before.keys()
    assert after["resume.pt"] == before["resume.pt"]
    if victim == "model.safetensors":
        assert after["model.safetensors"] == before["model.safetensors"]
    train(dataclasses.replace(config, resume=True))
    assert same(results(config.out), results(tmp_path / "undisturbed"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_becomes_read_only_ends_the_run_in_one_line(config, before_step):
    before_step(5, lambda: config.out.chmod(0o500))
    try:
        with pytest.raises(UserError, match=r"cannot write .*Permission denied"):
            train(config)
    finally:
        config.out.chmod(0o700)
    assert load_resume(config.out / "resume.pt")["step"] == 0


def test_data_that_is_deleted_while_training_ends_the_run_and_keeps_what_was_saved(config, before_step, tmp_path):
    data = tmp_path / "tokens"
    shutil.copytree(config.data, data)
    config = dataclasses.replace(config, data=data)
    before_step(12, lambda: shutil.rmtree(data))
    with pytest.raises(UserError, match=r"train\.bin is missing"):
        train(config)
    before = contents(config.out)
    with pytest.raises(UserError, match="not a tokens folder"):
        train(dataclasses.replace(config, resume=True))
    assert contents(config.out) == before
    assert load_resume(config.out / "resume.pt")["step"] == 8


def test_going_on_with_other_data_is_refused(config, before_step, tmp_path, python_source):
    before_step(3, interrupt)
    train(config)
    (tmp_path / "other.txt").write_text(python_source[:40_000], encoding="utf-8")
    prepare(PrepareConfig((tmp_path / "other.txt",), tmp_path / "other", vocab_size=300))
    before = contents(config.out)
    with pytest.raises(UserError, match="other data"):
        train(dataclasses.replace(config, resume=True, data=tmp_path / "other"))
    assert contents(config.out) == before


def test_a_damaged_resume_file_is_refused_whatever_the_damage(config, before_step):
    before_step(3, interrupt)
    train(config)
    path = config.out / "resume.pt"
    good = path.read_bytes()
    draw = random.Random(0)
    for _ in range(40):
        damaged = bytearray(good)
        damaged[draw.randrange(len(good) - 100)] ^= 1 << draw.randrange(8)  # a bit that tipped over
        cut = good[: draw.randrange(len(good))]
        for content in (damaged, cut):
            path.write_bytes(content)
            try:
                state = load_resume(path)
            except UserError as error:
                assert "resume.pt cannot be read" in str(error) and "\n" not in str(error)
            else:  # a bit that stands for nothing, such as a file's date
                path.write_bytes(good)
                assert same(state, load_resume(path))
    path.write_bytes(pickle.dumps({"step": 3}))
    with pytest.raises(UserError, match="cannot be read"):
        train(dataclasses.replace(config, resume=True))
    torch.save({"weights": {}}, path)
    with pytest.raises(UserError, match="not written by this version"):
        train(dataclasses.replace(config, resume=True))


def test_a_run_killed_before_it_saved_anything_can_be_resumed_or_begun_again(config, tmp_path):
    train(dataclasses.replace(config, out=tmp_path / "other"))
    for resume in (True, False):
        shutil.rmtree(config.out, ignore_errors=True)
        config.out.mkdir()
        (config.out / "train_config.json").write_text("{}", encoding="utf-8")
        temporary_path(config.out / "resume.pt").write_bytes(b"half a fi")
        train(dataclasses.replace(config, resume=resume))
        assert same(results(config.out), results(tmp_path / "other"))
        assert not temporary_path(config.out / "resume.pt").exists()


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(config, before_step):
    def spoil():
        original = torch.nn.functional.cross_entropy
        spoilt = lambda *args, **kwargs: original(*args, **kwargs) * float("inf")  # noqa: E731
        monkeypatch.setattr(train_script.F, "cross_entropy", spoilt)

    monkeypatch = pytest.MonkeyPatch()
    before_step(13, spoil)
    try:
        with pytest.raises(UserError, match=r"loss became inf at step 13: .* lower learning rate"):
            train(config)
    finally:
        monkeypatch.undo()
    assert load_resume(config.out / "resume.pt")["step"] == 8
    assert [row["step"] for row in read_metrics(config.out) if "val_loss" in row] == [8]


def test_a_gradient_that_is_no_number_stops_the_run_though_the_loss_is_one(config, before_step, monkeypatch):
    original = torch.nn.functional.cross_entropy

    def spoilt(logits, *args, **kwargs):  # the slope of a square root at 0 is infinite
        return original(logits, *args, **kwargs) + (0 * logits).sum().sqrt()

    before_step(13, lambda: monkeypatch.setattr(train_script.F, "cross_entropy", spoilt))
    with pytest.raises(UserError, match="gradient's length became nan at step 13"):
        train(config)
    assert load_resume(config.out / "resume.pt")["step"] == 8


def test_weights_that_are_no_numbers_are_never_saved(corpus, tmp_path, config):
    model = GPT(dataclasses.replace(config.model, vocab_size=300))
    with torch.no_grad():
        model.transformer.ln_f.bias[0] = float("nan")
    save_model(model, load_tokenizer(corpus), tmp_path / "broken")
    with pytest.raises(UserError, match="no longer finite"):
        train(dataclasses.replace(config, init=tmp_path / "broken"))
    assert not (config.out / "resume.pt").exists() and not (config.out / "model.safetensors").exists()


def test_float16_survives_the_steps_that_its_scaler_skips(config, monkeypatch, tmp_path):
    train(config)
    high = functools.partial(torch.amp.GradScaler, init_scale=2.0**30)
    monkeypatch.setattr(torch.amp, "GradScaler", high)
    half = dataclasses.replace(config, precision="float16", out=tmp_path / "half")
    train(half)
    assert load_resume(half.out / "resume.pt")["scaler"]["scale"] < 2.0**30  # steps were skipped
    losses = [row["val_loss"] for row in read_metrics(half.out) if "val_loss" in row]
    assert losses[-1] < losses[0]  # the few steps that were left have taught it something


def test_a_skipped_step_moves_no_weight_of_any_optimizer_and_an_endless_row_of_them_stops():
    weights = [torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2)]
    optimizers = [torch.optim.AdamW([weight], lr=0.1) for weight in weights]
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for step in range(3):
        for weight, value in zip(weights, (1.0, float("nan")), strict=True):
            weight.grad = torch.full((2, 2), value)
        if step < 2:
            scaler.scale(torch.ones(()))
            update(optimizers, scaler, weights, 1.0, step)
        else:
            with pytest.raises(UserError, match="step 2"):
                update(optimizers, scaler, weights, 1.0, step)
        assert all(torch.equal(weight, torch.ones(2, 2)) for weight in weights)


def test_train_config_is_written_before_the_state_that_refers_to_it(config, monkeypatch):
    states, found = [], []  # what goes into resume.pt, and what the folder holds just before

    def watched(state, path):
        states.append(state)
        found.append(contents(config.out))
        save_resume(state, path)

    monkeypatch.setattr(run_folder, "save_resume", watched)
    train(config)
    assert [state["step"] for state in states] == [0, 8, 16, 20]
    assert found[0].keys() == {"train_config.json"}
    asked_for = json.loads(found[0]["train_config.json"])
    assert asked_for["max_steps"] == 20
    assert asked_for == {"version": states[0]["version"], **json.loads(states[0]["config"])}
    assert contents(config.out)["train_config.json"] == found[0]["train_config.json"]
