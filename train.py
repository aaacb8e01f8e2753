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
import math
import shlex
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from tqdm import tqdm

from data.prepare import PrepareConfig, prepare
from data.world.samples import Told, tell_and_judge
from data.world.writing import told_by_this_world, write_stories
from gpt.dataset import IGNORED, Dataset
from gpt.errors import UserError, parse, run_main
from gpt.files.checkpoint import load_model, save_model
from gpt.generate import generate
from gpt.model import GPT
from gpt.optim import build_optimizers, check_loss, learning_rate_scale, set_learning_rate, update
from gpt.running import processes as distributed
from gpt.running import run_folder
from gpt.running.device import Machine, pick_machine
from gpt.running.processes import Team
from gpt.running.train_config import PRESETS, TrainConfig
from gpt.tokenizer import Tokenizer


def default_data(vocab_size: int) -> Path:
    """Stories of the toy world as a tokens folder; made the first time they are wanted."""
    folder, text = Path(f"data/stories-{vocab_size}"), Path("data/stories.jsonl")
    if not (folder / "meta.json").is_file():
        print(f"no --data given: making {folder}, 20 MB of stories of the toy world")
        if not text.is_file():
            write_stories(text, megabytes=20)
        prepare(PrepareConfig((text,), folder, vocab_size, val_fraction=0.04))
    if text.is_file() and not told_by_this_world(text):
        print(f"note     {text} was told by another version of the toy world; delete it and {folder} for new stories")
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
def evaluate(model: torch.nn.Module, dataset: Dataset, machine: Machine, team: Team, part: int) -> float:
    """Mean loss over the whole validation split, in nats per token; every process takes its share, `part` windows at
    a time."""
    total = tokens = 0
    for x, y in dataset.evaluation_batches():
        x, y = team.share(x, 0), team.share(y, IGNORED)
        for inputs, targets in zip(x.split(part), y.to(machine.device).split(part), strict=True):
            with machine.autocast():
                logits = model(inputs.to(machine.device))  # (part, T, V)
            total += F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum").item()
            tokens += (targets != IGNORED).sum().item()
    total, tokens = team.sum(total, tokens)
    return total / tokens


def train(config: TrainConfig) -> None:
    """Train as `config` says; see TrainConfig. Raises UserError for what the user can put right."""
    machine = pick_machine(distributed.own_device(config.device), config.precision, config.compile)
    team = distributed.join(machine, config.batch_size, config.accumulate, config.sharding)
    if config.threads:
        torch.set_num_threads(config.threads)
    T = config.model.context_length
    with team.first_alone():
        data = config.data or default_data(config.model.vocab_size)
    dataset = Dataset(data, T, config.batch_size, config.seed)
    tokenizer = Tokenizer.load(data)
    tokenizer.add_bos_token = dataset.begins_documents

    torch.manual_seed(config.seed)
    model = GPT(dataclasses.replace(config.model, vocab_size=dataset.vocab_size))
    if config.init:
        load_pretrained(model, tokenizer, config.init)
    model.transformer.use_fused_attention(machine.prefers_fused_attention(T))
    model = team.place(model)
    compiled = torch.compile(model) if machine.compile else model
    forward = team.parallel(compiled)
    optimizers = build_optimizers(
        model, config.optimizer, config.learning_rate, config.muon_learning_rate, config.weight_decay, machine.dtype
    )
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.dtype == torch.float16)

    def save(step: int) -> None:
        """All that the run depends on after `step` steps, into resume.pt."""
        state = {"step": step, "best": best, "seconds": seconds, "losses": losses, "scaler": scaler.state_dict()}
        state |= {"weights": team.gather(model.state_dict())}
        state |= {"optimizers": [team.gather(optimizer.state_dict()) for optimizer in optimizers]}
        if team.is_first:
            run_folder.save(config, dataset.meta, state)

    start, best, seconds, losses = 0, math.inf, 0.0, []
    if config.resume and (state := run_folder.go_on(config, dataset.meta)):
        team.load(model, optimizers, state)
        scaler.load_state_dict(state["scaler"] or scaler.state_dict())  # empty unless it was in float16
        start, best, seconds, losses = state["step"], state["best"], state["seconds"], state["losses"]
        if team.is_first:
            run_folder.tidy(config.out, start)
    else:
        if team.is_first:
            run_folder.begin(config)
        save(0)  # from now on, whatever happens, --resume goes on
    introduce(config, model, dataset, machine)

    stop = run_folder.StopRequest()
    bar = tqdm(
        total=config.max_steps, initial=start, desc="training", unit="step", mininterval=0.5, disable=not team.is_first
    )
    part = config.batch_size // team.size // config.accumulate
    clock = time.perf_counter()
    for step in range(start, config.max_steps):
        set_learning_rate(optimizers, learning_rate_scale(step, config.max_steps, config.warmup_steps))
        # for dropout, which shall differ between the processes
        torch.manual_seed(int(np.random.SeedSequence([config.seed, step, team.rank]).generate_state(1)[0]))
        x, y = (team.share(rows, 0) for rows in dataset.batch(step))  # 2 × (batch_size / processes, T)
        loss_of_step = 0.0
        for number, (inputs, targets) in enumerate(zip(x.split(part), y.split(part), strict=True), start=1):
            with team.exchanging(model, forward, now=number == config.accumulate):
                with machine.autocast():
                    logits = forward(inputs.to(machine.device))  # (part, T, V)
                loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.to(machine.device).flatten())
                scaler.scale(loss / config.accumulate).backward()
            loss_of_step += loss.item() / config.accumulate
        loss_of_step, stopping = team.agree(loss_of_step, stop.requested)
        check_loss(loss_of_step, step)
        update(optimizers, scaler, model.parameters(), config.grad_clip, step)

        done = step + 1
        losses.append(loss_of_step)
        now = time.perf_counter()
        seconds, clock = seconds + now - clock, now
        tokens_per_second = done * config.batch_size * T / seconds
        bar.update()
        bar.set_postfix_str(f"loss {np.mean(losses):.3f}, {tokens_per_second:,.0f} tokens/s", refresh=False)
        if done % config.log_every == 0:
            if team.is_first:
                speed = {"seconds": round(seconds, 3), "tokens_per_second": round(tokens_per_second)}
                run_folder.append_metrics(config.out, step=done, train_loss=float(np.mean(losses)), **speed)
            losses = []
        last = done == config.max_steps
        if done % config.eval_every == 0 or last:
            bar.set_postfix_str("evaluating")
            model.eval()
            val_loss = evaluate(compiled, dataset, machine, team, part)
            check_loss(val_loss, done, "validation loss")
            whole_model = team.whole_model(model)
            if team.is_first:
                quality, sample = look(whole_model, tokenizer, dataset, config.seed)
                row = {"step": done, "val_loss": val_loss, "seconds": round(seconds, 3)}
                row |= {"perplexity": perplexity(val_loss), "bits_per_byte": dataset.bits_per_byte(val_loss)}
                run_folder.append_metrics(config.out, **row, **quality)
                tqdm.write(f"\nstep {done}: {describe(val_loss, dataset)}\n{sample}\n")
                if val_loss < best:
                    save_model(whole_model, tokenizer, config.out)
            best = min(val_loss, best)
            model.train()
        if done % config.eval_every == 0 or last or stopping:
            save(done)
            clock = time.perf_counter()  # evaluating and saving are not counted as training
        if stopping and not last:
            bar.close()
            if math.isinf(best):  # not evaluated yet: leave something to sample from
                whole_model = team.whole_model(model)
                if team.is_first:
                    save_model(whole_model, tokenizer, config.out)
            run_folder.say_how_to_go_on(done)
            return
    bar.close()
    if team.is_first:
        draw(config, dataset)
    print(f"trained in {seconds:.0f} s; best {describe(best, dataset)}")
    print(f"loss curve: {config.out / 'loss.png'}\nsample:     python sample.py --model {shlex.quote(str(config.out))}")


