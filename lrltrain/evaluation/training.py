"""Training of task adapters and their heads, one per seed, for a few epochs; the epoch that is best on dev is kept.

All seeds of a task train together in one forward pass. Each has its own weights, order of items, clipping and best
epoch, and ends as if it had trained separately, except for dropout, which is drawn for all of them together.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lrltrain.evaluation.features import batches, decoded
from lrltrain.evaluation.heads import TaskModel
from lrltrain.evaluation.inputs import Inputs
from lrltrain.evaluation.items import Items, Prediction, Task
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.record import TASKS
from lrltrain.training.attention import quick_attention
from lrltrain.training.graphs import Graphs
from lrltrain.training.loss import IGNORED
from lrltrain.training.prefetch import prefetched
from lrltrain.training.weights import Rates, Weights

AT_ONCE = 64  # items per batch when nothing trains
HINT = "Lower --learning-rate, or use --precision fp32."


@dataclass(frozen=True)
class TaskTrainingArgs:
    """The settings for training task adapters; the defaults of `lrltrain eval` are the paper's."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    precision: str = "fp32"


@dataclass
class SeedOutcome:
    """The outcome of a seed: the dev score and mean loss of each epoch, and why it `failed`, if it did."""

    dev: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    failed: str = ""

    @property
    def best_epoch(self) -> int:
        """Return the first of the epochs with the best dev score, counted from 1."""
        return int(np.argmax(self.dev)) + 1


