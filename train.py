"""Pretrain a GPT on a tokens folder.

    python train.py tiny                                   # a small corpus is made the first time
    python -m data.prepare book.txt --out data/book        # or your own text
    python train.py tiny --data data/book --out out/book
    python train.py tiny --data data/book --out out/book --resume
    python train.py tiny --objective masked --out out/masked    # BERT in place of GPT: fill in gaps from both sides
    python train.py tiny --data data/reviews-text --out out/film --init out/tiny    # go on with other text

After each evaluation the best model so far (by validation loss) is in the run folder, which is also a Hugging Face
model folder. Beside it: train_config.json, metrics.jsonl, resume.pt (to go on from), and at the end loss.png.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from data.default import default_stories
from data.world.samples import judge_stories, sample_stories, sample_stories_plainly
from gpt.dataset import Dataset
from gpt.fast.batch import generate_with_cache
from gpt.fast.speed_up import Twins, describe_code, speed_up
from gpt.files.checkpoint import load_pretrained_weights, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.generate import generate
from gpt.model import GPT
from gpt.optim import build_optimizers, check_loss, learning_rate_scale, set_learning_rate, update
from gpt.running.command_line import as_typed, exit_unless, run_main
from gpt.running.device import Machine, pick_machine, use_threads
from gpt.running.masking import MaskedDataset, cloze_accuracy, filled_example
from gpt.running.memory import check_it_fits
from gpt.running.processes import join_processes, own_device, session
from gpt.running.run import Run, seed_dropout
from gpt.running.run_folder import read_metrics
from gpt.running.train_config import TrainConfig, read_train_flags
from gpt.running.validation import describe_loss, perplexity, validation_loss
from gpt.tokenizer import Tokenizer


def train(config: TrainConfig) -> bool:
    """Train as `config` says. Returns whether it came to its end, unstopped. Raises UserError for a user's mistake."""
    # The machine, and the processes that share the work; usually there is one.
    machine = pick_machine(own_device(config.device), config.precision, config.compile, config.plain)
    processes = join_processes(machine, config.batch_size, config.accumulate, config.sharding)
    use_threads(config.threads)

    # The data
    T = config.model.context_length
    with processes.first_alone():
        folder = config.data or default_stories(config.model.vocab_size, config.stories)
    corpus = TokensFolder(folder)
    dataset = corpus.dataset(T, config.batch_size, config.seed)
    if config.objective == "masked":
        dataset = MaskedDataset(dataset)  # the inputs have gaps, the targets are what was there
    tokenizer = load_tokenizer(folder)
    tokenizer.add_bos_token = corpus.begins_documents(T)  # prompts then begin as the training texts did

    # The model and its optimizers
    torch.manual_seed(config.seed)
    check_it_fits(config, corpus.vocab_size, processes.size, machine.device)
    model = GPT(config.model_for(corpus.vocab_size))
    if config.init:
        load_pretrained_weights(model, tokenizer, config.init)
    twins: Twins = {} if config.plain else processes.twins(speed_up(model, machine.device, machine.dtype))
    model = processes.place(model)
    compiled = torch.compile(model) if machine.compile else model
    token_loss = torch.compile(cross_entropy) if machine.compile else cross_entropy  # no float32 logits are kept then
    forward = processes.wrap(compiled)  # the same net, which also exchanges gradients where there are several processes
    optimizers = build_optimizers(
        model, config.optimizer, config.peak_rate, config.muon_learning_rate, config.weight_decay, twins
    )
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.dtype == torch.float16)

    # With --resume, the run goes on from resume.pt; otherwise it begins its folder.
    run = Run(config, corpus.meta, model, optimizers, scaler, processes, config.max_steps, config.eval_every,
              best=math.inf, tokens_per_step=config.batch_size * T)  # fmt: skip
    introduce_training(config, model, corpus, machine, describe_code(model, optimizers))

    for step in run.steps("training"):
        if run.trains_in(step):
            set_learning_rate(optimizers, learning_rate_scale(step, config.max_steps, config.warmup))
            seed_dropout(config.seed, step, processes.rank)
            loss = 0.0
            for inputs, targets in processes.parts(*dataset.batch(step), config.accumulate):  # 2 × (part, T)
                with machine.autocast():
                    logits = forward(inputs)  # (part, T, V)
                loss_of_part = token_loss(logits, targets) / config.accumulate
                scaler.scale(loss_of_part).backward()
                loss += loss_of_part.detach()
            loss = run.agree_on_loss(step, float(loss))
            update(optimizers, scaler, model.parameters(), config.grad_clip, step)
            run.finish_step(step, loss)

        if run.evaluates_after(step):
            with run.evaluation():
                model.eval()
                val_loss = validation_loss(compiled, dataset, machine, processes, config.accumulate)
                check_loss(val_loss, run.done, "validation loss")
                whole_model = processes.whole_model(model)
                if processes.is_first:
                    report_progress(run, whole_model, tokenizer, corpus, dataset, val_loss)
                    if val_loss < run.best:
                        save_model(whole_model, tokenizer, config.out)
                run.best = min(val_loss, run.best)
                model.train()
            run.save()

    if run.stopped_early:
        if math.isinf(run.best):  # not evaluated yet: leave something to sample from
            whole_model = processes.whole_model(model)
            if processes.is_first:
                save_model(whole_model, tokenizer, config.out)
        run.say_how_to_go_on()
        return False
    run.stop.release()
    if processes.is_first:
        plot_run(config, corpus)
    print(f"trained in {run.seconds:.0f} s; best {describe_loss(run.best, corpus, config.objective)}")
    print(f"loss curve: {config.out / 'loss.png'}")
    if model.config.causal:
        print("sample:     " + as_typed("python", "sample.py", "--model", str(config.out)))
    return True


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean loss in nats per target: logits (B, T, V), targets (B, T), of which those that are IGNORED do not count."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def introduce_training(config: TrainConfig, model: GPT, corpus: TokensFolder, machine: Machine, code: str) -> None:
    """Say what is about to happen."""
    shape, total = config.model, corpus.meta["train_tokens"]
    tokens = config.batch_size * shape.context_length
    print(f"model    {shape.n_layer} layers, {shape.n_head} heads, {shape.n_embd} wide: {model.num_params():,} weights")
    print(f"data     {corpus.folder}: {total:,} tokens to train on, a vocabulary of {corpus.vocab_size:,}")
    print(f"plan     {config.max_steps:,} steps of {tokens:,} tokens: {config.max_steps * tokens / total:.3g} epochs")
    if config.warmup != config.warmup_steps:
        print(f"         the warm-up is shortened from {config.warmup_steps} to {config.warmup} steps")
    print(f"machine  {machine}")
    print(f"code     {code}", flush=True)


