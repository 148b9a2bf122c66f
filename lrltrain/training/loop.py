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
        self.best = [[value.clone() for value in self.weights.values(adapter)] for adapter in range(len(self.members))]
        self.tokens = 0
        self.earlier_seconds = [0.0] * len(members)  # of training before this run was resumed, by adapter
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
        for step, batches in enumerate(prefetched(self._batches(done), self.weights.device), done + 1):
            self.weights.set_rate(self.schedule.rates.at(step - 1, self.schedule.steps))
            losses, norms = self._take(batches)
            total, since = total + losses, since + 1
            failed_at = torch.where(losses.isfinite(), 0, torch.where(failed_at > 0, failed_at, step))
            if self.weights.device.type == "cpu" or step % logged == 0 or step == self.schedule.steps:
                self._check(failed_at, losses)
                if all(state.failed for state in self.states):
                    break
            if step % logged == 0 or step % self.schedule.every == 0 or step == self.schedule.steps:
                self._log(step, total / since, norms)
                total, since = torch.zeros_like(total), 0
            self.callbacks.advance(step, f"{self._speed():,.0f} tokens/s")
            if step % self.schedule.every == 0 or step == self.schedule.steps:
                self._evaluate(step)
                self._save()
                self._seed(step)
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
        for adapter, (step, loss) in enumerate(zip(failed_at.tolist(), losses.tolist(), strict=True)):
            state = self.states[adapter]
            if not step or state.failed:
                continue
            train = self.members[adapter].train
            per_step = self._blocks_per_step
            indices = islice(order(len(train), train.seed, (step - 1) * per_step), per_step)
            blocks = [index % len(train) for index in indices][self.processes.rank :: self.processes.count]
            state.failed = f"the loss is {loss} at step {step}, in the batch of blocks {blocks}."

    def _log(self, step: int, losses: Tensor, norms: Tensor) -> None:
        rate = self.schedule.rates.at(step - 1, self.schedule.steps)
        for adapter, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
            entry = {"step": step, "epoch": self._epoch(adapter, step), "loss": loss}
            self._enter(adapter, entry | {"learning_rate": rate, "grad_norm": norm})

    def _enter(self, adapter: int, entry: dict[str, Any]) -> None:
        state = self.states[adapter]
        if state.failed:
            return
        state.log.append(entry)
        prefix = "" if len(self.members) == 1 else f"{self.members[adapter].name}/"
        values = {f"{prefix}{key}": value for key, value in entry.items() if key != "step"}
        self.processes.log(values, int(entry["step"]))

    def _epoch(self, adapter: int, step: int) -> float:
        return step * self._blocks_per_step / len(self.members[adapter].train)

    @torch.no_grad()
    def _evaluate(self, step: int) -> None:
        """Measure the validation loss of each adapter, and keep its weights if they are the best so far."""
        losses = self.validation_losses()
        for adapter, loss in enumerate(losses):
            state = self.states[adapter]
            state.step = step
            self._enter(adapter, {"step": step, "epoch": self._epoch(adapter, step), "eval_loss": loss})
            if step and loss < state.best_loss and not state.failed:
                state.best_loss, state.best_step = loss, step
                for kept, value in zip(self.best[adapter], self.weights.values(adapter), strict=True):
                    kept.copy_(value)  # a second copy might not fit beside the graphs
        left = [loss for loss, state in zip(losses, self.states, strict=True) if not state.failed] or losses
        summary = f"validation loss {sum(left) / len(left):.3f}" + (", the mean of the group" if len(left) > 1 else "")
        line = f"step {step:,} of {self.schedule.steps:,}: {summary}"
        if step == self._first:
            self.callbacks.say(line)
            return
        seconds_left = (time.perf_counter() - self._began) / (step - self._first) * (self.schedule.steps - step)
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

    def _seed(self, step: int) -> None:
        """Reseed dropout after a checkpoint, so that a run resumed there draws the same random numbers as this one.

        Each process has its own seed, so that no two drop the same units.
        """
        seeds = [self.members[0].train.seed, self.processes.rank, step]
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1))

    def _save(self) -> None:
        for adapter, (member, state) in enumerate(zip(self.members, self.states, strict=True)):
            if self.processes.rank or state.failed:
                continue
            state.share = self.earlier_seconds[adapter] + (time.perf_counter() - self._began) / len(self.members)
            best = {f"best.{index}": value for index, value in enumerate(self.best[adapter])}
            save_checkpoint(member.run, state, self.weights.tensors(adapter) | best)
        self.processes.wait()

    def _resume(self) -> int:
        """Load and return the last step for which every adapter has a checkpoint; 0 if there is none."""
        steps = [set(whole_steps(member.run)) for member in self.members]
        done = max(set.intersection(*steps), default=0)
        for member in self.members if self.processes.rank == 0 else []:
            drop_beyond(member.run, done)
        if not done:
            return 0
        for adapter, member in enumerate(self.members):
            self.states[adapter], tensors = load_checkpoint(member.run, done)
            with torch.no_grad():
                for name, value in self.weights.tensors(adapter).items():
                    if name in tensors:  # checkpoints of versions before 0.3 have no "fitted"
                        value.copy_(tensors[name])
            self.best[adapter] = [
                tensors[f"best.{index}"].to(value.device, copy=True) for index, value in enumerate(self.best[adapter])
            ]
        self.weights.set_step(done)
        self.earlier_seconds = [state.share or state.seconds / len(self.members) for state in self.states]
        return done

    def _speed(self) -> float:
        """Return the tokens per second of all processes, without padding, since training began.

        The others are taken to read as many as this one.
        """
        return self.processes.count * self.tokens / max(1e-9, time.perf_counter() - self._began)
