"""The client that people use, against a real server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.conftest import serving

openai = pytest.importorskip("openai", reason="it stands in requirements/dev.txt")
KEY = "a-key-of-more-than-16"
ASK = [{"role": "user", "content": "where is the cat?"}]


def connect(server, key=KEY):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=20)


@pytest.fixture(scope="module")
def locked(folders):
    with serving(folders[:2], key=KEY, rows=8, waiting=40) as server:
        yield server


@pytest.fixture(scope="module")
def openai_client(locked):
    with connect(locked) as client:
        yield client


def test_models_completions_and_chat(openai_client):
    assert [model.id for model in openai_client.models.list()] == ["writer", "answerer"]
    assert openai_client.models.retrieve("writer").id == "writer"
    done = openai_client.completions.create(model="writer", prompt="the cat", max_tokens=8, seed=1, logprobs=2)
    assert done.usage.completion_tokens == 8 and done.choices[0].finish_reason == "length"
    assert len(done.choices[0].logprobs.token_logprobs) == 8
    chat = openai_client.chat.completions.create(model="answerer", messages=ASK, max_completion_tokens=8, seed=1)
    assert chat.choices[0].message.role == "assistant" and chat.choices[0].message.content
    assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens


def test_streams_are_the_same_text(openai_client):
    ask = {"model": "answerer", "messages": ASK, "max_tokens": 12, "seed": 2, "n": 2, "logprobs": True}
    whole = openai_client.chat.completions.create(**ask, top_logprobs=3)
    texts, logprobs = ["", ""], [[], []]
    for chunk in openai_client.chat.completions.create(
        **ask, top_logprobs=3, stream=True, stream_options={"include_usage": True}
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            logprobs[choice.index] += choice.logprobs.content if choice.logprobs else []
        usage = chunk.usage
    assert texts == [choice.message.content for choice in whole.choices] and usage == whole.usage
    for choice, streamed in zip(whole.choices, logprobs, strict=True):
        assert choice.logprobs.content == streamed and len(streamed) > 3
        assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in streamed)
        spelled = b"".join(bytes(token.bytes) for token in streamed).decode(errors="replace")
        assert spelled.startswith(texts[choice.index])


def test_our_own_settings_go_into_extra_body(openai_client):
    greedy = openai_client.completions.create(model="writer", prompt="the", max_tokens=9, temperature=0)
    also = openai_client.completions.create(model="writer", prompt="the", max_tokens=9, extra_body={"top_k": 1})
    assert also.choices[0].text == greedy.choices[0].text


@pytest.mark.parametrize("key", ["wrong-key-of-16-chars", KEY[:-1], KEY + "x", "Bearer"])
def test_a_wrong_key_is_an_authentication_error(locked, key):
    with connect(locked, "x") as client, pytest.raises(openai.AuthenticationError, match="key is missing or wrong"):
        client.models.list(extra_headers={"Authorization": f"Bearer {key}"})


def test_mistakes_are_the_errors_that_the_client_knows(openai_client):
    with pytest.raises(openai.BadRequestError, match="max_tokens must be a whole number from 0 to 2,048"):
        openai_client.completions.create(model="writer", prompt="the", max_tokens=10**6)
    with pytest.raises(openai.BadRequestError, match="context"):
        openai_client.completions.create(model="writer", prompt="xy " * 30)
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'"):
        openai_client.chat.completions.create(model="gpt-4", messages=ASK)
    with pytest.raises(openai.BadRequestError, match="continues texts"):
        openai_client.chat.completions.create(model="writer", messages=ASK)


def test_thirty_students_at_once_get_what_each_gets_alone(openai_client):
    def ask(seed):
        done = openai_client.completions.create(
            model="writer", prompt="the cat"[: 1 + seed % 7], max_tokens=30, seed=seed
        )
        return done.choices[0].text

    alone = [ask(seed) for seed in range(30)]
    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(ask, range(30))) == alone
    assert len(set(alone)) == 30


def test_a_failed_stream_raises_in_the_client(openai_client, monkeypatch):
    from gpt.serving.rows import RowDecoder

    def fail(*_):
        raise RuntimeError("no memory")

    monkeypatch.setattr(RowDecoder, "advance", fail)
    stream = openai_client.completions.create(model="writer", prompt="the", max_tokens=9, stream=True)
    with pytest.raises(openai.APIError, match="the server failed"):
        list(stream)