def report_progress(
    run: Run, model: GPT, tokenizer: Tokenizer, corpus: TokensFolder, dataset: Dataset, val_loss: float
) -> None:
    """Add what an evaluation found to metrics.jsonl, and print it with a sample."""
    row = {"val_loss": val_loss, "seconds": round(run.seconds, 3), "perplexity": perplexity(val_loss)}
    if isinstance(dataset, MaskedDataset):
        found, sample = fill_gaps(model, tokenizer, dataset)
    else:
        row["bits_per_byte"] = corpus.bits_per_byte(val_loss)
        found, sample = sample_text(model, tokenizer, corpus, run.config)
    run.record(**row, **found)
    tqdm.write(f"\nstep {run.done}: {describe_loss(val_loss, corpus, run.config.objective)}\n{sample}\n")


def fill_gaps(model: GPT, tokenizer: Tokenizer, dataset: MaskedDataset) -> tuple[dict, str]:
    """How well a masked model fills gaps by now: figures for metrics.jsonl, and a text to show."""
    accuracy, example = cloze_accuracy(model, dataset, most=10_000), filled_example(model, tokenizer, dataset)
    shown = f"{example}\n(in brackets its guesses, and behind | what was there; cloze accuracy {accuracy:.1%})"
    return {"cloze_accuracy": accuracy, "sample": example}, shown


def sample_text(model: GPT, tokenizer: Tokenizer, corpus: TokensFolder, config: TrainConfig) -> tuple[dict, str]:
    """What the model writes by now: figures for metrics.jsonl, and a text to show."""
    if language := corpus.meta.get("world"):  # the corpus is our own toy world, which can be judged
        write, count = (sample_stories_plainly, 10) if config.plain else (sample_stories, 200)
        quality = judge_stories(write(model, tokenizer, count, 0.5, config.seed), language)
        judged = f"{quality.grammatical:.1%} are grammatical, and of those {quality.consistent:.1%} consistent"
        found = f"of {count} such stories, sampled at temperature 0.5, {judged}"
        return quality._asdict(), f"{quality.story}\n[{quality.verdict}]\n{found}"
    go_on = generate if config.plain else generate_with_cache
    opening = [tokenizer.end_of_text] if tokenizer.add_bos_token else tokenizer.encode("\n")
    tokens = go_on(model, opening, 120, config.seed, tokenizer.end_of_text, temperature=0.8)
    sample = tokenizer.decode(tokens).strip()
    return {"sample": sample}, sample


def plot_run(config: TrainConfig, corpus: TokensFolder) -> None:
    from gpt.running.plots import plot_loss  # here, because matplotlib takes a second to import

    title = f"{config.out}: {config.model.n_layer} layers, {config.model.n_embd} wide, {config.optimizer}"
    bits_per_nat = None if config.objective == "masked" else corpus.bits_per_byte(1.0)
    floor = corpus.meta["entropy_bits_per_byte"]
    plot_loss(read_metrics(config.out), bits_per_nat, floor, title, config.out / "loss.png")


def main() -> None:
    config = read_train_flags(__doc__)
    with session(config.out):
        finished = train(config)
    exit_unless(finished)


if __name__ == "__main__":
    run_main(main)
