"""Fine-tune a pretrained GPT on labelled text, and tell honestly how good it is.

    python finetune.py --model out/tiny --data data/reviews --out out/sentiment      # makes the reviews the first time
    python finetune.py --model out/tiny --data mine.csv --out out/mine --train lora
    python finetune.py --model out/tiny --data data/reviews --out out/curve --label-counts 125 500 2000
    python finetune.py predict --model out/sentiment --text "not bad at all"      # predict --help tells more

The best model so far (by the validation split) is always in the run folder, which is also a Hugging Face model
folder. Beside it: report.json, curve.png, confusion.png, metrics.jsonl, train_config.json, and resume.pt.
"""

import contextlib
import dataclasses
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import tyro
from tqdm import tqdm

from data.world.reviews import write_reviews
from gpt.classifier import GPTClassifier, classify, in_units, pad, save_classifier
from gpt.errors import UserError, parse, run_main
from gpt.files.atomic import sha256, write_text
from gpt.files.checkpoint import load_model
from gpt.finetuning import predict
from gpt.finetuning.buckets import Buckets
from gpt.finetuning.finetune_config import OUR_REVIEWS, FinetuneConfig
from gpt.finetuning.objective import drop_words, language_loss, loss_on_labels
from gpt.finetuning.task import Task, load_task
from gpt.finetuning.trainable import build_optimizers, choose, count_weights
from gpt.lora import merge, save_adapter
from gpt.optim import check_loss, learning_rate_scale, set_learning_rate, update
from gpt.running import run_folder
from gpt.running.device import Machine, pick_machine
from gpt.tokenizer import Tokenizer


def evaluate(model: GPTClassifier, task: Task, machine: Machine) -> dict[str, float]:
    """Loss on the validation split, and what is to become large: "accuracy", or for numbers "r2"."""
    logits, targets = classify(model, task.tokens["val"], machine), task.targets["val"]
    loss = loss_on_labels(logits, targets, None, 0.0).mean().item()
    if model.is_regression:
        variance = targets.var(correction=0).item() or 1.0  # a single one has none: training's, which is 1 here
        return {"val_loss": loss, "val_r2": 1 - loss / variance}
    return {"val_loss": loss, "val_accuracy": (logits.argmax(1) == targets).float().mean().item()}


def save(model: GPTClassifier, task: Task, tokenizer: Tokenizer, config: FinetuneConfig) -> None:
    """Write the run folder's model, in the user's units and with LoRA's matrices merged or apart."""
    if model.is_regression:
        model = in_units(model, task.mean, task.std)
    if config.keep_adapter:
        save_adapter(model, config.lora, config.model, tokenizer, config.out)
    else:
        save_classifier(merge(model), tokenizer, config.out)


