"""Training of task adapters and their heads, one a seed: a few epochs, of which the best on the dev split is kept.

All seeds of a task are trained together, by one forward pass: each has its own weights, order of items, clipping and
best epoch, and ends as it would alone, but for dropout, which is drawn for all together.
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

from lrldata.errors import TrainingError
from lrltrain.evaluation.features import batches, decoded
from lrltrain.evaluation.heads import TaskModel
from lrltrain.evaluation.inputs import Inputs
from lrltrain.evaluation.items import Items, Label, Task
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.record import TASKS
from lrltrain.training.attention import quick_attention
from lrltrain.training.graphs import Graphs
from lrltrain.training.loss import IGNORED
from lrltrain.training.prefetch import prefetched
from lrltrain.training.weights import Rates, Weights

AT_ONCE = 64  # items, where nothing trains
HINT = "Lower --learning-rate, or use --precision fp32."


@dataclass(frozen=True)
class TaskTrainingArgs:
    """How task adapters are trained; the defaults of `lrltrain eval` are the paper's."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    precision: str = "fp32"


@dataclass
class Trained:
    """What came of a seed: the dev score and mean loss of each epoch, and why it `failed`, if it did."""

    dev: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    failed: str = ""

    @property
    def best_epoch(self) -> int:
        """Return the first of the epochs that were best on dev, from 1."""
        return int(np.argmax(self.dev)) + 1


class TaskTraining:
    """Trains what of `model` trains, and predicts with it; on a GPU as CUDA graphs, where the model can be split.

    Cross-entropy over items, or over first tokens of words; AdamW with a linear warm-up and decay.
    """

    def __init__(self, model: TaskModel, labels: Sequence[str], args: TaskTrainingArgs) -> None:
        self.model, self.labels, self.args = model, labels, args
        self.device, self.count = model.encoder.device, model.head.count
        hold_in_precision(model, args)
        trained = [each for each in model.named_parameters() if each[1].requires_grad]
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
    ) -> list[Trained]:
        """Train on `inputs`, and leave each seed's weights as they were after its epoch best on `held_out`.

        The first of equally good epochs is kept. A seed whose loss is not a number fails; the others go on. Raises
        TrainingError where all fail.
        """
        for each in (inputs, held_out):
            each.keep(self.model, AT_ONCE, precision(self.args, self.device))
        draws = [np.random.default_rng(seed) for seed in seeds]
        epochs = [
            list(zip(*(batches(inputs.lengths, self.args.batch_size, draw) for draw in draws), strict=True))
            for _ in range(self.args.epochs)
        ]
        torch.manual_seed(seeds[0])  # of dropout
        known = [Trained() for _ in seeds]
        best = [[value.clone() for value in self.weights.values(place)] for place in range(self.count)]
        for number, epoch in enumerate(epochs, 1):
            losses = self._train(inputs, epoch, (number - 1) * len(epoch), len(epochs) * len(epoch))
            found = self.predict(held_out)
            for place, trained in enumerate(known):
                if trained.failed:
                    continue
                if not math.isfinite(losses[place]):
                    trained.failed = f"the loss of epoch {number} is {losses[place]}."
                    continue
                trained.loss.append(losses[place])
                trained.dev.append(scores(task, dev.labels, found[place])[TASKS[task]])
                if trained.best_epoch == number:
                    best[place] = [value.clone() for value in self.weights.values(place)]
            if all(trained.failed for trained in known):
                raise TrainingError(known[0].failed, HINT)
            advance(number, f"dev {max(max(trained.dev, default=0.0) for trained in known):.3f}")
        for place, values in enumerate(best):
            self.weights.put(place, values)
        return known

    @torch.no_grad()
    def predict(self, inputs: Inputs) -> list[list[Label]]:
        """Return each seed's predictions of all items, in their order: a label each, or for ner a tag per word."""
        self.model.eval()
        chosen = batches(inputs.lengths, AT_ONCE)
        found: list[Tensor] = []
        for each in chosen:
            tensors = inputs.layout([each] * self.count, static=self.graphs.on)
            (predicted,) = self.graphs.run(("predict", inputs), lambda those: self._predict(inputs, those), tensors)
            found.append(predicted.clone())
        of_items = [[np.zeros(0, np.int64)] * len(inputs.lengths) for _ in range(self.count)]
        for items, predicted in zip(chosen, found, strict=True):
            grouped = predicted.cpu().numpy().reshape(self.count, len(items), *predicted.shape[1:])
            for place, numbers in enumerate(grouped):
                for item, each in zip(items, numbers, strict=True):
                    of_items[place][item] = each
        return [decoded(each, inputs.features, self.labels) for each in of_items]

    def _train(
        self, inputs: Inputs, epoch: Sequence[Sequence[NDArray[np.int64]]], done: int, steps: int
    ) -> list[float]:
        """Train an epoch, and return the mean loss of each seed."""
        self.model.train()
        total = torch.zeros(self.count, device=self.device)
        laid_out = (inputs.layout(chosen, static=self.graphs.on) for chosen in epoch)
        for number, tensors in enumerate(prefetched(laid_out, self.device), done):
            self.weights.set_rate(self._rates.at(number, steps))
            total += self.graphs.run(("train", inputs), lambda those: self._step(inputs, those), tensors)[0]
        return (total / len(epoch)).tolist()

    def _step(self, inputs: Inputs, tensors: dict[str, Tensor]) -> tuple[Tensor]:
        """Take a step, and return the mean loss over each seed's labels, (K,): 0 where all its words are cut off."""
        with precision(self.args, self.device):
            logits = inputs.logits(self.model, tensors)
        gold = tensors["labels"].flatten()
        each = functional.cross_entropy(logits.flatten(0, -2).float(), gold, ignore_index=IGNORED, reduction="none")
        counts = (gold != IGNORED).view(self.count, -1).sum(1)
        losses = each.view(self.count, -1).sum(1) / counts.clamp(min=1)
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
    """Hold frozen matrices in the precision in which they are multiplied: autocast would cast them in each step."""
    for module in model.modules() if args.precision == "bf16" else ():
        if isinstance(module, torch.nn.Linear) and not any(each.requires_grad for each in module.parameters()):
            module.to(torch.bfloat16)


@contextmanager
def precision(args: TaskTrainingArgs, device: torch.device) -> Iterator[None]:
    """Compute in the precision that is asked for."""
    if args.precision != "bf16":
        yield
        return
    # What autocast has cast once is kept for its context, and would be a stale copy in a graph.
    casting = torch.autocast(device.type, torch.bfloat16, cache_enabled=device.type == "cpu")
    with casting, quick_attention(device, torch.bfloat16):
        yield
