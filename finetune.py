"""Fine-tune a pretrained GPT on examples of a task, and report how good it is.

    python finetune.py --model out/tiny --data data/reviews --out out/sentiment      # makes the reviews the first time
    python finetune.py --task answer --model out/tiny --data data/questions --out out/questions
    python finetune.py --task tags --model out/tiny --data mine.jsonl --out out/mine --train lora
    python finetune.py --model out/tiny --data data/reviews --out out/curve --label-counts 125 500 2000
    python finetune.py predict --model out/sentiment --text "not bad at all"      # see predict --help
    python finetune.py test --model out/sentiment --data other.csv      # see test --help

The best model so far (by the validation split) is always in the run folder, which is also a Hugging Face model
folder. Beside it: report.json, curve.png, metrics.jsonl, train_config.json, resume.pt, and confusion.png or scores.png.
"""

import copy
import dataclasses
import math
import signal
import sys

import numpy as np
import torch
import tyro
from tqdm import tqdm

from data.default import make_default_data
from data.world.tasks.score import world_score
from gpt.errors import UserError
from gpt.fast.speed_up import Twins, describe_code, speed_up
from gpt.files.atomic import sha256
from gpt.files.checkpoint import load_model
from gpt.files.int8_file import weights_file
from gpt.files.lock import alone_in
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.adalora import distance_from_orthogonal, keep_most_important, measure_importance
from gpt.finetuning.adversarial import FastGradientMethod
from gpt.finetuning.batches import Buckets
from gpt.finetuning.compare import compare_with_scratch, further_runs
from gpt.finetuning.evaluate import evaluate
from gpt.finetuning.finetune_config import FinetuneConfig, check_objective
from gpt.finetuning.methods import Net
from gpt.finetuning.predict import predict
from gpt.finetuning.prefix import context_after
from gpt.finetuning.task import Task
from gpt.finetuning.tasks import load_task
from gpt.finetuning.trainable import build_finetuning_optimizers, choose_weights, count_weights, l2_penalty
from gpt.optim import learning_rate_scale, set_learning_rate, update
from gpt.running.command_line import exit_unless, parse_flags, run_main
from gpt.running.device import Machine, pick_machine, use_threads
from gpt.running.processes import Processes
from gpt.running.run import Run, seed_dropout
from gpt.running.run_folder import check_new


