"""Pretrain a GPT on a tokens folder.

    python train.py tiny                                   # a small corpus is made the first time
    python -m data.prepare book.txt --out data/book        # or your own text
    python train.py tiny --data data/book --out out/book
    python train.py tiny --data data/book --out out/book --resume
    python train.py tiny --data data/reviews-text --out out/film --init out/tiny    # go on with other text

The best model so far (by validation loss) is always in the run folder, which is also a Hugging Face model folder.
Beside it: metrics.jsonl, loss.png, train_config.json, and resume.pt, from which an interrupted run goes on.
"""

import dataclasses
import json
import math
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from tqdm import tqdm

from data.prepare import PrepareConfig, prepare
from data.world.samples import Told, tell_and_judge
from data.world.writing import write_stories
from gpt import run_folder
from gpt.checkpoint import load_model, load_resume, save_model, save_resume
from gpt.dataset import IGNORED, Dataset
from gpt.device import Machine, pick_machine
from gpt.errors import UserError, parse, run_main
from gpt.generate import generate
from gpt.model import GPT
from gpt.optim import build_optimizers, learning_rate_scale, set_learning_rate
from gpt.tokenizer import Tokenizer
from gpt.train_config import PRESETS, TrainConfig


def default_data(vocab_size: int) -> Path:
    """Stories of the toy world as a tokens folder; made the first time they are wanted."""
    folder, text = Path(f"data/stories-{vocab_size}"), Path("data/stories.jsonl")
    if not (folder / "meta.json").is_file():
        print(f"no --data given: making {folder}, 20 MB of stories of the toy world")
        if not text.is_file():
            write_stories(text, megabytes=20)
        prepare(PrepareConfig((text,), folder, vocab_size))
    return folder


def load_pretrained(model: GPT, tokenizer: Tokenizer, folder: Path) -> None:
    """Give a model the weights of the one in `folder`, to go on with other text than it was trained on ("Don't Stop
    Pretraining", Gururangan et al. 2020). Raises UserError if its tokenizer or its shape is another."""
    pretrained = load_model(folder)
    if Tokenizer.load(folder).ids != tokenizer.ids:
        raise UserError(
            f"the data was not prepared with the tokenizer of {folder}: prepare it with --tokenizer {folder}"
        )
    theirs, ours = dataclasses.asdict(pretrained.config), dataclasses.asdict(model.config)
    others = [f"{key} {theirs[key]}" for key in theirs if theirs[key] != ours[key] and key != "dropout"]
    if others:
        raise UserError(f"the model in {folder} has {', '.join(others)}: ask for the same with --model.NAME VALUE")
    model.load_state_dict(pretrained.state_dict())


@torch.no_grad()
def evaluate(model: torch.nn.Module, dataset: Dataset, machine: Machine) -> float:
    """Mean loss over the whole validation split, in nats per token."""
    total = tokens = 0
    for x, y in dataset.evaluation_batches():
        with machine.autocast():
            logits = model(x.to(machine.device))  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), y.to(machine.device).flatten(), reduction="sum")
        total, tokens = total + loss.item(), tokens + (y != IGNORED).sum().item()
    return total / tokens


