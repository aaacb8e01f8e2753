"""Requests that schemathesis makes of /openapi.json: no answer may be 500, or differ from what is described there.

Not among the requirements: its plugin would load in every run of pytest, and does not wholly fit pytest 9.2 (4.32). So
pip install schemathesis first; for more than a few requests:
GPT_FUZZ=300 python -m pytest tests/serving/test_schemathesis.py
"""

import json
import os

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="it needs schemathesis (pip install schemathesis)")
api = pytest.importorskip("gpt.serving.api", reason="serving needs requirements/serve.txt")
hypothesis = pytest.importorskip("hypothesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
MODELS = {"Completion": ["writer"], "Chat": ["answerer"], "Classify": ["labeller", "number"], "Inspect": ["writer"]}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.negative_data_rejection,
]


DESCRIPTION = json.loads(api.DESCRIPTION.read_text(encoding="utf-8"))
for name, models in MODELS.items():  # those that are served, or hardly any request would find one
    DESCRIPTION["components"]["schemas"][name]["properties"]["model"] = {"enum": models}
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
OPERATIONS = [(path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_one_that_is_described(server, path, method):
    operation = SCHEMA[path][method]
    right, wrong = (operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode)

    @hypothesis.settings(max_examples=int(os.environ.get("GPT_FUZZ", "10")), deadline=None)
    @hypothesis.given(case=right | wrong if method == "post" else right)
    def check(case):
        case.call_and_validate(base_url=server.url, checks=CHECKS)

    check()
