"""Requests that nobody would write. Whatever comes, the answer is one that /openapi.json describes, and never 500.

The suite tries a few. For more: GPT_FUZZ=20000 python -m pytest tests/serving/test_fuzz.py
"""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

httpx = pytest.importorskip("httpx")
api = pytest.importorskip("gpt.serving.api", reason="serving needs requirements/serve.txt")
EXAMPLES = int(os.environ.get("GPT_FUZZ", "150"))
MODELS = ["writer", "answerer", "labeller", "number"]

# Any JSON: also lone surrogates, control characters, numbers beyond all bounds.
text = st.text(st.characters(), max_size=12) | st.sampled_from(["user", "assistant", "<|endoftext|>", "the cat", ""])
scalar = st.none() | st.booleans() | st.integers() | st.integers(-2, 40) | st.floats() | st.floats(-1, 3) | text
any_json = st.recursive(scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
messages = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "x"]), "content": any_json}))
likely = {
    "model": st.sampled_from(MODELS),
    "prompt": text | st.lists(text, max_size=3) | st.lists(st.integers(-1, 300), max_size=40),
    "messages": messages,
    "input": text | st.lists(text, max_size=3),
    "max_tokens": st.integers(-1, 40),
    "n": st.integers(0, 4),
    "stop": text | st.lists(text, max_size=3),
    "seed": st.integers(-1, 2**64),
    "stream": st.booleans(),
    "echo": st.booleans(),
    "logprobs": st.integers(-1, 22) | st.booleans(),
    "top_logprobs": st.integers(-1, 22),
    "temperature": st.floats(-0.1, 3) | st.just(0),
    "top_p": st.floats(-0.1, 1.1),
    "stream_options": st.just({"include_usage": True}),
}
PATHS = {
    "/v1/completions": api.COMPLETION_FIELDS,
    "/v1/chat/completions": api.CHAT_FIELDS,
    "/v1/classify": api.CLASSIFY_FIELDS,
}


@st.composite
def requests(draw):
    """(Path, body): mostly fields that exist, with likely values and with wild ones."""
    path = draw(st.sampled_from(list(PATHS)))
    known = sorted(PATHS[path])
    body = {"model": draw(likely["model"])}
    for name in draw(st.lists(st.sampled_from(known), unique=True)):
        body[name] = draw(likely.get(name, any_json) if draw(st.integers(0, 9)) else any_json)
    needed = {"/v1/completions": "prompt", "/v1/chat/completions": "messages", "/v1/classify": "input"}[path]
    body.setdefault(needed, draw(likely[needed]))
    if draw(st.integers(0, 9)) == 0:
        body[draw(text)] = draw(any_json)
    body.setdefault("max_tokens", 5) if path != "/v1/classify" else None
    return path, body


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests())
def test_whatever_is_asked_the_answer_is_one_that_is_described(client, request):
    path, body = request
    description = json.loads(api.DESCRIPTION.read_text(encoding="utf-8"))
    described = description["paths"][path]["post"]["responses"]
    answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert str(answer.status_code) in described and answer.status_code < 500, answer.text
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert isinstance(error["message"], str) and error["message"] and "\n" not in error["message"]
    elif body.get("stream"):
        assert answer.text.endswith("data: [DONE]\n\n") and '"error"' not in answer.text
    else:
        content = answer.json()
        schema = described["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert set(description["components"]["schemas"][schema]["required"]) <= set(content)
        for choice in content.get("choices", []):
            assert choice["finish_reason"] in ("stop", "length")
