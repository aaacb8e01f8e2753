"""Spans in texts: what marks them, what finds them, and what it costs not to see what follows."""

import dataclasses
import json
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finetune import finetune
from gpt.dataset import IGNORED
from gpt.errors import UserError
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.found import find_spans
from gpt.finetuning.saved import kind_of, load_fine_tuned
from gpt.finetuning.tag_measures import look_up, measure_spans
from gpt.finetuning.tagged import Tagged, encode_with_places, read_tagged, spans_of, tag_names, tags_of
from gpt.finetuning.tagger import GPTTagger, loss_on_tags
from gpt.finetuning.tasks import load_task
from gpt.model import GPTConfig
from gpt.running.device import pick_machine
from gpt.tokenizer import Tokenizer
from tests.finetuning.test_answering import write_lines

CPU = pick_machine("cpu", "float32", "off")
BYTES = Tokenizer([])  # every byte is a token


def example(draw):
    """Names after "Dr" are people; the same words elsewhere are nothing."""
    words = ["Oak", "Elm", "Ash"]
    name, other = draw.choice(words), draw.choice(words)
    text = f"an {other} and Dr {name}."
    start = text.index("Dr ") + 3
    return {"text": text, "spans": [[start, start + 3, "PERSON"]]}


@pytest.fixture
def doctors(tmp_path, config):
    folder, draw = tmp_path / "doctors", random.Random(0)
    folder.mkdir()
    for split, count in (("train", 150), ("val", 30), ("test", 40)):
        write_lines(folder / f"{split}.jsonl", [example(draw) for _ in range(count)])
    return dataclasses.replace(
        config, task="tags", data=folder, out=tmp_path / "tagger", min_steps=160, learning_rate=1e-2,
        word_dropout=0.0, lm_loss=0.0,
    )  # fmt: skip


@pytest.mark.usefixtures("pictures")
def test_a_net_learns_to_find_spans_and_leaves_all_its_files(doctors, capsys):
    report = finetune(doctors)
    assert report["test"]["f1"] >= 0.95
    assert report["baselines"]["lookup"]["f1"] < 0.8  # it marks the trees, too
    assert "PERSON" in capsys.readouterr().out
    assert {"scores.png", "curve.png", "report.json"} <= {path.name for path in doctors.out.iterdir()}
    assert all((doctors.out / name).read_bytes().startswith(b"\x89PNG") for name in ("scores.png", "curve.png"))
    assert kind_of(doctors.out) == "tags"
    net, tokenizer = load_fine_tuned(doctors.out, "cpu"), load_tokenizer(doctors.out)
    assert find_spans(net, tokenizer, ["an Elm and Dr Ash."], CPU) == [((14, 17, "PERSON"),)]


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_transformers_gives_the_same_scores_to_every_token(corpus, tmp_path, position):
    from transformers import AutoModelForTokenClassification

    from gpt.finetuning.saved import save_tagger

    torch.manual_seed(0)
    net = GPTTagger(GPTConfig(300, 32, 2, 2, 32, position=position), ("O", "B-X", "I-X")).eval()
    torch.nn.init.normal_(net.classifier.bias)
    save_tagger(net, load_tokenizer(corpus), tmp_path)
    theirs = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    assert theirs.config.id2label == {0: "O", 1: "B-X", 2: "I-X"}
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, net(tokens), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(load_fine_tuned(tmp_path, "cpu")(tokens), net(tokens))


def test_an_adapter_of_a_tagger_finds_the_same(doctors):
    lora = dataclasses.replace(doctors, train="lora", min_steps=10, evaluations=1)
    finetune(lora)
    finetune(dataclasses.replace(lora, keep_adapter=True, out=lora.out / "adapter"))
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        whole, apart = (load_fine_tuned(folder, "cpu")(tokens) for folder in (lora.out, lora.out / "adapter"))
    torch.testing.assert_close(whole, apart, atol=1e-5, rtol=1e-4)


def test_padding_changes_no_span(doctors, base):
    """Texts of very different lengths, together and alone."""
    net, tokenizer = GPTTagger(load_model(base).config, ("O", "B-X", "I-X")), load_tokenizer(base)
    texts = ["a", "a much longer text than the first one", "你好 🙂", "b c"]
    together = find_spans(net, tokenizer, texts, CPU)
    assert together == [find_spans(net, tokenizer, [text], CPU)[0] for text in texts]
    assert any(together)


