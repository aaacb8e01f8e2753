"""The run folder's own files."""

import dataclasses
import json
import re
import tomllib

import pytest

from gpt.errors import UserError
from gpt.files.checkpoint import load_resume, save_resume
from gpt.running.run_folder import project_version, read_metrics
from tests.helpers import ROOT, small_training
from train import train


def test_the_version_of_the_project_stands_in_the_settings_and_in_the_checkpoint(corpus, tmp_path):
    config = small_training(corpus, tmp_path / "run")
    train(config)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version) and project_version() == version
    assert json.loads((config.out / "train_config.json").read_text(encoding="utf-8"))["version"] == version
    assert load_resume(config.out / "resume.pt")["version"] == version


def test_a_run_older_than_a_setting_goes_on_with_its_default(corpus, tmp_path):
    config = small_training(corpus, tmp_path / "run")
    train(config)
    state = load_resume(config.out / "resume.pt")
    settings = json.loads(state["config"])
    del settings["objective"], settings["model"]["causal"]
    save_resume(state | {"config": json.dumps(settings)}, config.out / "resume.pt")
    with pytest.raises(UserError, match="objective was causal and is now masked"):
        train(dataclasses.replace(config, resume=True, objective="masked"))
    train(dataclasses.replace(config, resume=True))


@pytest.mark.parametrize("rest", [b'{"step": 9, "sample": "\xe7\x8c', b"{}\n", b"5\n", b'{"step": "nine"}\n'])
def test_what_is_no_row_ends_the_metrics(tmp_path, rest):
    good = [{"step": 4, "train_loss": 1.0}, {"step": 8, "sample": "猫"}]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in good).encode()
    (tmp_path / "metrics.jsonl").write_bytes(data + rest)
    assert read_metrics(tmp_path) == good


def test_a_checkpoint_without_weights_is_refused(corpus, tmp_path):
    config = small_training(corpus, tmp_path / "run")
    train(config)
    state = load_resume(config.out / "resume.pt")
    del state["weights"]
    save_resume(state, config.out / "resume.pt")
    with pytest.raises(UserError, match="not written by this version"):
        train(dataclasses.replace(config, resume=True))


def test_overwrite_replaces_a_run_and_nothing_else(corpus, tmp_path):
    config = dataclasses.replace(small_training(corpus, tmp_path / "run"), overwrite=True)
    config.out.mkdir()
    (config.out / "config.json").write_text("of another program", encoding="utf-8")
    with pytest.raises(UserError, match=r"something else \(config.json\)"):
        train(config)
    assert (config.out / "config.json").read_text(encoding="utf-8") == "of another program"
    (config.out / "config.json").unlink()
    (config.out / "notes.txt").write_text("the user's", encoding="utf-8")
    train(config)
    train(config)
    assert (config.out / "notes.txt").read_text(encoding="utf-8") == "the user's"
    with pytest.raises(UserError, match="leave one of them out"):
        train(dataclasses.replace(config, resume=True))
