"""Fine-tuned models in use: finetune.py predict and finetune.py test, for answers and spans as well as labels."""

import dataclasses
import json
import sys

import numpy as np
import pytest

import finetune as finetune_script
from finetune import finetune
from gpt.errors import UserError
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.conversations import Conversation
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.labelled import read_examples
from gpt.finetuning.saved import kind_of, room_for_answer
from gpt.finetuning.written import write_answers
from gpt.running.device import pick_machine
from tests.finetuning.test_answering import write_lines
from tests.helpers import masked_model

CPU = pick_machine("cpu", "float32", "off")
WORDS = {"a": "one", "b": "two", "c": "three"}


@pytest.fixture(scope="module")
def models(tmp_path_factory, base, reviews):
    """A folder for each kind of fine-tuned model, with the data it was trained on."""
    here = tmp_path_factory.mktemp("models")
    common = {
        "batch_size": 16, "epochs": 1, "learning_rate": 1e-2, "muon_learning_rate": 0.02, "evaluations": 1,
        "device": "cpu", "threads": 1, "precision": "float32",
    }  # fmt: skip
    rows = [{"prompt": f"number {i % 9} {letter}", "answer": WORDS[letter]} for i, letter in enumerate("abc" * 40)]
    spans = [{"text": f"see Dr {name} now", "spans": [[7, 10, "PERSON"]]} for name in ("Oak", "Elm") * 30]
    for name, content in (("answer", rows), ("tags", spans)):
        (here / name).mkdir()
        write_lines(here / name / "train.jsonl", content)
        finetune(FinetuneConfig(base, here / name, here / f"{name}-model", name, min_steps=120, **common))
    finetune(FinetuneConfig(base, reviews, here / "labels-model", min_steps=60, **common))
    return here


def run(monkeypatch, capsys, *arguments):
    """finetune.py with these arguments -> what it prints."""
    monkeypatch.setattr(sys, "argv", ["finetune.py", *map(str, arguments)])
    capsys.readouterr()
    finetune_script.main()
    return capsys.readouterr()


def test_predict_writes_answers(models, monkeypatch, capsys):
    printed = run(
        monkeypatch, capsys, "predict", "--model", models / "answer-model", "--text", "number 3 b", "--device", "cpu"
    )
    assert printed.out == "prompt  number 3 b\nanswer  two\n\n"


def test_predict_writes_answers_as_json_and_tells_earlier_turns(models, monkeypatch, capsys, tmp_path):
    turns = [{"role": "user", "content": "number 1 a"}, {"role": "assistant", "content": "one"},
             {"role": "user", "content": "number 2 c"}]  # fmt: skip
    file = write_lines(tmp_path / "asked.jsonl", [{"prompt": "number 5 a"}, {"turns": turns}])
    printed = run(
        monkeypatch, capsys, "predict", "--model", models / "answer-model", "--file", file, "--format", "jsonl"
    )
    first, second = map(json.loads, printed.out.splitlines())
    assert first == {"prompt": "number 5 a", "answer": "one"}
    assert second["earlier"] == [["number 1 a", "one"]] and second["prompt"] == "number 2 c"


def test_predict_puts_spans_in_brackets_or_in_json(models, monkeypatch, capsys):
    ask = ("predict", "--model", models / "tags-model", "--text", "see Dr Elm now", "--device", "cpu")
    assert run(monkeypatch, capsys, *ask).out == "see Dr [PERSON Elm] now\n"
    found = json.loads(run(monkeypatch, capsys, *ask, "--format", "jsonl").out)
    assert found == {"text": "see Dr Elm now", "spans": [[7, 10, "PERSON"]]}


def test_a_model_is_tested_on_other_answers(models, monkeypatch, capsys, tmp_path):
    other = write_lines(
        tmp_path / "other.jsonl", [{"prompt": "number 77 a", "answer": "one"}, {"prompt": "x", "answer": "y"}]
    )
    ask = ("test", "--model", models / "answer-model", "--data", other, "--out", tmp_path / "report.json")
    assert "50.0%" in run(monkeypatch, capsys, *ask).out
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["test"]["exact"] == 0.5 and report["mistakes"][0]["prompt"] == "x" and report["verdict"] == ""


def test_a_model_is_tested_on_other_spans(models, monkeypatch, capsys, tmp_path):
    other = write_lines(
        tmp_path / "other.jsonl", [{"text": "see Dr Oak now", "spans": [[7, 10, "PERSON"], [0, 3, "X"]]}]
    )
    printed = run(
        monkeypatch, capsys, "test", "--model", models / "tags-model", "--data", other, "--out", tmp_path / "r.json"
    )
    scores = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["test"]
    assert (scores["precision"], scores["recall"]) == (1, 0.5) and "X" in printed.out


