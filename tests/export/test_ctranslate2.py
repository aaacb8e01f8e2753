"""CTranslate2's own converter opens a model folder with learned positions."""

import pytest

from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer, vocabulary
from gpt.generate import generate
from tests.helpers import random_model

ctranslate2 = pytest.importorskip("ctranslate2", reason="ctranslate2 runs the model: requirements/dev.txt")


def test_its_greedy_text_is_ours(corpus, tmp_path):
    from ctranslate2.converters import TransformersConverter

    model, tokenizer = random_model("learned"), load_tokenizer(corpus)
    save_model(model, tokenizer, tmp_path / "folder")
    TransformersConverter(str(tmp_path / "folder")).convert(str(tmp_path / "converted"))
    generator = ctranslate2.Generator(str(tmp_path / "converted"), compute_type="float32", intra_threads=1)
    names = list(vocabulary(tokenizer))
    prompt = tokenizer.encode("the 猫")
    (answer,) = generator.generate_batch(
        [[names[token] for token in prompt]], max_length=20, sampling_topk=1, include_prompt_in_result=False
    )
    written = list(generate(model, prompt, 20, temperature=0))
    assert tokenizer.end_of_text not in written  # or the comparison would end early
    assert answer.sequences_ids == [written]
