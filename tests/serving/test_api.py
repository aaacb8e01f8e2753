"""The interface, by plain HTTP: what every path answers, and what it says to a mistake."""

import json
import math

import pytest

from gpt.fast.batch import generate_with_cache
from gpt.files.checkpoint import load_model
from gpt.generate import score
from gpt.running.device import pick_machine
from tests.serving.conftest import TOKENIZER

requests = pytest.importorskip("gpt.serving.requests", reason="serving needs requirements/serve.txt")
HELLO = {"model": "writer", "prompt": "the cat", "seed": 3, "max_tokens": 12}
ASK = {"model": "answerer", "messages": [{"role": "user", "content": "where is the cat?"}], "seed": 3, "max_tokens": 9}


def post(client, path, body, status=200):
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def complete(client, **fields):
    return post(client, "/v1/completions", HELLO | fields)


def events(client, path, body):
    """The chunks of a stream, which must end as OpenAI's do."""
    with client.stream("POST", path, json=body | {"stream": True}) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def complain(client, path, body, status=400):
    error = post(client, path, body, status)["error"]
    assert set(error) == {"message", "type", "param", "code"} and "\n" not in error["message"]
    return error["message"]


def test_models_are_listed_by_the_names_of_their_folders(client):
    kinds = {model["id"]: model["kind"] for model in client.get("/v1/models").json()["data"]}
    assert kinds == {"writer": "language model", "answerer": "answers", "labeller": "labels", "number": "labels"}
    assert client.get("/v1/models/writer").json()["context_length"] == 32
    assert client.get("/v1/models/other").status_code == 404


def test_a_completion_is_the_text_of_sample_py(client, folders):
    model = load_model(folders[0])
    settings = {"temperature": 0.8, "top_k": 20}
    text = complete(client, max_tokens=50, **settings)["choices"][0]["text"]
    tokens = generate_with_cache(model, TOKENIZER.encode("the cat"), 50, 3, TOKENIZER.end_of_text, **settings)
    assert text.rstrip("\ufffd") == TOKENIZER.decode(tokens).rstrip("\ufffd") and len(text) > 20


def test_a_stream_adds_up_to_the_whole(client):
    for fields in ({}, {"logprobs": 2, "n": 2, "echo": True}, {"stop": ["a", "e"]}, {"prompt": ["the", "a 猫"]}):
        whole = complete(client, **fields)["choices"]
        chunks = events(client, "/v1/completions", HELLO | fields)
        for i, choice in enumerate(whole):
            parts = [part for chunk in chunks for part in chunk["choices"] if part["index"] == i]
            assert "".join(part["text"] for part in parts) == choice["text"]
            assert [part["finish_reason"] for part in parts if part["finish_reason"]] == [choice["finish_reason"]]
            if "logprobs" in fields:
                for key, value in choice["logprobs"].items():
                    assert [each for part in parts if part["logprobs"] for each in part["logprobs"][key]] == value
                assert len(choice["logprobs"]["tokens"]) == len(choice["logprobs"]["text_offset"]) > 2


def test_texts_of_one_request_have_seeds_of_their_own_that_count_up(client):
    both = complete(client, n=2)["choices"]
    alone = [complete(client, seed=seed)["choices"][0] for seed in (3, 4)]
    assert [c["text"] for c in both] == [c["text"] for c in alone] and both[0]["text"] != both[1]["text"]
    free = {complete(client, seed=None)["choices"][0]["text"] for _ in range(3)}
    assert len(free) > 1  # without a seed chance decides


def test_usage_counts_prompts_once_and_every_token_that_was_written(client):
    usage = complete(client, n=3, prompt=["the cat", "a"], max_tokens=4, temperature=0)["usage"]
    assert usage["prompt_tokens"] == len(TOKENIZER.encode("the cat")) + 1
    assert usage["completion_tokens"] == 24 and usage["total_tokens"] == 24 + usage["prompt_tokens"]
    last = events(client, "/v1/completions", HELLO | {"stream_options": {"include_usage": True}})[-1]
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 12


