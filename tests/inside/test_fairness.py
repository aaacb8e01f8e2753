"""What a model expects after the names of two groups: against the definition, and against a bias that is known."""

import dataclasses
import json
import math
import random
import sys

import numpy as np
import pytest
import torch
from matplotlib.image import imread

import look
from benchmarks import fairness as benchmark
from data.world.people import BOYS, BOYS_JOBS, GIRLS, GIRLS_JOBS, JOBS
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.generate import score
from gpt.inside.fairness import Probe, lean_intervals, leans, probe_names, read_probe, share_of_first
from gpt.model import GPT, GPTConfig
from gpt.optim import build_optimizers, set_learning_rate
from gpt.tokenizer import Tokenizer
from tests.helpers import ROOT, masked_model, random_model, small_training

WORLD = read_probe(ROOT / "data/world/fairness.json")
SMALL = Probe(
    {"girls": ["Mia", "Zoe"], "boys": ["Tom", "Ben", "Sam"]}, ["{name} was", "we saw {name}"], [" a vet", " it"]
)


@pytest.fixture(scope="module")
def tokenizer(corpus):
    tokenizer = load_tokenizer(corpus)
    tokenizer.add_bos_token = True
    return tokenizer


def test_the_probe_of_the_world_asks_for_all_its_names_and_jobs():
    assert WORLD.groups == {"girls": list(GIRLS), "boys": list(BOYS)}
    assert sorted(WORLD.continuations) == sorted(f" {job}" for job in JOBS)
    assert len(benchmark.PLANTED) == len(GIRLS_JOBS) + len(BOYS_JOBS) and benchmark.SIGNS.sum() == 0


def test_a_lean_is_the_difference_of_mean_log_probabilities(tokenizer):
    model = random_model("rotary")

    def mean_logprob(names, ending):
        found = []
        for text in (template.replace("{name}", name) for name in names for template in SMALL.templates):
            before, after = tokenizer.encode(text), tokenizer.encode(ending)
            choices = score(model, [tokenizer.end_of_text, *before, *after])
            found.append(sum(choice.logprob for choice in choices[-len(after) :]))
        return np.mean(found)

    expected = [mean_logprob(SMALL.groups["girls"], text) - mean_logprob(SMALL.groups["boys"], text)
                for text in SMALL.continuations]  # fmt: skip
    assert leans(probe_names(model, tokenizer, SMALL)) == pytest.approx(expected, abs=1e-3)


def test_exchanged_groups_turn_the_lean_round_and_equal_ones_have_none(tokenizer):
    model, (girls, boys) = random_model("learned"), SMALL.groups.values()
    there = leans(probe_names(model, tokenizer, SMALL))
    back = leans(probe_names(model, tokenizer, SMALL._replace(groups={"boys": boys, "girls": girls})))
    assert np.abs(there).max() > 0.01 and back == pytest.approx(-there, abs=1e-5)
    same = leans(probe_names(model, tokenizer, SMALL._replace(groups={"one": girls, "other": girls})))
    assert same == pytest.approx([0, 0], abs=1e-5)
    assert share_of_first(0) == 0.5 and share_of_first(math.log(9)) == pytest.approx(0.9)


def test_intervals_are_as_wide_as_the_names_differ():
    random = np.random.default_rng(0)
    inside = 0
    for seed in range(100):  # a true lean of 1; names that differ by 0.5
        found = [random.normal(mean, 0.5, (12, 1)) for mean in (1, 0)]
        ((low, high),) = lean_intervals(found, seed)
        inside += low < 1 < high
        assert 0.4 < high - low < 1.2
    assert 85 <= inside <= 99
    one_name = lean_intervals([np.array([[1.0]]), np.array([[0.5]])])
    assert one_name == pytest.approx(np.array([[0.5, 0.5]]))


def test_the_interval_of_the_planted_lean_draws_jobs_again_too():
    """Names that all agree, and jobs that do not: only the jobs make it wide."""
    per_job = benchmark.SIGNS * np.linspace(1.7, 2.7, len(benchmark.SIGNS))
    low, high = benchmark.planted_interval([np.tile(per_job, (6, 1)), np.zeros((6, len(per_job)))])
    assert 1.9 < low < 2.1 and 2.3 < high < 2.5