def test_a_model_is_tested_on_other_labels(models, reviews, monkeypatch, capsys, tmp_path):
    ask = ("test", "--model", models / "labels-model", "--data", reviews, "--out", tmp_path / "r.json")
    run(monkeypatch, capsys, *ask)
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    own = json.loads((models / "labels-model/report.json").read_text(encoding="utf-8"))
    assert report["test"] == own["test"] and report["baselines"]["majority"]["accuracy"] == 0.5
    ask = (*ask[:-1], tmp_path / "with_baselines.json", "--train-data", reviews)
    assert "tfidf" in run(monkeypatch, capsys, *ask).out
    assert json.loads((tmp_path / "with_baselines.json").read_text(encoding="utf-8"))["baselines"] == own["baselines"]


def test_training_data_are_refused_where_they_make_no_baseline(models, reviews, monkeypatch, capsys, tmp_path):
    ask = ("test", "--model", models / "tags-model", "--data", models / "tags/train.jsonl", "--train-data", reviews)
    with pytest.raises(UserError, match="omit --train-data"):
        run(monkeypatch, capsys, *ask)
    file = write_lines(tmp_path / "train.jsonl", [{"text": f"number {i}", "label": "purple"} for i in range(40)])
    ask = ("test", "--model", models / "labels-model", "--data", reviews, "--train-data", file)
    with pytest.raises(UserError, match=r"train\.jsonl has the label 'purple'"):
        run(monkeypatch, capsys, *ask)


@pytest.mark.parametrize(
    ("model", "content", "complaint"),
    [
        ("labels-model", {"text": "fine", "label": "purple"}, "knows only"),
        ("labels-model", {"prompt": "a", "answer": "b"}, "'text'"),
        ("answer-model", {"text": "fine", "label": "good"}, "'prompt'"),
        ("tags-model", {"text": "fine", "label": "good"}, "spans"),
    ],
)
def test_data_of_another_task_are_refused(models, model, content, complaint, monkeypatch, capsys, tmp_path):
    file = write_lines(tmp_path / "other.jsonl", [content])
    with pytest.raises(UserError, match=complaint):
        run(monkeypatch, capsys, "test", "--model", models / model, "--data", file)


