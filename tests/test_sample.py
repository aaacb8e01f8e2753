"""sample.py as a command: what it prints, and one line for what the user can put right."""

import json
import shutil
import sys

import pytest

import sample
from gpt.errors import UserError
from gpt.fast.batch import generate_with_cache
from gpt.files.checkpoint import load_model, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.adapters import save_adapter
from gpt.finetuning.method_config import LoraConfig, PrefixConfig
from gpt.finetuning.methods import adapt, merged
from gpt.finetuning.saved import save_answering_model
from gpt.running.command_line import run_main
from gpt.tokenizer import Tokenizer
from tests.helpers import label_net, random_model, stir


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with random weights."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer.train(["the cat sat on the mat " * 50], 300)
    save_model(random_model("rotary", tokenizer.vocab_size), tokenizer, folder)
    return folder


def run(monkeypatch, capsys, folder, *flags):
    """What the script prints, run in this process."""
    monkeypatch.setattr(sys, "argv", ["sample.py", "--model", str(folder), *flags])
    sample.main()
    return capsys.readouterr().out


def test_the_same_seed_prints_the_same_text_however_many_samples_there_are(monkeypatch, capsys, folder):
    flags = ("--prompt", "the cat", "--max-new-tokens", "12", "--seed")
    one, two = run(monkeypatch, capsys, folder, *flags, "5"), run(monkeypatch, capsys, folder, *flags, "6")
    assert one.startswith("the cat") and one != two
    both = run(monkeypatch, capsys, folder, *flags, "5", "--num-samples", "2")
    assert both == f"--- sample 1, seed 5\n{one}\n--- sample 2, seed 6\n{two}"


def test_several_prompts_are_continued_as_each_would_be_alone(monkeypatch, capsys, folder):
    flags = ("--max-new-tokens", "40", "--temperature", "0")
    alone = [run(monkeypatch, capsys, folder, "--prompt", p, *flags) for p in ("the cat", "a")]
    both = run(monkeypatch, capsys, folder, "--prompt", "the cat", "a", *flags)
    assert both == f"--- sample 1, seed 0\n{alone[0]}\n--- sample 2, seed 0\n{alone[1]}"


def test_without_a_prompt_a_new_document_begins(monkeypatch, capsys, folder):
    assert run(monkeypatch, capsys, folder, "--max-new-tokens", "5").strip()


@pytest.mark.parametrize(
    ("settings", "alike"), [(LoraConfig(), True), (PrefixConfig(4), False)], ids=["lora", "prefix"]
)
def test_an_adapter_of_an_answering_model_is_sampled(monkeypatch, capsys, folder, tmp_path, settings, alike):
    net, tokenizer = load_model(folder), load_tokenizer(folder)
    adapt(net, settings)
    save_adapter(stir(net), settings, folder, tokenizer, tmp_path / "adapter", room=4)
    flags = ("--prompt", "the cat", "--max-new-tokens", "12", "--temperature", "0")
    text = run(monkeypatch, capsys, tmp_path / "adapter", *flags)
    assert text.startswith("the cat") and text != run(monkeypatch, capsys, folder, *flags)
    if alike:  # a prefix cannot be merged
        save_answering_model(merged(net), tokenizer, tmp_path / "whole", room=4)
        assert text == run(monkeypatch, capsys, tmp_path / "whole", *flags)


def test_an_adapter_of_a_classifier_is_refused(monkeypatch, capsys, folder, tmp_path):
    net = label_net(load_model(folder), ("a", "b"))
    adapt(net, LoraConfig())
    save_adapter(net, LoraConfig(), folder, load_tokenizer(folder), tmp_path)
    with pytest.raises(UserError, match="an adapter, not a whole model"):
        run(monkeypatch, capsys, tmp_path, "--prompt", "the cat")


def test_a_stop_string_is_not_printed(monkeypatch, capsys, folder):
    flags = ("--prompt", "the", "--max-new-tokens", "30", "--temperature", "0")
    free = run(monkeypatch, capsys, folder, *flags).removesuffix("\n")
    stop = free[12:15]
    assert run(monkeypatch, capsys, folder, *flags, "--stop", stop) == free[: free.index(stop, 3)] + "\n"


