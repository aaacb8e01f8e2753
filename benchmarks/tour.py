"""The commands of README.md as a newcomer runs them, timed: what each costs and what comes out.

    python -m benchmarks.tour                    # four to six minutes; the machine should be quiet
    python -m benchmarks.tour --installation     # also install into a new environment, which needs a package index

Every command is a process of its own, in an empty folder, so it makes its data, too. Writes docs/tour.json, the picture
docs/tiny.png, and prints the rows for README.md and README.zh-CN.md; a test holds both equal to docs/tour.json.
"""

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
import tyro

from gpt.errors import UserError
from gpt.files.atomic import write_text
from gpt.running.command_line import parse_flags, run_main
from gpt.running.plots import FLOOR, INK, TRAIN, VALIDATION, plain
from gpt.running.run_folder import read_metrics

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "pretrain": "python train.py tiny",
    "write": "python sample.py --model out/tiny --num-samples 3",
    "fine-tune": "python finetune.py --model out/tiny --data data/reviews --out out/sentiment",
    "predict": "python finetune.py predict --model out/sentiment --text "
    '"I thought I would be angry about the tea, but it was the opposite. Like everyone, I was happy about the cake."',
}
HEADS = {
    "en": ["", "command", "what comes out", "seconds", "memory"],
    "zh": ["", "命令", "结果", "秒", "内存"],
}
CHINESE = {"install": "安装", "pretrain": "预训练", "write": "写作", "fine-tune": "微调", "predict": "预测"}


@dataclass(frozen=True)
class TourConfig:
    installation: bool = False
    """also install requirements.txt into a new environment, and weigh it"""


def measure(command: list[str], folder: Path) -> dict[str, Any]:
    """Run a command in a folder: its seconds, its largest memory in MB (None on Windows), and what it printed.

    Raises UserError if it fails; it has said why.
    """
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    printed, peak = process.stdout.read(), None
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
    if process.wait():
        raise UserError(f"{shlex.join(command)} failed: read its last lines above")
    return {"seconds": round(time.perf_counter() - start, 1), "peak_mb": peak, "printed": printed.strip()}


