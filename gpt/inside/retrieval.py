"""Find the text that a question is about, by what a model has in mind when it reads both.

A text becomes one vector, the mean of its tokens' hidden states, and the text is taken that points most nearly in the
question's direction. A model that answers with this text in front of the question need not remember it:
retrieval-augmented generation (Lewis et al. 2020), here without any training for it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.classifier import pad
from gpt.model import GPT


@torch.no_grad()
def text_vectors(model: GPT, texts: list[list[int]], batch_size: int = 32) -> Tensor:
    """Token ids -> (L + 1, texts, C): the mean hidden state of each text, before the first of L blocks and after each.

    The first token is left out where there are others: it stands for the beginning, and its state is the same in all
    texts. What does not fit the context is not read. Texts of similar length share a batch. Raises ValueError for an
    empty text.
    """
    if not all(texts):
        raise ValueError("a text has no tokens, so it has no mean")
    config, device = model.config, model.transformer.ln_f.weight.device
    vectors = torch.empty(config.n_layer + 1, len(texts), config.n_embd)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    states: list[Tensor] = []  # (B, T, C) before the first block and after each

    def keep(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        states.append(output)

    handles = [model.transformer.h[0].register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))]
    handles += [block.register_forward_hook(keep) for block in model.transformer.h]
    try:
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            rows = [texts[i][: config.context_length] for i in batch]
            tokens, lengths = (x.to(device) for x in pad(rows, config.vocab_size - 1))  # (B, T), (B,)
            states.clear()
            model.transformer(tokens)
            places = torch.arange(tokens.size(1), device=device)
            counts = (places < lengths[:, None]) & (places >= (lengths[:, None] > 1).long())  # (B, T)
            for layer, state in enumerate(states):
                total = (state.float() * counts[..., None]).sum(1)  # (B, C)
                vectors[layer, batch] = (total / counts.sum(1, keepdim=True)).cpu()
    finally:
        for handle in handles:
            handle.remove()
    return vectors


def nearest(questions: Tensor, texts: Tensor, centred: bool = True) -> Tensor:
    """(Q, C) and (N, C) -> (Q,): for each question the number of the text at the smallest angle (largest cosine).

    centred: take each set's own mean off first, that is, what all states share (Ethayarajh 2019, "How Contextual are
    Contextualized Word Representations?") and what makes a question a question.
    """
    if centred:
        questions, texts = questions - questions.mean(0), texts - texts.mean(0)
    return (F.normalize(questions, dim=-1) @ F.normalize(texts, dim=-1).T).argmax(-1)
