"""Fine-tune a pretrained GPT on labelled text, and report how good it is.

    python finetune.py --model out/tiny --data data/reviews --out out/sentiment      # makes the reviews the first time
    python finetune.py --model out/tiny --data mine.csv --out out/mine --train lora
    python finetune.py --model out/tiny --data data/reviews --out out/curve --label-counts 125 500 2000
    python finetune.py predict --model out/sentiment --text "not bad at all"      # see predict --help

The best model so far (by the validation split) is always in the run folder, which is also a Hugging Face model
folder. Beside it: report.json, curve.png, confusion.png, metrics.jsonl, train_config.json, and resume.pt.
"""

import dataclasses
import math
import sys

import numpy as np
import torch
import tyro
from tqdm import tqdm

from data.default import make_default_reviews
from gpt.classifier import GPTClassifier, language_loss, loss_on_labels, pad
from gpt.errors import UserError
from gpt.fast.speed_up import Twins, describe_code, speed_up
from gpt.files.atomic import sha256
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.compare import compare_with_scratch, further_runs
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.predict import classify, predict
from gpt.finetuning.saved import in_units, save_adapter, save_classifier
from gpt.finetuning.task import Buckets, Task, drop_words, load_task
from gpt.finetuning.trainable import build_layerwise_optimizers, choose_weights, count_weights
from gpt.lora import merge_lora
from gpt.optim import learning_rate_scale, set_learning_rate, update
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import Machine, pick_machine
from gpt.running.processes import Processes
from gpt.running.run import Run, seed_dropout
from gpt.running.run_folder import check_new
from gpt.tokenizer import Tokenizer


