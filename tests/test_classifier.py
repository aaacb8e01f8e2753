"""The label head: the last real token's state and nothing else, here and in `transformers`."""

import itertools
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPTNeoXConfig,
    GPTNeoXForSequenceClassification,
)

from gpt.classifier import GPTClassifier, pad
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.labelling import classify
from gpt.finetuning.saved import in_units, load_classifier, save_classifier
from gpt.running.device import pick_machine
from tests.helpers import random_model

LABELS = ("bad", "good", "neither")
CPU = pick_machine("cpu", "float32", "off")


def random_classifier(position, labels=LABELS):
    base = random_model(position)
    model = GPTClassifier(base.config, labels)
    model.transformer.load_state_dict(base.transformer.state_dict())
    torch.nn.init.normal_(model.score.weight, std=0.1)  # logits of the size that training makes
    return model.eval()


def random_texts(lengths, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 299, (length,), generator=generator).tolist() for length in lengths]


@pytest.fixture(params=["learned", "rotary"])
def classifier(request):
    return random_classifier(request.param)


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(corpus)


@torch.no_grad()
def alone(model, text):
    return model(torch.tensor([text]), torch.tensor([len(text)]))[0]


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16], ids=["plain", "kernel", "added mask"])
def test_padding_does_not_change_an_answer(classifier, dtype):
    if dtype is not None:
        speed_up(classifier, torch.device("cpu"), dtype)
    for length in range(1, 33):
        (text,) = random_texts([length], seed=length)
        answer = alone(classifier, text)
        for padded, filling in itertools.product({length, length + 1, 32} - {33}, (0, 7, 299)):
            tokens = torch.full((1, padded), filling)
            tokens[0, :length] = torch.tensor(text)
            with torch.no_grad():
                logits = classifier(tokens, torch.tensor([length]))[0]
            torch.testing.assert_close(logits, answer, atol=1e-5, rtol=0)


def test_batch_mates_do_not_change_an_answer(classifier):
    texts = random_texts([1, 5, 32, 2, 17, 31, 9, 9, 3])
    expected = torch.stack([alone(classifier, text) for text in texts])
    for order in (range(9), reversed(range(9)), (3, 1, 8, 0, 2, 7, 4, 6, 5)):
        order = list(order)
        for size in (1, 2, 4, 9):
            logits = classify(classifier, [texts[i] for i in order], CPU, batch_size=size)
            torch.testing.assert_close(logits, expected[order], atol=1e-5, rtol=0)


def test_the_last_token_changes_the_answer_and_so_does_the_first(classifier):
    (text,) = random_texts([20])
    for place in (0, 19):
        other = [*text]
        other[place] = (text[place] + 1) % 299
        assert (alone(classifier, other) - alone(classifier, text)).abs().max() > 1e-3


def test_transformers_loads_what_we_save_with_the_same_logits_and_names(classifier, tokenizer, tmp_path):
    save_classifier(classifier, tokenizer, tmp_path)
    peer, loading = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    assert peer.config.id2label == dict(enumerate(LABELS))
    assert peer.config.label2id == {label: i for i, label in enumerate(LABELS)}
    texts = ["It was great.", "I would rather have slept", "so, so", "!"]
    batch = AutoTokenizer.from_pretrained(tmp_path)(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        theirs = peer.eval()(**batch).logits
    ours = classify(classifier, [tokenizer.encode(text) for text in texts], CPU)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("config_class", "model_class", "sizes"),
    [
        (GPT2Config, GPT2ForSequenceClassification, {"n_positions": 32, "n_embd": 64, "n_layer": 2, "n_head": 4}),
        (
            GPTNeoXConfig,
            GPTNeoXForSequenceClassification,
            {
                "max_position_embeddings": 32,
                "hidden_size": 64,
                "intermediate_size": 256,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "use_parallel_residual": False,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 1.0},
            },
        ),
    ],
)
def test_a_classifier_saved_by_transformers_loads_here_with_the_same_logits(config_class, model_class, sizes, tmp_path):
    torch.manual_seed(0)
    peer = model_class(config_class(vocab_size=300, num_labels=3, pad_token_id=299, **sizes)).eval()
    with torch.no_grad():
        for weight in peer.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    peer.save_pretrained(tmp_path)
    model = load_classifier(tmp_path)
    assert model.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    tokens, lengths = pad(random_texts([3, 32, 11]))
    for row, length in zip(tokens, lengths, strict=True):
        row[length:] = 299
    with torch.no_grad():
        torch.testing.assert_close(model(tokens, lengths), peer(tokens).logits, atol=1e-4, rtol=0)