class TaskTraining:
    """Trains the trainable weights of `model` and predicts with it; on a GPU as CUDA graphs, if the model can be split.

    The loss is cross-entropy over items, or over first tokens of words; the optimizer is AdamW with a linear warm-up
    and decay.
    """

    def __init__(self, model: TaskModel, labels: Sequence[str], args: TaskTrainingArgs) -> None:
        self.model, self.labels, self.args = model, labels, args
        self.device, self.count = model.encoder.device, model.head.count
        hold_in_precision(model, args)
        trained = [pair for pair in model.named_parameters() if pair[1].requires_grad]
        self.weights = Weights(trained, self.count, stacked=True)
        self.weights.optimizer(self._rates)
        self.graphs = Graphs(self.device, self.weights.state, on=self.device.type == "cuda" and model.splits)

    @property
    def _rates(self) -> Rates:
        return Rates(self.args.learning_rate, self.args.warmup, self.args.weight_decay)

    def fit(
        self,
        inputs: Inputs,
        held_out: Inputs,
        dev: Items,
        task: Task,
        seeds: Sequence[int],
        advance: Callable[[int, str], None],
    ) -> list[SeedOutcome]:
        """Train on `inputs`, and leave each seed with the weights of its epoch that was best on `held_out`.

        The first of equally good epochs is kept. A seed fails if its loss is not finite, and the others continue.
        """
        for split in (inputs, held_out):
            split.keep(self.model, AT_ONCE, precision(self.args, self.device))
        rngs = [np.random.default_rng(seed) for seed in seeds]
        epochs = [
            list(zip(*(batches(inputs.lengths, self.args.batch_size, rng) for rng in rngs), strict=True))
            for _ in range(self.args.epochs)
        ]
        torch.manual_seed(seeds[0])  # for dropout
        outcomes = [SeedOutcome() for _ in seeds]
        best = [[value.clone() for value in self.weights.values(index)] for index in range(self.count)]
        for number, epoch in enumerate(epochs, 1):
            losses = self._train(inputs, epoch, (number - 1) * len(epoch), len(epochs) * len(epoch))
            predictions = self.predict(held_out)
            for index, outcome in enumerate(outcomes):
                if outcome.failed:
                    continue
                if not math.isfinite(losses[index]):
                    outcome.failed = f"the loss of epoch {number} is {losses[index]}."
                    continue
                outcome.loss.append(losses[index])
                outcome.dev.append(scores(task, dev.labels, predictions[index])[TASKS[task]])
                if outcome.best_epoch == number:
                    for kept, value in zip(best[index], self.weights.values(index), strict=True):
                        kept.copy_(value)
            if all(outcome.failed for outcome in outcomes):
                break
            advance(number, f"dev {max(max(outcome.dev, default=0.0) for outcome in outcomes):.3f}")
        for index, values in enumerate(best):
            self.weights.put(index, values)
        return outcomes

    @torch.no_grad()
    def predict(self, inputs: Inputs) -> list[list[Prediction]]:
        """Return each seed's predictions for all items, in order: one label, or for ner one tag per word."""
        self.model.eval()
        item_batches = batches(inputs.lengths, AT_ONCE)
        outputs: list[Tensor] = []
        for items in item_batches:
            tensors = inputs.layout([items] * self.count, static=self.graphs.on)
            (predicted,) = self.graphs.run(("predict", inputs), lambda batch: self._predict(inputs, batch), tensors)
            outputs.append(predicted.clone())
        class_ids = [[np.zeros(0, np.int64)] * len(inputs.lengths) for _ in range(self.count)]
        for items, predicted in zip(item_batches, outputs, strict=True):
            grouped = predicted.cpu().numpy().reshape(self.count, len(items), *predicted.shape[1:])
            for index, of_seed in enumerate(grouped):
                for item, classes in zip(items, of_seed, strict=True):
                    class_ids[index][item] = classes
        return [decoded(of_seed, inputs.features, self.labels) for of_seed in class_ids]

    def _train(
        self, inputs: Inputs, epoch: Sequence[Sequence[NDArray[np.int64]]], first_step: int, steps: int
    ) -> list[float]:
        """Train for an epoch, and return the mean loss of each seed."""
        self.model.train()
        total = torch.zeros(self.count, device=self.device)
        laid_out = (inputs.layout(items, static=self.graphs.on) for items in epoch)
        for number, tensors in enumerate(prefetched(laid_out, self.device), first_step):
            self.weights.set_rate(self._rates.at(number, steps))
            total += self.graphs.run(("train", inputs), lambda batch: self._step(inputs, batch), tensors)[0]
        return (total / len(epoch)).tolist()

    def _step(self, inputs: Inputs, tensors: dict[str, Tensor]) -> tuple[Tensor]:
        """Take a step, and return the mean loss over each seed's labels, (K,), or 0 if all its words are cut off."""
        with precision(self.args, self.device):
            logits = inputs.logits(self.model, tensors)
        gold = tensors["labels"].flatten()
        token_losses = functional.cross_entropy(
            logits.flatten(0, -2).float(), gold, ignore_index=IGNORED, reduction="none"
        )
        counts = (gold != IGNORED).view(self.count, -1).sum(1)
        losses = token_losses.view(self.count, -1).sum(1) / counts.clamp(min=1)
        total = losses.sum()
        if self.model.penalty is not None:
            total = total + self.model.penalty().sum()
        total.backward()
        self.weights.update()
        return (losses.detach(),)

    def _predict(self, inputs: Inputs, tensors: dict[str, Tensor]) -> tuple[Tensor]:
        with precision(self.args, self.device):
            return (inputs.logits(self.model, tensors).argmax(dim=-1),)


def hold_in_precision(model: TaskModel, args: TaskTrainingArgs) -> None:
    """Store frozen matrices in the precision of the computation, since autocast would cast them in every step."""
    for module in model.modules() if args.precision == "bf16" else ():
        if isinstance(module, torch.nn.Linear) and not any(weight.requires_grad for weight in module.parameters()):
            module.to(torch.bfloat16)


@contextmanager
def precision(args: TaskTrainingArgs, device: torch.device) -> Iterator[None]:
    """Compute in the requested precision."""
    if args.precision != "bf16":
        yield
        return
    # Autocast caches what it has cast for as long as its context lasts; in a graph, that would be a stale copy.
    casting = torch.autocast(device.type, torch.bfloat16, cache_enabled=device.type == "cpu")
    with casting, quick_attention(device, torch.bfloat16):
        yield
