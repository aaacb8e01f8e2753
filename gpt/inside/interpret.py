"""Look inside a model: its attention, the predictions of each layer, its embeddings, and reasons for its answers.

The functions take a model and token ids and return numbers, for use in notebooks; inside_plots.py draws them.

Shapes at the ends of lines: L layers, nh heads, T tokens, C channels, V vocabulary.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.fast.layers import rotary_tables
from gpt.model import GPT, attention_weights, rotate


@torch.no_grad()
def trace(model: GPT, tokens: list[int]) -> tuple[Tensor, Tensor]:
    """Run the model on a text and record the residual stream (L + 1, T, C), before the first block and after each, and
    the attention weights (L, nh, T, T), whose row t shows where token t attends. Raises UserError if the text is longer
    than the context."""
    states, products = [], []
    handles = [model.transformer.h[0].register_forward_pre_hook(lambda _, inputs: states.append(inputs[0][0]))]
    for block in model.transformer.h:
        handles.append(block.register_forward_hook(lambda _, inputs, output: states.append(output[0])))
        handles.append(block.attn.c_attn.register_forward_hook(lambda _, inputs, output: products.append(output[0])))
    try:
        ids = torch.tensor([tokens], device=model.transformer.ln_f.weight.device)
        model(ids)
    finally:
        for handle in handles:
            handle.remove()
    T, config = len(tokens), model.config
    visible = None if config.causal else ids != config.vocab_size - 1  # (1, T)
    weights = []
    for qkv in products:  # (T, 3 C)
        q, k, _ = qkv.view(T, 3, config.n_head, config.head_size).permute(1, 2, 0, 3)  # 3 × (nh, T, hs)
        if config.position == "rotary":
            q, k = rotate(q), rotate(k)
        weights.append(attention_weights(q, k, visible))  # (nh, T, T)
    return torch.stack(states), torch.stack(weights)


def previous_token_score(model: GPT, tokens: list[int]) -> Tensor:
    """(L, nh): the share of each head's attention that goes to the previous token, averaged over a text."""
    _, weights = trace(model, tokens)
    return weights.diagonal(-1, -2, -1).mean(-1)


def induction_score(model: GPT, num_texts: int = 8, seed: int = 0) -> Tensor:
    """(L, nh): the share of each head's attention that goes to the token after the previous occurrence of its token.

    Each text is a random sequence, half a context long, and the same sequence again. A head that attends from the
    second A of "A B ... A" to B continues patterns, whatever they mean (Olsson et al. 2022, "In-context Learning and
    Induction Heads"). Uniform attention scores about 1/T. The sequences are drawn from `seed`.
    """
    half, vocabulary = model.config.context_length // 2, model.config.vocab_size - 2 * (not model.config.causal)
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(())
    for _ in range(num_texts):
        sequence = torch.randint(0, vocabulary, (half,), generator=generator).tolist()
        _, weights = trace(model, sequence + sequence)
        total = total + weights[:, :, half:].diagonal(1, -2, -1).mean(-1)  # from position half + i to position i + 1
    return total / num_texts


@torch.no_grad()
def logit_lens(model: GPT, tokens: list[int]) -> Tensor:
    """(L + 1, T, V) log-probabilities in nats: the predictions of the model if it ended after each layer.

    The residual stream after each layer goes through the final norm and the head ("interpreting GPT: the logit lens",
    nostalgebraist 2020). Entry 0 is the embedding alone, the last entry is the model's own prediction.
    """
    return predictions_of(model, trace(model, tokens)[0])


@torch.no_grad()
def predictions_of(model: GPT, states: Tensor) -> Tensor:
    """States of the residual stream (..., C) -> (..., V) log-probabilities in nats, as if the model ended there."""
    return model.lm_head(model.transformer.ln_f(states)).float().log_softmax(-1)


def sure_from(logprobs: Tensor) -> Tensor:
    """(L + 1, T, V) of the logit lens -> (T,): the first layer from which the most likely token stays the same."""
    predicted = logprobs.argmax(-1)  # (L + 1, T)
    agrees = (predicted == predicted[-1]).int().flip(0).cumprod(0)  # 1 while it is the final answer
    return logprobs.size(0) - agrees.sum(0)