def test_saving_and_loading_gives_the_same_bits(classifier, tokenizer, tmp_path):
    save_classifier(classifier, tokenizer, tmp_path)
    loaded = load_classifier(tmp_path)
    assert loaded.labels == LABELS and loaded.config == classifier.config
    texts = random_texts([4, 20])
    assert torch.equal(classify(loaded, texts, CPU), classify(classifier, texts, CPU))


def test_labels_in_any_script_survive(tokenizer, tmp_path):
    model = random_classifier("rotary", labels=("负面", "正面 ✓", 'with "quotes"'))
    save_classifier(model, tokenizer, tmp_path)
    assert load_classifier(tmp_path).labels == model.labels
    assert "负面" in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_a_regression_answers_in_the_users_units_here_and_in_transformers(tokenizer, tmp_path):
    for position in ("learned", "rotary"):
        model = random_classifier(position, labels=("score",))
        texts = random_texts([4, 20, 9])
        scaled = in_units(model, mean=70.0, std=12.0)
        expected = 70 + 12 * classify(model, texts, CPU)
        torch.testing.assert_close(classify(scaled, texts, CPU), expected, atol=1e-3, rtol=0)
        save_classifier(scaled, tokenizer, tmp_path / position)
        peer = AutoModelForSequenceClassification.from_pretrained(tmp_path / position).eval()
        assert peer.config.num_labels == 1 and peer.config.problem_type == "regression"
        with torch.no_grad():
            theirs = torch.stack([peer(torch.tensor([text])).logits[0] for text in texts])
        torch.testing.assert_close(theirs, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("unit", [1e-28, 1e28])
def test_a_regression_answers_in_units_far_from_1(unit):
    model, texts = random_classifier("rotary", labels=("score",)), random_texts([4, 20, 9])
    scaled = classify(in_units(model, mean=7 * unit, std=2 * unit), texts, CPU)
    torch.testing.assert_close(scaled / unit, 7 + 2 * classify(model, texts, CPU), atol=1e-3, rtol=0)


def test_a_regression_in_bfloat16_keeps_the_last_digits_of_large_numbers():
    model, texts = random_classifier("rotary", labels=("score",)), random_texts([4, 20, 9])
    bfloat16 = pick_machine("cpu", "bfloat16", "off")
    scaled = classify(in_units(model, mean=2000.0, std=5.0), texts, bfloat16)
    torch.testing.assert_close(scaled, 2000 + 5 * classify(model, texts, CPU), atol=0.5, rtol=0)


def test_a_language_model_is_not_taken_for_a_classifier_nor_the_reverse(classifier, model, tokenizer, tmp_path):
    save_model(model, tokenizer, tmp_path / "language")
    save_classifier(classifier, tokenizer, tmp_path / "labels")
    with pytest.raises(UserError, match=r"not a classifier: fine-tune it first"):
        load_classifier(tmp_path / "language")
    with pytest.raises(UserError, match="not a language model"):
        load_model(tmp_path / "labels")


def test_a_head_that_does_not_fit_is_refused(classifier, tokenizer, tmp_path):
    save_classifier(classifier, tokenizer, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["score.weight"] = weights["score.weight"][:, :32].contiguous()
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"do not fit its config\.json: size mismatch for score\.weight"):
        load_classifier(tmp_path)


def test_a_config_that_does_not_fit_is_refused(classifier, tokenizer, tmp_path):
    save_classifier(classifier, tokenizer, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    key = "n_embd" if "n_embd" in config else "hidden_size"
    config |= {key: 32, **({"intermediate_size": 128} if key == "hidden_size" else {})}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError, match=r"do not fit its config\.json: size mismatch for transformer\.wte\.weight"):
        load_classifier(tmp_path)