def finetune(config: FinetuneConfig) -> dict | None:
    """Fine-tune as `config` says; see FinetuneConfig. Returns what report.json says, or None if interrupted.

    Raises UserError for what the user can put right.
    """
    if config.out.resolve() == config.model.resolve():
        raise UserError(f"--out {config.out} is the folder of the pretrained model: choose another one")
    if config.data == OUR_REVIEWS and not (config.data / "train.csv").exists():
        print(f"making {config.data}: 10,000 reviews by people of the toy world")
        write_reviews(config.data, 10_000, "hard", seed=1, language="en")
    machine = pick_machine(config.device, config.precision, compile="off")  # every batch has another shape
    if config.threads:
        torch.set_num_threads(config.threads)
    pretrained, tokenizer = load_model(config.model), Tokenizer.load(config.model)
    tokenizer.add_bos_token = True  # every text begins in the same way, whatever the model was pretrained on
    T, is_regression = pretrained.config.context_length, config.task == "regression"
    task = load_task(config.data, is_regression, config.labels, config.split_seed, tokenizer, T)
    for count in config.label_counts:  # what is wrong with one of them is said now, not when the first run is over
        load_task(config.data, is_regression, count, config.split_seed, tokenizer, T)
    identity = {"data": task.fingerprint(), "model": sha256(config.model / "model.safetensors")}

    torch.manual_seed(config.seed)
    model = GPTClassifier(dataclasses.replace(pretrained.config, dropout=config.dropout), task.labels)
    if not config.from_scratch:
        model.transformer.load_state_dict(pretrained.transformer.state_dict())
    choose(model, config)
    model.to(machine.device).train()
    model.transformer.use_fused_attention(machine.prefers_fused_attention(T))
    optimizers = build_optimizers(model, config)
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.dtype == torch.float16)
    buckets = Buckets([len(text) for text in task.tokens["train"]], config.batch_size, config.seed)
    max_steps = max(config.min_steps, math.ceil(config.epochs * buckets.batches_per_epoch))
    eval_every = max(1, max_steps // config.evaluations)
    weights = task.class_weights().to(machine.device) if config.class_weights else None

    def save_state(step: int) -> None:
        """All that the run depends on after `step` steps, into resume.pt."""
        state = {"step": step, "best": best, "since_best": since_best, "seconds": seconds, "losses": losses}
        state |= {"optimizers": [optimizer.state_dict() for optimizer in optimizers]}
        state |= {"weights": model.state_dict(), "scaler": scaler.state_dict()}
        run_folder.save(config, identity, state)

    start, best, since_best, seconds, losses = 0, (-math.inf, 0.0), 0, 0.0, []
    if config.resume and (state := run_folder.go_on(config, identity)):
        model.load_state_dict(state["weights"])
        for optimizer, optimizer_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)
        scaler.load_state_dict(state["scaler"] or scaler.state_dict())  # empty unless it was in float16
        start, best, since_best = state["step"], tuple(state["best"]), state["since_best"]
        seconds, losses = state["seconds"], state["losses"]
        run_folder.tidy(config.out, start)
    else:
        run_folder.begin(config)
        save_state(0)  # from now on, whatever happens, --resume goes on
    introduce(config, model, task, max_steps, machine)

    stop = run_folder.StopRequest()
    bar = tqdm(total=max_steps, initial=start, desc="fine-tuning", unit="step", mininterval=0.5)
    clock = time.perf_counter()
    for step in range(start, max_steps):
        if since_best >= config.patience:
            break
        set_learning_rate(optimizers, learning_rate_scale(step, max_steps, int(config.warmup * max_steps)))
        torch.manual_seed(int(np.random.SeedSequence([config.seed, step]).generate_state(1)[0]))  # for dropout
        random = np.random.default_rng([config.seed, step])  # for word dropout
        batch = buckets.batch(step)
        loss_of_step = 0.0
        for part in np.array_split(batch, min(config.accumulate, len(batch))):
            texts = [task.tokens["train"][i] for i in part]
            if config.word_dropout:
                texts = [drop_words(text, config.word_dropout, random) for text in texts]
            tokens, lengths = (x.to(machine.device) for x in pad(texts))  # (part, T), (part,)
            targets = task.targets["train"][part].to(machine.device)
            with machine.autocast():
                states = model.transformer(tokens)  # (part, T, C)
                logits = model.head(states, lengths)  # (part, labels)
                loss = loss_on_labels(logits, targets, weights, config.label_smoothing).mean()
                loss_of_step += loss.item() * len(part) / len(batch)
                if config.lm_loss:
                    loss = loss + config.lm_loss * language_loss(model, states, tokens, lengths)
            scaler.scale(loss * len(part) / len(batch)).backward()
        check_loss(loss_of_step, step)
        update(optimizers, scaler, model.parameters(), config.grad_clip, step)

        done = step + 1
        losses.append(loss_of_step)
        now = time.perf_counter()
        seconds, clock = seconds + now - clock, now
        bar.update()
        bar.set_postfix_str(f"loss {np.mean(losses[-50:]):.3f}", refresh=False)
        last = done == max_steps
        if done % eval_every == 0 or last:
            found = evaluate(model, task, machine)
            run_folder.append_metrics(config.out, step=done, train_loss=float(np.mean(losses)), **found)
            name, score = list(found.items())[1]
            tqdm.write(f"step {done}: validation loss {found['val_loss']:.4f}, {name.removeprefix('val_')} {score:.4f}")
            losses, since_best = [], since_best + 1
            if (score, -found["val_loss"]) > best:
                best, since_best = (score, -found["val_loss"]), 0
                save(model, task, tokenizer, config)
            clock = time.perf_counter()  # evaluating is not counted as training
        if done % eval_every == 0 or last or stop.requested:
            save_state(done)
        if stop.requested and not last:
            bar.close()
            run_folder.say_how_to_go_on(done)
            return None
    bar.close()
    report = tell(config, model, task, machine, seconds)
    stop.release()
    if stop.requested:  # meanwhile: no other run shall follow
        run_folder.say_how_to_go_on(run_folder.read_metrics(config.out)[-1]["step"])
        return None
    return report


def introduce(config: FinetuneConfig, model: GPTClassifier, task: Task, max_steps: int, machine: Machine) -> None:
    """Say what is about to happen."""
    trained, total = count_weights(model)
    sizes = ", ".join(f"{len(examples):,} {split}" for split, examples in task.examples.items())
    print(f"model    {config.model}{' (its shape, random weights)' if config.from_scratch else ''}: "
          f"{trained:,} of {total:,} weights are trained ({trained / total:.1%}, --train {config.train})")  # fmt: skip
    print(f"data     {config.data}: {sizes}; labels {', '.join(task.labels[:10])}")
    for split, number in task.truncated.items():
        if number:
            print(f"         {number:,} {split} texts are longer than the context and lose their ends")
    print(f"plan     {max_steps:,} steps of {config.batch_size} texts\nmachine  {machine}", flush=True)