def test_echo_with_no_new_tokens_scores_a_text(client, folders):
    text = "the cat 猫 sat"
    choice = complete(client, prompt=text, max_tokens=0, echo=True, logprobs=1)["choices"][0]
    expected = score(load_model(folders[0]), TOKENIZER.encode(text), 1)
    assert choice["text"] == text and choice["finish_reason"] == "length"
    logprobs = choice["logprobs"]["token_logprobs"]
    assert logprobs[0] is None and logprobs[1:] == pytest.approx([c.logprob for c in expected], abs=1e-4)
    places = choice["logprobs"]["text_offset"]
    for place, token in zip(places, choice["logprobs"]["tokens"], strict=True):
        assert token.startswith("bytes:") or text[place : place + len(token)] == token


def test_tokens_may_be_the_prompt(client):
    text = complete(client)["choices"][0]["text"]
    tokens = TOKENIZER.encode("the cat")
    assert complete(client, prompt=tokens)["choices"][0]["text"] == text
    assert complete(client, prompt=[tokens, [5]])["choices"][0]["text"] == text
    assert complete(client, prompt=tokens, echo=True)["choices"][0]["text"] == "the cat" + text


def test_every_token_that_a_client_sends_has_its_place_in_the_logprobs(client, folders):
    """The mark of a document's beginning is the client's if it sent it, and not if it was put before its text."""
    tokens = [TOKENIZER.end_of_text, *TOKENIZER.encode("the cat")]
    expected = pytest.approx([choice.logprob for choice in score(load_model(folders[1]), tokens, 0)], abs=1e-4)
    ask = {"model": "answerer", "max_tokens": 0, "echo": True, "logprobs": 1}
    sent = complete(client, **ask, prompt=tokens)["choices"][0]
    assert sent["text"] == "<|endoftext|>the cat" and sent["logprobs"]["tokens"][0] == "<|endoftext|>"
    assert sent["logprobs"]["token_logprobs"][0] is None and sent["logprobs"]["token_logprobs"][1:] == expected
    text = complete(client, **ask, prompt="the cat")["choices"][0]
    assert text["text"] == "the cat" and text["logprobs"]["token_logprobs"] == expected


def test_the_token_that_ends_a_text_is_in_the_logprobs_and_not_in_the_text():
    from gpt.generate import Choice
    from gpt.serving.engine import Piece
    from gpt.serving.replies import CompletionReply

    limits, fields = requests.Limits(), HELLO | {"logprobs": 0}
    writing, given, echo = requests.Fields(fields, requests.COMPLETION_FIELDS).completion(limits)
    reply = CompletionReply(writing, TOKENIZER, [[1]], given, echo)
    reply.add(0, Piece(prompt=()))
    reply.add(0, Piece(choice=Choice(TOKENIZER.end_of_text, -0.5), finish="stop"))
    [choice] = reply.whole()["choices"]
    assert choice["text"] == "" and choice["logprobs"]["token_logprobs"] == [-0.5]
    assert choice["logprobs"]["tokens"] == ["<|endoftext|>"] and choice["logprobs"]["text_offset"] == [
        1
    ]  # after the prompt


def test_end_of_text_and_control_characters_in_a_prompt_are_text(client):
    for prompt in ("<|endoftext|>", "\x00\x1b[31m\r\n\x7f", "\ud83d", "猫🐱"):
        body = json.dumps(HELLO | {"prompt": prompt, "echo": True, "max_tokens": 1})
        answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"}).json()
        shown = prompt.replace("\ud83d", "\ufffd")  # half an emoji is no character
        assert answer["choices"][0]["text"].startswith(shown)
        assert answer["usage"]["prompt_tokens"] == len(TOKENIZER.encode(shown)) > 1


def test_an_empty_prompt_begins_a_document(client):
    assert complete(client, prompt="")["usage"]["prompt_tokens"] == 1


def test_a_stream_never_breaks_a_character(client):
    chunks = events(client, "/v1/completions", HELLO | {"max_tokens": 200, "temperature": 3, "prompt": "猫"})
    pieces = [chunk["choices"][0]["text"] for chunk in chunks]
    whole = complete(client, max_tokens=200, temperature=3, prompt="猫")["choices"][0]["text"]
    assert "".join(pieces) == whole and len(pieces) > 20