def finetune(config: FinetuneConfig) -> dict | None:
    """Fine-tune as `config` says; see FinetuneConfig. Returns the content of report.json, or None if interrupted.

    Raises UserError for a mistake that the user can correct.
    """
    if config.out.resolve() == config.model.resolve():
        raise UserError(f"--out {config.out} is the folder of the pretrained model: choose another one")
    make_default_reviews(config.data)
    machine = pick_machine(config.device, config.precision, "off", config.plain)  # every batch has another shape
    if config.threads:
        torch.set_num_threads(config.threads)
    pretrained, tokenizer = load_model(config.model), load_tokenizer(config.model)
    tokenizer.add_bos_token = True  # every text begins in the same way, whatever the model was pretrained on
    T, is_regression = pretrained.config.context_length, config.task == "regression"
    task = load_task(config.data, is_regression, config.labels, config.split_seed, tokenizer, T)
    for count in config.label_counts:  # report a mistake in one of them now, not after the first run
        load_task(config.data, is_regression, count, config.split_seed, tokenizer, T)
    identity = {"data": task.fingerprint(), "model": sha256(config.model / "model.safetensors")}

    # The model, what of it is trained, and how
    torch.manual_seed(config.seed)
    model = GPTClassifier(dataclasses.replace(pretrained.config, dropout=config.dropout), task.labels)
    if not config.from_scratch:
        model.transformer.load_state_dict(pretrained.transformer.state_dict())
    choose_weights(model, config)
    model.to(machine.device).train()
    twins: Twins = {} if config.plain else speed_up(model, machine.device, machine.dtype)
    optimizers = build_layerwise_optimizers(model, config, twins)
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.dtype == torch.float16)

    # The plan
    buckets = Buckets([len(text) for text in task.tokens["train"]], config.batch_size, config.seed)
    max_steps = max(config.min_steps, math.ceil(config.epochs * buckets.batches_per_epoch))
    eval_every, warmup = max(1, max_steps // config.evaluations), int(config.warmup * max_steps)
    class_weights = task.class_weights().to(machine.device) if config.class_weights else None
    alone = Processes(rank=0, size=1, device=machine.device)
    run = Run(config, identity, model, optimizers, scaler, alone, max_steps, eval_every, best=(-math.inf, 0.0))
    introduce_fine_tuning(config, model, task, max_steps, machine, describe_code(model, optimizers))

    for step in run.steps("fine-tuning"):
        if run.since_best >= config.patience:
            break
        set_learning_rate(optimizers, learning_rate_scale(step, max_steps, warmup))
        seed_dropout(config.seed, step)
        random = np.random.default_rng([config.seed, step])  # for word dropout
        batch = buckets.batch(step)
        loss = 0.0
        for part in np.array_split(batch, min(config.accumulate, len(batch))):
            texts = [task.tokens["train"][i] for i in part]
            texts = [drop_words(text, config.word_dropout, random) for text in texts]
            tokens, lengths = (x.to(machine.device) for x in pad(texts))  # (part, T), (part,)
            targets, share = task.targets["train"][part].to(machine.device), len(part) / len(batch)
            with machine.autocast():
                states = model.transformer(tokens)  # (part, T, C)
                logits = model.head(states, lengths)  # (part, labels)
                objective = loss_on_labels(logits, targets, class_weights, config.label_smoothing).mean()
                loss += objective.item() * share
                if config.lm_loss:
                    objective = objective + config.lm_loss * language_loss(model, states, tokens, lengths)
            scaler.scale(objective * share).backward()
        loss = run.agree_on_loss(step, loss)
        update(optimizers, scaler, model.parameters(), config.grad_clip, step)
        run.finish_step(step, loss)

        if run.evaluates_after(step):
            scores = validation_scores(model, task, machine)
            run.record(train_loss=run.mean_loss(), **scores)
            name, score = list(scores.items())[1]
            what = name.removeprefix("val_")
            tqdm.write(f"step {run.done}: validation loss {scores['val_loss']:.4f}, {what} {score:.4f}")
            run.since_best += 1
            if (score, -scores["val_loss"]) > run.best:
                run.best, run.since_best = (score, -scores["val_loss"]), 0
                save_fine_tuned(model, task, tokenizer, config)
            run.save()

    if run.stopped_early:
        run.say_how_to_go_on()
        return None
    from gpt.finetuning.report import write_report  # here, because scikit-learn and matplotlib take seconds to import

    report = write_report(config, model, task, machine, run.seconds)
    run.stop.release()
    if run.stop.requested:  # during the test: start no further run
        run.say_how_to_go_on()
        return None
    return report


def validation_scores(model: GPTClassifier, task: Task, machine: Machine) -> dict[str, float]:
    """Loss on the validation split, and the score to maximise: accuracy, or R² of a regression."""
    logits, targets = classify(model, task.tokens["val"], machine), task.targets["val"]
    loss = loss_on_labels(logits, targets, None, 0.0).mean().item()
    if model.is_regression:
        variance = targets.var(correction=0).item() or 1.0  # one example has none: take that of training, which is 1
        return {"val_loss": loss, "val_r2": 1 - loss / variance}
    return {"val_loss": loss, "val_accuracy": (logits.argmax(1) == targets).float().mean().item()}


def save_fine_tuned(model: GPTClassifier, task: Task, tokenizer: Tokenizer, config: FinetuneConfig) -> None:
    """Write the run folder's model, in the user's units and with LoRA's matrices merged or apart."""
    if model.is_regression:
        model = in_units(model, task.mean, task.std)
    if config.keep_adapter:
        save_adapter(model, config.lora, config.model, tokenizer, config.out)
    else:
        save_classifier(merge_lora(model), tokenizer, config.out)


def introduce_fine_tuning(
    config: FinetuneConfig, model: GPTClassifier, task: Task, max_steps: int, machine: Machine, code: str
) -> None:
    """Say what is about to happen."""
    trained, total = count_weights(model)
    sizes = ", ".join(f"{len(examples):,} {split}" for split, examples in task.examples.items())
    print(f"model    {config.model}{' (its shape, random weights)' if config.from_scratch else ''}: "
          f"{trained:,} of {total:,} weights are trained ({trained / total:.1%}, --train {config.train})")  # fmt: skip
    print(f"data     {config.data}: {sizes}; labels {', '.join(task.labels[:10])}")
    for split, number in task.truncated.items():
        if number:
            print(f"         {number:,} {split} texts are longer than the context and are truncated")
    print(f"plan     {max_steps:,} steps of {config.batch_size} texts\nmachine  {machine}")
    print(f"code     {code}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["predict"]:
        predict(sys.argv[2:])
        return
    config = parse_flags(lambda: tyro.cli(FinetuneConfig, description=__doc__))
    further = further_runs(config)
    for run in (run for runs in further.values() for run in runs.values() if not run.resume):
        check_new(run)  # before the first run, not after it
    report = finetune(config)
    if report and further:
        compare_with_scratch(config, report, finetune)


if __name__ == "__main__":
    run_main(main)
