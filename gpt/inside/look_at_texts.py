"""The commands of look.py that show what a model does with a text."""

import math
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from gpt.errors import UserError
from gpt.inside.given import Folder, Picture, Text, load_for_look, read_text, show_token


def show_surprise(model: Folder, text: Text, out: Picture = Path("surprise.png")) -> None:
    """Colour each token of a text by its surprisal: -log2 of the probability that the model gave it."""
    from gpt.generate import score
    from gpt.inside.inside_plots import plot_coloured_text

    gpt, tokenizer = load_for_look(model, must_be_causal=True)
    tokens, shown = read_text(text, tokenizer, 400)
    bits = [-choice.logprob / math.log(2) for choice in score(gpt, tokens)]
    for token, value in zip(shown[1:], bits, strict=True):
        print(f"{value:7.2f} bits  {token!r}")
    mean = sum(bits) / len(bits)
    title = f"How surprised {model.name} is: {mean:.2f} bits a token, perplexity {2**mean:.1f}"
    plot_coloured_text(shown, [None, *bits], (0, 12), "YlOrRd", "bits of surprise", title, out)
    print(f"mean {mean:.3f} bits a token\npicture: {out}")


def show_next_tokens(model: Folder, text: Text, out: Picture = Path("next_tokens.png")) -> None:
    """The most likely next tokens after each token of a text; the actual next token is framed."""
    import torch

    from gpt.generate import score
    from gpt.inside.inside_plots import plot_token_table

    gpt, tokenizer = load_for_look(model, must_be_causal=True)
    tokens, shown = read_text(text, tokenizer, 24)
    choices = score(gpt, tokens, 6)
    cells = [[show_token(tokenizer, choice.top[r][0]) for choice in choices] for r in range(6)]
    values = torch.tensor([[math.exp(choice.top[r][1]) for choice in choices] for r in range(6)])
    marks = torch.tensor([[choice.top[r][0] == choice.token for choice in choices] for r in range(6)])
    for token, choice in zip(shown, choices, strict=False):
        likely = ", ".join(f"{show_token(tokenizer, t)!r} {math.exp(logprob):.2f}" for t, logprob in choice.top[:3])
        print(f"after {token!r:14} {likely}")
    title = "Most likely next tokens (framed: the actual one)"
    plot_token_table(shown[:-1], cells, values, [f"{r + 1}." for r in range(6)], marks, "probability", title, out)
    print(f"picture: {out}")


def show_attention(
    model: Folder,
    text: Text,
    layer: Annotated[int | None, arg(help="draw only this layer, larger")] = None,
    out: Picture = Path("attention.png"),
) -> None:
    """Where each head attends on a text, with two scores: attention to the previous token, and to repeated patterns."""
    from gpt.inside.inside_plots import plot_attention_maps
    from gpt.inside.interpret import induction_score, previous_token_score, trace

    gpt, tokenizer = load_for_look(model)
    L, nh = gpt.config.n_layer, gpt.config.n_head
    if layer is not None and not 1 <= layer <= L:
        raise UserError(f"the layer is {layer}, but the model has {L} layers, from 1 up")
    tokens, shown = read_text(text, tokenizer, min(40, gpt.config.context_length))
    _, weights = trace(gpt, tokens)
    previous, induction = previous_token_score(gpt, tokens), induction_score(gpt)
    layers = range(L) if layer is None else [layer - 1]
    titles = [
        f"{i + 1}.{head + 1}   previous {previous[i, head]:.2f}, pattern {induction[i, head]:.2f}"
        for i in layers
        for head in range(nh)
    ]
    print("\n".join(titles))
    columns = nh if layer is None else min(nh, 4)
    maps = weights[list(layers)].flatten(0, 1)  # (heads, T, T)
    title = "Attention: layer.head, how much goes to the token before, and to what followed the same token earlier"
    plot_attention_maps(maps, shown, titles, columns, title, out)
    print(f"picture: {out}")