def loss_per_layer(model: GPT, tokens: list[int]) -> list[float]:
    """Loss on a text in nats per token, for an exit after each layer (entry 0: before the first): L + 1 numbers. A long
    text is read one context at a time."""
    T = model.config.context_length
    total = torch.zeros(len(model.transformer.h) + 1)
    for start in range(0, len(tokens) - 1, T):
        window = tokens[start : start + T + 1]
        logprobs = logit_lens(model, window[:-1])  # (L + 1, T, V)
        total -= logprobs[:, torch.arange(len(window) - 1), window[1:]].sum(-1).cpu()
    return (total / (len(tokens) - 1)).tolist()


def exit_after(model: GPT, layer: int) -> None:
    """Remove all blocks above the first `layer` blocks, in place. Raises UserError if there is no such layer."""
    if not 1 <= layer <= len(model.transformer.h):
        raise UserError(f"the exit layer is {layer}, but the model has {len(model.transformer.h)} layers, from 1 up")
    model.transformer.h = model.transformer.h[:layer]


@torch.no_grad()
def nearest_tokens(model: GPT, token: int, k: int = 10) -> list[tuple[int, float]]:
    """The k other tokens whose embeddings are nearest, as (token id, cosine similarity), nearest first."""
    embeddings = F.normalize(model.transformer.wte.weight, dim=-1)  # (V, C)
    cosine = embeddings @ embeddings[token]  # (V,)
    cosine[token] = -2.0
    values, tokens = cosine.topk(min(k, len(cosine) - 1))
    return list(zip(tokens.tolist(), values.tolist(), strict=True))


@torch.no_grad()
def position_similarity(model: GPT) -> Tensor:
    """(context, context): the similarity of two positions, 1 on the diagonal.

    Learned positions: the cosine of their vectors. Rotary positions: the cosine of a vector rotated to one position and
    the same vector rotated to the other, on average.
    """
    if model.config.position == "learned":
        positions = F.normalize(model.transformer.wpe.weight, dim=-1)
        return positions @ positions.T
    cos, sin = rotary_tables(model.config.context_length, model.config.head_size)  # 2 × (context, hs)
    return (cos @ cos.T + sin @ sin.T) / cos.size(-1)


def gradient_times_input(embedding: nn.Embedding, score: Callable[[], Tensor]) -> Tensor:
    """How much each token contributed to a score: the score's gradient with respect to the token's embedding, times the
    embedding.

    `score` runs a model on a text of T tokens, using `embedding` (its `transformer.wte`), and returns a scalar, such as
    the difference of two logits. Returns (T,): to first order, the decrease of the score if the token's embedding were
    0 (Shrikumar et al. 2016, "Not Just a Black Box", section 2).
    """
    inputs: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple, output: Tensor) -> Tensor:
        inputs.append(output.detach().requires_grad_())
        return inputs[0]

    handle = embedding.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(score(), inputs)  # (1, T, C)
    finally:
        handle.remove()
    return (gradient * inputs[0]).detach().sum(-1)[0]


def answer_scores(model: GPT | GPTClassifier, tokens: list[int]) -> Tensor:
    """(labels,) the logits of a classifier for a text, or (V,) those of a language model for what follows it."""
    ids = torch.tensor([tokens], device=model.transformer.ln_f.weight.device)
    if isinstance(model, GPTClassifier):
        return model(ids, torch.tensor([len(tokens)], device=ids.device))[0]
    return model(ids)[0, -1]


def lead(logits: Tensor, best: list[int]) -> Tensor:
    """The best logit minus the second best; of a regression, which has one alone, that one."""
    return logits[best[0]] - sum(logits[other] for other in best[1:])


def reasons(model: GPT | GPTClassifier, tokens: list[int]) -> tuple[list[int], Tensor]:
    """(The best answer and the second best, how much each token (T,) contributed to the lead of the first)."""
    with torch.no_grad():
        logits = answer_scores(model, tokens)
    best = logits.topk(min(2, len(logits))).indices.tolist()
    moved = gradient_times_input(model.transformer.wte, lambda: lead(answer_scores(model, tokens), best))
    return best, moved


@torch.no_grad()
def without_most_and_least(
    score: Callable[[list[int]], Tensor], tokens: list[int], moved: Tensor, number: int
) -> tuple[float, float]:
    """Check an attribution: (the score without the `number` tokens that contributed most, the score without those that
    contributed least). `score` takes token ids; `moved` (T,) is the result of gradient_times_input."""
    order = moved.argsort(descending=True).tolist()
    left_out = (set(order[:number]), set(order[-number:]))
    most, least = ([token for i, token in enumerate(tokens) if i not in out] for out in left_out)
    return float(score(most)), float(score(least))
