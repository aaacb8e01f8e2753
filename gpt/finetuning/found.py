"""Spans found in new texts by a tagger."""

import torch

from gpt.classifier import pad
from gpt.finetuning.tagged import Span, TokenPlaces, encode_with_places, spans_of
from gpt.finetuning.tagger import GPTTagger
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer


def find_spans(
    net: GPTTagger, tokenizer: Tokenizer, texts: list[str], machine: Machine, batch_size: int = 64
) -> list[tuple[Span, ...]]:
    """The spans of each text. What lies beyond the context is not looked at. Texts of similar length share a batch."""
    encoded = [encode_with_places(tokenizer, text) for text in texts]
    tokens = [[tokenizer.end_of_text, *ids][: net.config.context_length] for ids, _ in encoded]
    return find_encoded_spans(net, tokens, [places for _, places in encoded], machine, batch_size)


@torch.inference_mode()
def find_encoded_spans(
    net: GPTTagger, tokens: list[list[int]], places: list[TokenPlaces], machine: Machine, batch_size: int = 64
) -> list[tuple[Span, ...]]:
    """The same for texts that are tokens already: each begins with end_of_text, fits the context, and has the place of
    each further token."""
    was_training = net.training
    net.eval()
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    found: list[tuple[Span, ...]] = [()] * len(tokens)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        padded, _ = pad([tokens[i] for i in batch], net.config.vocab_size - 1)
        with machine.autocast():
            numbers = net(padded.to(machine.device)).argmax(-1).tolist()  # (batch, T)
        for i, row in zip(batch, numbers, strict=True):
            tags = [net.labels[number] for number in row[1 : len(tokens[i])]]
            found[i] = spans_of(tags, places[i][: len(tags)])
    net.train(was_training)
    return found