def show_heads(model: Folder, text: Text, out: Picture = Path("heads.png")) -> None:
    """Which heads attend to the previous token, and which continue repeated patterns (induction heads)."""
    from gpt.inside.inside_plots import plot_head_scores
    from gpt.inside.interpret import induction_score, previous_token_score

    gpt, tokenizer = load_for_look(model)
    tokens, _ = read_text(text, tokenizer)
    scores = {
        "to the previous token": previous_token_score(gpt, tokens[: gpt.config.context_length]),
        "to the token after the previous occurrence": induction_score(gpt),
    }
    for name, values in scores.items():
        layer, head = divmod(int(values.argmax()), values.size(1))
        print(f"most {name}: head {head + 1} of layer {layer + 1}, {values.max():.3f} (mean {values.mean():.3f})")
    plot_head_scores(scores, f"Share of each head's attention in {model.name}", out)
    print(f"picture: {out}")


def show_lens(model: Folder, text: Text, out: Picture = Path("lens.png")) -> None:
    """The prediction after each layer (the logit lens), and the first layer from which it stays the same."""
    from gpt.inside.inside_plots import plot_token_table
    from gpt.inside.interpret import logit_lens, sure_from

    gpt, tokenizer = load_for_look(model, must_be_causal=True)
    tokens, shown = read_text(text, tokenizer, min(24, gpt.config.context_length))
    logprobs = logit_lens(gpt, tokens)  # (L + 1, T, V)
    best, predicted = logprobs.max(-1)  # 2 × (L + 1, T)
    cells = [[show_token(tokenizer, token) for token in row] for row in predicted.tolist()]
    sure = sure_from(logprobs)
    for token, layer, answer in zip(shown, sure.tolist(), cells[-1], strict=True):
        print(f"after {token!r:14} the prediction is {answer!r:14} from layer {layer} on")
    rows = ["embedding", *(f"layer {n}" for n in range(1, len(cells)))]
    order = list(range(len(cells)))[::-1]  # the last layer on top
    marks = sure[None] == (len(cells) - 1) - sure.new_tensor(order[::-1])[:, None]
    title = "What each layer would say next (framed: from here on it stays with its answer)"
    plot_token_table(
        shown, [cells[i] for i in order], best.exp()[order], [rows[i] for i in order], marks, "probability", title, out
    )
    print(f"picture: {out}")


def show_layers(model: Folder, text: Text) -> None:
    """The loss on a text if the model exits after each layer (sample.py --exit-layer N)."""
    from gpt.inside.interpret import loss_per_layer

    gpt, tokenizer = load_for_look(model, must_be_causal=True)
    tokens, _ = read_text(text, tokenizer)
    print("| exit after | nats/token | perplexity |\n| --- | ---: | ---: |")
    for layer, nats in enumerate(loss_per_layer(gpt, tokens)):
        print(f"| {f'layer {layer}' if layer else 'the embedding'} | {nats:.3f} | {math.exp(nats):,.1f} |")