def test_a_chat_is_answered_as_finetune_predict_would(client, folders):
    from gpt.files.tokenizer_files import load_tokenizer
    from gpt.finetuning.conversations import Conversation
    from gpt.finetuning.written import write_answers

    model, tokenizer = load_model(folders[1]), load_tokenizer(folders[1])
    conversation = Conversation((("cat?", "mat"), ("the?", "")))
    messages = [{"role": "user", "content": "cat?"}, {"role": "assistant", "content": "mat"}]
    messages.append({"role": "user", "content": [{"type": "text", "text": "the"}, {"type": "text", "text": "?"}]})
    body = {"model": "answerer", "messages": messages, "temperature": 0}
    choice = post(client, "/v1/chat/completions", body)["choices"][0]
    [expected] = write_answers(model, tokenizer, [conversation], pick_machine("cpu", plain=True), room=8)
    if choice["finish_reason"] == "stop":  # else predict would answer again, with less of the prompt
        assert choice["message"]["content"].strip() == expected
    assert choice["message"]["role"] == "assistant"
    chunks = events(client, "/v1/chat/completions", body)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert streamed == choice["message"]["content"]


def test_a_long_conversation_loses_its_beginning(client):
    """The context holds 32 tokens, of which 8 are for the answer."""
    turns = [{"role": role, "content": f"{i} the cat"} for i in range(50) for role in ("user", "assistant")][:-1]
    usage = post(client, "/v1/chat/completions", ASK | {"messages": turns})["usage"]
    assert usage["prompt_tokens"] == 32 - 8
    newest = post(client, "/v1/chat/completions", ASK | {"messages": turns[-21:]})
    assert newest["choices"] == post(client, "/v1/chat/completions", ASK | {"messages": turns})["choices"]


def test_labels_are_those_of_finetune_predict_however_many_texts_come_together(client, folders):
    from gpt.finetuning.labelling import label_texts

    texts = ["the cat", "a mat 猫", "x" * 500, "<|endoftext|>"]
    labels, expected = label_texts((folders[2],), texts, pick_machine("cpu", plain=True))
    data = post(client, "/v1/classify", {"model": "labeller", "input": texts})["data"]
    for answer, row in zip(data, expected.tolist(), strict=True):
        assert answer["probabilities"] == pytest.approx(dict(zip(labels, row, strict=True)), abs=1e-5)
        assert answer["label"] == labels[row.index(max(row))]
    alone = [post(client, "/v1/classify", {"model": "labeller", "input": text})["data"][0] for text in texts]
    assert [a["probabilities"] for a in alone] == [a["probabilities"] for a in data]  # to the last bit


def test_a_regression_model_answers_with_a_number(client):
    [answer] = post(client, "/v1/classify", {"model": "number", "input": ["the cat"]})["data"]
    assert set(answer) == {"index", "score"} and math.isfinite(answer["score"])


def test_a_path_as_the_name_of_a_model_finds_nothing(client, folders):
    for name in (str(folders[0]), "../writer", "writer/", "", "./writer", "WRITER", "\x00", "writer\n"):
        assert "there is no model" in complain(client, "/v1/completions", HELLO | {"model": name}, 404)
    for path in ("/v1/models/..%2fwriter", "/v1/models/%2e%2e/writer", "/../../etc/passwd"):
        assert client.get(path).status_code == 404


