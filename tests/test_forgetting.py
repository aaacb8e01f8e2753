"""The benchmark of forgetting: a classifier's body is a language model again, and all can be measured in small."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from benchmarks import forgetting
from benchmarks.forgetting import ForgettingConfig, compare, load_body, mix
from data.prepare import PrepareConfig, prepare
from data.world import samples, stories
from gpt.errors import UserError
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.finetuning.saved import save_classifier
from tests.helpers import label_net, small_training


def test_the_body_of_a_classifier_is_the_language_model_it_was(base, tmp_path):
    model = load_model(base)
    save_classifier(label_net(model, ("good", "bad")), load_tokenizer(base), tmp_path / "classifier")
    tokens = torch.randint(300, (2, 20), generator=torch.Generator().manual_seed(0))
    assert torch.equal(load_body(tmp_path / "classifier")(tokens), model(tokens))
    assert torch.equal(load_body(base)(tokens), model(tokens))


@pytest.fixture
def small(base, reviews, tmp_path, monkeypatch):
    """A comparison that takes seconds, with a small corpus of stories in place of the default one."""
    file = tmp_path / "old.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for story in itertools.islice(stories(), 40):
            lines.write(json.dumps({"text": story.text, "bits": story.bits, "world": "en"}) + "\n")
    prepare(PrepareConfig((file,), tmp_path / "old", tokenizer=base))
    monkeypatch.setattr(forgetting, "default_stories", lambda size: tmp_path / "old")
    monkeypatch.setattr(forgetting, "STORIES", 4)
    monkeypatch.setattr(samples, "LONGEST_STORY", 30)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # more processes would take longer to start than to write
    return ForgettingConfig(("full",), (0.5,), (0.2,), 4, 0, base, reviews, tmp_path / "out")


def test_the_old_text_has_its_share_and_the_new_validation_texts_stay_apart(small):
    new, mixed = TokensFolder(mix(small, 0)), TokensFolder(mix(small, 0.2))
    sizes = [sum(folder.meta[f"{split}_bytes"] for split in ("train", "val")) for folder in (new, mixed)]
    assert 0.19 < 1 - sizes[0] / sizes[1] < 0.3  # whole stories: the last one goes beyond the share
    assert np.array_equal(mixed.val[:][: len(new.val)], new.val[:])


def test_a_comparison_measures_everything_once(small, config, base, monkeypatch):
    finetuning = dataclasses.replace(config, min_steps=4, evaluations=1, lm_loss=0, label_counts=())
    training = small_training(base, base)
    training = dataclasses.replace(training, model=dataclasses.replace(load_model(base).config, dropout=0.0))
    shown = compare(small, finetuning, training)
    for name in ("before", "fine-tuned, full, --lm-loss 0.5", "--init, 20% old text"):
        assert f"| {name} |" in shown
    found = json.loads((small.out / "results.json").read_text(encoding="utf-8"))
    results = found["results"]
    assert 0 < found["floor"] < results["before"]["loss"]
    assert len({of["loss"] for of in results.values()}) == 3
    assert results["--init, 20% old text"]["new_loss"] < results["before"]["new_loss"]
    assert (small.out / "forgetting.png").is_file()
    monkeypatch.setattr(forgetting, "measure_old", None)  # what is finished is not done again
    assert compare(small, finetuning, training) == shown
    with pytest.raises(UserError, match="other settings"):
        compare(dataclasses.replace(small, seed=1), finetuning, training)
