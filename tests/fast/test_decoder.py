"""The decoder and its cache: the logits of the model, for one text and for many of different lengths."""

import pytest
import torch

from gpt.fast.decoder import Decoder
from gpt.fast.linear import few_rows_linear
from gpt.model import GPT, GPTConfig
from tests.helpers import PROMPTS


def test_the_decoder_gives_the_logits_of_the_model(model):
    tokens = torch.randint(0, 300, (2, 32), generator=torch.Generator().manual_seed(1))
    decoder = Decoder(model, 32)
    logits = [decoder.read(tokens[:, :10].tolist())]
    logits += [decoder.step(tokens[:, t].tolist()) for t in range(10, 32)]
    torch.testing.assert_close(torch.stack(logits, 1), model(tokens)[:, 9:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_weights_may_be_float64(position, rows):
    torch.manual_seed(0)
    model = GPT(GPTConfig(5000, 16, 2, 2, 100, position=position)).double().eval()
    decoder = Decoder(model, 16, rows)
    decoder.read(rows * [[1, 2, 3]])
    expected = model(torch.tensor([[1, 2, 3, 4]]))[0, -1]
    for logits in decoder.step(rows * [4]):
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_rows_of_different_lengths_have_the_logits_of_each_alone(model):
    decoder = Decoder(model, 32)
    texts = [list(prompt) for prompt in PROMPTS]
    logits = decoder.read(texts)
    for step in range(15):
        for text, row in zip(texts, logits, strict=True):
            torch.testing.assert_close(row, model(torch.tensor([text]))[0, -1], atol=1e-4, rtol=1e-4)
        new = [(step * 37 + i) % 300 for i in range(len(texts))]
        for text, token in zip(texts, new, strict=True):
            text.append(token)
        logits = decoder.step(new)


def test_selected_rows_go_on_as_if_nothing_had_happened(model):
    decoder = Decoder(model, 32)
    decoder.read([list(prompt) for prompt in PROMPTS])
    decoder.select([3, 0, 3])
    logits = decoder.step([11, 12, 13])
    for row, text in zip(logits, [[*PROMPTS[3], 11], [*PROMPTS[0], 12], [*PROMPTS[3], 13]], strict=True):
        torch.testing.assert_close(row, model(torch.tensor([text]))[0, -1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("made_for", [1, 16])
@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize(
    ("inputs", "channels", "bias"),
    [(64, 96, True), (64, 65, False), (384, 1152, True), (384, 1001, True), (1100, 1000, False), (2100, 2000, False)],
)
def test_a_matrix_laid_out_anew_is_the_same_function(made_for, rows, inputs, channels, bias):
    """Of each kind: small, in blocks, of a width that does not divide into blocks, and without a bias."""
    layer, x = torch.nn.Linear(inputs, channels, bias), torch.randn(rows, inputs)
    with torch.inference_mode():
        torch.testing.assert_close(few_rows_linear(layer, made_for)(x), layer(x), atol=1e-4, rtol=1e-4)