def show_reasons(model: Folder, text: Text, out: Picture = Path("reasons.png")) -> None:
    """Which tokens led a classifier to its label, or a language model to its next token (gradient × input)."""
    import torch

    from gpt.classifier import GPTClassifier
    from gpt.errors import UserError
    from gpt.files.tokenizer_files import load_tokenizer
    from gpt.finetuning.saved import kind_of, load_fine_tuned
    from gpt.inside.inside_plots import plot_coloured_text
    from gpt.inside.interpret import answer_scores, lead, reasons, without_most_and_least

    kind = kind_of(model)
    if kind == "tags":
        raise UserError(f"{model} has a label for every token, so there is no single answer to explain")
    if kind == "labels":
        gpt, tokenizer = load_fine_tuned(model, "cpu"), load_tokenizer(model)
        assert isinstance(gpt, GPTClassifier)
        names = [repr(label) for label in gpt.labels]
    else:
        gpt, tokenizer = load_for_look(model, must_be_causal=True)
        names = [repr(show_token(tokenizer, token)) for token in range(gpt.config.vocab_size)]
    tokens, shown = read_text(text, tokenizer, gpt.config.context_length)
    start = int(tokenizer.add_bos_token)  # leave out the token that only marks the beginning of a text

    (best, *others), contributions = reasons(gpt, tokens)
    for token, value in zip(shown[start:], contributions[start:].tolist(), strict=True):
        print(f"{value:+8.3f}  {token!r}")

    def score(ids: list[int]) -> torch.Tensor:
        return lead(answer_scores(gpt, ids), [best, *others])

    number = min(3, len(tokens) - 1 - start)
    without_most, without_least = without_most_and_least(
        lambda ids: score(tokens[:start] + ids), tokens[start:], contributions[start:], number
    )
    print(f"the score is {score(tokens).item():+.3f}; without the {number} tokens that contributed most "
          f"{without_most:+.3f}, without the {number} that contributed least {without_least:+.3f}")  # fmt: skip
    values: list[float | None] = [*[None] * start, *contributions[start:].tolist()]
    largest = float(contributions[start:].abs().max())
    title = f"Why {names[best]}" + "".join(f", and not {names[other]}" for other in others)
    plot_coloured_text(shown, values, (-largest, largest), "RdBu_r", "against (blue) and for (red) it", title, out)
    print(f"picture: {out}")


def show_patch(
    model: Folder,
    text: Text,
    from_text: Text,
    layer: Annotated[int | None, arg(help="patch the heads of this layer, at one token at a time")] = None,
    out: Picture = Path("patch.png"),
) -> None:
    """Put parts of the run on --from-text into the run on --text: which of them change the answer (activation
    patching)? Both texts need the same number of tokens."""
    from gpt.inside.inside_plots import label, plot_patches
    from gpt.inside.patching import Patching

    gpt, tokenizer = load_for_look(model, must_be_causal=True)
    most = min(64, gpt.config.context_length)
    (tokens, shown), (other, shown_other) = read_text(text, tokenizer, most), read_text(from_text, tokenizer, most)
    patching = Patching(gpt, tokens, other)
    ours, theirs = (repr(show_token(tokenizer, token)) for token in patching.answers)
    before, after = patching.leads
    print(f"logit of {theirs} minus logit of {ours}: {before:+.2f} after --text, {after:+.2f} after --from-text")
    at_tokens = [label(a if a == b else f"{a}/{b}") for a, b in zip(shown, shown_other, strict=True)]
    heads = [f"head {n + 1}" for n in range(gpt.config.n_head)]
    layers = [f"layer {n + 1}" for n in range(gpt.config.n_layer)]
    if layer is not None:
        maps = [(f"one head of layer {layer}, at one token", patching.heads_at_tokens(layer), heads, at_tokens)]
    else:
        maps = [
            ("one head, at all tokens", patching.heads(), layers, heads),
            ("the residual stream at one token", patching.stream(), ["embedding", *layers], at_tokens),
        ]
    flips_from = -before / (after - before)  # where both answers are equally likely
    for name, moved, rows, columns in maps:
        print(f"{name}: how much of the way to {theirs} the largest patches move it")
        for place in moved.flatten().abs().topk(min(6, moved.numel())).indices.tolist():
            row, column = divmod(place, len(columns))
            value, at = float(moved[row, column]), f"token {column} " if columns is at_tokens else ""
            flips = "flips" if value > flips_from else ""
            print(f"{round(value, 2) + 0.0:8.2f} {flips:5}  {rows[row]}, {at}{columns[column]}")
    title = f"Patched: how much of the way from {ours} (0) to {theirs} (1)"
    plot_patches(maps, title, out)
    print(f"picture: {out}")
