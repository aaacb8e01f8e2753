"""The benchmarks' own parts, without measuring anything."""

import dataclasses
import json
import os
import queue
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.nn.modules.module import register_module_forward_pre_hook

from benchmarks import adapting, gpu, objectives, overfitting, resuming, time_to_loss, tour
from benchmarks import train as speed
from benchmarks.contenders import start, take_turns
from benchmarks.roofline import matrix_rate, table
from data.world.reviews import write_reviews as write_world_reviews
from gpt.errors import UserError
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.model import GPT, GPTConfig
from gpt.running.command_line import run_main
from tests.contenders import build_counter, build_nothing, build_watcher
from tests.helpers import small_training


def test_a_table_has_a_line_for_every_row_and_numbers_to_the_right():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_a_contender_that_did_not_run_is_a_dash():
    shown = ["4,000 (3,000 to 5,000)", "2,000 (2,000 to 2,000)", "–", "2.00", "–"]
    assert speed.cells({"ours": [5000, 3000, 4000], "float32": [2000]}, "ours") == shown


def test_the_matrix_rate_is_a_plausible_one():
    assert 1e7 < matrix_rate(64, 32, torch.float32, torch.device("cpu"), seconds=0.02) < 1e16


def test_the_matrix_rate_waits_for_what_a_device_was_asked(monkeypatch):
    """A GPU, also Apple's, answers at once and computes later."""
    waited = []
    monkeypatch.setattr(torch.cpu, "synchronize", lambda: waited.append(True))
    matrix_rate(8, 8, torch.float32, torch.device("cpu"), seconds=0.01)
    assert waited


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say how much memory a process had")
def test_the_memory_of_a_command_is_given_in_millions_of_bytes(tmp_path):
    code = "import resource; x = b'x' * 200_000_000; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    found = tour.measure([sys.executable, "-c", code], tmp_path)
    size = int(found["printed"]) * (1 if sys.platform == "darwin" else 1024)
    assert found["peak_mb"] == pytest.approx(size / 1e6, abs=1.5) and size > 200_000_000