def look(model: GPT, tokenizer: Tokenizer, dataset: Dataset, seed: int) -> tuple[dict, str]:
    """What the model writes by now: figures for metrics.jsonl, and a text to show."""
    if world := dataset.meta.get("world"):  # the language, where the corpus is our own toy world
        told = tell_and_judge(model, tokenizer, world, 200, 0.5, seed)
        return told._asdict(), f"{told.story}\n[{told.verdict}]\n{judgement(told)}"
    opening = [tokenizer.end_of_text] if tokenizer.add_bos_token else tokenizer.encode("\n")
    sample = tokenizer.decode(generate(model, opening, 120, 0.8, seed=seed, stop=tokenizer.end_of_text)).strip()
    return {"sample": sample}, sample


def introduce(config: TrainConfig, model: GPT, dataset: Dataset, machine: Machine) -> None:
    """Say what is about to happen."""
    shape, total = config.model, dataset.meta["train_tokens"]
    tokens = config.batch_size * shape.context_length
    epochs = config.max_steps * tokens / total
    print(f"model    {shape.n_layer} layers, {shape.n_head} heads, {shape.n_embd} wide: {model.num_params():,} weights")
    print(f"data     {dataset.folder}: {total:,} tokens of {dataset.vocab_size:,} kinds to train on")
    print(f"plan     {config.max_steps:,} steps of {tokens:,} tokens: {epochs:.3g} times through the data")
    print(f"machine  {machine}", flush=True)


def perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # a float ends there


def describe(loss: float, dataset: Dataset) -> str:
    """A validation loss in all its units."""
    floor = dataset.meta["entropy_bits_per_byte"]
    beside = f" (the corpus's own entropy: {floor:.3f})" if floor else ""
    bits = dataset.bits_per_byte(loss)
    return f"validation loss {loss:.4f} nats/token, perplexity {perplexity(loss):.2f}, {bits:.3f} bits/byte{beside}"


def judgement(told: Told) -> str:
    told_well = f"{told.grammatical:.1%} are grammatical, and of those {told.consistent:.1%} consistent"
    return f"of 200 such stories, sampled at temperature 0.5, {told_well}"


def draw(config: TrainConfig, dataset: Dataset) -> None:
    from gpt.running.plots import loss_curve  # here, because matplotlib takes a second to import

    title = f"{config.out}: {config.model.n_layer} layers, {config.model.n_embd} wide, {config.optimizer}"
    floor = dataset.meta["entropy_bits_per_byte"]
    rows = run_folder.read_metrics(config.out)
    loss_curve(rows, dataset.bits_per_byte(1.0), floor, title, config.out / "loss.png")


def main() -> None:
    with distributed.session():
        train(parse(lambda: tyro.extras.overridable_config_cli(PRESETS, description=__doc__)))


if __name__ == "__main__":
    run_main(main)