def train(config: TrainConfig) -> None:
    """Train as `config` says; see TrainConfig. Raises UserError for what the user can put right."""
    machine = pick_machine(config.device, config.precision, config.compile)
    if config.threads:
        torch.set_num_threads(config.threads)
    T = config.model.context_length
    data = config.data or default_data(config.model.vocab_size)
    dataset = Dataset(data, T, config.batch_size, config.seed)
    tokenizer = Tokenizer.load(data)
    world = dataset.meta.get("world")  # the language, where the corpus is our own toy world
    several_documents = dataset.meta["train_documents"] > 1
    opening = [tokenizer.end_of_text] if several_documents else tokenizer.encode("\n")  # what samples start from

    torch.manual_seed(config.seed)
    model = GPT(dataclasses.replace(config.model, vocab_size=dataset.vocab_size)).to(machine.device)
    if config.init:
        load_pretrained(model, tokenizer, config.init)
    model.use_fused_attention(machine.prefers_fused_attention(T))
    forward = torch.compile(model) if machine.compile else model
    optimizers = build_optimizers(
        model, config.optimizer, config.learning_rate, config.muon_learning_rate, config.weight_decay, machine.dtype
    )
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.dtype == torch.float16)

    start, best, seconds, losses = 0, math.inf, 0.0, []
    if config.resume:
        state = load_resume(config.out / "resume.pt")
        run_folder.go_on(config, dataset.meta, state)
        model.load_state_dict(state["weights"])
        for optimizer, optimizer_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)
        scaler.load_state_dict(state["scaler"])
        start, best, seconds, losses = state["step"], state["best"], state["seconds"], state["losses"]
    else:
        run_folder.begin(config)
    introduce(config, model, dataset, machine)

    stop = run_folder.StopRequest()
    bar = tqdm(total=config.max_steps, initial=start, desc="training", unit="step", mininterval=0.5)
    clock = time.perf_counter()
    for step in range(start, config.max_steps):
        set_learning_rate(optimizers, learning_rate_scale(step, config.max_steps, config.warmup_steps))
        torch.manual_seed(int(np.random.SeedSequence([config.seed, step]).generate_state(1)[0]))  # for dropout
        x, y = dataset.batch(step)  # 2 × (batch_size, T)
        loss_of_step = 0.0
        part = config.batch_size // config.accumulate
        for inputs, targets in zip(x.split(part), y.split(part), strict=True):
            with machine.autocast():
                logits = forward(inputs.to(machine.device))  # (part, T, V)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.to(machine.device).flatten())
            scaler.scale(loss / config.accumulate).backward()
            loss_of_step += loss.item() / config.accumulate
        if not math.isfinite(loss_of_step):
            raise UserError(f"the loss became {loss_of_step} at step {step}: try a lower --learning-rate")
        for optimizer in optimizers:
            scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        for optimizer in optimizers:
            scaler.step(optimizer)
            optimizer.zero_grad()
        scaler.update()

        done = step + 1
        losses.append(loss_of_step)
        now = time.perf_counter()
        seconds, clock = seconds + now - clock, now
        tokens_per_second = done * config.batch_size * T / seconds
        bar.update()
        bar.set_postfix_str(f"loss {np.mean(losses):.3f}, {tokens_per_second:,.0f} tokens/s", refresh=False)
        if done % config.log_every == 0:
            speed = {"seconds": round(seconds, 3), "tokens_per_second": round(tokens_per_second)}
            run_folder.append_metrics(config.out, step=done, train_loss=float(np.mean(losses)), **speed)
            losses = []
        last = done == config.max_steps
        if done % config.eval_every == 0 or last:
            model.eval()
            bar.set_postfix_str("evaluating")
            val_loss = evaluate(forward, dataset, machine)
            quality = {"perplexity": math.exp(val_loss), "bits_per_byte": dataset.bits_per_byte(val_loss)}
            if world:
                told = tell_and_judge(model, tokenizer, world, 200, 0.8, config.seed)
                quality |= told._asdict()
                sample = f"{told.story}\n[{told.verdict}]\n{judgement(told)}"
            else:
                tokens = generate(model, opening, 120, 0.8, seed=config.seed, stop=tokenizer.end_of_text)
                sample = quality["sample"] = tokenizer.decode(tokens).strip()
            model.train()
            run_folder.append_metrics(config.out, step=done, val_loss=val_loss, seconds=round(seconds, 3), **quality)
            tqdm.write(f"\nstep {done}: {describe(val_loss, dataset)}\n{sample}\n")
            if val_loss < best:
                best = val_loss
                save_model(model, tokenizer, config.out)
            clock = time.perf_counter()  # evaluating is not counted as training
        if done % config.eval_every == 0 or last or stop.requested:
            state = {"step": done, "best": best, "seconds": seconds, "losses": losses, "scaler": scaler.state_dict()}
            state |= {"weights": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
            state |= {"config": json.dumps(run_folder.config_to_json(config)), "data": json.dumps(dataset.meta)}
            save_resume(state, config.out / "resume.pt")
        if stop.requested and not last:
            bar.close()
            if math.isinf(best):  # not evaluated yet: leave something to sample from
                save_model(model, tokenizer, config.out)
            command = shlex.join(["python", *sys.argv, *([] if config.resume else ["--resume"])])
            print(f"\nstopped after step {done}; everything is saved. To go on:\n  {command}")
            return
    bar.close()
    draw(config, dataset)
    print(f"trained in {seconds:.0f} s; best {describe(best, dataset)}")
    print(f"loss curve: {config.out / 'loss.png'}\nsample:     python sample.py --model {shlex.quote(str(config.out))}")


def introduce(config: TrainConfig, model: GPT, dataset: Dataset, machine: Machine) -> None:
    """Say what is about to happen."""
    shape, total = config.model, dataset.meta["train_tokens"]
    tokens = config.batch_size * shape.context_length
    epochs = config.max_steps * tokens / total
    print(f"model    {shape.n_layer} layers, {shape.n_head} heads, {shape.n_embd} wide: {model.num_params():,} weights")
    print(f"data     {dataset.folder}: {total:,} tokens of {dataset.vocab_size:,} kinds to train on")
    print(f"plan     {config.max_steps:,} steps of {tokens:,} tokens: {epochs:.3g} times through the data")
    print(f"machine  {machine}", flush=True)


def describe(loss: float, dataset: Dataset) -> str:
    """A validation loss in all its units."""
    floor = dataset.meta["entropy_bits_per_byte"]
    beside = f" (the corpus's own entropy: {floor:.3f})" if floor else ""
    bits = dataset.bits_per_byte(loss)
    return f"validation loss {loss:.4f} nats/token, perplexity {math.exp(loss):.2f}, {bits:.3f} bits/byte{beside}"


def judgement(told: Told) -> str:
    return f"of 200 such stories {told.grammatical:.1%} are grammatical, and of those {told.consistent:.1%} consistent"


def draw(config: TrainConfig, dataset: Dataset) -> None:
    from gpt.plots import loss_curve  # here, because matplotlib takes a second to import

    title = f"{config.out}: {config.model.n_layer} layers, {config.model.n_embd} wide, {config.optimizer}"
    floor = dataset.meta["entropy_bits_per_byte"]
    rows = run_folder.read_metrics(config.out)
    loss_curve(rows, dataset.bits_per_byte(1.0), floor, title, config.out / "loss.png")


def main() -> None:
    train(parse(lambda: tyro.extras.overridable_config_cli(PRESETS, description=__doc__)))


if __name__ == "__main__":
    run_main(main)
