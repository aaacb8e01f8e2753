"""What the page asks beside texts: every number is the model's own."""

import json
import math

import pytest
import torch

from data.world import stories
from data.world.by_sentence import judge_by_sentence
from gpt.errors import UserError
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.prefix import add_prefix
from gpt.finetuning.saved import load_fine_tuned
from gpt.generate import score
from gpt.inside.interpret import gradient_times_input, logit_lens, trace
from tests.helpers import random_model
from tests.serving.conftest import TOKENIZER
from tests.serving.test_api import complain, post

inspect = pytest.importorskip("gpt.serving.inspect", reason="serving needs requirements/serve.txt")
TEXT = "the cat 猫 sat"
TOKENS = TOKENIZER.encode(TEXT)


@pytest.fixture(scope="module")
def writer(folders):
    return load_model(folders[0])


def test_tokens_come_with_their_ids_and_log_probabilities(client, writer):
    answer = post(client, "/inspect/tokens", {"model": "writer", "prompt": TEXT})
    assert [token["id"] for token in answer["tokens"]] == TOKENS
    assert answer["logprobs"][0] is None
    assert answer["logprobs"][1:] == pytest.approx([choice.logprob for choice in score(writer, TOKENS)], abs=1e-3)
    assert answer["end_of_text"] == TOKENIZER.end_of_text and answer["context_length"] == 32
    assert answer == post(client, "/inspect/tokens", {"model": "writer", "prompt": TOKENS})


def test_a_prompt_that_spells_a_special_token_or_html_is_text(client):
    for prompt in ("<|endoftext|>", "<script>alert(1)</script>", "\x00\u202e\ud83d"):
        body = json.dumps({"model": "writer", "prompt": prompt})  # half an emoji in escapes, which are ASCII
        answer = client.post("/inspect/tokens", content=body, headers={"content-type": "application/json"}).json()
        ids = [token["id"] for token in answer["tokens"]]
        assert TOKENIZER.end_of_text not in ids and TOKENIZER.decode(ids) == prompt.replace("\ud83d", "\ufffd")


def test_an_empty_prompt_is_the_beginning_of_a_document(client):
    answer = post(client, "/inspect/tokens", {"model": "writer", "prompt": ""})
    assert [token["id"] for token in answer["tokens"]] == [TOKENIZER.end_of_text] and answer["logprobs"] == [None]


def test_a_model_that_answers_reads_a_text_as_a_question(client, server):
    answer = post(client, "/inspect/tokens", {"model": "answerer", "prompt": "the cat?"})
    expected = server.served["answerer"].encode_messages([{"role": "user", "content": "the cat?"}])
    assert [token["id"] for token in answer["tokens"]] == expected


def test_the_next_token_has_the_whole_distribution_best_first(client, writer):
    answer = post(client, "/inspect/next", {"model": "writer", "prompt": TOKENS})
    expected = writer(torch.tensor([TOKENS]))[0, -1].log_softmax(-1)
    values, ids = expected.sort(descending=True)
    assert answer["logprobs"] == pytest.approx(values.tolist(), abs=1e-3)
    assert sum(map(math.exp, answer["logprobs"])) == pytest.approx(1, abs=1e-3)
    assert [token["id"] for token in answer["tokens"]] == ids[: inspect.NUM_NAMED].tolist()


def test_layers_are_the_logit_lens(client, writer):
    token = TOKENS[0]
    layers = post(client, "/inspect/next", {"model": "writer", "prompt": TOKENS, "token": token})["layers"]
    lens = logit_lens(writer, TOKENS)[:, -1]  # (L + 1, V)
    assert len(layers) == len(lens) == 4
    for layer, expected in zip(layers, lens, strict=True):
        values, ids = expected.topk(3)
        assert [each["id"] for each in layer["tokens"]] == ids.tolist()
        assert layer["logprobs"] == pytest.approx(values.tolist(), abs=1e-3)
        assert layer["token_logprob"] == pytest.approx(float(expected[token]), abs=1e-3)
    assert post(client, "/inspect/next", {"model": "writer", "prompt": TOKENS})["layers"][0]["token_logprob"] is None


def test_attention_is_the_last_row_of_every_head(client, writer):
    attention = torch.tensor(post(client, "/inspect/attention", {"model": "writer", "prompt": TOKENS})["attention"])
    torch.testing.assert_close(attention, trace(writer, TOKENS)[1][:, :, -1], atol=1e-3, rtol=0)


def test_the_attention_of_a_model_with_a_prefix_is_not_made_up():
    model = random_model("rotary")
    add_prefix(model, 2)
    with pytest.raises(UserError, match="prefix"):
        inspect.inspect_attention(model, [1, 2, 3])


def test_looking_does_not_disturb_the_text_that_is_being_written(client):
    hello = {"model": "writer", "prompt": "the cat", "seed": 3, "max_tokens": 60}
    expected = post(client, "/v1/completions", hello)["choices"][0]["text"]
    seen = ""
    with client.stream("POST", "/v1/completions", json=hello | {"stream": True}) as answer:
        for line in answer.iter_lines():
            post(client, "/inspect/attention", {"model": "writer", "prompt": TOKENS})
            seen += line
    whole = post(client, "/v1/completions", hello)["choices"][0]["text"]
    assert whole == expected and seen.count("data: ") > 20


