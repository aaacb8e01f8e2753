"""The rules of the house: who may import whom, how long a file may be, and that a name means one thing."""

import ast
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.helpers import ROOT

# Each may import those before it.
FLOORS = ["core", "files", "fast", "running", "finetuning", "inside", "export", "serving"]
SCRIPTS = ["train.py", "finetune.py", "sample.py", "look.py", "serve.py"]
CORE = [path for path in sorted((ROOT / "gpt").glob("*.py")) if path.name != "__init__.py"]
FILES = [*sorted((ROOT / "gpt").rglob("*.py")), *(ROOT / script for script in SCRIPTS)]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


def imports_of(path: Path) -> set[str]:
    """The modules of this project that a file imports, also those within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    own = {"gpt", "data", *(script.removesuffix(".py") for script in SCRIPTS)}
    return {name for name in found if name.split(".")[0] in own}


def floor_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / "gpt" / parts[1]).is_dir() else "core"


@pytest.mark.parametrize("path", [path for path in FILES if path.parent != ROOT], ids=module_name)
def test_imports_run_one_way(path):
    own = FLOORS.index(floor_of(module_name(path)))
    for module in imports_of(path) & MODULES.keys():
        floor = floor_of(module)
        assert module.startswith("gpt"), f"{path} imports the script {module}"
        assert FLOORS.index(floor) <= own, f"{module_name(path)} imports {module}, which is above it"


@pytest.mark.parametrize("path", [path for path in FILES if path.parent != ROOT], ids=module_name)
def test_gpt_does_not_know_the_toy_world(path):
    assert not [module for module in imports_of(path) if module.split(".")[0] == "data"]


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_the_core_needs_few_packages(path):
    names = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    packages = {str(name).split(".")[0] for name in names} - sys.stdlib_module_names
    assert packages <= {"gpt", "torch", "numpy", "regex", "tiktoken", "tqdm"}


def test_no_import_runs_in_a_circle():
    arrows = {name: imports_of(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    done: set[str] = set()
    while ready := {name for name, needed in arrows.items() if name not in done and needed <= done}:
        done |= ready
    assert not arrows.keys() - done, f"these import each other: {sorted(arrows.keys() - done)}"


def test_the_core_is_ten_files_of_a_thousand_lines():
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in CORE}
    assert set(lengths) == {
        "tokenizer.py", "model.py", "dataset.py", "optim.py", "muon.py", "sampling.py", "generate.py", "classifier.py",
        "lora.py", "errors.py",
    }  # fmt: skip
    assert max(lengths.values()) <= 220
    assert sum(lengths.values()) <= 1000


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_file_has_one_idea(path):
    limit = 200 if path.parent == ROOT else 250
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


def test_a_name_means_one_thing():
    """No two modules define the same function, class or constant."""
    homes = defaultdict(set)
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                homes[node.name].add(name)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    homes[target.id if isinstance(target, ast.Name) else ""].add(name)
    homes.pop("", None)
    assert {name: sorted(places) for name, places in homes.items() if len(places) > 1 and name != "main"} == {}
