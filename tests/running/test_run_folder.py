"""The run folder's own files."""

import json
import re
import tomllib

from gpt.files.checkpoint import load_resume
from gpt.running.run_folder import project_version
from tests.helpers import ROOT, small_training
from train import train


def test_the_version_of_the_project_stands_in_the_settings_and_in_the_checkpoint(corpus, tmp_path):
    config = small_training(corpus, tmp_path / "run")
    train(config)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version) and project_version() == version
    assert json.loads((config.out / "train_config.json").read_text(encoding="utf-8"))["version"] == version
    assert load_resume(config.out / "resume.pt")["version"] == version
