"""Going on with other text: train.py --init begins with a model's weights, its tokenizer and its shape."""

import dataclasses
import json

import pytest
import torch

from data.prepare import PrepareConfig, prepare
from gpt.errors import UserError
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.model import GPT, GPTConfig
from gpt.running.run_folder import read_metrics
from gpt.running.train_config import TrainConfig
from train import train


@pytest.fixture
def config(corpus, tmp_path):
    """Steps too small to move a weight visibly, from a model that was saved."""
    torch.manual_seed(5)
    shape = GPTConfig(300, 32, 2, 2, 32, position="rotary")
    save_model(GPT(shape), load_tokenizer(corpus), tmp_path / "base")
    return TrainConfig(
        dataclasses.replace(shape, dropout=0.1), tmp_path / "run", max_steps=2, batch_size=4, warmup_steps=0,
        optimizer="adamw", learning_rate=1e-9, weight_decay=0.0, data=corpus, device="cpu", threads=1,
        init=tmp_path / "base",
    )  # fmt: skip


def test_training_begins_with_the_weights_of_the_folder(config):
    train(config)
    torch.testing.assert_close(
        load_model(config.out).transformer.state_dict(), load_model(config.init).transformer.state_dict()
    )


def test_going_on_begins_at_the_loss_that_was_reached(config, tmp_path):
    first = dataclasses.replace(
        config, init=None, out=tmp_path / "first", max_steps=20, learning_rate=5e-3, optimizer="muon"
    )
    train(first)
    reached = read_metrics(first.out)[-1]["val_loss"]
    train(dataclasses.replace(config, init=first.out))
    assert read_metrics(config.out)[-1]["val_loss"] == pytest.approx(reached, abs=1e-4)


def test_other_shapes_and_tokenizers_are_refused_by_name(config, tmp_path, python_source):
    with pytest.raises(UserError, match=r"has n_layer 2, n_embd 32: ask for the same"):
        train(dataclasses.replace(config, model=dataclasses.replace(config.model, n_layer=3, n_embd=48)))
    (tmp_path / "text.txt").write_text(python_source[:40_000], encoding="utf-8")
    prepare(PrepareConfig((tmp_path / "text.txt",), tmp_path / "other", vocab_size=300))
    with pytest.raises(UserError, match=r"not prepared with the tokenizer of .*base: prepare it with --tokenizer"):
        train(dataclasses.replace(config, data=tmp_path / "other"))
    with pytest.raises(UserError, match="choose another one"):
        dataclasses.replace(config, out=config.init)
    assert not config.out.exists()


def test_the_texts_of_labelled_csv_can_be_prepared_with_the_models_tokenizer(config, tmp_path, python_source):
    rows = [{"text": line.replace('"', ""), "label": "none"} for line in python_source.split("\n\n")[:60] if line]
    (tmp_path / "task.csv").write_text(
        "label,text\n" + "".join(f'{row["label"]},"{row["text"]}"\n' for row in rows), encoding="utf-8"
    )
    with (tmp_path / "task.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": row["text"].strip()}) + "\n" for row in rows if row["text"].strip())
    for kind in ("csv", "jsonl"):
        prepare(PrepareConfig((tmp_path / f"task.{kind}",), tmp_path / kind, tokenizer=config.init))
    assert (tmp_path / "csv/train.bin").read_bytes() == (tmp_path / "jsonl/train.bin").read_bytes()
    train(dataclasses.replace(config, data=tmp_path / "csv"))
