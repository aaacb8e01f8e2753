"""What pretraining and fine-tuning share: the clock, the bar, the metrics, saving, stopping and going on."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from tqdm import tqdm

from gpt.optim import check_loss
from gpt.running import run_folder
from gpt.running.command_line import as_typed
from gpt.running.events import EventFile
from gpt.running.processes import Processes


class Run:
    """One training from where it stands to its last step.

        for step in run.steps("training"):
            ...
            if run.trains_in(step):
                ...
                loss = run.agree_on_loss(step, loss)
                ...
                run.finish_step(step, loss)
            if run.evaluates_after(step):
                with run.evaluation():
                    ...
                run.save()

    With config.resume it goes on from resume.pt; otherwise it begins the run folder and saves the state before step 0.
    Ctrl-C (or `kill`) is a request that is answered at the end of the step, or of the next one if it comes late. It
    ends an evaluation at once, and --resume begins with that evaluation; several processes finish it. Everything is
    saved, the loop ends, and `stopped_early` is true. A second Ctrl-C stops at once.
    """

    def __init__(
        self,
        config: Any,  # TrainConfig or FinetuneConfig
        identity: dict,  # the data, and what else must be the same for the run to go on
        model: nn.Module,
        optimizers: list[Optimizer],
        scaler: torch.amp.GradScaler,
        processes: Processes,
        max_steps: int,
        eval_every: int,
        best: Any,  # worse than any evaluation
        tokens_per_step: int | None = None,  # with them, speed is shown and losses are logged every config.log_every
    ):
        self.config, self.identity, self.processes = config, identity, processes
        self.model, self.optimizers, self.scaler = model, optimizers, scaler
        self.max_steps, self.eval_every, self.tokens_per_step = max_steps, eval_every, tokens_per_step
        self.done = 0  # steps
        self.best, self.since_best = best, 0  # the best evaluation, and how many came after it
        self.seconds = 0.0  # spent on steps; evaluating and saving are not counted
        self.losses: list[float] = []  # of the steps since mean_loss was last asked for
        self.saved = -1  # the step after which resume.pt was last written
        self.clock = time.perf_counter()
        self.stopping = self.stopped_early = False
        self.evaluation_due = False  # that after the steps done: it was not finished
        state = run_folder.go_on(config, identity) if config.resume else None
        if state is not None:
            processes.load(model, optimizers, state)
            scaler.load_state_dict(state["scaler"] or scaler.state_dict())  # empty unless it was in float16
            self.done, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
            self.saved = self.done
            self.best, self.since_best = state["best"], state.get("since_best", 0)  # older files of train.py lack it
            self.evaluation_due = state.get("evaluation_due", False)
            if processes.is_first:
                run_folder.tidy(config.out, self.done, self.evaluation_due)
        else:
            if processes.is_first:
                run_folder.begin(config)
            self.save()  # from now on, whatever happens, --resume goes on
        self.events = EventFile(config.out) if config.tensorboard and processes.is_first else None

    def steps(self, name: str) -> Iterator[int]:
        """The steps that are left to do, with a bar of that name."""
        self.stop = StopRequest()
        with tqdm(
            total=self.max_steps, initial=self.done, desc=name, unit="step", mininterval=0.5,
            disable=not self.processes.is_first,
        ) as self.bar:  # fmt: skip
            self.clock = time.perf_counter()
            for step in range(self.done - self.evaluation_due, self.max_steps):
                yield step
                if (self.stopping or self.asked) and (self.done < self.max_steps or self.evaluation_due):
                    if self.saved != self.done:
                        self.save()
                    self.stopped_early = True
                    return

    @property
    def asked(self) -> bool:
        """Whether to stop, where no other process must agree."""
        return self.processes.size == 1 and self.stop.requested

    def trains_in(self, step: int) -> bool:
        """False if this step is done already and only its evaluation is left."""
        return step >= self.done

    def agree_on_loss(self, step: int, loss: float) -> float:
        """The mean loss over all processes, which also agree on whether to stop after this step. Raises UserError if it
        is no number."""
        loss, self.stopping = self.processes.agree(loss, self.stop.requested)
        check_loss(loss, step)
        return loss

    def finish_step(self, step: int, loss: float) -> None:
        """Count a step as done: time, loss, bar, and every config.log_every steps a row of metrics.jsonl."""
        self.done = step + 1
        self.losses.append(loss)
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        shown = f"loss {np.mean(self.losses[-50:]):.3f}"
        if self.tokens_per_step:
            speed = self.done * self.tokens_per_step / self.seconds
            shown += f", {speed:,.0f} tokens/s"
            if self.done % self.config.log_every == 0:
                self.record(train_loss=self.mean_loss(), seconds=round(self.seconds, 3), tokens_per_second=round(speed))
        self.bar.update()
        self.bar.set_postfix_str(shown, refresh=False)

    def mean_loss(self) -> float:
        """The mean of the losses since it was last asked for."""
        mean, self.losses = float(np.mean(self.losses)), []
        return mean

    def record(self, **row: Any) -> None:
        """Add a row to metrics.jsonl, and with --tensorboard to the event file."""
        if self.processes.is_first:
            run_folder.append_metrics(self.config.out, step=self.done, **row)
        if self.events:
            self.events.add({"step": self.done, **row})

    def evaluates_after(self, step: int) -> bool:
        """Whether to evaluate now; the bar says so while it runs. If we are asked to stop, it waits for --resume."""
        evaluates = (step + 1) % self.eval_every == 0 or step + 1 == self.max_steps
        if evaluates and self.asked:
            self.evaluation_due, evaluates = True, False
        if evaluates:
            self.bar.set_postfix_str("evaluating")
        return evaluates

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Around an evaluation, which may end early: then all is as before it, and the run will stop."""
        before = self.best, self.since_best, self.losses.copy()
        self.evaluation_due, self.stop.at_once = True, self.processes.size == 1
        try:
            yield
            self.stop.at_once = self.evaluation_due = False
        except StoppedEarly:
            (self.best, self.since_best, self.losses), self.stopping = before, True
        finally:
            self.stop.at_once = False

    def save(self) -> None:
        """All that the run depends on after the steps done so far, into resume.pt. The clock starts again, so that the
        evaluation and the saving before it are not counted as training."""
        state = {"step": self.done, "best": self.best, "since_best": self.since_best, "seconds": self.seconds}
        state |= {"evaluation_due": self.evaluation_due, "losses": self.losses, "scaler": self.scaler.state_dict()}
        state |= {"weights": self.processes.gather(self.model.state_dict())}
        state |= {"optimizers": [self.processes.gather(optimizer.state_dict()) for optimizer in self.optimizers]}
        if self.processes.is_first:
            run_folder.save(self.config, self.identity, state)
        self.saved, self.clock = self.done, time.perf_counter()

    def say_how_to_go_on(self) -> None:
        """The last words of a run that was asked to stop."""
        start = ["python"]
        if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun's mark
            start = ["torchrun", "--nproc-per-node", os.environ["LOCAL_WORLD_SIZE"]]
        flags = [flag for flag in sys.argv if flag not in ("--resume", "--overwrite")]
        command = as_typed(*start, *flags, "--resume")
        print(f"\nstopped after step {self.done}; everything is saved. To go on:\n  {command}")


class StoppedEarly(BaseException):
    """Ends an evaluation. Like KeyboardInterrupt, it is no Exception that somebody might catch."""


class StopRequest:
    """Turns Ctrl-C (and `kill`) into a request to stop after this step; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self.at_once = False  # whether to raise StoppedEarly
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, signal_number: int, frame: FrameType | None) -> None:
        self.requested = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        if self.at_once:
            self.at_once = False
            raise StoppedEarly

    def release(self, *numbers: signal.Signals) -> None:
        """These signals, or both, do again what they did before."""
        for number in numbers or self.before:
            handler = self.before[number]
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: set by no Python code


def seed_dropout(*numbers: int) -> None:
    """Let what is drawn next, above all by dropout, depend on these numbers alone: the seed, the step, the process."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
