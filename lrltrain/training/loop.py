"""The training loop: train K adapters together, each as it would train alone but for shared dropout. IO: checkpoints.

Each adapter has its own text, block order, masks, clipping, best weights and checkpoints. The base model, the method
and the settings are shared. The only random numbers shared by all adapters are those of the base model's dropout.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrltrain.training.batches import Batch, Blocks, Layout, order
from lrltrain.training.checkpoints import TrainingState, drop_beyond, load_checkpoint, save_checkpoint, whole_steps
from lrltrain.training.prefetch import prefetched
from lrltrain.training.processes import Processes
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

LOGGED = 5  # log entries between two evaluations


@dataclass(frozen=True)
class Member:
    """One adapter of a group: its name, its training and validation blocks, and the folder of its run."""

    name: str
    train: Blocks
    validation: Blocks
    run: Path


@dataclass(frozen=True)
class Schedule:
    """The number of steps, the evaluation interval `every`, and the batch sizes in blocks per adapter and process."""

    steps: int
    every: int
    batch_size: int
    eval_batch_size: int
    accumulate: int
    rates: Rates


@dataclass(frozen=True)
class ProgressCallbacks:
    """Callbacks for progress: `advance` is called at each step, `say` at each evaluation."""

    advance: Callable[[int, str], None] = lambda *_: None
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Outcome:
    """The result for one adapter: its training state, and its best weights in the form that `Weights.put` takes."""

    state: TrainingState
    best: list[Tensor]


class Loop:
    """Trains the adapters of a group to the end, or resumes their interrupted run."""

    def __init__(
        self,
        members: Sequence[Member],
        step: Step,
        layout: Layout,
        schedule: Schedule,
        processes: Processes | None = None,
        callbacks: ProgressCallbacks | None = None,
    ) -> None:
        self.members, self.step, self.layout, self.schedule = list(members), step, layout, schedule
        self.processes, self.callbacks = processes or Processes(), callbacks or ProgressCallbacks()
        self.weights: Weights = step.weights
        self.states = [TrainingState() for _ in members]
        self.best = [[value.clone() for value in self.weights.values(number)] for number in range(len(self.members))]
        self.tokens = 0
        self.before = [0.0] * len(members)  # seconds of training before this run was resumed: each adapter's share
        self._began, self._first = time.perf_counter(), 0

    def run(self) -> list[Outcome]:
        """Train, until all adapters are finished or have failed; an outcome records the failure of its adapter."""
        self.weights.optimizer(self.schedule.rates)
        done = self._resume()
        self._seed(done)
        self._began, self._first = time.perf_counter(), done
        if not done:
            self._evaluate(0)
        self.step.model.train()
        logged = max(1, self.schedule.every // LOGGED)
        total, norms, since = torch.zeros_like(self.step.losses), torch.zeros_like(self.step.losses), 0
        failed_at = torch.zeros_like(self.step.losses, dtype=torch.int64)  # first step of the current non-finite losses
        for number, batches in enumerate(prefetched(self._batches(done), self.weights.device), done + 1):
            self.weights.set_rate(self.schedule.rates.at(number - 1, self.schedule.steps))
            losses, norms = self._take(batches)
            total, since = total + losses, since + 1
            failed_at = torch.where(losses.isfinite(), 0, torch.where(failed_at > 0, failed_at, number))
            if self.weights.device.type == "cpu" or number % logged == 0 or number == self.schedule.steps:
                self._check(failed_at, losses)
                if all(state.failed for state in self.states):
                    break
            if number % logged == 0 or number % self.schedule.every == 0 or number == self.schedule.steps:
                self._log(number, total / since, norms)
                total, since = torch.zeros_like(total), 0
            self.callbacks.advance(number, f"{self._speed():,.0f} tokens/s")
            if number % self.schedule.every == 0 or number == self.schedule.steps:
                self._evaluate(number)
                self._save()
                self._seed(number)
                self.step.model.train()  # not in each step: for hundreds of modules, it takes a tenth of a GPU's time
        for state in self.states:
            if not math.isfinite(state.best_loss):
                state.failed = state.failed or "the validation loss was never finite."
        return [Outcome(state, best) for state, best in zip(self.states, self.best, strict=True)]

    def _take(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Take one step on one or several batches. Returns the loss and gradient norm of each adapter, (K,) each."""
        counts = torch.from_numpy(np.sum([batch.counts for batch in batches], axis=0))
        if self.processes.count > 1:
            counts = self.processes.add(counts.to(self.weights.device))
        shares = 1.0 / counts.clamp(min=1)
        for batch in batches:
            self.step.accumulate(batch, shares.float())
            self.tokens += batch.tokens
        if self.processes.count > 1:
            tensors = [self.step.losses, *(tensor.grad for tensor in self.weights.flat if tensor.grad is not None)]
            added = self.processes.add(torch.cat([tensor.flatten() for tensor in tensors]))
            for tensor, part in zip(tensors, added.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))
        return self.step.update()

    @property
    def _blocks_per_step(self) -> int:
        return self.schedule.batch_size * self.schedule.accumulate * self.processes.count

    def _batches(self, done: int) -> Iterator[list[Batch]]:
        """Yield this process's batches for each remaining step."""
        size, processes = self.schedule.batch_size, self.processes
        per_step = self._blocks_per_step
        orders = [order(len(member.train), member.train.seed, done * per_step) for member in self.members]
        for _ in range(done, self.schedule.steps):
            indices = [[next(blocks) for _ in range(per_step)][processes.rank :: processes.count] for blocks in orders]
            yield [
                self.layout(
                    [
                        [member.train[index] for index in chosen[begin : begin + size]]
                        for member, chosen in zip(self.members, indices, strict=True)
                    ]
                )
                for begin in range(0, len(indices[0]), size)
            ]

    def _check(self, failed_at: Tensor, losses: Tensor) -> None:
        """Stop each adapter whose loss has not been finite since `failed_at`."""
        for place, (number, loss) in enumerate(zip(failed_at.tolist(), losses.tolist(), strict=True)):
            state = self.states[place]
            if not number or state.failed:
                continue
            train = self.members[place].train
            per_step = self._blocks_per_step
            indices = islice(order(len(train), train.seed, (number - 1) * per_step), per_step)
            blocks = [index % len(train) for index in indices][self.processes.rank :: self.processes.count]
            state.failed = f"the loss is {loss} at step {number}, in the batch of blocks {blocks}."

    def _log(self, number: int, losses: Tensor, norms: Tensor) -> None:
        rate = self.schedule.rates.at(number - 1, self.schedule.steps)
        for place, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
            entry = {"step": number, "epoch": self._epoch(place, number), "loss": loss}
            self._enter(place, entry | {"learning_rate": rate, "grad_norm": norm})

    def _enter(self, place: int, entry: dict[str, Any]) -> None:
        state = self.states[place]
        if state.failed:
            return
        state.log.append(entry)
        prefix = "" if len(self.members) == 1 else f"{self.members[place].name}/"
        values = {f"{prefix}{key}": value for key, value in entry.items() if key != "step"}
        self.processes.log(values, int(entry["step"]))

    def _epoch(self, place: int, number: int) -> float:
        return number * self._blocks_per_step / len(self.members[place].train)

    @torch.no_grad()
    def _evaluate(self, number: int) -> None:
        """Measure the validation loss of each adapter, and keep its weights if they are the best so far."""
        losses = self.validation_losses()
        for place, loss in enumerate(losses):
            state = self.states[place]
            state.step = number
            self._enter(place, {"step": number, "epoch": self._epoch(place, number), "eval_loss": loss})
            if number and loss < state.best_loss and not state.failed:
                state.best_loss, state.best_step = loss, number
                for kept, value in zip(self.best[place], self.weights.values(place), strict=True):
                    kept.copy_(value)  # a second copy might not fit beside the graphs
        left = [loss for loss, state in zip(losses, self.states, strict=True) if not state.failed] or losses
        summary = f"validation loss {sum(left) / len(left):.3f}" + (", the mean of the group" if len(left) > 1 else "")
        line = f"step {number:,} of {self.schedule.steps:,}: {summary}"
        if number == self._first:
            self.callbacks.say(line)
            return
        seconds_left = (time.perf_counter() - self._began) / (number - self._first) * (self.schedule.steps - number)
        training_losses = [entry["loss"] for state in self.states for entry in state.log[-2:] if "loss" in entry]
        mean = sum(training_losses) / len(training_losses) if training_losses else math.nan
        self.callbacks.say(
            f"{line}, training {mean:.3f}, {self._speed():,.0f} tokens/s, {seconds_left / 60:.1f} min left"
        )

    def validation_losses(self) -> list[float]:
        """Return the mean loss, in nats per label, of each adapter on its validation split."""
        sums = torch.zeros(len(self.members), dtype=torch.float64, device=self.weights.device)
        counts = np.zeros(len(self.members), np.int64)
        self.step.model.eval()
        size = self.schedule.eval_batch_size
        most = max(len(member.validation) for member in self.members)
        batches = (
            self.layout(
                [
                    [member.validation[index] for index in range(begin, min(begin + size, len(member.validation)))]
                    for member in self.members
                ]
            )
            for begin in range(self.processes.rank * size, most, self.processes.count * size)
        )
        for batch in prefetched(batches, self.weights.device):
            sums += self.step.sums(batch)
            counts += batch.counts
        counted = self.processes.add(torch.from_numpy(counts).to(self.weights.device))
        return (self.processes.add(sums) / counted.clamp(min=1)).tolist()

    def _seed(self, number: int) -> None:
        """Reseed dropout after a checkpoint, so that a run resumed there draws the same random numbers as this one.

        Each process has its own seed, so that no two drop the same units.
        """
        seeds = [self.members[0].train.seed, self.processes.rank, number]
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1))

    def _save(self) -> None:
        for place, (member, state) in enumerate(zip(self.members, self.states, strict=True)):
            if self.processes.rank or state.failed:
                continue
            state.share = self.before[place] + (time.perf_counter() - self._began) / len(self.members)
            best = {f"best.{number}": value for number, value in enumerate(self.best[place])}
            save_checkpoint(member.run, state, self.weights.tensors(place) | best)
        self.processes.wait()

    def _resume(self) -> int:
        """Load and return the last step for which every adapter has a checkpoint; 0 if there is none."""
        steps = [set(whole_steps(member.run)) for member in self.members]
        done = max(set.intersection(*steps), default=0)
        for member in self.members if self.processes.rank == 0 else []:
            drop_beyond(member.run, done)
        if not done:
            return 0
        for place, member in enumerate(self.members):
            self.states[place], tensors = load_checkpoint(member.run, done)
            with torch.no_grad():
                for name, value in self.weights.tensors(place).items():
                    if name in tensors:  # checkpoints of versions before 0.3 have no "fitted"
                        value.copy_(tensors[name])
            self.best[place] = [
                tensors[f"best.{number}"].to(value.device, copy=True) for number, value in enumerate(self.best[place])
            ]
        self.weights.set_step(done)
        self.before = [state.share or state.seconds / len(self.members) for state in self.states]
        return done

    def _speed(self) -> float:
        """Return the tokens per second of all processes, without padding, since training began.

        The others are taken to read as many as this one.
        """
        return self.processes.count * self.tokens / max(1e-9, time.perf_counter() - self._began)
