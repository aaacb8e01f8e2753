"""The decoder whose steps can be recorded: the same logits as the decoder, whichever rows go on."""

import pytest
import torch

from gpt.fast.decoder import Decoder
from gpt.fast.recorded import RecordedDecoder
from tests.helpers import PROMPTS


def same_steps(model, texts, choose_rows):
    """Both decoders read the texts and take 12 steps; choose_rows(step, rows) may name the rows that go on."""
    decoders = [Decoder(model, 32), RecordedDecoder(model, 32)]
    expected, logits = (decoder.read([list(text) for text in texts]) for decoder in decoders)
    for step in range(12):
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
        if rows := choose_rows(step, len(expected)):
            for decoder in decoders:
                decoder.select(rows)
        tokens = [(step * 37 + i) % 300 for i in range(len(rows or expected))]
        expected, logits = (decoder.step(tokens) for decoder in decoders)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("texts", [[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]], PROMPTS], ids=["one", "two", "of each length"])
def test_a_step_that_can_be_recorded_gives_the_logits_of_the_decoder(model, texts):
    same_steps(model, texts, lambda step, rows: None)


@pytest.mark.parametrize("at", [0, 4])
def test_rows_end_one_by_one_before_and_after_a_step_was_recorded(model, at):
    same_steps(model, PROMPTS, lambda step, rows: list(range(rows - 1)) if step >= at and rows > 1 else None)


def test_rows_may_change_places_and_be_copied(model):
    orders = {2: [3, 0, 4, 1], 5: [1, 0, 3], 8: [2, 2, 0]}
    same_steps(model, PROMPTS, lambda step, rows: orders.get(step))


def test_slots_that_were_never_written_do_not_matter(model):
    decoder = RecordedDecoder(model, 32)
    decoder.like = torch.full_like(decoder.like, float("nan"))
    decoder.like.new_empty = lambda shape: torch.full(shape, float("nan"))  # type: ignore[method-assign]
    decoder.read([[1, 2, 3]])
    assert torch.isfinite(decoder.step([4])).all()
