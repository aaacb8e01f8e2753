"""Spans found in new texts by a tagger."""

import torch

from gpt.classifier import pad
from gpt.finetuning.tagged import Span, encode_with_places, spans_of
from gpt.finetuning.tagger import GPTTagger
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer


@torch.inference_mode()
def find_spans(
    net: GPTTagger, tokenizer: Tokenizer, texts: list[str], machine: Machine, batch_size: int = 64
) -> list[tuple[Span, ...]]:
    """The spans of each text. What lies beyond the context is not looked at. Texts of similar length share a batch."""
    was_training, T = net.training, net.config.context_length
    net.eval()
    encoded = [encode_with_places(tokenizer, text) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i][0]))
    found: list[tuple[Span, ...]] = [()] * len(texts)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        tokens, _ = pad([[tokenizer.end_of_text, *encoded[i][0]][:T] for i in batch], net.config.vocab_size - 1)
        with machine.autocast():
            numbers = net(tokens.to(machine.device)).argmax(-1).tolist()  # (batch, T)
        for i, row in zip(batch, numbers, strict=True):
            places = encoded[i][1][: T - 1]
            found[i] = spans_of([net.labels[number] for number in row[1 : len(places) + 1]], places)
    net.train(was_training)
    return found
