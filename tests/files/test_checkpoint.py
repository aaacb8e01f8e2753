"""Model folders: the same model here and in `transformers`, written whole or not at all."""

import json
import os
import pickle

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from gpt.errors import UserError
from gpt.fast.batch import generate_with_cache
from gpt.files.atomic import atomic_write
from gpt.files.checkpoint import load_model, load_resume, save_model, save_resume
from gpt.files.tokenizer_files import load_tokenizer
from gpt.model import GPT, GPTConfig
from gpt.tokenizer import Tokenizer
from tests.helpers import random_model

TOKENS = torch.randint(0, 300, (2, 32), generator=torch.Generator().manual_seed(1))
FILES = {"config.json", "model.safetensors", "vocab.json", "merges.txt", "tokenizer_config.json"}


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(corpus)


def test_transformers_loads_what_we_save_with_the_same_logits(model, tokenizer, tmp_path):
    save_model(model, tokenizer, tmp_path)
    peer, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), peer(TOKENS).logits, atol=1e-4, rtol=0)


def test_greedy_continuations_are_those_of_transformers(model, tokenizer, tmp_path):
    save_model(model, tokenizer, tmp_path)
    peer = AutoModelForCausalLM.from_pretrained(tmp_path)
    prompt = TOKENS[:1, :8]
    theirs = peer.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    assert list(generate_with_cache(model, prompt[0].tolist(), 24, temperature=0)) == theirs[0, 8:].tolist()


def test_transformers_tokenizer_gives_our_ids(model, tokenizer, tmp_path, python_source):
    save_model(model, tokenizer, tmp_path)
    peer = AutoTokenizer.from_pretrained(tmp_path)
    text = python_source[:20_000] + " 猫坐在垫子上。🐱"
    assert peer(text)["input_ids"] == tokenizer.encode(text) == tokenizer.encode_document(text)
    assert peer.eos_token_id == tokenizer.end_of_text


def test_where_documents_begin_with_the_end_of_text_token_both_put_it_first(model, corpus, tmp_path):
    tokenizer = load_tokenizer(corpus)
    tokenizer.add_bos_token = True
    save_model(model, tokenizer, tmp_path)
    ids = [tokenizer.end_of_text, *tokenizer.encode("the cat")]
    assert AutoTokenizer.from_pretrained(tmp_path)("the cat")["input_ids"] == ids
    assert load_tokenizer(tmp_path).encode_document("the cat") == ids
    (tmp_path / "tokenizer_config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="not a JSON object"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("add_bos_token", [True, False])
def test_a_tokenizer_saved_by_transformers_loads_here_with_the_same_ids(model, corpus, tmp_path, add_bos_token):
    tokenizer = load_tokenizer(corpus)
    tokenizer.add_bos_token = add_bos_token
    save_model(model, tokenizer, tmp_path / "ours")
    AutoTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    assert not (tmp_path / "theirs/vocab.json").exists()  # version 5 writes tokenizer.json alone
    loaded = load_tokenizer(tmp_path / "theirs")
    assert loaded.ids == tokenizer.ids and loaded.add_bos_token == add_bos_token
    assert loaded.encode_document("the cat 猫") == tokenizer.encode_document("the cat 猫")


@pytest.mark.parametrize(
    "damage",
    [
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
        {"normalizer": {"type": "NFC"}},
        {"added_tokens": []},
        {"model": {"type": "WordPiece"}},
        {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b c"]}},
    ],
    ids=str,
)
def test_a_tokenizer_of_another_kind_is_refused(model, tokenizer, tmp_path, damage):
    save_model(model, tokenizer, tmp_path / "ours")
    AutoTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(content | damage), encoding="utf-8")
    with pytest.raises(UserError, match="another kind than GPT-2's"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("activation", ["gelu_new"])
def test_a_model_saved_by_transformers_loads_here_with_the_same_logits(tmp_path, activation):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=300, n_positions=32, n_embd=64, n_layer=3, n_head=4, activation_function=activation)
    peer = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for weight in peer.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    peer.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), peer(TOKENS).logits, atol=1e-4, rtol=0)


def test_a_file_without_the_prefix_and_with_masks_loads_as_the_published_gpt2_does(tmp_path):
    from safetensors.torch import load_file, save_file

    model = random_model("learned")
    save_model(model, Tokenizer([]), tmp_path)
    weights = {name.removeprefix("transformer."): w for name, w in load_file(tmp_path / "model.safetensors").items()}
    weights["h.0.attn.bias"] = torch.ones(1, 1, 32, 32).tril()
    save_file(weights, tmp_path / "model.safetensors")
    assert torch.equal(load_model(tmp_path)(TOKENS), model(TOKENS))


