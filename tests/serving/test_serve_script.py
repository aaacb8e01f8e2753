"""serve.py as a user starts it: its mistakes, and the examples of docs/serving.md."""

import re
import shutil
import socket
import subprocess
import sys

import pytest

import serve
from benchmarks import serve as benchmark
from gpt.errors import UserError
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import save_tagger
from gpt.finetuning.tagger import GPTTagger
from gpt.model import GPTConfig
from gpt.running.command_line import run_main
from tests.helpers import ROOT, masked_model
from tests.processes import finish, start_python
from tests.serving.conftest import serving

SECTION = (ROOT / "docs/serving.md").read_text(encoding="utf-8")


def complain(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["serve.py", *map(str, flags)])
    with pytest.raises(UserError) as error:
        serve.main()
    return str(error.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "my-laptop"])
def test_an_address_that_others_reach_needs_a_key_or_a_word(monkeypatch, tmp_path, host):
    assert "--key-file" in complain(monkeypatch, "--model", tmp_path, "--host", host)
    assert serve.read_key(serve.ServeConfig((tmp_path,), host=host, no_key=True)) is None


@pytest.mark.parametrize(
    "content", [b"", b"short", b"two words of a key 1234", "schlüssel-mit-ümläuten".encode(), b"\xff" * 20]
)
def test_a_file_that_holds_no_key_is_refused(monkeypatch, tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    assert str(tmp_path / "key") in complain(monkeypatch, "--model", tmp_path, "--key-file", tmp_path / "key")


def test_a_key_is_read_without_the_line_break_after_it(tmp_path):
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbf0123456789abcdef\r\n")
    config = serve.ServeConfig((tmp_path,), host="0.0.0.0", key_file=tmp_path / "key")
    assert serve.read_key(config) == "0123456789abcdef"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model",), "names no folder"),
        (("--model", "x", "--rows", "0"), "--rows"),
        (("--model", "x", "--waiting", "-1"), "--waiting"),
        (("--model", "x", "--time-limit", "0"), "--time-limit"),
        (("--model", "x", "--port", "70000"), "--port"),
        (("--model", "x", "--key-file", "k", "--no-key"), "not both"),
        (("--model", "no-such-folder", "--port", "0"), "no-such-folder"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(monkeypatch, flags, message):
    pytest.importorskip("starlette", reason="serving needs requirements/serve.txt")
    assert message in complain(monkeypatch, *flags)


def test_a_taken_port_is_one_line_and_exit_code_2(folders, monkeypatch, capsys):
    pytest.importorskip("starlette", reason="serving needs requirements/serve.txt")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setattr(sys, "argv", ["serve.py", "--model", str(folders[0]), "--port", port])
        with pytest.raises(SystemExit) as exit_:
            run_main(serve.main)
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.startswith("error: cannot listen") and error.count("\n") == 1


def test_a_start_that_is_refused_closes_its_socket(monkeypatch):
    pytest.importorskip("starlette", reason="serving needs requirements/serve.txt")
    opened = []

    class Recorded(socket.socket):
        def __init__(self, *details, **more):
            super().__init__(*details, **more)
            opened.append(self)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(socket, "socket", Recorded)
        complain(monkeypatch, "--model", "no-such-folder", "--port", taken.getsockname()[1])
    complain(monkeypatch, "--model", "no-such-folder", "--port", 0)
    assert [listener.fileno() for listener in opened] == [-1, -1]


def test_two_folders_of_one_name_and_models_that_cannot_be_served_are_named(folders, tmp_path, monkeypatch):
    pytest.importorskip("starlette", reason="serving needs requirements/serve.txt")
    shutil.copytree(folders[0], tmp_path / "writer")
    flags = ("--port", 0, "--device", "cpu", "--model")
    assert "two models are called writer" in complain(monkeypatch, *flags, folders[0], tmp_path / "writer")
    tokenizer = load_tokenizer(folders[0])
    tagger = GPTTagger(GPTConfig(tokenizer.vocab_size, 32, 1, 2, 32), ("O", "B-X", "I-X"))
    save_tagger(tagger, tokenizer, tmp_path / "tags")
    save_model(masked_model("rotary", tokenizer.vocab_size + 2), tokenizer, tmp_path / "masked")
    assert "holds a tagger" in complain(monkeypatch, *flags, tmp_path / "tags")
    assert "masked model only fills gaps" in complain(monkeypatch, *flags, tmp_path / "masked")


MISSING = """
import sys
import serve
for package in ("starlette", "uvicorn", "prometheus_client"):
    for name in [name for name in sys.modules if name.startswith("gpt.serving")]:
        del sys.modules[name]  # what the package before let in
    sys.modules[package] = None
    try:
        serve.run_main(serve.main)
    except SystemExit as exit_:
        print(package, exit_.code)
    del sys.modules[package]
"""


def test_missing_packages_are_named_with_the_file_that_brings_them(folders, tmp_path):
    (tmp_path / "missing.py").write_text(MISSING, encoding="utf-8")
    words = str(tmp_path / "missing.py"), "--model", str(folders[0]), "--port", "0"
    assert finish([start_python(*words, log=tmp_path / "said")]) == [0]
    out, err = ((tmp_path / f"said.{stream}").read_text(encoding="utf-8") for stream in ("log", "err"))
    assert out.split("\n") == ["starlette 2", "uvicorn 2", "prometheus_client 2", ""]
    lines = err.splitlines()
    assert len(lines) == 3 and all("requirements/serve.txt" in line for line in lines)
    for package, line in zip(("starlette", "uvicorn", "prometheus_client"), lines, strict=True):
        assert line.startswith(f"error: {package}")


def test_a_listener_names_its_protocol_so_that_tokens_are_not_held_back():
    with serve.listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # else asyncio does not set TCP_NODELAY


@pytest.fixture(scope="module")
def of_document(folders, tmp_path_factory):
    """The models of the document's example, random ones, under its names."""
    root = tmp_path_factory.mktemp("document")
    shutil.copytree(folders[0], root / "tiny")
    shutil.copytree(folders[2], root / "sentiment")
    with serving((root / "tiny", root / "sentiment")) as server:
        yield server


def test_the_openai_example_of_the_document_prints_a_text(of_document, capsys):
    pytest.importorskip("openai")
    [example] = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert "127.0.0.1:8000" in example
    exec(example.replace(":8000", f":{of_document.port}"), {})
    assert len(capsys.readouterr().out) > 20


@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("curl") is None, reason="needs bash and curl")
def test_the_curl_examples_of_the_document_are_answered(of_document):
    [example] = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)
    command = ["bash", "-e", "-c", example.replace(":8000", f":{of_document.port}")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30)
    assert '"text": "' in done.stdout and '"label": "' in done.stdout and '"error"' not in done.stdout


def test_the_benchmark_measures_streams_of_the_length_that_it_asks_for(folders, tmp_path):
    benchmark.write_for_all(*benchmark.endless(folders[0]), tmp_path, peer=False)
    with serving((tmp_path / "model",)) as server:
        measured = [benchmark.ask(server.port, "model", 40, seed) for seed in range(3)]
        assert all(each.tokens == 40 and 0 < each.first < each.whole for each in measured)
        row = benchmark.crowd(server.port, "model", 3, benchmark.ServeBenchmark(tokens=5, rounds=2))
        assert len(row) == 4 and all(float(number.replace(",", "")) > 0 for number in row)


def test_a_server_that_does_not_start_ends_the_benchmark_in_one_line():
    with (
        pytest.raises(UserError, match="did not start: no such peer"),
        benchmark.started([sys.executable, "-c", "raise SystemExit('no such peer')"]),
    ):
        pass
