"""The running batch: texts that join and leave at any time, each as if it were alone."""

import queue
import random
import time

import pytest
import torch

from gpt.errors import UserError
from gpt.fast.batch import generate_with_cache
from gpt.fast.decoder import Decoder
from gpt.fast.int8 import quantize_int8
from gpt.fast.speed_up import speed_up
from gpt.finetuning.method_config import AdapterConfig, LoraConfig, PrefixConfig
from gpt.finetuning.methods import adapt, merged
from gpt.generate import generate, score
from gpt.model import GPT, GPTConfig
from gpt.sampling import Sampling
from gpt.serving.engine import Engine, FullError, Generation
from gpt.serving.rows import ROWS, RowDecoder
from gpt.tokenizer import Tokenizer
from tests.helpers import GREEDY, PROMPTS, random_model, run_batch, stir, tokens_of

TOKENIZER = Tokenizer.train(["the cat sat on the mat " * 50], 300)
VOCABULARY = TOKENIZER.vocab_size


@pytest.fixture(params=["learned", "rotary"])
def net(request):
    model = random_model(request.param, VOCABULARY)
    speed_up(model, torch.device("cpu"), torch.float32)
    return model


@pytest.fixture
def engine(net):
    engine = Engine(net, TOKENIZER, num_rows=12)
    yield engine
    engine.close(10)
    assert not engine.thread.is_alive()


class Wanted(Generation):
    """A generation whose pieces are kept."""

    def __init__(self, prompt, max_tokens, **settings):
        self.pieces = queue.Queue()
        super().__init__(list(prompt), max_tokens, self.pieces.put, **settings)

    def all(self):
        """Its pieces, when all have come."""
        pieces = [self.pieces.get(timeout=10)]
        while not pieces[-1].finish:
            pieces.append(self.pieces.get(timeout=10))
        return pieces

    def tokens(self):
        return [piece.choice.token for piece in self.all() if piece.choice]


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def write(engine, *generations):
    for generation in generations:
        engine.submit([generation])
    return [generation.all() for generation in generations]


def text_of(pieces):
    return "".join(piece.text for piece in pieces)


def test_a_text_is_that_of_generate(engine, net):
    """80 tokens in a context of 32: its window slides. The same up to rounding, which 80 draws do not notice."""
    for sampling in (GREEDY, Sampling(0.8, top_k=40, top_p=0.9), Sampling(1.0, min_p=0.01, repetition_penalty=1.2)):
        wanted = Wanted([1, 2, 3], 80, seed=5, sampling=sampling)
        engine.submit([wanted])
        settings = {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}
        expected = generate_with_cache(net, [1, 2, 3], 80, 5, TOKENIZER.end_of_text, **settings)
        assert [t for t in wanted.tokens() if t != TOKENIZER.end_of_text] == list(expected)