def test_the_loss_counts_real_tokens_only_and_every_text_alike():
    logits, targets = torch.randn(2, 5, 3), torch.tensor([[IGNORED, 0, 1, 2, 0], [IGNORED, 1, *[IGNORED] * 3]])
    losses = loss_on_tags(logits, targets)
    assert losses[1].item() == pytest.approx(-logits[1, 1].log_softmax(-1)[1].item(), abs=1e-6)
    mean = -sum(logits[0, t].log_softmax(-1)[targets[0, t]].item() for t in range(1, 5)) / 4
    assert losses[0].item() == pytest.approx(mean, abs=1e-6)


@pytest.fixture(scope="module")
def bpe(python_source):
    chinese = "小明在公园里找到了风筝。小美很高兴。" * 50
    return Tokenizer.train([python_source[:50_000], chinese], 600)


TEXTS = st.text(st.sampled_from("ab Z.\n小明é🙂👨‍👩‍👧"), min_size=1, max_size=40)


@given(text=TEXTS, data=st.data())
def test_tags_say_the_spans_they_were_made_from(text, data):
    """With a token for each byte, every span between whole words can be said, whatever the language."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    spans = tuple(
        (a, b, data.draw(st.sampled_from("XY")))
        for a, b in zip(cuts[::2], cuts[1::2], strict=False)
        if text[a:b].strip() == text[a:b] != ""
    )
    _, places = encode_with_places(BYTES, text)
    assert spans_of(tags_of(spans, places), places) == spans


def test_chinese_names_can_be_marked_although_bpe_joins_them_with_verbs(bpe):
    text = "小明在公园里找到了风筝。"
    assert len(bpe.encode(text)) < 6  # whole clauses are tokens
    ids, places = encode_with_places(bpe, text)
    spans = ((0, 2, "PERSON"), (3, 5, "PLACE"), (9, 11, "THING"))
    assert spans_of(tags_of(spans, places), places) == spans
    assert bpe.decode(ids) == text


def test_places_cover_the_text_and_leave_out_the_space_before_a_word(bpe):
    text = "Mia  saw a naïve 🙂 kite.\n小明 ran"
    ids, places = encode_with_places(bpe, text)
    assert bpe.decode(ids) == text
    covered = {i for start, end in places for i in range(start, end)}
    assert {i for i, character in enumerate(text) if not character.isspace()} <= covered
    assert all(not text[start].isspace() or end == start + 1 for start, end in places)


def test_two_spans_side_by_side_stay_two():
    places = [(0, 1), (1, 2), (2, 3)]
    assert tags_of(((0, 2, "X"), (2, 3, "X")), places) == ["B-X", "I-X", "B-X"]
    assert spans_of(["B-X", "I-X", "B-X"], places) == ((0, 2, "X"), (2, 3, "X"))


def test_an_inner_tag_that_continues_nothing_begins_a_span():
    places = [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert spans_of(["O", "I-X", "I-Y", "O"], places) == ((1, 2, "X"), (2, 3, "Y"))


def test_a_character_has_one_tag_although_it_is_several_tokens():
    places = [(0, 1), (0, 1), (0, 1), (2, 3)]  # an emoji of three tokens, a space, a letter
    assert spans_of(["B-X", "B-X", "I-Y", "B-X"], places) == ((0, 1, "X"), (2, 3, "X"))
    assert spans_of(["O", "B-X", "I-X", "O"], places) == ((0, 1, "X"),)


def test_spans_that_no_tagger_can_say_are_counted(doctors, base, bpe):
    write_lines(doctors.data / "train.jsonl", [{"text": "a return now", "spans": [[2, 4, "X"], [9, 12, "X"]]}] * 3)
    for split in ("val", "test"):
        write_lines(doctors.data / f"{split}.jsonl", [{"text": "a b", "spans": [[0, 1, "X"]]}])
    assert len(bpe.encode(" return")) == 1
    task = load_task(doctors, bpe, 64)
    assert task.unsaid == 3 and "3 spans begin or end within a token" in task.describe_data()


def test_a_span_counts_only_if_both_ends_and_the_label_are_right():
    true = [((0, 3, "X"), (5, 7, "Y")), ((1, 2, "X"),)]
    found = [((0, 3, "X"), (5, 8, "Y")), ((1, 2, "Y"),)]
    assert measure_spans(true, found) == {
        "precision": pytest.approx(1 / 3), "recall": pytest.approx(1 / 3), "f1": pytest.approx(1 / 3), "spans": 3,
    }  # fmt: skip
    assert measure_spans([()], [()])["f1"] == 0


def test_the_list_of_words_finds_whole_words_and_the_longest_one():
    train = [Tagged("New York, York, 小明", ((0, 8, "PLACE"), (10, 14, "PLACE"), (16, 18, "PERSON")))]
    found = look_up(train, ["Yorkshire, New York", "小明说York"])
    assert found == [((11, 19, "PLACE"),), ((0, 2, "PERSON"), (3, 7, "PLACE"))]


def test_a_label_that_training_lacks_is_refused():
    splits = {"train": [Tagged("ab", ((0, 1, "X"),))], "val": [], "test": [Tagged("ab", ((0, 1, "Z"),))]}
    with pytest.raises(UserError, match="label 'Z'"):
        tag_names(splits)
    with pytest.raises(UserError, match="nothing to find"):
        tag_names({"train": [Tagged("ab", ())], "val": [], "test": []})


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"text": "abc", "spans": [[0, 2, "X"], [1, 3, "X"]]}, "overlaps"),
        ({"text": "abc", "spans": [[0, 4, "X"]]}, "outside"),
        ({"text": "abc", "spans": [[-1, 2, "X"]]}, "outside"),
        ({"text": "abc", "spans": [[2, 2, "X"]]}, "outside"),
        ({"text": "e\u0301a", "spans": [[0, 1, "X"]]}, "cuts a character"),
        ({"text": "👨‍👩‍👧 a", "spans": [[0, 2, "X"]]}, "cuts a character"),
        ({"text": "a b", "spans": [[1, 2, "X"]]}, "white space"),
        ({"text": "a b", "spans": [[0, 2, "X"]]}, "white space"),
        ({"text": "abc", "spans": [[0, 1.5, "X"]]}, "whole numbers"),
        ({"text": "abc", "spans": [[0, 1]]}, "whole numbers"),
        ({"text": "abc", "spans": [[0, 1, " "]]}, "whole numbers"),
        ({"text": "abc", "spans": "none"}, "'spans'|\"spans\""),
        ({"text": " ", "spans": []}, 'key "text"'),
        ({"spans": []}, 'key "text"'),
    ],
)
def test_a_damaged_span_is_named(tmp_path, row, complaint):
    path = write_lines(tmp_path / "a.jsonl", [{"text": "ok", "spans": []}, row])
    with pytest.raises(UserError, match=complaint) as refusal:
        read_tagged(path)
    assert "line 2" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_text_longer_than_the_context_is_cut_and_counted(doctors, base):
    write_lines(
        doctors.data / "test.jsonl", [example(random.Random(1)) | {"text": "Dr Oak " * 60, "spans": [[3, 6, "PERSON"]]}]
    )
    task = load_task(doctors, load_tokenizer(base), 64)
    assert task.truncated["test"] == 1 and len(task.tokens["test"][0]) == len(task.targets["test"][0]) == 64


@pytest.mark.parametrize("changes", [{"lm_loss": 0.5}, {"label_smoothing": 0.1}, {"label_counts": (5,)}])
def test_settings_that_mean_nothing_for_tags_are_refused(changes, tmp_path):
    with pytest.raises(UserError, match=r"--task tags|--compare"):
        FinetuneConfig(tmp_path, tmp_path / "data", tmp_path / "out", task="tags", **changes)


def test_spans_survive_json(tmp_path):
    row = {"text": "Mia 见 小明", "spans": [[6, 8, "PERSON"], [0, 3, "PERSON"]]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    assert read_tagged(tmp_path / "a.jsonl") == [Tagged(row["text"], ((0, 3, "PERSON"), (6, 8, "PERSON")))]