def test_chat_with_a_model_that_only_continues_says_what_to_use(client):
    assert "/v1/completions" in complain(client, "/v1/chat/completions", ASK | {"model": "writer"})
    assert "/v1/classify" in complain(client, "/v1/chat/completions", ASK | {"model": "labeller"})
    assert "/v1/classify" in complain(client, "/v1/completions", HELLO | {"model": "labeller"})
    assert "/v1/completions" in complain(client, "/v1/classify", {"model": "writer", "input": "x"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": 5}, "model must be a text"),
        ({"prompt": 5}, "prompt must be"),
        ({"prompt": []}, "not empty"),
        ({"prompt": [[]]}, "prompt is empty"),
        ({"prompt": [1, "a"]}, "prompt must be"),
        ({"prompt": [10**9]}, "vocabulary"),
        ({"prompt": [-1]}, "vocabulary"),
        ({"prompt": "xy " * 30}, "context holds 32"),
        ({"prompt": "猫" * 5000}, "far too long"),
        ({"max_tokens": -1}, "max_tokens must be a whole number from 0 to 2,048"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"n": 0}, "n must be"),
        ({"n": 33}, "n must be"),
        ({"n": 17, "prompt": ["a", "b"]}, "at most 32"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature must be a number"),
        ({"top_p": 0}, "top-p"),
        ({"top_p": 2}, "top-p"),
        ({"top_k": 0}, "top_k"),
        ({"min_p": 2}, "min-p"),
        ({"repetition_penalty": 0}, "repetition"),
        ({"repetition_penalty": 1e-300}, "from 0.01 to 100"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**70}, "seed"),
        ({"stop": ""}, "stop string"),
        ({"stop": ["x"] * 17}, "stop must be"),
        ({"stop": "x" * 201}, "stop"),
        ({"logprobs": 21}, "logprobs"),
        ({"stream": "yes"}, "stream must be true or false"),
        ({"stream_options": 3}, "stream_options"),
        ({"echo": 1}, "echo"),
        ({"tools": [{}]}, "'tools' is not supported"),
        ({"frequency_penalty": 0.5}, "not supported"),
        ({"temprature": 1}, "'temprature' is not known here"),
    ],
)
def test_a_field_that_does_not_do_is_named(client, fields, message):
    assert message in complain(client, "/v1/completions", HELLO | fields)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (None, "at least one message"),
        ([], "at least one message"),
        ("hi", "at least one message"),
        ([5], "turn 1"),
        ([{"role": "system", "content": "be kind"}], '"user"'),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "the last turn must be the user"),
        ([{"role": "user", "content": " "}], "message is empty"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "text alone"),
        ([{"role": "user", "content": [5]}], "text alone"),
        ([{"role": "user"}], "turn 1"),
    ],
)
def test_messages_that_are_no_conversation_are_refused(client, messages, message):
    assert message in complain(client, "/v1/chat/completions", ASK | {"messages": messages})


def test_values_that_change_nothing_are_taken(client):
    neutral = {"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "user": "me", "suffix": None}
    assert complete(client, **neutral)["choices"] == complete(client)["choices"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"temperature": NaN}', "NaN"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 50_000, "not JSON"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_a_body_that_is_no_object_is_refused(client, body, message):
    answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and message in answer.json()["error"]["message"]


def test_half_a_character_in_an_error_is_no_failure(client):
    body = json.dumps(ASK | {"messages": [{"role": "\ud800", "content": "x"}]})  # as escapes, which are ASCII
    answer = client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and "turn 1" in answer.json()["error"]["message"]


def test_extreme_settings_are_taken_for_what_they_come_to(client):
    greedy = complete(client, temperature=0)["choices"][0]["text"]
    for settings in ({"top_p": 1e-300}, {"temperature": 1e-6}, {"min_p": 1}, {"top_k": 1}):
        assert complete(client, **settings)["choices"][0]["text"] == greedy
    complete(client, temperature=1e20)


def test_other_paths_methods_and_types_are_refused_in_the_same_shape(client):
    assert client.get("/nothing").status_code == 404 and client.get("/nothing").json()["error"]["type"]
    wrong = client.get("/v1/completions")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST" and wrong.json()["error"]["message"]
    form = client.post("/v1/completions", data={"model": "writer"})
    assert form.status_code == 415 and "application/json" in form.json()["error"]["message"]


def test_the_description_names_the_paths_and_fields_that_there_are(client, server):
    description = client.get("/openapi.json").json()
    assert set(description["paths"]) == set(server.gate.paths)
    fields = {name: set(schema.get("properties", ())) for name, schema in description["components"]["schemas"].items()}
    assert fields["Completion"] == requests.COMPLETION_FIELDS
    assert fields["Chat"] == requests.CHAT_FIELDS and fields["Classify"] == requests.CLASSIFY_FIELDS