def test_a_prompt_begins_a_document_where_the_model_knows_how_documents_begin(monkeypatch, capsys, tmp_path, corpus):
    tokenizer, model = load_tokenizer(corpus), random_model("rotary")
    tokenizer.add_bos_token = True
    save_model(model, tokenizer, tmp_path)
    prompt = [tokenizer.end_of_text, *tokenizer.encode("the cat")]
    expected = tokenizer.decode(generate_with_cache(model, prompt, 5, temperature=0, stop=tokenizer.end_of_text))
    out = run(monkeypatch, capsys, tmp_path, "--prompt", "the cat", "--max-new-tokens", "5", "--temperature", "0")
    assert out == f"the cat{expected}\n"
    out = run(monkeypatch, capsys, tmp_path, "--prompt", "the cat", "--score")
    assert f"\n{len(prompt) - 1} tokens: " in out


def test_score_prints_a_line_for_each_token_and_the_perplexity(monkeypatch, capsys, folder):
    out = run(monkeypatch, capsys, folder, "--prompt", "the cat sat", "--score", "--logprobs", "2")
    tokens = load_tokenizer(folder).encode("the cat sat")
    assert len(out.strip().split("\n")) == len(tokens) - 1 + 3
    assert f"{len(tokens) - 1} tokens after the first" in out and "perplexity" in out


def test_logprobs_int8_and_an_early_exit_go_together(monkeypatch, capsys, folder):
    flags = ("--prompt", "the", "--max-new-tokens", "4", "--logprobs", "1", "--quantize", "int8", "--exit-layer", "2")
    lines = run(monkeypatch, capsys, folder, *flags).split("\n")
    assert sum("0." in line for line in lines[-6:]) >= 4


@pytest.fixture
def complain(monkeypatch, capsys):
    """The one line of complaint of `python sample.py --model FOLDER ...`, which leaves with exit code 2."""

    def run(folder, *flags):
        monkeypatch.setattr(sys, "argv", ["sample.py", "--model", str(folder), *flags])
        with pytest.raises(SystemExit) as exit_:
            run_main(sample.main)
        printed = capsys.readouterr()
        assert exit_.value.code == 2
        assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and not printed.out
        return printed.err

    return run


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--prompt", ""), "prompt is empty"),
        (("--prompt", "x" * 100), "context holds 32"),
        (("--temperature", "-1"), "temperature"),
        (("--top-p", "1.5"), "top-p"),
    ],
)
def test_a_mistake_ends_in_one_line_and_exit_code_2(complain, folder, flags, message):
    assert message in complain(folder, *flags)


def test_an_empty_file_is_an_empty_prompt(complain, folder, tmp_path):
    (tmp_path / "empty.txt").touch()
    assert "prompt is empty" in complain(folder, "--prompt-file", str(tmp_path / "empty.txt"))


def test_a_folder_that_is_no_model_ends_in_one_line(complain, tmp_path):
    assert "not a model folder" in complain(tmp_path)


def test_weights_that_do_not_fit_the_config_end_in_one_line(complain, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] = 4
    (tmp_path / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert "do not fit" in complain(tmp_path / "model")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--top-p", "0"), "top-p"),
        (("--min-p", "2"), "min-p"),
        (("--top-k", "0"), "top-k"),
        (("--stop", ""), "stop string"),
        (("--num-samples", "0"), "num-samples"),
        (("--max-new-tokens", "-1"), "new tokens"),
        (("--exit-layer", "4"), "3 layers"),
        (("--exit-layer", "0"), "3 layers"),
        (("--score",), "needs a text"),
        (("--repetition-penalty", "0"), "repetition"),
        (("--logprobs", "-1"), "logprobs"),
    ],
)
def test_impossible_settings_are_named(monkeypatch, capsys, folder, flags, message):
    with pytest.raises(sample.UserError, match=message):
        run(monkeypatch, capsys, folder, *flags)


@pytest.mark.parametrize("plain", [[], ["--plain"]])
@pytest.mark.parametrize(
    "flags", [["--temperature", "-1"], ["--stop", ""], ["--top-p", "0"], ["--max-new-tokens", "-1"]]
)
def test_a_wrong_setting_is_refused_before_anything_is_printed(monkeypatch, capsys, folder, flags, plain):
    name = flags[0].removeprefix("--").replace("max-new-tokens", "new tokens")
    with pytest.raises(UserError, match=name):
        run(monkeypatch, capsys, folder, "--prompt", "the cat", *flags, *plain)
    assert capsys.readouterr().out == ""