def finetune(config: FinetuneConfig) -> dict | None:
    """Fine-tune as `config` says; see FinetuneConfig. Returns the content of report.json, or None if interrupted.

    Raises UserError for a mistake that the user can correct.
    """
    if config.out.resolve() == config.model.resolve():
        raise UserError(f"--out {config.out} is the folder of the pretrained model: choose another one")
    make_default_data(config.task, config.data)
    machine = pick_machine(config.device, config.precision, "off", config.plain)  # every batch has another shape
    use_threads(config.threads)
    pretrained, tokenizer = load_model(config.model), load_tokenizer(config.model)
    tokenizer.add_bos_token = True  # every text begins in the same way, whatever the model was pretrained on
    check_objective(config, pretrained.config)
    T, score_of_world = pretrained.config.context_length, world_score(config.data)
    if config.train == "prefix":
        T = context_after(config.prefix.length, T)
    task = load_task(config, tokenizer, T, score_of_world)
    for count in config.label_counts:  # report a mistake in one of them now, not after the first run
        load_task(dataclasses.replace(config, labels=count), tokenizer, T)
    identity = {"data": task.fingerprint(), "model": sha256(weights_file(config.model))}

    # The net, what of it is trained, and how
    torch.manual_seed(config.seed)
    net = task.build_net(dataclasses.replace(pretrained.config, dropout=config.dropout))
    if not config.from_scratch:
        net.transformer.load_state_dict(pretrained.transformer.state_dict())
    choose_weights(net, config)
    net.to(machine.device).train()
    twins: Twins = {} if config.plain else speed_up(net, machine.device, machine.dtype)
    optimizers = build_finetuning_optimizers(net, config, twins)
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.dtype == torch.float16)
    attack = FastGradientMethod(net.transformer.wte, config.adversarial)

    # The plan
    buckets = Buckets([len(text) for text in task.tokens["train"]], config.batch_size, config.seed)
    max_steps = max(config.min_steps, math.ceil(config.epochs * buckets.batches_per_epoch))
    eval_every, warmup = max(1, max_steps // config.evaluations), int(config.warmup * max_steps)
    alone = Processes(rank=0, size=1, device=machine.device)
    run = Run(config, identity, net, optimizers, scaler, alone, max_steps, eval_every, best=(-math.inf, 0.0))
    introduce_fine_tuning(config, net, task, max_steps, machine, describe_code(net, optimizers))

    for step in run.steps("fine-tuning"):
        if run.since_best >= config.patience:
            break
        if run.trains_in(step):
            set_learning_rate(optimizers, learning_rate_scale(step, max_steps, warmup))
            seed_dropout(config.seed, step)
            random = np.random.default_rng([config.seed, step])  # for word dropout
            batch = buckets.batch(step)
            loss = 0.0
            for part in np.array_split(batch, min(config.accumulate, len(batch))):
                share, again = len(part) / len(batch), copy.deepcopy(random)
                with machine.autocast(), attack.watched():
                    objective, loss_of_part = task.loss(net, part, machine, random, batch)
                scaler.scale(objective * share).backward()
                if config.adversarial:  # the same texts once more, moved to where their loss is higher
                    with machine.autocast(), attack.moved():
                        objective, _ = task.loss(net, part, machine, again, batch)
                    scaler.scale(objective * share).backward()
                loss += loss_of_part.item() * share
            loss = run.agree_on_loss(step, loss)
            if config.l2:
                scaler.scale(config.l2 * l2_penalty(net)).backward()
            if config.train == "adalora":
                scaler.scale(config.adalora.orthogonality * distance_from_orthogonal(net)).backward()
                measure_importance(net, step, max_steps, scaler.get_scale())
            update(optimizers, scaler, net.parameters(), config.grad_clip, step)
            if config.train == "adalora":
                keep_most_important(net, step + 1, max_steps, config.adalora.rank)
            run.finish_step(step, loss)

        if run.evaluates_after(step):
            with run.evaluation():
                val_loss, score = task.validate(net, machine)
                run.record(train_loss=run.mean_loss(), **{"val_loss": val_loss, f"val_{task.score}": score})
                tqdm.write(f"step {run.done}: validation loss {val_loss:.4f}, {task.score} {score:.4f}")
                run.since_best += 1
                if (score, -val_loss) > run.best:
                    run.best, run.since_best = (score, -val_loss), 0
                    task.save(net, config.out)
            run.save()

    if run.stopped_early:
        run.say_how_to_go_on()
        return None
    run.stop.release(signal.SIGTERM)  # `kill` ends the test at once, and --resume begins it anew
    from gpt.finetuning.report import write_report  # here, because scikit-learn and matplotlib take seconds to import

    report = write_report(config, net, task, machine, run.seconds)
    run.stop.release()
    if run.stop.requested:  # during the test: start no further run
        run.say_how_to_go_on()
        return None
    return report


def introduce_fine_tuning(
    config: FinetuneConfig, net: Net, task: Task, max_steps: int, machine: Machine, code: str
) -> None:
    """Say what is about to happen."""
    trained, total = count_weights(net)
    sizes = ", ".join(f"{len(examples):,} {split}" for split, examples in task.examples.items())
    print(f"model    {config.model}{' (its shape, random weights)' if config.from_scratch else ''}: "
          f"{trained:,} of {total:,} weights are trained ({trained / total:.1%}, --train {config.train})")  # fmt: skip
    print(f"data     {config.data}: {sizes}; {task.describe_data()}")
    for split, number in task.truncated.items():
        if number:
            print(f"         {number:,} {split} texts are longer than the context and are truncated")
    epochs = max_steps * config.batch_size / len(task.tokens["train"])
    least = " (as many as --min-steps asks for)" if max_steps == config.min_steps else ""
    print(f"plan     {max_steps:,} steps of {config.batch_size} texts: {epochs:.3g} epochs{least}\nmachine  {machine}")
    if config.train in ("adapter", "prefix"):
        print(f"saved    as an adapter, which needs {config.model}: a plain model has no place for what is added")
    print(f"code     {code}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["predict"]:
        return predict(sys.argv[2:])
    if sys.argv[1:2] == ["test"]:
        return evaluate(sys.argv[2:], world_score)
    config = parse_flags(lambda: tyro.cli(FinetuneConfig, description=__doc__))
    further = further_runs(config)
    with alone_in(config.out):
        for run in (run for runs in further.values() for run in runs.values() if not run.resume):
            check_new(run)  # before the first run, not after it
        report = finetune(config)
        if report and further:
            report = compare_with_scratch(config, report, finetune)
    exit_unless(report is not None)


if __name__ == "__main__":
    run_main(main)
