"""What `python -m benchmarks.serve --peer` gives to its peers."""

import pytest
import torch

from benchmarks.serving_peers import write_for_transformers
from tests.helpers import random_model
from tests.serving.conftest import TOKENIZER


@pytest.mark.parametrize(("position", "name"), [("rotary", "Starcoder2ForCausalLM"), ("learned", "GPT2LMHeadModel")])
def test_transformers_gets_the_same_function_in_a_class_that_it_can_batch(position, name, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = random_model(position, TOKENIZER.vocab_size).eval()
    write_for_transformers(model, TOKENIZER, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(theirs).__name__ == name
    assert theirs.generation_config.do_sample and theirs.generation_config.eos_token_id == TOKENIZER.end_of_text
    tokens = torch.randint(0, TOKENIZER.vocab_size, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, model(tokens), atol=1e-4, rtol=1e-4)