def tell(config: FinetuneConfig, model: GPTClassifier, task: Task, machine: Machine, seconds: float) -> dict:
    """Test the best weights, once, and write, draw and print what came out."""
    from gpt.finetuning import report as finetune_report
    from gpt.finetuning import report_plots  # here, because scikit-learn and matplotlib take seconds to import

    trained, total = count_weights(model)
    report = {
        "task": config.task,
        "labels": task.labels,
        "train": config.train,
        "trained_weights": trained,
        "all_weights": total,
        "trained_share": trained / total,
        "examples": {split: len(examples) for split, examples in task.examples.items()},
        "truncated": task.truncated,
        "seconds": round(seconds, 1),
        "best_step": None,
    }
    if (config.out / "report.json").is_file():  # of this very run, going on: what was compared with it stays
        with contextlib.suppress(ValueError):  # damaged
            before = json.loads((config.out / "report.json").read_text(encoding="utf-8"))
            report |= {key: before[key] for key in ("from_scratch", "label_counts") if key in before}
    best = predict.load(config.out, machine.device)  # what the user will have, read back from the disk
    logits = classify(best, task.tokens["test"], machine)
    report |= finetune_report.test(task, logits)
    rows = run_folder.read_metrics(config.out)
    name = "val_r2" if best.is_regression else "val_accuracy"
    report["best_step"] = max(rows, key=lambda row: (row[name], -row["val_loss"]))["step"]
    write_report(config.out, report)
    report_plots.learning_curve(rows, report["best_step"], str(config.out), config.out / "curve.png")
    if not best.is_regression:
        report_plots.confusion(report["test"]["confusion"], task.labels, report["test"]["accuracy"],
                               config.out / "confusion.png")  # fmt: skip
    print(f"\n{finetune_report.describe(report)}\nin {seconds:.0f} s; all of it: {config.out / 'report.json'}")
    return report


def write_report(folder: Path, report: dict) -> None:
    write_text(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def further_runs(config: FinetuneConfig) -> dict[int | None, dict[str, FinetuneConfig]]:
    """What is compared with the first run: number of labels -> "pretrained" and "from_scratch" -> settings. The number
    None stands for all that the first run has: there, it is itself the pretrained one."""
    runs = {}
    for count in (*sorted(config.label_counts), None) if config.compare or config.label_counts else ():
        runs[count] = {}
        for name in ("from_scratch",) if count is None else ("pretrained", "from_scratch"):
            out = config.out / (name if count is None else f"{name}-{count}")
            again = {"out": out, "labels": count or config.labels, "from_scratch": name == "from_scratch"}
            again |= {"resume": config.resume and (out / "resume.pt").is_file()}
            runs[count][name] = dataclasses.replace(config, compare=False, label_counts=(), **again)
    return runs


def compare(config: FinetuneConfig, report: dict) -> None:
    """Do it again from random weights, and with fewer labels from both, so that what pretraining bought is a number.

    Adds to the report of the first run: "from_scratch", and with --label-counts "label_counts", a row for each.
    """
    rows = []
    for count, runs in further_runs(config).items():
        found = {"pretrained": report} if count is None else {}
        for name, run in runs.items():
            print(f"\n--- {name.replace('_', ' ')}, {count or report['examples']['train']:,} labels", flush=True)
            found[name] = finetune(run)
            if found[name] is None:
                return
        score = "r2" if config.task == "regression" else "accuracy"
        row = {"labels": found["pretrained"]["examples"]["train"]}
        row |= {name: one["test"][score] for name, one in found.items()}
        rows.append(row | {"tfidf": found["pretrained"]["baselines"]["tfidf"][score]})
    report["from_scratch"] = found["from_scratch"]["test"]
    print(f"\n{'labels':>8} {'pretrained':>11} {'from scratch':>13} {'tf-idf':>8}   (test {score})")
    for row in rows:
        print(f"{row['labels']:8,} {row['pretrained']:11.3f} {row['from_scratch']:13.3f} {row['tfidf']:8.3f}")
    if config.label_counts:
        from gpt.finetuning.report_plots import label_curve

        report["label_counts"] = rows
        label_curve(rows, score, config.out / "labels.png")
    write_report(config.out, report)


def main() -> None:
    if sys.argv[1:2] == ["predict"]:
        predict.main(sys.argv[2:])
        return
    config = parse(lambda: tyro.cli(FinetuneConfig, description=__doc__))
    further = further_runs(config)
    for run in (run for runs in further.values() for run in runs.values() if not run.resume):
        run_folder.check_new(run)  # before the first run, not after it
    report = finetune(config)
    if report and further:
        compare(config, report)


if __name__ == "__main__":
    run_main(main)
