"""Fine-tuning, from its command line to its files: it learns, it tells the truth, and stopping changes nothing."""

import dataclasses
import gc
import json
import signal
import warnings

import pytest
import torch
from safetensors.torch import load_file

import finetune as finetune_script
from finetune import finetune
from gpt.classifier import GPTClassifier, pad
from gpt.errors import UserError
from gpt.files.checkpoint import load_model, load_resume, save_resume
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning import report, report_plots
from gpt.finetuning.batches import Buckets
from gpt.finetuning.classification import LabelTask
from gpt.finetuning.compare import compare_with_scratch
from gpt.finetuning.labelling import classify, label_texts
from gpt.finetuning.method_config import LoraConfig
from gpt.finetuning.saved import load_fine_tuned
from gpt.finetuning.trainable import SharedAdam, build_layerwise_optimizers, choose_weights
from gpt.model import GPTConfig
from gpt.running.device import pick_machine
from gpt.running.run_folder import read_metrics
from tests.helpers import stop_after, write_reviews

CPU = pick_machine("cpu", "float32", "off")


def same_weights(one, two):
    one, two = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.usefixtures("pictures")
def test_a_run_learns_and_leaves_all_its_files(config, capsys):
    report = finetune(dataclasses.replace(config, min_steps=80))
    assert report["test"]["accuracy"] >= 0.9
    assert {path.name for path in config.out.iterdir()} == {
        "config.json", "model.safetensors", "vocab.json", "merges.txt", "tokenizer_config.json", "train_config.json",
        "metrics.jsonl", "resume.pt", "report.json", "curve.png", "confusion.png",
    }  # fmt: skip
    assert all((config.out / name).read_bytes().startswith(b"\x89PNG") for name in ("curve.png", "confusion.png"))
    assert json.loads((config.out / "report.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    assert {"majority", "tfidf"} <= report["baselines"].keys()
    assert report["baselines"]["majority"]["accuracy"] == 0.5
    low, high = report["test"]["accuracy_95"]
    assert low <= report["test"]["accuracy"] <= high
    printed = capsys.readouterr().out
    assert report["verdict"] in printed and "macro" in printed
    labels, answers = label_texts((config.out,), ["the book was awful", "the book was lovely"], CPU)
    assert [labels[i] for i in answers.argmax(1)] == ["bad", "good"]


@pytest.mark.parametrize("step", [7, 10])  # between two evaluations, and right after one
def test_an_interrupted_run_goes_on_bit_for_bit(config, tmp_path, monkeypatch, capsys, step):
    config = dataclasses.replace(config, min_steps=20)
    whole = dataclasses.replace(config, out=tmp_path / "whole", accumulate=2)
    finetune(whole)
    with monkeypatch.context() as patch:
        stop_after(patch, Buckets, step)
        assert finetune(dataclasses.replace(config, accumulate=2)) is None
    assert "--resume" in capsys.readouterr().out
    finetune(dataclasses.replace(config, accumulate=2, resume=True))
    assert same_weights(config.out, whole.out)
    final = [load_resume(folder / "resume.pt")["weights"] for folder in (config.out, whole.out)]
    assert all(torch.equal(final[0][name], final[1][name]) for name in final[0])
    assert read_metrics(config.out) == read_metrics(whole.out)
    reports = [json.loads((out / "report.json").read_text(encoding="utf-8")) for out in (config.out, whole.out)]
    assert [report["test"] for report in reports] == [reports[0]["test"]] * 2


def test_resuming_with_other_settings_data_or_model_is_refused(config, base, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, Buckets, 5)
        finetune(config)
    with pytest.raises(UserError, match=r"dropout was 0\.1 and is now 0\.2"):
        finetune(dataclasses.replace(config, resume=True, dropout=0.2))
    write_reviews(tmp_path / "other.csv", 100, seed=9)
    with pytest.raises(UserError, match="other data"):
        finetune(dataclasses.replace(config, resume=True, data=tmp_path / "other.csv"))
    monkeypatch.setattr(finetune_script, "sha256", lambda path: f"of another {path.name}")
    with pytest.raises(UserError, match=r"no longer the model .* --overwrite"):
        finetune(dataclasses.replace(config, resume=True))


def test_a_run_begun_before_a_setting_existed_goes_on_with_its_default(config, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, Buckets, 5)
        finetune(config)
    state = load_resume(config.out / "resume.pt")
    before = json.loads(state["config"])
    del before["label_smoothing"], before["adalora"], before["lora"]["targets"]
    save_resume(state | {"config": json.dumps(before)}, config.out / "resume.pt")
    with pytest.raises(UserError, match=r"label_smoothing was 0\.0 and is now 0\.1"):
        finetune(dataclasses.replace(config, resume=True, label_smoothing=0.1))
    assert finetune(dataclasses.replace(config, resume=True))


@pytest.mark.usefixtures("pictures")
def test_labels_that_look_like_mathematics_can_be_drawn(tmp_path):
    report_plots.plot_confusion([[1, 0], [0, 1]], ("$5_{$", "100%"), 1.0, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000


@pytest.mark.usefixtures("pictures")
def test_a_label_as_long_as_a_review_is_cut_in_the_picture_and_leaves_room_for_it(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's, where the labels leave the picture no room
        report_plots.plot_confusion([[1, 0], [0, 1]], ("good", 300 * "bad"), 1.0, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000


@pytest.mark.usefixtures("pictures")
def test_a_run_that_was_stopped_exits_130_and_one_that_ends_does_not(config, monkeypatch):
    words = ["finetune.py", "--model", str(config.model), "--data", str(config.data), "--out", str(config.out)]
    words += ["--epochs", "1", "--batch-size", "16", "--device", "cpu", "--threads", "1"]
    monkeypatch.setattr("sys.argv", words)
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as exit_:
        stop_after(patch, Buckets, 3)
        finetune_script.main()
    assert exit_.value.code == 130 and not (config.out / "report.json").exists()
    monkeypatch.setattr("sys.argv", [*words, "--resume"])
    finetune_script.main()
    assert (config.out / "report.json").is_file()


def test_ctrl_c_during_the_test_starts_no_further_run(config, monkeypatch):
    write = report.write_report
    monkeypatch.setattr(report, "write_report", lambda *what: (signal.raise_signal(signal.SIGINT), write(*what))[1])
    assert finetune(config) is None
    assert (config.out / "report.json").is_file()


def test_between_two_runs_ctrl_c_is_not_swallowed(config):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    finetune(config)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_going_on_with_a_finished_run_keeps_what_was_compared_with_it(config):
    compared = dataclasses.replace(config, label_counts=(20,), min_steps=5)
    compare_with_scratch(compared, finetune(compared), finetune)
    before = json.loads((config.out / "report.json").read_text(encoding="utf-8"))
    finetune(dataclasses.replace(config, min_steps=5, resume=True))
    after = json.loads((config.out / "report.json").read_text(encoding="utf-8"))
    assert all(after[key] == before[key] for key in ("from_scratch", "label_counts"))


def test_label_counts_that_lose_a_label_are_refused_before_the_first_run(config, tmp_path):
    rows = "".join(f"text {i},{'rare' if i % 200 == 0 else 'common'}\n" for i in range(400))
    (tmp_path / "rare.csv").write_text("text,label\n" + rows, encoding="utf-8")
    with pytest.raises(UserError, match="16 labels leave no example of rare"):
        finetune(dataclasses.replace(config, data=tmp_path / "rare.csv", label_counts=(16,)))
    assert not config.out.exists()


def test_the_best_weights_are_kept_and_not_the_last(config, monkeypatch):
    scores = iter([0.3, 0.8, 0.5, 0.4])
    saved, save = [], LabelTask.save
    monkeypatch.setattr(LabelTask, "validate", lambda *_: (1.0, next(scores)))
    monkeypatch.setattr(LabelTask, "save", lambda *what: saved.append(save(*what)))
    report = finetune(config)
    assert len(saved) == 2 and report["best_step"] == 20


def test_a_run_stops_early_when_nothing_gets_better(config, monkeypatch):
    monkeypatch.setattr(LabelTask, "validate", lambda *_: (1.0, 0.5))
    finetune(dataclasses.replace(config, evaluations=20, patience=3))
    assert [row["step"] for row in read_metrics(config.out)] == [2, 4, 6, 8]


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("full", {"wte", "wpe", "h.0", "h.1", "ln_f", "score"}),
        ("head", {"ln_f", "score"}),
        ("last-n", {"h.1", "ln_f", "score"}),
        ("lora", {"h.0", "h.1", "ln_f", "score"}),
    ],
)
def test_each_mode_moves_exactly_what_it_says(config, position, mode, expected):
    model = GPTClassifier(GPTConfig(300, 16, 2, 2, 32, position=position), ("a", "b"))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    chosen = dataclasses.replace(config, train=mode, last_n=1, learning_rate=0.1)
    choose_weights(model, chosen)
    optimizers = build_layerwise_optimizers(model, chosen)
    for _ in range(2):  # LoRA's second matrix is zero, so its first moves from the second update on
        model(*pad([[1, 2, 3], [4, 5]])).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    after = {name.replace(".linear.", "."): weight for name, weight in model.state_dict().items()}
    moved = {name for name in after if name not in before or not torch.equal(before[name], after[name])}
    parts = {".".join(name.removeprefix("transformer.").split(".")[: 2 if ".h." in name else 1]) for name in moved}
    assert parts == expected - ({"wpe"} if position == "rotary" else set())
    if mode == "lora":
        assert all("lora_" in name for name in moved if ".h." in name)


def test_where_all_gradients_are_of_one_size_shared_adam_is_adam():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(5, 4)) for _ in range(2))
    optimizers = [
        SharedAdam([{"params": [ours], "lr": 0.01}], (0.9, 0.98)),
        torch.optim.Adam([theirs], 0.01, (0.9, 0.98)),
    ]
    for size in (1.0, 3.0, 0.1, 0.5):
        ours.grad = theirs.grad = torch.randn(5, 4).sign() * size
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_shared_adam_moves_a_rare_word_less_than_a_common_one_however_often():
    table = torch.nn.Parameter(torch.zeros(2, 3))
    optimizer = SharedAdam([{"params": [table], "lr": 0.01}], (0.9, 0.98))
    for step in range(200):
        table.grad = torch.zeros(2, 3)
        table.grad[0] = 1.0
        table.grad[1] = 0.1 * (step % 20 == 0)
        optimizer.step()
    assert 0 < -100 * table[1].max() < -table[0].min()


def test_words_that_do_not_occur_change_nothing_for_those_that_do():
    tables = [torch.nn.Parameter(torch.zeros(rows, 3)) for rows in (5, 500)]
    optimizers = [SharedAdam([{"params": [table], "lr": 0.01}], (0.9, 0.98)) for table in tables]
    for _ in range(5):
        gradient = torch.randn(5, 3)
        for table, optimizer in zip(tables, optimizers, strict=True):
            table.grad = torch.zeros_like(table)
            table.grad[:5] = gradient
            optimizer.step()
    torch.testing.assert_close(tables[0], tables[1][:5])
    assert not tables[1][5:].any()


def test_the_head_learns_faster_than_the_body_and_low_blocks_slowest(config):
    model = GPTClassifier(GPTConfig(300, 16, 3, 2, 32), ("a", "b"))
    optimizers = build_layerwise_optimizers(
        model, dataclasses.replace(config, layer_decay=0.5, head_learning_rate=0.05)
    )
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rate = {id(w): group["lr"] for group in groups for w in group["params"]}
    body = model.transformer
    chain = [model.score, body.h[2].ln_1, body.h[1].ln_1, body.h[0].ln_1, body.wte]
    rates = [rate[id(part.weight)] for part in chain]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == 5
    assert len(rate) == len(list(model.parameters()))


def test_an_adapter_run_is_small_and_predicts(config, base):
    config = dataclasses.replace(config, train="lora", keep_adapter=True, lora=LoraConfig(rank=4))
    report = finetune(config)
    assert not (config.out / "model.safetensors").exists()
    assert (config.out / "adapter_model.safetensors").stat().st_size < 0.5 * (base / "model.safetensors").stat().st_size
    assert report["trained_weights"] < 0.3 * report["all_weights"]
    _, answers = label_texts((config.out,), ["fine"], CPU)
    assert answers.sum() == pytest.approx(1)


@pytest.mark.parametrize("kept", [False, True])
def test_predict_begins_texts_as_fine_tuning_did(config, kept):
    train = {"train": "lora", "keep_adapter": True} if kept else {}
    finetune(dataclasses.replace(config, min_steps=20, **train))
    tokenizer, model = load_tokenizer(config.out), load_fine_tuned(config.out, "cpu")
    ids = [[tokenizer.end_of_text, *tokenizer.encode(text)] for text in ("fine", "not so good")]
    _, answers = label_texts((config.out,), ["fine", "not so good"], CPU)
    torch.testing.assert_close(answers, classify(model, ids, CPU).softmax(1))  # label_texts uses the fast twins


def test_predict_adds_nothing_to_texts_for_a_classifier_that_was_trained_without(config):
    finetune(dataclasses.replace(config, min_steps=20))
    file = config.out / "tokenizer_config.json"
    file.write_text(
        file.read_text(encoding="utf-8").replace('"add_bos_token": true', '"add_bos_token": false'), encoding="utf-8"
    )
    tokenizer, model = load_tokenizer(config.out), load_fine_tuned(config.out, "cpu")
    _, answers = label_texts((config.out,), ["not so good"], CPU)
    ids = tokenizer.encode("not so good")
    torch.testing.assert_close(answers, classify(model, [ids], CPU).softmax(1))
    assert (answers - classify(model, [[tokenizer.end_of_text, *ids]], CPU).softmax(1)).abs().max() > 1e-3


def test_a_regression_estimates_numbers_in_their_own_units(config, tmp_path):
    rows = [("it was " + " ".join(["great"] * n), 100 + 10 * n) for n in range(1, 9) for _ in range(12)]
    with (tmp_path / "numbers.jsonl").open("w", encoding="utf-8") as file:
        for text, number in rows:
            file.write(json.dumps({"text": text, "label": number}) + "\n")
    report = finetune(
        dataclasses.replace(
            config, task="regression", data=tmp_path / "numbers.jsonl", min_steps=120, lm_loss=0, word_dropout=0
        )
    )
    assert report["test"]["r2"] > 0.8
    assert report["test"]["mse"] < 0.2 * report["baselines"]["mean"]["mse"]
    _, answers = label_texts((config.out,), ["it was great great", "it was" + " great" * 8], CPU)
    assert 100 < answers[0, 0] < 145 < answers[1, 0] < 200


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("pictures")
def test_a_regression_on_a_dozen_examples_warns_of_nothing(config, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        gc.collect()  # what other tests left open is not closed, with a warning, in this one
    rows = "".join(f"it was {'great ' * (i % 4)}{i},{i}\n" for i in range(12))
    (tmp_path / "few.csv").write_text("text,label\n" + rows, encoding="utf-8")
    report = finetune(dataclasses.replace(config, task="regression", data=tmp_path / "few.csv", min_steps=4))
    assert report["examples"] == {"train": 10, "val": 1, "test": 1}
    assert all(abs(row["val_r2"]) < 1e3 for row in read_metrics(config.out))


@pytest.mark.usefixtures("pictures")
def test_comparing_trains_from_random_weights_too_and_draws_the_curve(config):
    config = dataclasses.replace(config, label_counts=(20,), min_steps=10)
    compare_with_scratch(config, finetune(config), finetune)
    report = json.loads((config.out / "report.json").read_text(encoding="utf-8"))
    assert [row["labels"] for row in report["label_counts"]] == [20, 160]
    assert report["label_counts"][1]["pretrained"] == report["test"]["accuracy"]
    assert report["label_counts"][1]["from_scratch"] == report["from_scratch"]["accuracy"]
    assert (config.out / "labels.png").read_bytes().startswith(b"\x89PNG")
    assert {"from_scratch", "from_scratch-20", "pretrained-20"} <= {path.name for path in config.out.iterdir()}


@pytest.mark.usefixtures("pictures")
def test_scores_that_do_not_exist_are_compared_as_such(config, tmp_path, capsys):
    """Without a word in any text there is no TF-IDF; of one test example there is no R²."""
    rows = "".join(f"{'!?'[i % 2] * 3},{'ab'[i % 2]}\n" for i in range(80))
    (tmp_path / "signs.csv").write_text("text,label\n" + rows, encoding="utf-8")
    signs = dataclasses.replace(config, data=tmp_path / "signs.csv", label_counts=(20,), min_steps=3)
    compare_with_scratch(signs, finetune(signs), finetune)
    assert (config.out / "labels.png").is_file()
    rows = "".join(f"it was {'great ' * (i % 4)}{i},{i}\n" for i in range(12))
    (tmp_path / "few.csv").write_text("text,label\n" + rows, encoding="utf-8")
    few = dataclasses.replace(
        config, task="regression", data=tmp_path / "few.csv", compare=True, min_steps=3, out=tmp_path / "few"
    )
    compare_with_scratch(few, finetune(few), finetune)
    assert capsys.readouterr().out.count("n/a") == 2 + 3
    assert json.loads((few.out / "report.json").read_text(encoding="utf-8"))["from_scratch"]["r2"] is None


def test_from_scratch_takes_the_shape_of_the_model_and_none_of_its_weights(config, base, monkeypatch):
    seen = []
    monkeypatch.setattr(
        finetune_script, "choose_weights", lambda model, _: seen.append(model.transformer.wte.weight.clone())
    )
    for scratch in (False, True):
        finetune(dataclasses.replace(config, from_scratch=scratch, overwrite=True, min_steps=1, epochs=0.01))
    pretrained = load_model(base).transformer.wte.weight
    assert torch.equal(seen[0], pretrained) and not torch.equal(seen[1], pretrained)
    assert seen[1].shape == pretrained.shape
