"""The loop: K adapters are trained together, and each ends as it would alone. IO through checkpoints.

Each adapter has its own text, order of blocks, masks, clipping, best weights and checkpoints; what they share is the
base model, the method and the settings. Dropout of the base model is the one thing that is drawn for all together.
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

from lrldata.errors import TrainingError
from lrltrain.training.batches import Batch, Blocks, Layout, order
from lrltrain.training.checkpoints import Progressed, drop_beyond, load_checkpoint, save_checkpoint, whole_steps
from lrltrain.training.prefetch import prefetched
from lrltrain.training.processes import Processes
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

LOGGED = 5  # times between two evaluations


@dataclass(frozen=True)
class Member:
    """One adapter of a group: its name, its text, and the folder of its run."""

    name: str
    train: Blocks
    validation: Blocks
    run: Path


@dataclass(frozen=True)
class Schedule:
    """How long and how often; sizes are blocks of one adapter in one process."""

    steps: int
    every: int
    batch_size: int
    eval_batch_size: int
    accumulate: int
    rates: Rates


@dataclass(frozen=True)
class Told:
    """How the loop tells of itself: `advance` at each step, `say` at each evaluation."""

    advance: Callable[[int, str], None] = lambda *_: None
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Outcome:
    """What came of one adapter: its history, and its best weights, which `Weights.put` takes."""

    progressed: Progressed
    best: list[Tensor]


class Loop:
    """Trains the adapters of a group to the end, or goes on where a run of theirs was stopped."""

    def __init__(
        self,
        members: Sequence[Member],
        step: Step,
        layout: Layout,
        schedule: Schedule,
        processes: Processes | None = None,
        told: Told | None = None,
    ) -> None:
        self.members, self.step, self.layout, self.schedule = list(members), step, layout, schedule
        self.processes, self.told = processes or Processes(), told or Told()
        self.weights: Weights = step.weights
        self.known = [Progressed() for _ in members]
        self.best = [[value.clone() for value in self.weights.values(number)] for number in range(len(self.members))]
        self.tokens = 0
        self.before = 0.0  # seconds of the processes from which this one goes on
        self._began, self._first = time.perf_counter(), 0

    def run(self) -> list[Outcome]:
        """Train. Raises TrainingError once every adapter has failed; one that failed alone is so in its outcome."""
        self.weights.optimizer(self.schedule.rates)
        done = self._go_on()
        self._seed(done)
        self._began, self._first = time.perf_counter(), done
        if not done:
            self._evaluate(0)
        self.step.model.train()
        logged = max(1, self.schedule.every // LOGGED)
        total, norms, since = torch.zeros_like(self.step.losses), torch.zeros_like(self.step.losses), 0
        odd = torch.zeros_like(self.step.losses, dtype=torch.int64)  # the step from which on a loss is not a number
        for number, batches in enumerate(prefetched(self._batches(done), self.weights.device), done + 1):
            self.weights.set_rate(self.schedule.rates.at(number - 1, self.schedule.steps))
            losses, norms = self._take(batches)
            total, since = total + losses, since + 1
            odd = torch.where(losses.isfinite(), 0, torch.where(odd > 0, odd, number))
            if self.weights.device.type == "cpu" or number % logged == 0 or number == self.schedule.steps:
                self._check(odd, losses)
            if number % logged == 0 or number % self.schedule.every == 0 or number == self.schedule.steps:
                self._log(number, total / since, norms)
                total, since = torch.zeros_like(total), 0
            self.told.advance(number, f"{self._speed():,.0f} tokens/s")
            if number % self.schedule.every == 0 or number == self.schedule.steps:
                self._evaluate(number)
                self._save()
                self._seed(number)
                self.step.model.train()  # not in each step: of hundreds of modules it takes a tenth of a GPU's time
        for known in self.known:
            if not math.isfinite(known.best_loss):
                self._fail(known, "the validation loss is not a number in the end.")
        return [Outcome(known, best) for known, best in zip(self.known, self.best, strict=True)]

    def _take(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Take one step of one or several batches. Returns the loss and gradient norm of each adapter, (K,)."""
        counts = torch.from_numpy(np.sum([batch.counts for batch in batches], axis=0))
        if self.processes.count > 1:
            counts = self.processes.add(counts.to(self.weights.device))
        shares = 1.0 / counts.clamp(min=1)
        for batch in batches:
            self.step.accumulate(batch, shares.float())
            self.tokens += batch.tokens
        if self.processes.count > 1:
            held = [self.step.losses, *(each.grad for each in self.weights.flat if each.grad is not None)]
            added = self.processes.add(torch.cat([each.flatten() for each in held]))
            for each, part in zip(held, added.split([each.numel() for each in held]), strict=True):
                each.copy_(part.view_as(each))
        return self.step.update()

    def _batches(self, done: int) -> Iterator[list[Batch]]:
        """Yield the batches of each step that is left, of this process."""
        size, processes = self.schedule.batch_size, self.processes
        a_step = size * self.schedule.accumulate * processes.count
        orders = [order(len(member.train), member.train.seed, done * a_step) for member in self.members]
        for _ in range(done, self.schedule.steps):
            indices = [[next(each) for _ in range(a_step)][processes.rank :: processes.count] for each in orders]
            yield [
                self.layout(
                    [
                        [member.train[index] for index in chosen[begin : begin + size]]
                        for member, chosen in zip(self.members, indices, strict=True)
                    ]
                )
                for begin in range(0, len(indices[0]), size)
            ]

    def _check(self, odd: Tensor, losses: Tensor) -> None:
        """Stop an adapter whose loss is not a number, since the step `odd`. Raises TrainingError where none is left."""
        for place, (number, loss) in enumerate(zip(odd.tolist(), losses.tolist(), strict=True)):
            known = self.known[place]
            if not number or known.failed:
                continue
            train = self.members[place].train
            a_step = self.schedule.batch_size * self.schedule.accumulate * self.processes.count
            taken = islice(order(len(train), train.seed, (number - 1) * a_step), a_step)
            blocks = [index % len(train) for index in taken][self.processes.rank :: self.processes.count]
            self._fail(known, f"the loss is {loss} at step {number}, in the batch of blocks {blocks}.")

    def _fail(self, known: Progressed, why: str) -> None:
        known.failed = known.failed or why
        if all(each.failed for each in self.known):
            kept = f"The checkpoint of step {known.step} is kept. " if known.step else ""
            raise TrainingError(
                known.failed,
                f"{kept}Lower --learning-rate, or use --precision bf16 or fp32, and begin again with --overwrite.",
            )

    def _log(self, number: int, losses: Tensor, norms: Tensor) -> None:
        rate = self.schedule.rates.at(number - 1, self.schedule.steps)
        for place, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
            entry = {"step": number, "epoch": self._epoch(place, number), "loss": loss}
            self._enter(place, entry | {"learning_rate": rate, "grad_norm": norm})

    def _enter(self, place: int, entry: dict[str, Any]) -> None:
        known = self.known[place]
        if known.failed:
            return
        known.log.append(entry)
        prefix = "" if len(self.members) == 1 else f"{self.members[place].name}/"
        values = {f"{prefix}{key}": value for key, value in entry.items() if key != "step"}
        self.processes.log(values, int(entry["step"]))

    def _epoch(self, place: int, number: int) -> float:
        a_step = self.schedule.batch_size * self.schedule.accumulate * self.processes.count
        return number * a_step / len(self.members[place].train)

    def _evaluate(self, number: int) -> None:
        """Measure the validation loss of each adapter, and keep weights that are better than all before."""
        found = self.validation_losses()
        for place, loss in enumerate(found):
            known = self.known[place]
            known.step = number
            self._enter(place, {"step": number, "epoch": self._epoch(place, number), "eval_loss": loss})
            if number and loss < known.best_loss and not known.failed:
                known.best_loss, known.best_step = loss, number
                self.best[place] = [value.clone() for value in self.weights.values(place)]
        told = f"validation loss {sum(found) / len(found):.3f}" + (", the mean of the group" if len(found) > 1 else "")
        where = f"step {number:,} of {self.schedule.steps:,}: {told}"
        if number == self._first:
            self.told.say(where)
            return
        left = (time.perf_counter() - self._began) / (number - self._first) * (self.schedule.steps - number)
        trained = [entry["loss"] for known in self.known for entry in known.log[-2:] if "loss" in entry]
        mean = sum(trained) / len(trained) if trained else math.nan
        self.told.say(f"{where}, training {mean:.3f}, {self._speed():,.0f} tokens/s, {left / 60:.1f} min left")

    def validation_losses(self) -> list[float]:
        """Return the mean loss in nats over the labels of each adapter's validation split."""
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
        """Seed dropout again for the steps after a checkpoint: a run that goes on there draws what this one would.

        Each process has a seed of its own, so that two do not drop the same units.
        """
        seeds = [self.members[0].train.seed, self.processes.rank, number]
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1))

    def _save(self) -> None:
        for place, (member, known) in enumerate(zip(self.members, self.known, strict=True)):
            if self.processes.rank or known.failed:
                continue
            known.seconds = self.before + time.perf_counter() - self._began
            best = {f"best.{number}": value for number, value in enumerate(self.best[place])}
            save_checkpoint(member.run, known, self.weights.tensors(place) | best)
        self.processes.wait()

    def _go_on(self) -> int:
        """Take up the last step of which every adapter has a checkpoint; 0 where there is none."""
        steps = [set(whole_steps(member.run)) for member in self.members]
        done = max(set.intersection(*steps), default=0)
        for member in self.members if self.processes.rank == 0 else []:
            drop_beyond(member.run, done)
        if not done:
            return 0
        for place, member in enumerate(self.members):
            self.known[place], tensors = load_checkpoint(member.run, done)
            with torch.no_grad():
                for name, value in self.weights.tensors(place).items():
                    if name in tensors:  # those of before version 0.3 do not say "fitted"
                        value.copy_(tensors[name])
            self.best[place] = [
                tensors[f"best.{number}"].to(value.device) for number, value in enumerate(self.best[place])
            ]
        self.weights.set_step(done)
        self.before = max(known.seconds for known in self.known)
        return done

    def _speed(self) -> float:
        """Return real tokens a second of this process since training began."""
        return self.tokens / max(1e-9, time.perf_counter() - self._began)
