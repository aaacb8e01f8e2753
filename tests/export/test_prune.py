"""python -m gpt.export.prune: zeros where the smallest weights were, blocks that are really gone."""

import copy
import sys

import pytest
import torch
from torch import nn

from gpt.export import prune as command
from gpt.export.int8 import main as export_int8
from gpt.export.pruning import drop_blocks, prune_weights, share_of_zeros, train_pruned
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.finetuning.saved import load_classifier, save_classifier
from gpt.running.command_line import run_main
from gpt.running.device import pick_machine
from gpt.running.processes import Processes
from gpt.running.validation import validation_loss
from tests.helpers import label_net, random_model

TOKENS = torch.randint(0, 300, (2, 20), generator=torch.Generator().manual_seed(3))


def run(monkeypatch, *words, main=command.main) -> None:
    monkeypatch.setattr(sys, "argv", ["prune.py", *map(str, words)])
    run_main(main)


def matrices(net):
    return [part.weight for part in net.transformer.h.modules() if isinstance(part, nn.Linear)]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
def test_exactly_this_share_of_every_matrix_is_zero_and_it_is_the_smallest(model, fraction):
    before = copy.deepcopy(model)
    prune_weights(model, fraction)
    for weight, whole in zip(matrices(model), matrices(before), strict=True):
        gone = weight == 0
        assert gone.sum() == round(fraction * weight.numel()) and torch.equal(weight[~gone], whole[~gone])
        if fraction:
            assert whole[gone].abs().max() <= whole[~gone].abs().min()
    assert torch.equal(model.transformer.wte.weight, before.transformer.wte.weight)


def test_pruning_again_counts_what_is_already_gone(model):
    once = copy.deepcopy(model)
    prune_weights(once, 0.7)
    prune_weights(model, 0.3)
    prune_weights(model, 0.7)
    assert all(torch.equal(one, two) for one, two in zip(matrices(once), matrices(model), strict=True))


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_training_repairs_a_pruned_model_and_leaves_its_zeros_alone(corpus, position):
    model, machine = random_model(position), pick_machine("cpu", "float32", "off")
    twins = speed_up(model, machine.device, machine.dtype)
    dataset = TokensFolder(corpus).dataset(32, 8)

    def loss():
        return validation_loss(model, dataset, machine, Processes(0, 1, machine.device), accumulate=1)

    masks = prune_weights(model, 0.8)
    zeros, before = share_of_zeros(model), loss()
    gone = [weight == 0 for weight in matrices(model)]
    train_pruned(model, dataset, masks, 30, machine, twins)
    assert loss() < before - 0.3 and share_of_zeros(model) == pytest.approx(zeros, abs=1e-4)
    for weight, zero in zip(matrices(model), gone, strict=True):
        assert not weight[zero].any()


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_the_folder_without_a_block_is_a_smaller_model_for_us_and_for_transformers(
    corpus, tmp_path, monkeypatch, position
):
    transformers = pytest.importorskip("transformers")
    model = random_model(position)
    save_model(model, load_tokenizer(corpus), tmp_path / "whole")
    run(monkeypatch, "--model", tmp_path / "whole", "--out", tmp_path / "small", "--drop-blocks", 2)
    del model.transformer.h[1]
    small = load_model(tmp_path / "small")
    assert small.config.n_layer == 2 and len(small.transformer.h) == 2
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "small").eval()
    with torch.no_grad():
        assert torch.equal(small(TOKENS), model(TOKENS))
        torch.testing.assert_close(theirs(TOKENS).logits, model(TOKENS), atol=2e-4, rtol=1e-4)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "small")]
    assert sizes[1] < 0.8 * sizes[0]


def test_a_model_can_be_pruned_trained_and_then_quantised(corpus, tmp_path, monkeypatch, capsys):
    save_model(random_model("rotary"), load_tokenizer(corpus), tmp_path / "whole")
    words = ("--fraction", 0.5, "--drop-blocks", 1, "--data", corpus, "--steps", 10, "--device", "cpu")
    run(monkeypatch, "--model", tmp_path / "whole", "--out", tmp_path / "half", *words)
    printed = capsys.readouterr().out.splitlines()
    losses = [float(line.split("validation loss ")[1].split()[0]) for line in printed[:2]]
    assert losses[1] < losses[0] and "2 blocks" in printed[2]
    run(monkeypatch, "--model", tmp_path / "half", "--out", tmp_path / "small", main=export_int8)
    for weight in matrices(load_model(tmp_path / "small")):  # rounding adds zeros and takes none away
        assert (weight == 0).float().mean() >= 0.5 and weight.any()


def test_a_classifier_without_a_block_still_has_its_labels(corpus, tmp_path, monkeypatch):
    net = label_net(random_model("learned"), ("bad", "good"))
    save_classifier(net, load_tokenizer(corpus), tmp_path / "whole")
    run(monkeypatch, "--model", tmp_path / "whole", "--out", tmp_path / "small", "--drop-blocks", 3, 1)
    small = load_classifier(tmp_path / "small")
    drop_blocks(net, (1, 3))
    with torch.no_grad():
        lengths = torch.tensor([20, 7])
        assert small.labels == ("bad", "good") and torch.equal(small(TOKENS, lengths), net(TOKENS, lengths))


def test_what_cannot_be_pruned_is_one_line(corpus, base, tmp_path, monkeypatch, capsys):
    net = label_net(random_model("learned"), ("bad", "good"))
    save_classifier(net, load_tokenizer(corpus), tmp_path / "labels")
    run(monkeypatch, "--model", base, "--out", tmp_path / "int8", main=export_int8)
    capsys.readouterr()
    for model, words, message in (
        (base, (), "nothing to prune: give --fraction, --drop-blocks, or both"),
        (base, ("--fraction", 1), "it must be at least 0 and less than 1"),
        (base, ("--fraction", -0.1), "it must be at least 0 and less than 1"),
        (base, ("--fraction", "nan"), "it must be at least 0 and less than 1"),
        (base, ("--fraction", "half"), "--help explains"),
        (base, ("--drop-blocks", 3), "there is no block 3: the model has 2 blocks, from 1, the lowest, to 2"),
        (base, ("--drop-blocks", 0), "there is no block 0"),
        (base, ("--drop-blocks", 1, 2), "all 2 blocks would be removed: at least one must stay"),
        (base, ("--fraction", 0.5, "--data", corpus, "--steps", 0), "--steps is 0"),
        (base, ("--fraction", 0.5, "--data", tmp_path), "is not a tokens folder"),
        (tmp_path / "labels", ("--fraction", 0.5, "--data", corpus), "leave out --data"),
        (tmp_path / "int8", ("--fraction", 0.5), "is in 8 bits: prune the model that it was made from"),
        (tmp_path / "nowhere", ("--fraction", 0.5), "is not a model folder"),
    ):
        with pytest.raises(SystemExit) as exit_:
            run(monkeypatch, "--model", model, "--out", tmp_path / "new", *words)
        printed = capsys.readouterr()
        assert exit_.value.code == 2 and message in printed.err and printed.err.count("\n") == 1 and not printed.out
    assert not (tmp_path / "new").exists()
