"""Download all packages of the lessons into a folder, for rooms without a network.

    python -m notebooks.wheelhouse                                                # for this machine
    python -m notebooks.wheelhouse windows macos --python 3.12                    # for others
    pip install --no-index --find-links wheelhouse -r requirements/lab.txt        # there, without a network

For Linux without GPUs set UV_INDEX and PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds first: it saves several
gigabytes.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from gpt.errors import UserError
from gpt.running.command_line import parse_flags, run_main

LAB = Path(__file__).resolve().parent.parent / "requirements/lab.txt"
# uv's name of a system, and pip's names of the wheels that run on it: a wheel names the oldest system that it runs on.
SYSTEMS = {
    "windows": ("windows", ["win_amd64"]),
    "macos": ("aarch64-apple-darwin", ["macosx_14_0_arm64", "macosx_14_0_universal2"]),
    "linux": ("x86_64-manylinux_2_28", [f"manylinux_2_{glibc}_x86_64" for glibc in (28, 27, 24, 17, 12, 5)]),
}


@dataclass(frozen=True)
class WheelhouseConfig:
    systems: tyro.conf.Positional[tuple[Literal["windows", "macos", "linux"], ...]] = ()
    """systems to download for; this machine, if none is given"""
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    """Python version of those machines"""
    out: Path = Path("wheelhouse")
    """the folder of the wheels"""


def run(command: list[str]) -> None:
    """Run a command. Raises UserError if it fails; it has said why."""
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # the oldest macOS that PyTorch has wheels for
    if subprocess.run([sys.executable, "-m", *command], env=environment).returncode:
        raise UserError(f"{command[0]} could not get everything: read its last lines above")


def download_for(system: str, python: str, out: Path) -> None:
    """Let uv find the versions that fit another system, which pip cannot, then download exactly these."""
    name, tags = SYSTEMS[system]
    pinned = out / f"requirements-{system}.txt"
    exact = ["--python-version", python, "--only-binary", ":all:"]
    run(["uv", "pip", "compile", "--quiet", "--python-platform", name, *exact, "--output-file", str(pinned), str(LAB)])
    platforms = [part for tag in [*tags, "any"] for part in ("--platform", tag)]
    run(["pip", "download", "--dest", str(out), "--no-deps", *exact, *platforms, "-r", str(pinned)])


def main() -> None:
    config = parse_flags(lambda: tyro.cli(WheelhouseConfig, description=__doc__))
    config.out.mkdir(parents=True, exist_ok=True)
    for system in config.systems:
        download_for(system, config.python, config.out)
    if not config.systems:
        run(["pip", "download", "--dest", str(config.out), "-r", str(LAB)])
    size = sum(path.stat().st_size for path in config.out.iterdir()) / 1e6
    print(f"{size:,.0f} MB. There: pip install --no-index --find-links {config.out} -r requirements/lab.txt")


if __name__ == "__main__":
    run_main(main)