def test_a_stream_names_tokens_so_that_a_client_can_go_on_from_any(client):
    hello = {"model": "writer", "prompt": "the cat", "seed": 3, "max_tokens": 12, "temperature": 0, "logprobs": 0}
    choice = post(client, "/v1/completions", hello)["choices"][0]
    ids = choice["logprobs"]["token_ids"]
    assert TOKENIZER.decode(ids) == choice["text"] and len(ids) == 12
    again = post(client, "/v1/completions", hello | {"prompt": TOKENIZER.encode("the cat") + ids[:5], "max_tokens": 7})
    assert again["choices"][0]["logprobs"]["token_ids"] == ids[5:]


def test_a_label_comes_with_what_moved_it(client, folders):
    answer = post(client, "/inspect/label", {"model": "labeller", "input": TEXT})
    [usual] = post(client, "/v1/classify", {"model": "labeller", "input": TEXT})["data"]
    assert answer["label"] == usual["label"]
    assert answer["probabilities"] == pytest.approx(usual["probabilities"], abs=1e-3)
    model = load_fine_tuned(folders[2], torch.device("cpu"))
    best, other = model.labels.index(answer["label"]), model.labels.index(answer["other"])

    def lead():
        logits = model(torch.tensor([TOKENS]), torch.tensor([len(TOKENS)]))[0]
        return logits[best] - logits[other]

    moved = gradient_times_input(model.transformer.wte, lead)
    assert answer["moved"] == pytest.approx(moved.tolist(), abs=1e-3)
    assert [token["id"] for token in answer["tokens"]] == load_tokenizer(folders[2]).encode(TEXT)
    number = post(client, "/inspect/label", {"model": "number", "input": TEXT})
    assert math.isfinite(number["score"]) and "label" not in number and len(number["moved"]) == len(TOKENS)


def test_a_story_has_a_verdict_and_the_bits_of_the_model(client, writer):
    tokens = TOKENIZER.encode("the cat")
    answer = post(client, "/inspect/story", {"model": "writer", "prompt": tokens})
    nats = -sum(choice.logprob for choice in score(writer, [TOKENIZER.end_of_text, *tokens]))
    assert answer["model_bits"] == pytest.approx(nats / math.log(2), abs=1e-3)
    assert answer["bits"] is None and answer["sentences"] == [["the cat", False]] and answer["bytes"] == 7


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_true_story_is_right_in_every_sentence_and_has_its_floor(client, writer, language):
    story = next(stories(5, language))
    tokens = TOKENIZER.encode(story.text)[:512]
    verdict = judge_by_sentence(story.text)
    assert "".join(text for text, _ in verdict["sentences"]) == story.text
    assert all(right for _, right in verdict["sentences"]) and verdict["consistent"]
    assert verdict["bits"] == pytest.approx(story.bits)
    if TOKENIZER.decode(tokens) == story.text:  # the decision to end is part of it
        answer = post(client, "/inspect/story", {"model": "writer", "prompt": tokens})
        ends = [TOKENIZER.end_of_text]
        nats = -sum(choice.logprob for choice in score(writer, ends + tokens + ends))
        assert answer["model_bits"] == pytest.approx(nats / math.log(2), abs=1e-2)


def test_the_first_mistake_is_marked_and_nothing_after_it_is_judged():
    text = "Once upon a time, there was a shy fox named Emma. Emma liked chess best of all."
    assert [right for _, right in judge_by_sentence(text)["sentences"]] == [True, True]
    broken = judge_by_sentence(text + " Bla bla. Emma liked chess best of all.")
    assert [right for _, right in broken["sentences"]] == [True, True, False, None] and "Bla" in broken["reason"]
    denied = judge_by_sentence(text + " Lily went to the farm. Oh.")
    assert [right for _, right in denied["sentences"]] == [True, True, False, None] and "Lily" in denied["reason"]
    for nothing in ("", "\n", "猫", "\x00"):
        assert not any(right for _, right in judge_by_sentence(nothing)["sentences"])


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("tokens", {"model": "writer", "prompt": "xy " * 30}, "context holds 32"),
        ("tokens", {"model": "writer", "prompt": "猫" * 5000}, "far too long"),
        ("tokens", {"model": "writer", "prompt": ["a"]}, "prompt must be a text or a list of tokens"),
        ("story", {"model": "writer", "prompt": [[]]}, "prompt must be a text or a list of tokens"),
        ("attention", {"model": "writer", "prompt": [True]}, "prompt must be a text or a list of tokens"),
        ("next", {"model": "writer", "prompt": [10**9]}, "vocabulary"),
        ("next", {"model": "writer", "prompt": [1], "token": 10**9}, "vocabulary"),
        ("next", {"model": "writer", "prompt": [1], "token": "a"}, "token must be a whole number"),
        ("next", {"model": "writer", "prompt": [1], "layer": 1}, "'layer' is not known here"),
        ("story", {"model": "writer", "prompt": [1] * 513}, "at most 512"),
        ("next", {"model": "labeller", "prompt": "a"}, "/inspect/label"),
        ("label", {"model": "writer", "input": "a"}, "/inspect/tokens"),
        ("label", {"model": "labeller", "input": " "}, "no text to label"),
    ],
)
def test_mistakes_are_named(client, path, body, message):
    assert message in complain(client, f"/inspect/{path}", body)


def test_the_description_names_the_fields(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["Inspect"]["properties"]) == inspect.INSPECT_FIELDS


@pytest.mark.parametrize("path", ["tokens", "next", "attention", "story"])
def test_a_token_that_cannot_be_is_refused_also_where_it_is_not_looked_at(client, path):
    body = {"model": "writer", "prompt": TEXT, "token": -1}
    assert client.post(f"/inspect/{path}", json=body).status_code == 400