def install(folder: Path) -> dict[str, Any]:
    """Install requirements.txt into a new environment, and weigh what then lies on the disk, in MB."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made = measure([sys.executable, "-m", "venv", str(folder)], ROOT)
    installed = measure([str(python), "-m", "pip", "install", "--quiet", "-r", "requirements.txt"], ROOT)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    seconds = round(made["seconds"] + installed["seconds"], 1)
    return {"command": "python -m pip install -r requirements.txt", "seconds": seconds, "disk_mb": round(size / 1e6)}


def tour(folder: Path) -> dict[str, dict[str, Any]]:
    """All COMMANDS, one after the other, in an empty folder: name -> what it cost and what came out."""
    steps = {}
    for name, command in COMMANDS.items():
        print(command, file=sys.stderr, flush=True)
        _, script, *flags = shlex.split(command)
        steps[name] = {"command": command} | measure([sys.executable, str(ROOT / script), *flags], folder)
    rows = [row for row in read_metrics(folder / "out/tiny") if "val_loss" in row]
    best = min(rows, key=lambda row: row["val_loss"])
    kept = ("val_loss", "bits_per_byte", "grammatical", "consistent", "story", "verdict")
    meta = json.loads(next(folder.glob("data/*/meta.json")).read_text(encoding="utf-8"))
    steps["pretrain"] |= {name: best[name] for name in kept} | {"floor": meta["entropy_bits_per_byte"]}
    report = json.loads((folder / "out/sentiment/report.json").read_text(encoding="utf-8"))
    steps["fine-tune"] |= {"accuracy": report["test"]["accuracy"], "tfidf": report["baselines"]["tfidf"]["accuracy"]}
    return steps


def answer(printed: str) -> tuple[str, str]:
    """The label and its probability, from the two lines that `finetune.py predict` prints for one text."""
    head, row = (line.split() for line in printed.splitlines()[:2])
    label = row[head.index("answer")]
    return label, row[head.index(label)]


def results(steps: dict[str, dict[str, Any]], language: str) -> dict[str, str]:
    """What came out, in words."""
    trained, tuned = steps["pretrain"], steps["fine-tune"]
    label, probability = answer(steps["predict"]["printed"])
    found = {
        "en": {
            "pretrain": f"{trained['bits_per_byte']:.3f} bits/byte; no model can go below {trained['floor']:.3f}; "
            f"{trained['grammatical']:.0%} of its stories are grammatical, "
            f"{trained['consistent']:.0%} of those consistent",
            "write": "three stories",
            "fine-tune": f"{tuned['accuracy']:.1%} of 1,000 test reviews right; TF-IDF {tuned['tfidf']:.1%}",
            "predict": f"{label}, {probability}",
        },
        "zh": {
            "pretrain": f"{trained['bits_per_byte']:.3f} 比特/字节，任何模型都不能低于 {trained['floor']:.3f}；"
            f"{trained['grammatical']:.0%} 的故事合乎语法，其中 {trained['consistent']:.0%} 前后一致",
            "write": "三篇故事",
            "fine-tune": f"1,000 条测试评论答对 {tuned['accuracy']:.1%}；TF-IDF 为 {tuned['tfidf']:.1%}",
            "predict": f"{label}，{probability}",
        },
    }[language]
    if "install" in steps:
        size = f"{steps['install']['disk_mb']:,} MB"
        found["install"] = f"{size} on the disk" if language == "en" else f"占磁盘 {size}"
    return found


def markdown(steps: dict[str, dict[str, Any]], language: str) -> str:
    """The table of README.md ("en") or README.zh-CN.md ("zh")."""
    found = results(steps, language)
    lines = [HEADS[language], ["---", "---", "---", "---:", "---:"]]
    for name in ["install", *COMMANDS]:
        if name in steps:
            step = steps[name]
            memory = f"{step['peak_mb']:,} MB" if step.get("peak_mb") else ""
            label = name if language == "en" else CHINESE[name]
            lines.append([label, f"`{step['command']}`", found[name], f"{step['seconds']:.0f}", memory])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plot_loss_and_story(rows: list[dict], trained: dict[str, Any], path: Path) -> None:
    """The loss on its way down to the floor, and beside it a story with the judge's verdict."""
    bits = trained["bits_per_byte"] / trained["val_loss"]  # bits per byte for one nat per token
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), dpi=120, layout="constrained")
    for name, colour, label in (("train_loss", TRAIN, "training"), ("val_loss", VALIDATION, "validation")):
        points = [(row["step"], row[name] * bits) for row in rows if name in row]
        left.plot(*zip(*points, strict=True), color=colour, linewidth=2, label=label)
    left.axhline(trained["floor"], color=FLOOR, linestyle="--", label=f"no model can go below {trained['floor']:.3f}")
    left.set(xlabel="updates", ylabel="loss, bits per byte", yscale="log", title="train.py tiny: two CPU cores, no GPU")
    left.set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
    left.minorticks_off()
    left.legend(frameon=False)
    left.spines[["top", "right"]].set_visible(False)
    right.axis("off")
    right.set_title("a story that it wrote, and the judge's verdict", loc="left")
    story, verdict = textwrap.fill(trained["story"], 68), textwrap.fill("The judge: " + trained["verdict"], 60)
    right.text(0, 0.97, plain(story), va="top", fontsize=9.5, color=INK, linespacing=1.45)
    right.text(0, 0.89 - 0.067 * story.count("\n"), plain(verdict), va="top", color=FLOOR, fontweight="bold")
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(TourConfig, description=__doc__))
    with tempfile.TemporaryDirectory() as name:
        folder, steps = Path(name), {}
        if config.installation:
            steps["install"] = install(folder / "environment")
        steps |= tour(folder)
        plot_loss_and_story(read_metrics(folder / "out/tiny"), steps["pretrain"], ROOT / "docs/tiny.png")
    machine = (
        f"{torch.get_num_threads()} threads of {platform.processor() or platform.machine()}, torch {torch.__version__}"
    )
    content = {"date": str(datetime.date.today()), "machine": machine, "steps": steps}
    write_text(ROOT / "docs/tour.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(markdown(steps, "en"), markdown(steps, "zh"), sep="\n\n")


if __name__ == "__main__":
    run_main(main)
