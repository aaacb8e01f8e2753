"""The commands of look.py that show weights and shapes, without running the model."""

from collections import Counter
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from gpt.errors import UserError
from gpt.inside.anatomy import FAMILY, anatomy_of
from gpt.inside.given import Folder, Picture, Text, load_for_look, read_text, show_token


def show_neighbours(
    model: Folder, words: Annotated[tuple[str, ...], arg(help="words that are one token each; a leading space counts")]
) -> None:
    """The tokens whose embeddings are nearest to the embedding of each word (cosine similarity)."""
    from gpt.inside.interpret import nearest_tokens

    gpt, tokenizer = load_for_look(model)
    for word in words:
        tokens = tokenizer.encode(word)
        if len(tokens) != 1:
            parts = [show_token(tokenizer, token) for token in tokens]
            raise UserError(f"{word!r} is {len(tokens)} tokens for this model, {parts}: give a word of one token")
        near = ", ".join(
            f"{show_token(tokenizer, token)!r} {cosine:.2f}" for token, cosine in nearest_tokens(gpt, tokens[0])
        )
        print(f"{word!r}: {near}")


def show_embeddings(
    model: Folder,
    text: Text,
    most: Annotated[int, arg(help="number of tokens to show")] = 120,
    out: Picture = Path("embeddings.png"),
) -> None:
    """The embeddings of a text's most common tokens, along their first two principal components (PCA)."""
    import torch
    from sklearn.decomposition import PCA

    from gpt.inside.inside_plots import plot_scatter_of_tokens

    gpt, tokenizer = load_for_look(model)
    counts = Counter(token for token in read_text(text, tokenizer)[0] if token != tokenizer.end_of_text)
    tokens = [token for token, _ in counts.most_common(most)]
    if len(tokens) < 2:
        raise UserError("a map needs at least two different tokens: give a longer text, or a larger --most")
    pca = PCA(2, svd_solver="full")
    points = torch.from_numpy(pca.fit_transform(gpt.transformer.wte.weight[tokens].detach().numpy()))
    first, second = (f"component {i + 1}: {share:.0%} of the variance"
                     for i, share in enumerate(pca.explained_variance_ratio_))  # fmt: skip
    names = first, second
    shown = [show_token(tokenizer, token) for token in tokens]
    plot_scatter_of_tokens(points, shown, f"The {len(tokens)} most common tokens in {model.name}", names, out)
    print(f"{names[0]}, {names[1]}\npicture: {out}")


def show_places(model: Folder, out: Picture = Path("places.png")) -> None:
    """The similarity of any two positions in the context."""
    from gpt.inside.inside_plots import plot_place_map
    from gpt.inside.interpret import position_similarity

    gpt, _ = load_for_look(model)
    similarity = position_similarity(gpt)
    plot_place_map(similarity, f"Similarity of {gpt.config.position} positions", out)
    print(
        f"neighbours {similarity.diagonal(1).mean():.3f}, 16 apart {similarity.diagonal(16).mean():.3f}\npicture: {out}"
    )


def show_sizes(
    names: Annotated[tuple[str, ...], arg(help="names of published models, or model folders")] = tuple(FAMILY),
) -> None:
    """Parameters, memory and operations of the GPT family, BERT and T5, part by part, computed from the shapes."""
    from gpt.files.huggingface import load_config

    parts = ("token embedding", "positions", "attention", "MLP", "norms", "head")
    print(f"| model | parameters | {' | '.join(parts)} | float32 | int8 | to train | cache | GFLOP/token |")
    print("| --- |" + " ---: |" * (len(parts) + 6))
    for name in names:
        shape = FAMILY[name] if name in FAMILY else anatomy_of(load_config(Path(name)))
        total, memory = shape.num_params(), shape.memory()
        shares = " | ".join(f"{count / total:.1%}" for count in shape.parameters().values())
        sizes = (memory["weights"], memory["weights"] / 4, memory["training"], memory["cache"])
        gigabytes = " | ".join(f"{size / 1e9:,.3g} GB" for size in sizes)
        flops = sum(shape.flops_per_token().values())
        print(f"| {name} | {total:,} | {shares} | {gigabytes} | {flops / 1e9:,.3g} |")