def test_contenders_take_turns_in_processes_of_their_own(tmp_path, quick_processes):
    contenders = {name: start(build_counter, tmp_path / "log", name) for name in "ab"}
    seconds = take_turns(contenders, rounds=2, steps=3)
    lines = [line.split() for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert "".join(name for name, _ in lines) == "aaabbb" * 3  # a turn that does not count, then two rounds
    processes = {name: {int(process) for other, process in lines if other == name} for name in "ab"}
    assert all(len(own) == 1 for own in processes.values())
    assert len(processes["a"] | processes["b"] | {os.getpid()}) == 3
    assert seconds.keys() == {"a", "b"} and all(len(each) == 2 and min(each) > 0 for each in seconds.values())


def test_a_contender_does_not_take_the_one_before_it_for_a_busy_neighbour(tmp_path, quick_processes):
    take_turns({"watcher": start(build_watcher, tmp_path / "threads")}, rounds=1, steps=1)
    assert (tmp_path / "threads").read_text(encoding="utf-8") == "MainThread"


def test_a_contender_that_fails_ends_the_benchmark_in_one_line(tmp_path, quick_processes):
    contenders = {"good": start(build_counter, tmp_path / "log", "good"), "bad": start(build_nothing)}
    with pytest.raises(UserError, match="the contender 'bad' ended early"):
        take_turns(contenders, rounds=2, steps=1)


def test_the_model_timed_for_its_loss_is_no_larger_than_its_peers():
    assert GPT(time_to_loss.SHAPE).num_params() <= 850_000


def model_within(step):
    """The model that a contender trains: the outermost module that its step calls, and so the first."""
    called = []
    with register_module_forward_pre_hook(lambda module, _: called.append(module)):
        step()
    return called[0]


@torch.no_grad()
def loss_on_its_batch(model, shape, batch_size):
    x, y = speed.batch(shape, batch_size, torch.device("cpu"))
    answer = model.eval()(x)
    model.train()
    logits = answer if isinstance(answer, torch.Tensor) else answer.logits  # transformers wraps them
    return F.cross_entropy(logits.flatten(0, 1), y.flatten()).item()


@pytest.mark.parametrize("contender", ["ours", "theirs"])
def test_steps_of_both_contenders_move_every_weight_and_lower_the_loss(contender):
    shape = GPTConfig(20, 8, 1, 2, 16)
    ours = contender == "ours"
    step = speed.our_step(shape, 2, "cpu") if ours else speed.their_step(shape, 2, "cpu", torch.float32)
    model = model_within(step)
    assert type(model).__name__ == ("GPT" if ours else "GPT2LMHeadModel")
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    loss = loss_on_its_batch(model, shape, 2)
    step()
    assert not [name for name, weight in model.named_parameters() if torch.equal(weight, before[name])]
    for _ in range(20):
        step()
    assert loss_on_its_batch(model, shape, 2) < loss - 0.2


def test_a_folder_that_is_not_of_bytes_is_one_line(corpus, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["time_to_loss.py", "--data", str(corpus)])
    with pytest.raises(SystemExit) as exit_:
        run_main(time_to_loss.main)
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and "--vocab-size 257" in error and len(error.splitlines()) == 1


def test_both_objectives_are_compared_and_what_is_finished_is_not_done_again(corpus, reviews, tmp_path, monkeypatch):
    spans = [{"text": f"we met Dr. {name} today", "spans": [[7, 11 + len(name), "PERSON"]]} for name in ("Ada", "Bob")]
    (tmp_path / "spans.jsonl").write_text("".join(json.dumps(row) + "\n" for row in spans * 10), encoding="utf-8")
    folders = {"data": corpus, "reviews": reviews, "entities": tmp_path / "spans.jsonl", "out": tmp_path / "out"}
    config = objectives.ObjectivesConfig((0,), seconds=0.05, labels=20, **folders)
    small = GPTConfig(300, 32, 1, 1, 16, position="rotary")
    training = dataclasses.replace(small_training(corpus, tmp_path), model=small)
    finetuning = FinetuneConfig(min_steps=2, epochs=0.1, batch_size=8, evaluations=1, device="cpu", threads=1)
    monkeypatch.setattr(objectives, "TEXTS", 2)
    told = objectives.compare(config, training, finetuning)
    found = json.loads((config.out / "results.json").read_text(encoding="utf-8"))
    assert found["conclusion"] in told and "| not judged | not judged |" in told
    for name in ("cloze", "reviews", "few_reviews", "entities"):
        assert all(len(values) == 1 and 0 <= values[0] <= 1 for values in found["results"][name].values())
    assert found["results"]["perplexity"]["causal"][0] > 1 and found["hidden_tokens"] > 50

    resumed, train, finetune = [], resuming.train, resuming.finetune
    monkeypatch.setattr(resuming, "train", lambda config: resumed.append(config.resume) or train(config))
    monkeypatch.setattr(resuming, "finetune", lambda config: resumed.append(config.resume) or finetune(config))
    (config.out / "masked-0.json").unlink()  # as if stopped before the last measures, when its runs were finished
    assert objectives.compare(config, training, finetuning) == told and resumed == [True] * 4
    assert objectives.compare(config, training, finetuning) == told and resumed == [True] * 4
    with pytest.raises(UserError, match="other settings"):
        objectives.compare(dataclasses.replace(config, labels=30), training, finetuning)


def test_the_sentence_about_both_objectives_follows_from_the_numbers():
    results: dict[str, dict[str, list]]
    results = {name: {"causal": [0.5, 0.7], "masked": [0.5, 0.7]} for name in objectives.ROWS}
    for name in ("grammatical", "consistent"):
        results[name]["masked"] = ["cannot write"] * 2
    results["cloze"]["masked"] = [0.8, 0.9]
    results["reviews"]["causal"] = [0.4, 0.9]
    assert objectives.conclude(objectives.ROWS, results) == (
        "After 0.6 s (causal) and 0.6 s (masked), 2 seeds: "
        "masked is ahead in hidden tokens guessed right (85.0% against 60.0%); "
        "causal is ahead in reviews, all labels: test accuracy (65.0% against 60.0%, ranges overlap); "
        "neither is ahead in reviews, {labels:,} labels: test accuracy (60.0% against 60.0%, ranges overlap), "
        "entities: test F1 (60.0% against 60.0%, ranges overlap); masked cannot write stories."
    )


class InThisProcess:
    """Stands for a context of multiprocessing, without its seconds of starting."""

    Queue = queue.Queue

    def __init__(self, target=None, args=()):
        self.target, self.args = target, args

    Process = property(lambda self: InThisProcess)

    def start(self):
        self.target(*self.args)

    def is_alive(self):
        return False

    def join(self):
        pass


def test_ways_to_adapt_are_compared_and_what_is_finished_is_not_done_again(base, reviews, tmp_path, monkeypatch):
    monkeypatch.setattr(adapting.multiprocessing, "get_context", lambda _: InThisProcess())
    config = adapting.AdaptingConfig(("full", "prefix"), (3,), (20,), (1e-3,), base, reviews, tmp_path / "out")
    settings = FinetuneConfig(min_steps=2, epochs=0.1, batch_size=8, evaluations=1, device="cpu", threads=1)
    told = adapting.compare(config, settings)
    results = json.loads((config.out / "results.json").read_text(encoding="utf-8"))["results"]
    assert results.keys() == {"full", "prefix"} and told.count("\n") == 3
    for method, of_method in results.items():
        assert of_method.keys() == {"20", "0"}
        for runs in of_method.values():
            assert [run["settings"]["seed"] for run in runs] == [3]
            assert all(0 <= run["accuracy"] <= 1 and run["seconds_per_step"] > 0 for run in runs)
        assert (of_method["0"][0]["share"] == 1) == (method == "full")
    assert results["prefix"]["0"][0]["bytes_on_disk"] < results["full"]["0"][0]["bytes_on_disk"]
    assert (config.out / "adapting.png").is_file()

    monkeypatch.setattr(adapting, "fine_tune_alone", None)
    assert adapting.compare(config, settings) == told
    with pytest.raises(UserError, match="other settings"):
        adapting.compare(config, dataclasses.replace(settings, dropout=0.2))


def test_the_rate_of_a_method_is_chosen_by_validation_and_not_by_the_test(tmp_path, base, monkeypatch):
    def run(config):
        rate = config.learning_rate
        return {
            "settings": {"learning_rate": rate}, "trained": 10, "share": 0.1, "seconds_per_step": 0.1, "peak_bytes": 1,
            "bytes_on_disk": 1, "val_accuracy": {1e-3: 0.8, 1e-2: 0.7}[rate],
            "accuracy": {1e-3: 0.5, 1e-2: 0.9}[rate],
        }  # fmt: skip

    monkeypatch.setattr(adapting, "run", run)
    (tmp_path / "out").mkdir()
    config = adapting.AdaptingConfig(("bias",), (0,), (), (1e-3, 1e-2), base, tmp_path, tmp_path / "out")
    assert adapting.compare(config, FinetuneConfig()).endswith("| 0.001 | 50.0% |")


def test_over_fitting_is_cured_in_every_way_and_what_is_finished_is_not_done_again(base, tmp_path, monkeypatch):
    monkeypatch.setattr(adapting.multiprocessing, "get_context", lambda _: InThisProcess())
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **_: path.touch())  # quicker
    write_world_reviews(tmp_path / "data", 150, "hard", 1, "en")
    cures = ("FGM", "retold", "pseudo-labels")
    config = overfitting.OverfittingConfig(
        cures,
        (3,),
        20,
        60,
        steps=2,
        copies=2,
        min_confidence=0.34,
        model=base,
        data=tmp_path / "data",
        out=tmp_path / "o",
    )
    settings = FinetuneConfig(batch_size=8, evaluations=1, device="cpu", threads=1)
    told = overfitting.compare_cures(config, settings)
    results = json.loads((config.out / "results.json").read_text(encoding="utf-8"))["results"]
    assert list(results) == ["nothing", *cures] and told.count("\n") == 5
    texts = {cure: runs[0]["texts"] for cure, runs in results.items()}
    assert (texts["nothing"], texts["FGM"], texts["retold"]) == (20, 20, 60)
    assert 20 < texts["pseudo-labels"] <= 120
    assert results["FGM"][0]["settings"]["adversarial"] > 0 == results["nothing"][0]["settings"]["adversarial"]
    monkeypatch.setattr(adapting, "fine_tune_alone", None)
    assert overfitting.compare_cures(config, settings) == told
    for change in ({"copies": 3}, {"min_confidence": 0.35}):
        with pytest.raises(UserError, match="other settings"):
            overfitting.compare_cures(dataclasses.replace(config, **change), settings)
    with pytest.raises(UserError, match="'hope'"):
        overfitting.OverfittingConfig(("hope",))


def test_what_is_measured_on_a_gpu_can_be_tried_out_on_a_cpu(tmp_path, monkeypatch, capsys):
    out = tmp_path / "gpu.json"
    flags = ["gpu", "--device", "cpu", "--scale", "small", "--parts", "decode", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", flags)
    gpu.main()
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["decode"]["8 rows"]["equal tokens"] == 1 and found["decode"]["8 rows"]["ours"] > 0
    told = capsys.readouterr().out
    assert "decode GPT-2 124M: 8 rows" in told and found["decode"]["8 rows"]["ranges"]["ours"] in told
    monkeypatch.setitem(gpu.PARTS, "train", lambda config: 1 / 0)
    monkeypatch.setattr(sys, "argv", [*flags, "--parts", "train"])
    with pytest.raises(UserError, match="not measured: train: ZeroDivisionError"):
        gpu.main()
    assert json.loads(out.read_text(encoding="utf-8"))["decode"] == found["decode"]