def test_a_model_folder_survives_save_load_save_byte_for_byte(model, tokenizer, tmp_path):
    save_model(model, tokenizer, tmp_path / "one")
    save_model(load_model(tmp_path / "one"), load_tokenizer(tmp_path / "one"), tmp_path / "two")
    assert {path.name for path in (tmp_path / "one").iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@pytest.mark.parametrize("name", ["model.safetensors", "resume.pt"])
def test_a_pickle_in_place_of_a_checkpoint_is_refused_and_not_run(model, tokenizer, tmp_path, name):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trap_was_run"), "w"))

    save_model(model, tokenizer, tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps({"weights": Trap()}))
    with pytest.raises(UserError, match=name):
        load_model(tmp_path) if name == "model.safetensors" else load_resume(tmp_path / name)
    torch.save({"weights": Trap()}, tmp_path / name)  # a pickle in PyTorch's own wrapping
    with pytest.raises(UserError, match=name):
        load_model(tmp_path) if name == "model.safetensors" else load_resume(tmp_path / name)
    assert not (tmp_path / "trap_was_run").exists()


def test_weights_that_do_not_fit_the_config_are_refused(model, tokenizer, tmp_path):
    save_model(model, tokenizer, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["vocab_size"] = 301
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError, match="do not fit"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"activation_function": "relu"}, "asks for activation_function = 'relu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "asks for scale_attn_by_inverse_layer_idx = True"),
        ({"n_inner": 100}, "asks for n_inner = 100"),
        ({"model_type": "llama"}, "is of type 'llama'"),
        ({"n_embd": "wide"}, r"config\.json is damaged: TypeError"),
    ],
)
def test_another_architecture_is_refused_by_name(tokenizer, tmp_path, setting, message):
    save_model(random_model("learned"), tokenizer, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | setting), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_model(tmp_path)


def test_parallel_residuals_and_partly_rotated_heads_are_refused(tokenizer, tmp_path):
    save_model(random_model("rotary"), tokenizer, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for setting in ({"use_parallel_residual": True}, {"rotary_pct": 0.25}, {"tie_word_embeddings": False}):
        (tmp_path / "config.json").write_text(json.dumps(config | setting), encoding="utf-8")
        with pytest.raises(UserError, match=next(iter(setting))):
            load_model(tmp_path)


def test_a_truncated_file_is_refused(model, tokenizer, tmp_path):
    save_model(model, tokenizer, tmp_path)
    save_resume({"weights": model.state_dict()}, tmp_path / "resume.pt")
    for name, load in (
        ("model.safetensors", load_model),
        ("resume.pt", lambda folder: load_resume(folder / "resume.pt")),
    ):
        whole = (tmp_path / name).read_bytes()
        for size in (0, 10, len(whole) // 2, len(whole) - 1):
            (tmp_path / name).write_bytes(whole[:size])
            with pytest.raises(UserError, match=name):
                load(tmp_path)
        (tmp_path / name).write_bytes(whole)
        load(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("old", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "file") as path:
        path.write_text("half of the new", encoding="utf-8")
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text(encoding="utf-8") == "old"


def test_a_resume_file_gives_back_what_was_put_in(tmp_path):
    state = {"step": 3, "best": float("inf"), "weights": {"w": torch.randn(3)}, "losses": [1.5]}
    save_resume(state, tmp_path / "resume.pt")
    back = load_resume(tmp_path / "resume.pt")
    assert back["step"] == 3 and back["best"] == float("inf") and back["losses"] == [1.5]
    assert torch.equal(back["weights"]["w"], state["weights"]["w"])


def test_gpt2_family_shapes_survive_the_layout(tmp_path):
    """Fused queries, keys and values are stored head by head in one layout and side by side in the other."""
    for position in ("learned", "rotary"):
        model = GPT(GPTConfig(257, 16, 1, 5, 40, position=position)).eval()
        save_model(model, Tokenizer([]), tmp_path / position)
        assert torch.equal(load_model(tmp_path / position)(TOKENS[:, :16] % 257), model(TOKENS[:, :16] % 257))


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_all_files_of_a_model_may_be_read_by_whom_the_user_lets(model, tokenizer, tmp_path):
    before = os.umask(0o022)
    try:
        save_model(model, tokenizer, tmp_path / "shared")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "shared").iterdir()} == {0o644}
