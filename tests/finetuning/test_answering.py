"""Prompts and answers: what is learned is the answer alone, and it is learned."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from finetune import finetune
from gpt.dataset import IGNORED
from gpt.errors import UserError
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.answer_measures import measure_answers
from gpt.finetuning.batches import Buckets
from gpt.finetuning.conversations import Conversation, cut_beginning, encode_conversation, read_conversations
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.saved import kind_of, load_fine_tuned
from gpt.finetuning.tasks import load_task
from gpt.finetuning.written import write_answers
from gpt.model import GPT
from gpt.running.device import pick_machine
from gpt.running.run_folder import read_metrics
from tests.helpers import random_model

CPU = pick_machine("cpu", "float32", "off")


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def copying(tmp_path, config):
    """A task that a small net learns in seconds: which word belongs to the last letter."""
    words = {"a": "one", "b": "two", "c": "three", "d": "four"}
    rows = [{"prompt": f"number {i % 7} {letter}", "answer": words[letter]} for i, letter in enumerate("abcd" * 48)]
    folder = tmp_path / "letters"
    folder.mkdir()
    write_lines(folder / "train.jsonl", rows)
    write_lines(folder / "val.jsonl", rows[5:40])
    write_lines(folder / "test.jsonl", rows[50:90])
    return dataclasses.replace(
        config, task="answer", data=folder, out=tmp_path / "answers", min_steps=160, learning_rate=1e-2,
        muon_learning_rate=0.02, word_dropout=0.0, lm_loss=0.0,
    )  # fmt: skip


def encoded(tokenizer, *turns):
    return encode_conversation(tokenizer, Conversation(turns))


def test_only_the_answers_and_their_ends_are_learned(corpus):
    tokenizer = load_tokenizer(corpus)
    ids, targets = encoded(tokenizer, ("Where?", "Here."), ("你好吗", "很好"))
    learned = [target for target in targets if target != IGNORED]
    assert tokenizer.decode(learned) == "Here.<|endoftext|>很好<|endoftext|>"
    assert len(ids) == len(targets)
    assert tokenizer.decode(ids) == "<|endoftext|>Where?\nHere.<|endoftext|>你好吗\n很好"


def test_a_target_is_the_next_token(corpus):
    ids, targets = encoded(load_tokenizer(corpus), ("Where is it?", "It is here."), ("Why?", "So."))
    pairs = list(zip(targets, ids[1:], strict=False))
    assert all(target in (IGNORED, following) for target, following in pairs)
    assert 0 < sum(target != IGNORED for target, _ in pairs) < len(pairs)


def test_an_open_conversation_ends_with_the_line_break_of_its_prompt(corpus):
    tokenizer = load_tokenizer(corpus)
    asked = Conversation((("one", "two"), ("three", "four"))).prompts()
    texts = [tokenizer.decode(encode_conversation(tokenizer, prompt)[0]) for prompt in asked]
    assert texts == ["<|endoftext|>one\n", "<|endoftext|>one\ntwo<|endoftext|>three\n"]


def test_a_text_that_is_too_long_loses_its_oldest_tokens():
    assert cut_beginning([9, 1, 2, 3, 4, 5], 4) == [9, 3, 4, 5]
    assert cut_beginning([9, 1, 2], 4) == [9, 1, 2]
    assert cut_beginning([9, 1, 2], 1) == [9]


def test_the_loss_is_the_mean_over_the_answers_own_tokens(copying, base):
    """Held against the definition, example by example, without padding."""
    model, tokenizer = load_model(base), load_tokenizer(base)
    task = load_task(copying, tokenizer, model.config.context_length)
    part = torch.tensor([0, 7, 30]).numpy()
    losses, exact, _ = task.losses(model, "train", part, CPU)
    for i, loss, is_exact in zip(part, losses.tolist(), exact.tolist(), strict=True):
        ids, targets = encode_conversation(tokenizer, task.examples["train"][i])
        logprobs = model(torch.tensor([ids]))[0].log_softmax(-1)
        learned = [t for t, target in enumerate(targets) if target != IGNORED]
        mean = -sum(logprobs[t, targets[t]].item() for t in learned) / len(learned)
        assert loss == pytest.approx(mean, abs=1e-4)
        assert is_exact == all(logprobs[t].argmax() == targets[t] for t in learned)


@pytest.mark.usefixtures("pictures")
def test_a_net_learns_to_answer_and_leaves_all_its_files(copying, capsys):
    report = finetune(copying)
    assert report["test"]["exact"] == 1 and report["test"]["chrf"] == pytest.approx(1)
    assert max(report["baselines"][name]["exact"] for name in ("constant", "copy")) < 0.5
    assert {"constant", "copy", "nearest"} == report["baselines"].keys()
    assert "the GPT" in capsys.readouterr().out
    assert {"scores.png", "curve.png", "report.json"} <= {path.name for path in copying.out.iterdir()}
    assert all((copying.out / name).read_bytes().startswith(b"\x89PNG") for name in ("scores.png", "curve.png"))
    assert kind_of(copying.out) == "answers"


def test_the_validation_score_is_the_share_of_answers_that_are_written_exactly(copying):
    """It is computed without writing; here the best model writes."""
    finetune(dataclasses.replace(copying, min_steps=90, evaluations=3))
    best = max(read_metrics(copying.out), key=lambda row: (row["val_exact"], -row["val_loss"]))
    model, tokenizer = load_model(copying.out), load_tokenizer(copying.out)
    examples = read_conversations(copying.data / "val.jsonl")
    written = write_answers(model, tokenizer, [prompt for e in examples for prompt in e.prompts()], CPU, 9)
    exact = [answer == e.turns[0][1] for answer, e in zip(written, examples, strict=True)]
    assert 0 < best["val_exact"] == pytest.approx(sum(exact) / len(exact))


def test_an_interrupted_run_ends_with_the_same_bits(copying, tmp_path, monkeypatch):
    short = dataclasses.replace(copying, min_steps=20, evaluations=4)
    finetune(short)
    again = dataclasses.replace(short, out=tmp_path / "again")
    batch, seen = Buckets.batch, []

    def fail_once(self, step):
        if step == 12 and not seen:
            seen.append(step)
            raise KeyboardInterrupt
        return batch(self, step)

    monkeypatch.setattr(Buckets, "batch", fail_once)
    with pytest.raises(KeyboardInterrupt):
        finetune(again)
    finetune(dataclasses.replace(again, resume=True))
    one, two = (load_file(folder / "model.safetensors") for folder in (short.out, again.out))
    assert seen and all(torch.equal(one[name], two[name]) for name in one)


def test_parts_of_a_batch_give_the_gradient_of_the_whole(copying, base):
    """Every example counts alike, however long its answer is."""
    model, tokenizer = load_model(base), load_tokenizer(base)
    task = load_task(copying, tokenizer, model.config.context_length)
    part, gradients = torch.arange(8).numpy(), []
    for cuts in (1, 4):
        model.zero_grad()
        for piece in torch.from_numpy(part).chunk(cuts):
            (task.losses(model, "train", piece.numpy(), CPU)[0].mean() * len(piece) / 8).backward()
        gradients.append(model.transformer.h[0].mlp.c_fc.weight.grad.clone())
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_answers_do_not_depend_on_their_neighbours(base):
    model, tokenizer = random_model("rotary", load_tokenizer(base).vocab_size), load_tokenizer(base)
    asked = [Conversation(((text, ""),)) for text in ("a", "a much longer prompt than that", "你好", "b")]
    together = write_answers(model, tokenizer, asked, CPU, 9, temperature=0.8, seed=3)
    alone = [write_answers(model, tokenizer, [prompt], CPU, 9, 0.8, seed=3 + i)[0] for i, prompt in enumerate(asked)]
    assert together == alone
    assert together == write_answers(model, tokenizer, asked, CPU, 9, 0.8, seed=3, plain=True)


def test_the_mark_of_an_answering_model_survives_and_transformers_loads_it(copying):
    from transformers import AutoModelForCausalLM

    finetune(dataclasses.replace(copying, min_steps=4, evaluations=1))
    theirs = AutoModelForCausalLM.from_pretrained(copying.out).eval()
    ours = load_fine_tuned(copying.out, "cpu")
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, ours(tokens), atol=1e-4, rtol=1e-4)


def test_an_adapter_of_an_answering_model_answers_the_same(copying):
    lora = dataclasses.replace(copying, train="lora", min_steps=30, evaluations=1)
    finetune(lora)
    finetune(dataclasses.replace(lora, keep_adapter=True, out=lora.out / "adapter"))
    whole, adapter = load_fine_tuned(lora.out, "cpu"), load_fine_tuned(lora.out / "adapter", "cpu")
    assert isinstance(adapter, GPT) and kind_of(lora.out / "adapter") == "answers"
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(whole(tokens), adapter(tokens), atol=1e-5, rtol=1e-4)


def test_measures_know_right_from_wrong():
    training = [("where is the kite", "in the park"), ("where is the hat", "here"), ("who", "here")]
    true, written = ["in the park", "me"], ["in the park", "you"]
    report = measure_answers(["where is the kite", "who"], true, written, training, None)
    assert report["test"]["exact"] == 0.5 and report["measure"] == "exact"
    assert report["baselines"]["constant"]["exact"] == 0 and report["baselines"]["nearest"]["exact"] == 0.5
    assert report["mistakes"] == [{"prompt": "who", "true": "me", "written": "you"}]


def test_a_score_of_the_world_comes_first_and_decides_what_a_mistake_is():
    def events(prompts, true, written):
        return {"events": sum(answer == "X" for answer in written) / len(written)}

    report = measure_answers(["a", "b"], ["x", "y"], ["X", "z"], [("a", "q")], events)
    assert report["measure"] == "events" and report["test"] | {"chrf": 0} == {
        "events": 0.5, "exact": 0, "chrf": 0, "exact_95": report["test"]["exact_95"],
    }  # fmt: skip
    assert [mistake["prompt"] for mistake in report["mistakes"]] == ["b"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"prompt": " ", "answer": "x"}', "line 2: the prompt is empty"),
        ('{"prompt": "x", "answer": ""}', "line 2: the answer is empty"),
        ('{"prompt": "x"}', "no key 'answer'"),
        ('{"prompt": ["x"], "answer": "y"}', "no key 'prompt'"),
        ('{"turns": []}', "at least one turn"),
        ('{"turns": [{"content": "x"}, {"role": "assistant", "content": "y"}]}', "turn 1: the role is missing"),
        ('{"turns": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}', 'must be "assistant"'),
        ('{"turns": [{"role": "user", "content": "x"}]}', "the last turn must be the assistant's answer"),
        ('{"turns": [{"role": "user", "content": 5}, {"role": "assistant", "content": "y"}]}', "turn 1"),
        ('{"turns": [{"role": "user", "content": " "}, {"role": "assistant", "content": "y"}]}', "prompt is empty"),
        ("[1]", "not a JSON object"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named(tmp_path, line, complaint):
    path = tmp_path / "train.jsonl"
    path.write_text('{"prompt": "a", "answer": "b"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        read_conversations(path)
    assert complaint in str(refusal.value) and "\n" not in str(refusal.value)


def test_prompts_come_from_csv_too(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text('prompt,answer\n"one, two",three\n', encoding="utf-8")
    assert read_conversations(path) == [Conversation((("one, two", "three"),))]


def test_half_an_emoji_is_replaced(tmp_path):
    path = write_lines(tmp_path / "train.jsonl", [{"prompt": "x", "answer": "ok"}])
    path.write_text('{"prompt": "smile \\ud83d", "answer": "ok"}\n', encoding="utf-8")
    assert read_conversations(path)[0].turns[0][0] == "smile \ufffd"


def test_an_answer_longer_than_the_context_is_refused(copying, base):
    long = {"prompt": "x", "answer": "0 " * 200}
    write_lines(copying.data / "train.jsonl", [{"prompt": "x", "answer": "y"}, long])
    with pytest.raises(UserError, match="context holds"):
        finetune(copying)
    assert not copying.out.exists()


@pytest.mark.parametrize(
    "changes", [{"train": "head"}, {"word_dropout": 0.1}, {"class_weights": True}, {"compare": True}]
)
def test_settings_that_mean_nothing_for_answers_are_refused(changes, tmp_path):
    with pytest.raises(UserError, match=r"--task answer|--compare"):
        FinetuneConfig(tmp_path, tmp_path / "data", tmp_path / "out", task="answer", **changes)


def test_each_task_has_its_own_default_data():
    folders = {(FinetuneConfig(task=task).data, FinetuneConfig(task=task).out)
               for task in ("classification", "regression", "answer", "tags")}  # fmt: skip
    assert len(folders) == 4
