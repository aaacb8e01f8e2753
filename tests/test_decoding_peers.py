"""The comparison of decoders, with a tiny model and one round."""

from dataclasses import replace

import pytest

from benchmarks import decoding_peers
from benchmarks.decode import DecodeConfig
from benchmarks.decoding_formats import missing, write_models
from gpt.model import GPTConfig

TINY = GPTConfig(257, 32, 2, 2, 64)
PROMPTS = [[1, 2, 3, 4], [9, 8, 7, 6]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_models(TINY, folder)
    return folder


@pytest.mark.parametrize("name", decoding_peers.CONTENDERS)
@pytest.mark.parametrize("rows", [1, 2])
def test_every_contender_writes_as_many_tokens_for_each_prompt_and_float32_writes_ours(name, rows, folder):
    function, kind, _, packages = decoding_peers.CONTENDERS[name]
    if missing(packages):
        pytest.skip(f"{missing(packages)[0]} is missing: requirements/dev.txt")
    job = decoding_peers.Job(folder, PROMPTS[:rows], 6, 1)
    written = function(job, kind)()
    assert [len(text) for text in written] == [6] * rows
    right = decoding_peers.ours(job, "float32")()
    if kind == "float32":
        assert written == right
    else:  # rounded weights may choose others, but not from the first token on in every row
        assert any(a[0] == b[0] for a, b in zip(written, right, strict=True))


def test_the_table_leaves_out_a_peer_that_is_missing_and_names_its_package(monkeypatch, capsys, quick_processes):
    ours = {name: parts for name, parts in decoding_peers.CONTENDERS.items() if parts[0] is decoding_peers.ours}
    absent = {"absent": (decoding_peers.ours, "float32", 4, ("no_such_package",))}
    monkeypatch.setattr(decoding_peers, "CONTENDERS", ours | absent)
    monkeypatch.setattr(decoding_peers, "MODELS", {"small": ("tiny", replace(TINY, context_length=64), 4)})
    monkeypatch.setattr(decoding_peers, "REST", 0)
    decoding_peers.compare_peers(DecodeConfig(("small",), rounds=1, threads=1))
    told = capsys.readouterr().out
    assert "no_such_package is missing" in told and "| absent |" not in told
    assert told.count("| this project, float32 |") == 2 and "8 texts" in told and "reading" not in told