def test_a_report_never_replaces_a_file(models, monkeypatch, capsys, tmp_path):
    file = write_lines(tmp_path / "other.jsonl", [{"prompt": "a", "answer": "b"}])
    before = file.read_bytes()
    with pytest.raises(UserError, match="already exists"):
        run(monkeypatch, capsys, "test", "--model", models / "answer-model", "--data", file, "--out", file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("command", ["test", "predict"])
def test_a_model_that_was_not_fine_tuned_is_refused(command, base, models, monkeypatch, capsys):
    data = ("--data", models / "answer/train.jsonl") if command == "test" else ("--text", "x")
    with pytest.raises(UserError, match="fine-tune"):
        run(monkeypatch, capsys, command, "--model", base, *data)


@pytest.mark.parametrize("kind", ["tags", "labels"])
def test_a_model_with_labels_is_no_base_for_another_task(kind, models, tmp_path):
    with pytest.raises(UserError, match="not a language model"):
        finetune(FinetuneConfig(models / f"{kind}-model", models / "tags", tmp_path / "out", "tags"))


@pytest.mark.parametrize("settings", [{"task": "answer"}, {"lm_loss": 0.5}])
def test_a_masked_model_is_no_base_for_what_needs_a_causal_one(settings, base, models, reviews, tmp_path):
    tokenizer = load_tokenizer(base)
    save_model(masked_model("rotary", tokenizer.vocab_size + 2), tokenizer, tmp_path / "masked")
    data = models / "answer" if "task" in settings else reviews
    with pytest.raises(UserError, match="--objective masked"):
        finetune(FinetuneConfig(tmp_path / "masked", data, tmp_path / "out", **settings))
    assert not (tmp_path / "out").exists()


def test_spans_are_learned_from_a_masked_model_too(base, models, tmp_path):
    tokenizer = load_tokenizer(base)
    save_model(masked_model("rotary", tokenizer.vocab_size + 2), tokenizer, tmp_path / "masked")
    config = FinetuneConfig(tmp_path / "masked", models / "tags", tmp_path / "out", "tags", min_steps=60, epochs=1,
                            batch_size=16, evaluations=1, device="cpu", precision="float32", threads=1)  # fmt: skip
    assert finetune(config)["test"]["f1"] > 0.9


def test_a_prompt_that_fits_is_read_whole(models):
    """What decides the answer may stand at the very beginning of the context."""
    model, tokenizer = load_model(models / "answer-model"), load_tokenizer(models / "answer-model")
    T, room = model.config.context_length, room_for_answer(models / "answer-model", 64)
    assert room == max(len(tokenizer.encode(word)) for word in WORDS.values()) + 1
    seen = []
    model.transformer.wte.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    text = "a" + " b" * ((T - room - 3) // 2)
    write_answers(model, tokenizer, [Conversation(((text, ""),))], CPU, room, plain=True)
    assert seen[0] == len(tokenizer.encode(text + "\n")) + 1 > 0.75 * T


def test_a_prompt_that_leaves_no_room_is_answered_again_without_its_beginning(models, capsys):
    model, tokenizer = load_model(models / "answer-model"), load_tokenizer(models / "answer-model")
    asked = [Conversation((("number 7 " * 40 + "b", ""),)), Conversation((("number 2 b", ""),))]
    answers = write_answers(model, tokenizer, asked, CPU, room_for_answer(models / "answer-model", 64))
    assert answers[1] == "two" and "1 prompts are too long" in capsys.readouterr().err


def test_fewer_examples_are_used_where_they_are_asked_for(models, tmp_path):
    settings = {"min_steps": 2, "epochs": 0.1, "evaluations": 1, "device": "cpu", "precision": "float32", "threads": 1}
    for task in ("answer", "tags"):
        base = models / "answer-model"  # which is a language model, too
        config = FinetuneConfig(base, models / task, tmp_path / task, task, labels=8, **settings)
        assert finetune(config)["examples"]["train"] == 8
        with pytest.raises(UserError, match="--labels asks for 9,999"):
            finetune(dataclasses.replace(config, labels=9999, overwrite=True))
    assert kind_of(tmp_path / "tags") == "tags"


def test_robustness_is_asked_for_on_the_command_line_and_is_the_same_each_time(
    models, reviews, monkeypatch, capsys, tmp_path
):
    (tmp_path / "words.txt").write_text("great, lovely\nawful, dreadful\n", encoding="utf-8")
    ask = ("test", "--model", models / "labels-model", "--data", reviews, "--robustness", "--device", "cpu")
    told = run(monkeypatch, capsys, *ask, "--synonyms", tmp_path / "words.txt", "--out", tmp_path / "one.json").out
    run(monkeypatch, capsys, *ask, "--synonyms", tmp_path / "words.txt", "--out", tmp_path / "two.json")
    one, two = (json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in ("one", "two"))
    assert one == two and one["robustness"].keys() == {"letters", "capitals", "end", "synonym"}
    assert "answers flip" in told and one["robustness"]["end"]["texts"] == 0  # these reviews end without a mark
    assert "no word was exchanged" in run(monkeypatch, capsys, *ask).out


@pytest.mark.parametrize("flags", [("--robustness",), ("--synonyms", "words.txt")])
def test_robustness_where_it_means_nothing_is_refused(models, flags, monkeypatch, capsys):
    with pytest.raises(UserError, match="--robustness"):
        run(
            monkeypatch, capsys, "test", "--model", models / "tags-model", "--data", models / "tags/train.jsonl", *flags
        )


def test_only_confident_labels_are_kept_and_can_be_read_as_examples(models, reviews, monkeypatch, capsys, tmp_path):
    ask = ("predict", "--model", models / "labels-model", "--file", reviews / "test.csv", "--format", "jsonl")
    rows = [json.loads(line) for line in run(monkeypatch, capsys, *ask).out.splitlines()]
    least = float(np.median([max(row["probabilities"].values()) for row in rows]))
    kept = run(monkeypatch, capsys, *ask, "--min-confidence", least)
    sure = [json.loads(line) for line in kept.out.splitlines()]
    assert 0 < len(sure) < len(rows) and f"{len(sure)} of {len(rows)} texts" in kept.err
    assert [row["text"] for row in sure] == [r["text"] for r in rows if max(r["probabilities"].values()) >= least]
    (tmp_path / "sure.jsonl").write_text(kept.out, encoding="utf-8")
    assert [e.label for e in read_examples(tmp_path / "sure.jsonl")] == [row["label"] for row in sure]


@pytest.mark.parametrize(("model", "least"), [("tags-model", 0.5), ("labels-model", 2)])
def test_confidence_where_it_means_nothing_is_refused(models, model, least, monkeypatch, capsys):
    with pytest.raises(UserError, match="--min-confidence"):
        run(monkeypatch, capsys, "predict", "--model", models / model, "--text", "x", "--min-confidence", least)