@pytest.mark.parametrize("quantized", [False, True])
@torch.inference_mode()
def test_logits_of_a_row_are_the_same_alone_and_in_any_crowd_bit_by_bit(net, quantized):
    if quantized:
        quantize_int8(net)
    decoder = RowDecoder(net)
    draw = random.Random(0)
    texts = [[draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 12))] for _ in range(21)]
    follow = [[draw.randrange(VOCABULARY) for _ in range(12)] for _ in texts]

    def logits_alone(i):
        row, states = decoder.begin(texts[i], 32)
        return [decoder.head(states[-1:])] + [decoder.advance([row], [token]) for token in follow[i]]

    alone = [logits_alone(i) for i in range(21)]
    rows = {}
    done = [0] * 21
    crowd = [[] for _ in texts]
    while any(len(logits) < 13 for logits in crowd):
        if len(rows) + sum(done) // 12 < 21 and draw.random() < 0.7:  # one joins
            i = next(i for i in range(21) if not crowd[i])
            rows[i], states = decoder.begin(texts[i], 32)
            crowd[i].append(decoder.head(states[-1:]))
        running = draw.sample(sorted(rows), len(rows))  # in any order
        if running:
            new = decoder.advance([rows[i] for i in running], [follow[i][done[i]] for i in running])
            for i, logits in zip(running, new.split(1), strict=True):
                crowd[i].append(logits)
                done[i] += 1
                if done[i] == 12:  # one leaves
                    del rows[i]
    for one, other in zip(alone, crowd, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@torch.inference_mode()
def test_the_place_in_a_group_changes_no_bit_where_threads_share_a_tensor():
    """Five do not share a wide model's tensors evenly."""
    torch.manual_seed(0)
    decoder = RowDecoder(GPT(GPTConfig(300, 32, 1, 12, 768)).eval())
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    rows = [decoder.begin([1, 2, 3], 32)[0] for _ in range(ROWS)]
    logits = decoder.advance(rows, [4] * ROWS)
    torch.set_num_threads(before)
    assert all(torch.equal(one, logits[0]) for one in logits)


def test_rows_have_the_logits_of_the_decoder(net):
    """In groups that are full and not, up to the last slot of the context."""
    texts = [list(prompt) for prompt in PROMPTS * 4]
    assert len(texts) > ROWS
    decoder, plain = RowDecoder(net), Decoder(net, 32)
    rows = [decoder.begin(text, 32)[0] for text in texts]
    expected = plain.read(texts)
    for step in range(15):
        new = [(step * 37 + i) % 250 for i in range(len(texts))]
        expected = plain.step(new)
        torch.testing.assert_close(decoder.advance(rows, new), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("settings", [None, LoraConfig(4), AdapterConfig(4), PrefixConfig(5)])
def test_an_adapted_model_writes_what_generate_writes(position, settings):
    """Also where its context, which a prefix makes shorter, is full."""
    model = random_model(position, VOCABULARY)
    adapt(model, settings)
    stir(model)
    engine = Engine(merged(model), TOKENIZER, num_rows=3)
    texts = [Wanted(prompt, 40, seed=seed, sampling=Sampling(0.8)) for seed, prompt in enumerate(([1, 2], [7] * 17))]
    engine.submit(texts)
    for text in texts:
        expected = list(generate(model, text.prompt, 40, text.seed, TOKENIZER.end_of_text, temperature=0.8))
        assert [t for t in text.tokens() if t != TOKENIZER.end_of_text] == expected
    engine.close(10)


def test_a_seed_gives_the_same_text_and_logprobs_alone_and_in_a_crowd(engine):
    def wanted():
        return Wanted([1, 2, 3], 60, seed=7, sampling=Sampling(1.2, top_p=0.9), num_top=3)

    [alone] = write(engine, wanted())
    draw = random.Random(1)
    for _ in range(3):
        crowd = [
            Wanted([draw.randrange(250)] * draw.randint(1, 32), draw.randint(1, 90), seed=i, sampling=Sampling(1.0))
            for i in range(30)
        ]
        again = [wanted() for _ in range(3)]
        everybody = crowd + again
        draw.shuffle(everybody)
        for generation in everybody:
            engine.submit([generation])
            time.sleep(draw.choice([0, 0.003]))
        engine.cancel(draw.sample(crowd, 5))
        for generation in again:
            assert generation.all() == alone
        until(lambda: not engine.unfinished)


def test_copies_of_a_prompt_are_read_once_and_written_as_each_alone(net, monkeypatch):
    read = []
    original = RowDecoder.begin
    monkeypatch.setattr(RowDecoder, "begin", lambda self, *given: read.append(list(given[0])) or original(self, *given))
    engine = Engine(net, TOKENIZER)
    alone = [text_of(write(engine, Wanted([5, 6], 20, seed=i, sampling=Sampling(1.0)))[0]) for i in range(3)]
    read.clear()
    together = [Wanted([5, 6], 20, seed=i, sampling=Sampling(1.0)) for i in range(3)]
    engine.submit(together)
    assert [text_of(wanted.all()) for wanted in together] == alone and len(set(alone)) == 3
    assert read == [[5, 6]]
    engine.close(10)


def test_the_first_piece_tells_how_likely_the_prompt_was(engine, net):
    prompt = list(range(20))
    first = write(engine, Wanted(prompt, 0, num_top=2))[0]
    assert len(first) == 1 and first[0].finish == "length" and not first[0].text
    for choice, expected in zip(first[0].prompt, score(net, prompt, 2), strict=True):
        assert choice.token == expected.token and len(choice.top) == 2
        assert choice.logprob == pytest.approx(expected.logprob, abs=1e-4)


def test_it_ends_for_the_reason_that_it_gives(engine):
    free = write(engine, Wanted([1, 2], 30, sampling=GREEDY))[0]
    text = text_of(free)
    assert free[-1].finish == "length"
    stop = next(text[i : i + 2] for i in range(5, len(text)) if text[i : i + 2].isascii())
    stopped = write(engine, Wanted([1, 2], 30, sampling=GREEDY, stop=(stop,)))[0]
    assert stopped[-1].finish == "stop" and text_of(stopped) == text[: text.index(stop)]


def test_a_text_ends_at_the_end_of_text_token():
    model = random_model("rotary", VOCABULARY)
    with torch.no_grad():  # the likeliest token after anything
        model.transformer.ln_f.bias.copy_(30 * model.transformer.wte.weight[TOKENIZER.end_of_text])
    engine = Engine(model, TOKENIZER)
    pieces = write(engine, Wanted([1, 2], 30, sampling=GREEDY))[0]
    assert [piece.finish for piece in pieces] == [None, "stop"] and text_of(pieces) == ""
    engine.close(10)


def test_what_has_no_place_to_wait_is_refused_as_a_whole(net):
    engine = Engine(net, TOKENIZER, num_rows=2, max_waiting=3)
    long = [Wanted([1], 100_000) for _ in range(4)]
    engine.submit(long)
    with pytest.raises(FullError):
        engine.submit([Wanted([1], 5), Wanted([1], 5)])
    assert engine.unfinished == 4
    engine.submit([Wanted([1], 5)])
    engine.cancel(long)
    until(lambda: not engine.unfinished)
    engine.close(10)


def test_a_cancelled_text_gives_its_row_to_the_next(net):
    engine = Engine(net, TOKENIZER, num_rows=1)
    endless, next_one = Wanted([1], 10**6), Wanted([2], 3)
    engine.submit([endless])
    endless.pieces.get(timeout=10)
    engine.submit([next_one])
    engine.cancel([endless])
    assert next_one.all()[-1].finish
    until(lambda: not engine.unfinished)
    engine.close(10)


def test_close_finishes_what_was_submitted_and_refuses_the_rest(net):
    engine = Engine(net, TOKENIZER, num_rows=1)
    texts = [Wanted([i], 20) for i in range(3)]
    engine.submit(texts)
    engine.close(10)
    assert all(wanted.all()[-1].finish for wanted in texts) and not engine.thread.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit([Wanted([1], 1)])


@pytest.mark.parametrize(
    ("prompt", "settings", "message"),
    [([], {}, "empty"), ([1] * 33, {}, "context"), ([5000], {}, "vocabulary"), ([1], {"stop": ("",)}, "stop string")],
)
def test_what_cannot_be_continued_is_refused_before_it_waits(engine, prompt, settings, message):
    with pytest.raises(UserError, match=message):
        engine.submit([Wanted([1], 5), Wanted(prompt, 5, **settings)])
    assert not engine.unfinished


def test_a_failure_loses_the_texts_of_that_turn_alone(engine, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(RowDecoder, "advance", lambda *_: (_ for _ in ()).throw(RuntimeError("no memory")))
        lost = [Wanted([1], 9), Wanted([2], 9)]
        assert [pieces[-1].finish for pieces in write(engine, *lost)] == ["error", "error"]
    assert "had to be given up" in caplog.text
    assert write(engine, Wanted([1], 9))[0][-1].finish == "length"


def test_a_text_that_fails_by_itself_is_lost_alone(engine, caplog):
    good, bad = Wanted([1], 9, seed=1), Wanted([1], 9, seed=1)
    bad.sampling = Sampling(1.0, repetition_penalty=1e-300)  # infinite logits: there is no likeliest one
    engine.submit([good, bad])
    assert bad.all()[-1].finish == "error" and good.all()[-1].finish == "length"
    assert "a text had to be given up" in caplog.text


def test_texts_of_the_batch_are_those_of_sample_py(engine, net):
    texts = [Wanted(prompt, 40, seed=i, sampling=Sampling(0.9), num_top=1) for i, prompt in enumerate(PROMPTS)]
    engine.submit(texts)
    expected = run_batch(net, PROMPTS, list(range(5)), 40, Sampling(0.9), num_top=1)
    for wanted, row in zip(texts, expected, strict=True):
        tokens = wanted.tokens()
        assert tokens == tokens_of(row)[: len(tokens)]
