"""Texts as vectors: each must be its own, whoever is read beside it, and the nearest must be found."""

import pytest
import torch

from gpt.inside.interpret import trace
from gpt.inside.retrieval import nearest, text_vectors
from tests.helpers import masked_model, random_model

TEXTS = [[299, 5, 80, 3], [299, 7], [299, *range(40, 70)], [299, 5, 80, 4, 3], [12]]


@pytest.mark.parametrize("build", [random_model, masked_model])
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_vector_is_the_mean_of_the_states_of_the_text_alone(build, position):
    model = build(position)
    vectors = text_vectors(model, TEXTS, batch_size=2)
    assert vectors.shape == (4, 5, 64)
    for number, text in enumerate(TEXTS):
        states, _ = trace(model, text)  # (L + 1, T, C)
        mean = states[:, 1:].mean(1) if len(text) > 1 else states[:, 0]
        torch.testing.assert_close(vectors[:, number], mean, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("centred", [False, True])
def test_a_text_finds_itself(centred):
    for vectors in text_vectors(random_model("rotary"), TEXTS):
        assert nearest(vectors, vectors, centred).tolist() == [0, 1, 2, 3, 4]


def test_only_the_direction_counts_and_what_all_share_does_not():
    texts = torch.tensor([[3.0, 0.0], [0.0, 0.1], [-1.0, -1.0]])
    assert nearest(torch.tensor([[0.1, 0.0], [0.0, 9.0]]), texts, centred=False).tolist() == [0, 1]
    shifted = texts @ torch.tensor([[1.0, 0.0], [0.0, 1.0]]) + torch.tensor([50.0, -70.0])
    assert nearest(texts, shifted).tolist() == [0, 1, 2]


def test_a_text_longer_than_the_context_is_read_as_far_as_it_goes():
    model, text = random_model("learned"), [299, *range(100)]
    torch.testing.assert_close(text_vectors(model, [text]), text_vectors(model, [text[:32]]))


def test_a_text_without_tokens_is_refused_and_no_hook_stays():
    model = random_model("rotary")
    with pytest.raises(ValueError, match="no tokens"):
        text_vectors(model, [[1], []])
    with pytest.raises(IndexError):
        text_vectors(model, [[10**6]])
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in model.transformer.h)