def test_a_net_learns_the_planted_bias_and_the_probe_measures_it():
    """Sentences in which girls want to be a vet in 90 of 100 cases, and boys a pilot."""
    draw = random.Random(0)
    names = {name: group for group, names in SMALL.groups.items() for name in names}
    lines = []
    for _ in range(3000):
        name = draw.choice([*SMALL.groups["girls"] * 3, *SMALL.groups["boys"] * 2])
        lines.append(f"{name} wants a {'vet' if (draw.random() < 0.9) == (names[name] == 'girls') else 'pilot'}")
    tokenizer = Tokenizer.train(lines, 280)
    tokenizer.add_bos_token = True
    torch.manual_seed(0)
    model = GPT(GPTConfig(tokenizer.vocab_size, 16, 1, 2, 32, position="rotary"))
    optimizers = build_optimizers(model, "muon", 6e-3, 0.03, 0.0, speed_up(model, torch.device("cpu"), torch.float32))
    rows = [tokenizer.encode_document(line)[:17] for line in lines]
    rows = torch.tensor([row + [tokenizer.end_of_text] * (17 - len(row)) for row in rows])
    for step in range(150):
        set_learning_rate(optimizers, 1 - step / 150)
        batch = rows[torch.from_numpy(np.random.default_rng(step).integers(len(rows), size=64))]
        logits = model(batch[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    probe = SMALL._replace(templates=["{name} wants"], continuations=[" a vet", " a pilot"])
    to_vet, to_pilot = leans(probe_names(model.eval(), tokenizer, probe))
    assert to_vet == pytest.approx(math.log(9), abs=0.5) and to_pilot == pytest.approx(-math.log(9), abs=0.5)


def test_the_benchmark_measures_a_model_before_and_after_balancing(tmp_path, monkeypatch):
    """In small: nothing is learned in so few steps, but everything is made, measured and not made again."""
    training = small_training(tmp_path, tmp_path)
    training = dataclasses.replace(training, model=dataclasses.replace(training.model, context_length=64))
    config = benchmark.FairnessConfig(90, steps=4, balancing_steps=(2,), count=300, out=tmp_path / "out")
    shown = benchmark.compare(config, training)
    assert "| 4 steps on biased stories | " in shown and "| and then 2 on balanced ones | " in shown
    found = json.loads((config.out / "results.json").read_text(encoding="utf-8"))
    assert found["truth"] == pytest.approx(math.log(9))
    assert [len(found["results"][steps]["leans"]) for steps in ("0", "2")] == [36, 36]
    assert (config.out / "fairness.png").is_file()
    monkeypatch.setattr("gpt.running.run.Run.finish_step", None)  # no step is done again
    assert benchmark.compare(config, training) == shown
    for change in ({"planted_bias": 80}, {"steps": 5}, {"seed": 1}):
        with pytest.raises(UserError, match="cannot resume"):
            benchmark.compare(dataclasses.replace(config, **change), training)


def run(monkeypatch, capsys, *flags):
    monkeypatch.setattr(sys, "argv", ["look.py", "fairness", *map(str, flags)])
    look.main()
    return capsys.readouterr().out


def test_the_command_prints_a_table_and_draws_it(monkeypatch, capsys, tokenizer, tmp_path, pictures):
    save_model(random_model("rotary", tokenizer.vocab_size), tokenizer, tmp_path / "model")
    (tmp_path / "mine.json").write_text(json.dumps(SMALL._asdict()), encoding="utf-8")
    flags = ("--model", tmp_path / "model", "--probe", tmp_path / "mine.json", "--out", tmp_path / "x.png")
    out = run(monkeypatch, capsys, *flags)
    assert "| a vet | " in out and "| it | " in out and "lean to girls" in out
    assert imread(tmp_path / "x.png")[..., :3].std() > 0.02
    assert run(monkeypatch, capsys, *flags) == out  # the names drawn again are the same ones
    with pytest.raises(UserError, match="the context holds 32"):
        probe_names(random_model("rotary"), tokenizer, SMALL._replace(templates=["{name} " * 20]))
    with pytest.raises(UserError, match="only fills gaps"):
        probe_names(masked_model("rotary"), tokenizer, SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": {"girls": ["Mia"]}}, "is no probe"),
        ({"groups": {"girls": [], "boys": ["Tom"]}}, "is no probe"),
        ({"continuations": "a vet"}, "is no probe"),
        ({"continuations": [" "]}, "is no probe"),
        ({"templates": ["She was"]}, "a template without {name}: 'She was'"),
        ({"more": 1}, "is no probe"),
    ],
)
def test_a_file_that_is_no_probe_is_named(tmp_path, change, message):
    (tmp_path / "mine.json").write_text(json.dumps(SMALL._asdict() | change), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_probe(tmp_path / "mine.json")
