"""README.md and README.zh-CN.md: commands run, figures were measured, links lead somewhere."""

import json
import re
import shlex
import shutil
import time
from pathlib import Path

import pytest
import torch

from benchmarks.serve import answers
from benchmarks.tour import markdown
from data.real import REAL
from data.world.tasks.writing import write_task
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import save_classifier
from tests.helpers import ROOT, label_net, write_reviews
from tests.processes import finish, start_python, start_torchrun

ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks/README.md", ROOT / "notebooks/README.md"]


def blocks_of(text: str, language: str = "") -> list[str]:
    """The code blocks of a document in a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [content for name, content in fenced if name == language]


def commands_of(text: str) -> list[str]:
    """The commands that a document shows, without their comments; a line that ends with \\ goes on."""
    lines = "\n".join(blocks_of(text)).replace("\\\n", " ").splitlines()
    return [shlex.join(shlex.split(line, comments=True)) for line in lines if line.strip()]


def test_both_languages_show_the_same_commands_and_the_same_code():
    assert commands_of(CHINESE) == commands_of(ENGLISH)
    code = [
        [line.split("#")[0].rstrip() for line in blocks_of(text, "python")[0].splitlines()]
        for text in (ENGLISH, CHINESE)
    ]
    assert code[0] == code[1]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_a_readme_is_read_in_ten_minutes(text):
    assert len(text.splitlines()) <= 130


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_requirements_and_readme_name_the_same_versions_of_pytorch(text):
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    versions = re.search(r"# (2\.\d+) to (2\.\d+) work", requirements)
    told = re.search(r"PyTorch (2\.\d+) (?:to|到) (2\.\d+)", text)
    assert versions and told and versions.groups() == told.groups()


@pytest.mark.parametrize(("language", "text"), [("en", ENGLISH), ("zh", CHINESE)])
def test_the_table_of_costs_is_what_was_measured(language, text):
    measured = json.loads((ROOT / "docs/tour.json").read_text(encoding="utf-8"))
    assert markdown(measured["steps"], language) in text


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_the_lines_of_the_reading_order_are_counted(text):
    rows = re.findall(r"^\| (`[^|]*\.py`) \| (\d+) \|", text, re.MULTILINE)
    assert len(rows) >= 6
    for files, lines in rows:
        counted = [
            len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in re.findall(r"`(.*?)`", files)
        ]
        assert sum(counted) == int(lines), files


def headings_of(document: Path) -> set[str]:
    """What GitHub calls the headings of a document in a link."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document):
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", text):
        if not target.startswith("http"):
            name, _, heading = target.partition("#")
            file = document.parent / name if name else document
            assert file.exists(), target
            assert not heading or heading in headings_of(file), target


def test_the_gpt_of_the_readme_is_the_gpt(place, monkeypatch):
    monkeypatch.chdir(place)
    names: dict = {}
    exec(blocks_of(ENGLISH, "python")[0], names)
    tokens = torch.randint(0, names["model"].config.vocab_size, (3, 20))
    with torch.no_grad():
        assert torch.allclose(names["gpt"](names["model"], tokens), names["model"](tokens), atol=1e-4)


SHORT = {  # so that a command of minutes takes seconds; everything else is as README shows it
    "train.py": ["--max-steps", "2", "--eval-every", "2", "--overwrite"],  # out/tiny is that of the other commands
    "finetune.py": ["--min-steps", "2", "--epochs", "0.01", "--evaluations", "1", "--overwrite"],
}
COMMANDS = [command for command in commands_of(ENGLISH) if command.startswith(("python ", "torchrun "))]


@pytest.fixture(scope="module")
def place(tmp_path_factory, base, corpus):
    """A folder in which each command of README finds what it needs, small and random, so that none needs another."""
    folder = tmp_path_factory.mktemp("a 文件夹")
    shutil.copytree(base, folder / "out/tiny")
    shutil.copytree(corpus, folder / "data/stories-2048")
    (folder / "data/reviews").mkdir()
    for seed, split in enumerate(("train", "val", "test")):
        write_reviews(folder / f"data/reviews/{split}.csv", 60, seed)
    write_task(folder / "data/entities", "entities", "en", seed=1, count=60)
    shutil.copytree(folder / "data/reviews", folder / "data/shopping")
    write_reviews(folder / "data/shopping/train.csv", 1000, seed=3)
    shutil.copytree(folder / "data/stories-2048", folder / "data/shop")
    shutil.copytree(folder / "out/tiny", folder / "out/shop")
    (folder / "out/shop/train_config.json").touch()  # a run, which the SHORT commands may replace
    net = label_net(load_model(base), ("bad", "good"))
    save_classifier(net, load_tokenizer(base), folder / "out/sentiment")
    return folder


def port_told_in(said: Path) -> int:
    """The port of a server that wrote its address into a file; 0 if it has not yet."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)/v1", said.read_text(encoding="utf-8")) if said.exists() else None
    return int(found[1]) if found else 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command, place, tmp_path):
    here = shutil.copytree(place, tmp_path / "a 文件夹")
    program, *words = shlex.split(command)
    script = next(word for word in words if not word.startswith("-") and word != "2")
    if program == "torchrun":  # tests/running/test_processes.py starts the real one
        flag, number = words[:2]
        assert flag == "--nproc-per-node"
        start, words = [str(ROOT / script)], words[3:]
    elif words[:2] == ["-m", "data.fetch"]:  # needs a network; tests/data/test_fetch.py has a package
        assert words[2:] and set(words[2:]) <= set(REAL)
        return
    elif words[:2] == ["-m", "data.prepare"]:
        (here / "data/shop").rename(here / "data/made-before")
        start, words = words[:2], words[2:]
    elif words[0] == "-m":
        pytest.importorskip("gguf" if "gguf" in words[1] else words[1].split(".")[0])
        start, words = words[:2], words[2:]
    else:
        start, words = [str(ROOT / script)], words[1:]
    if "predict" not in words:
        words += SHORT.get(script, [])
    if script == "serve.py":
        pytest.importorskip("starlette", reason="serving needs requirements/serve.txt")
        words += ["--port", "0"]
    if program == "torchrun":
        processes = start_torchrun(int(number), *start, *words, log=tmp_path / "said", folder=here)
        assert finish(processes) == [0] * int(number), (tmp_path / "said.0.err").read_text(encoding="utf-8")
        return
    process, said = start_python(*start, *words, log=tmp_path / "said", folder=here), tmp_path / "said.log"
    if script == "serve.py":
        while process.is_alive() and not answers(port_told_in(said)):
            time.sleep(0.01)
        assert process.is_alive()
        process.terminate()
    process.join(120)
    assert process.exitcode == 0, said.with_suffix(".err").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [command for command in commands_of(ENGLISH) if command not in COMMANDS])
def test_what_a_command_of_the_set_up_names_is_there(command):
    words = shlex.split(command)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif "-r" in words:
        assert (ROOT / words[words.index("-r") + 1]).is_file()
    else:
        assert words[1] == "-m" and words[2] == "venv"
