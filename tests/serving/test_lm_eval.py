"""The harness that papers quote (lm_eval), on a task of our own: through the server it measures what `hf` does, and
both what gpt/generate.py does. It is heavy, so it stands in no file of requirements: pip install "lm_eval[api]"."""

import json

import pytest

from gpt.files.checkpoint import load_model
from gpt.generate import score
from tests.serving.conftest import TOKENIZER

lm_eval = pytest.importorskip(
    "lm_eval", reason='it measures the server where it is installed: pip install "lm_eval[api]"'
)
TEXTS = ["the cat sat on the mat", "a mat, a cat; the cat sat", "猫 on the mat 🐱", "that sat"]
ROWS = [
    {"text": text, "before": "the cat", "choices": [" sat", " mat on"], "answer": i % 2} for i, text in enumerate(TEXTS)
]
LIKELIHOOD = """
task: whole_texts
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: bits_per_byte
"""
CHOICE = """
task: two_endings
output_type: multiple_choice
doc_to_text: "{{before}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
target_delimiter: ""
metric_list:
  - metric: acc
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A folder with both tasks and their data, from which alone the harness reads."""
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "none is needed")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    data = (
        f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {tmp_path / 'rows.jsonl'}\ntest_split: test\n"
    )
    for name, task in (("whole_texts", LIKELIHOOD), ("two_endings", CHOICE)):
        (tmp_path / f"{name}.yaml").write_text(task + data, encoding="utf-8")
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


def measure(tasks, kind, **settings):
    """The log-likelihoods of all texts, and of all endings."""
    names = ["whole_texts", "two_endings"]
    results = lm_eval.simple_evaluate(kind, settings, tasks=names, task_manager=tasks, batch_size=1, bootstrap_iters=0)
    whole, endings = ([sample["resps"] for sample in results["samples"][name]] for name in names)
    return [float(one[0][0]) for one in whole], [float(one[0][0]) for both in endings for one in both]


def test_the_harness_measures_the_same_through_the_server_and_without_it(server, folders, tasks):
    address = f"{server.url}/v1/completions"
    ours = measure(
        tasks, "local-completions", model="writer", base_url=address, tokenizer=str(folders[0]),
        tokenizer_backend="huggingface", max_length=32, num_concurrent=2,
    )  # fmt: skip
    peers = measure(
        tasks, "hf", pretrained=str(folders[0]), device="cpu", dtype="float32", max_length=32,
        add_bos_token=False,  # the harness itself puts the mark of the beginning before a text, and one is enough
    )  # fmt: skip
    assert ours[0] == pytest.approx(peers[0], abs=1e-3) and ours[1] == pytest.approx(peers[1], abs=1e-3)
    model = load_model(folders[0])
    expected = [sum(c.logprob for c in score(model, [TOKENIZER.end_of_text, *TOKENIZER.encode(t)], 0)) for t in TEXTS]
    assert ours[0] == pytest.approx(expected, abs=1e-3)
