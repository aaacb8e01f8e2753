"""Several processes: the run is the same whatever their number, and none of them ever waits for a dead one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from gpt.errors import UserError
from gpt.files.checkpoint import load_model, load_resume
from gpt.running.device import Machine
from gpt.running.processes import Processes, join_processes
from gpt.running.run_folder import read_metrics
from tests.helpers import ROOT
from tests.processes import finish, start_torchrun, start_train, training

SETTINGS = {"max_steps": 50, "eval_every": 25, "log_every": 1}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo and fork are at home on Linux and macOS")


def start_processes(out, number, *more, **settings):
    return start_torchrun(number, *training(out, *more, **settings), log=out, pictures=False)


def losses(folder):
    return [row.get("train_loss", row.get("val_loss")) for row in read_metrics(folder)]


def errors(out, rank):
    return Path(f"{out}.{rank}.err").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory):
    """The folder of a run on one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    process = start_train(out, data=corpus, **SETTINGS)
    assert finish([process]) == [0]
    return out


@pytest.mark.parametrize("more", [[], ["--sharding"]], ids=["whole models", "sharded models"])
def test_two_processes_have_the_losses_of_one_over_fifty_steps(alone, corpus, tmp_path, more):
    out = tmp_path / "run"
    assert finish(start_processes(out, 2, *more, data=corpus, accumulate=2, **SETTINGS)) == [0, 0], errors(out, 0)
    assert len(losses(out)) == 52
    assert losses(out) == pytest.approx(losses(alone), abs=1e-5)
    assert Path(f"{out}.1.log").read_text(encoding="utf-8") == "" == errors(out, 1)
    for name, weight in load_model(alone).state_dict().items():
        torch.testing.assert_close(load_model(out).state_dict()[name], weight, atol=1e-3, rtol=0)


def test_two_processes_fill_gaps_as_one_does(corpus, tmp_path):
    settings = {"data": corpus, "objective": "masked"} | SETTINGS | {"max_steps": 10, "eval_every": 5}
    assert finish([start_train(tmp_path / "one", **settings)]) == [0]
    assert finish(start_processes(tmp_path / "two", 2, accumulate=2, **settings)) == [0, 0], errors(tmp_path / "two", 0)
    assert len(losses(tmp_path / "two")) == 12
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)


@pytest.mark.parametrize("numbers", [(2, 1), (1, 2)])
def test_a_run_stopped_on_some_processes_goes_on_with_another_number(alone, corpus, tmp_path, numbers):
    out = tmp_path / "run"
    before, after = numbers
    sharding = lambda number: ["--sharding"] if number > 1 else []  # noqa: E731
    processes = start_processes(out, before, *sharding(before), data=corpus, **SETTINGS)
    while len(read_metrics(out)) < 8 and processes[-1].is_alive():
        time.sleep(0.001)
    os.kill(processes[-1].pid, signal.SIGTERM)  # one is asked; all must agree
    assert finish(processes) == [0] * before, errors(out, 0)
    assert 8 <= load_resume(out / "resume.pt")["step"] < 50
    processes = start_processes(out, after, "--resume", *sharding(after), data=corpus, **SETTINGS)
    assert finish(processes) == [0] * after, errors(out, 0)
    assert losses(out) == pytest.approx(losses(alone), abs=1e-5)


def test_where_one_process_dies_the_others_end_with_one_line(corpus, tmp_path):
    out = tmp_path / "run"
    processes = start_processes(out, 2, data=corpus, **SETTINGS | {"max_steps": 100_000})
    while len(read_metrics(out)) < 5 and processes[0].is_alive():
        time.sleep(0.001)
    processes[1].kill()
    assert finish(processes) == [2, -signal.SIGKILL]
    lines = [line for line in errors(out, 0).replace("\r", "\n").splitlines() if "error:" in line]
    assert len(lines) == 1 and lines[0].startswith("error: another process of this run has ended")
    assert "Traceback" not in errors(out, 0)
    assert load_resume(out / "resume.pt")


def test_torchrun_stops_politely(corpus, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "train.py", "tiny"]
    command += ["--data", str(corpus), "--device", "cpu", "--batch-size", "4", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8")
    while not read_metrics(tmp_path / "run") and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out.count("everything is saved") == 1
    assert load_resume(tmp_path / "run" / "resume.pt")["step"] >= 10


def test_a_mistake_of_all_processes_is_one_line(corpus, tmp_path):
    out = tmp_path / "run"
    first, other = start_processes(out, 2, data=corpus, batch_size=3, **SETTINGS)
    first.join(60)
    other.terminate()  # as torchrun ends the others where one has failed
    assert finish([first, other]) == [2, -signal.SIGTERM]
    assert errors(out, 0).startswith("error: batch_size 3 cannot be split into 2 equal parts")
    assert errors(out, 0).count("\n") == 1 and errors(out, 1) == ""
    assert not out.exists()


def test_gradients_are_exchanged_once_for_each_step_however_many_parts_it_has():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        processes = Processes(0, 2, torch.device("cpu"))
        model = torch.nn.Linear(3, 3)
        forward = processes.wrap(model)
        exchanges = []

        def count(state, bucket):
            exchanges.append(bucket.index())
            future = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        forward.register_comm_hook(None, count)
        for number in range(1, 5):
            with processes.exchanging(now=number == 4):
                forward(torch.ones(2, 3)).sum().backward()
            assert len(exchanges) == (1 if number == 4 else 0)
        assert torch.equal(model.weight.grad, torch.full((3, 3), 8.0))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("size", "batch", "accumulate", "sharding", "message"),
    [(3, 8, 1, False, "3 equal parts"), (2, 8, 8, False, "16 equal parts"), (1, 8, 1, True, "torchrun")],
)
def test_what_cannot_be_shared_out_is_refused(monkeypatch, size, batch, accumulate, sharding, message):
    monkeypatch.setenv("WORLD_SIZE", str(size))
    with pytest.raises(UserError, match=message):
        join_processes(Machine(torch.device("cpu"), torch.float32, False), batch, accumulate, sharding)


def test_shares_are_equally_large_and_together_the_whole():
    rows = torch.arange(10).view(5, 2)
    shares = [Processes(rank, 3, torch.device("cpu")).share(rows, -100) for rank in range(3)]
    assert [len(share) for share in shares] == [2, 2, 2]
    assert torch.equal(torch.cat(shares)[:5], rows)
    assert (torch.cat(shares)[5:] == -100).all()


def test_dropout_on_two_processes_is_the_same_in_every_run(corpus, tmp_path):
    settings = {"max_steps": 3, "eval_every": 3, "log_every": 1, "model.dropout": 0.5, "data": corpus}
    for name in ("one", "two"):
        assert finish(start_processes(tmp_path / name, 2, **settings)) == [0, 0]
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
