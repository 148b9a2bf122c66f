"""Training of a task adapter and its head: a few epochs, of which the best on the dev split is kept."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from lrldata.errors import TrainingError
from lrltrain.evaluation.features import Features, batches, decoded
from lrltrain.evaluation.heads import Inputs, TaskModel
from lrltrain.evaluation.items import Items, Label, Task
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.record import TASKS
from lrltrain.training.attention import quick_attention
from lrltrain.training.loss import IGNORED

CLIPPED = 1.0  # norm of the gradient, as the trainer of transformers has it
AT_ONCE = 64  # items, where nothing trains


@dataclass(frozen=True)
class TaskTrainingArgs:
    """How a task adapter is trained; the defaults of `lrltrain eval` are the paper's."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    seed: int
    precision: str = "fp32"


@dataclass(frozen=True)
class Trained:
    """What came of it: the best epoch, from 1, and the dev score and mean loss of each epoch."""

    best_epoch: int
    dev: list[float]
    loss: list[float]


def train(
    model: TaskModel,
    data: tuple[Inputs, Inputs],
    dev: Items,
    task: Task,
    labels: tuple[str, ...],
    args: TaskTrainingArgs,
    advance: Callable[[int, str], None],
) -> Trained:
    """Train what of `model` trains on the first of `data`, and leave it as it was after the epoch best on the second.

    Cross-entropy over items, or over first tokens of words; AdamW with a linear warm-up and decay. The first of equally
    good epochs is kept. Raises TrainingError where a loss is not a number.
    """
    inputs, held_out = data
    hold_in_precision(model, args)
    for each in data:
        each.keep(model, AT_ONCE, precision(args, each.device))
    torch.manual_seed(args.seed)
    draw = np.random.default_rng(args.seed)
    epochs = [batches(inputs.lengths, args.batch_size, draw) for _ in range(args.epochs)]
    optimizer, schedule = _optimizer(model, args, sum(map(len, epochs)))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    best: list[Tensor] = []
    measured: list[float] = []
    losses: list[float] = []
    for number, epoch in enumerate(epochs, 1):
        model.train()
        total = torch.zeros((), device=inputs.device)
        for chosen in epoch:
            with precision(args, inputs.device):
                loss = _loss(inputs.logits(model, chosen), inputs.labels(chosen, IGNORED))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, CLIPPED)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.detach()
        losses.append(float(total) / len(epoch))
        if not math.isfinite(losses[-1]):
            raise TrainingError(
                f"the loss of epoch {number} is {losses[-1]}.", "Lower --learning-rate, or use --precision fp32."
            )
        found = predict(model, held_out, labels, args)
        measured.append(scores(task, dev.labels, found)[TASKS[task]])
        if measured[-1] > max(measured[:-1], default=-1.0):
            best = [parameter.detach().clone() for parameter in trained]
        advance(number, f"dev {max(measured):.3f}")
    with torch.no_grad():
        for parameter, value in zip(trained, best, strict=True):
            parameter.copy_(value)
    return Trained(int(np.argmax(measured)) + 1, measured, losses)


@torch.no_grad()
def predict(model: TaskModel, inputs: Inputs, labels: tuple[str, ...], args: TaskTrainingArgs) -> list[Label]:
    """Return the predictions of all items, in their order: a label each, or for ner a tag a word."""
    model.eval()
    features: Features = inputs.features
    found = [np.zeros(0, np.int64)] * len(features.ids)
    for chosen in batches(inputs.lengths, AT_ONCE):
        with precision(args, inputs.device):
            predicted = inputs.logits(model, chosen).argmax(dim=-1).cpu().numpy()
        for item, each in zip(chosen, predicted, strict=True):
            found[item] = each
    return decoded(found, features, labels)


def hold_in_precision(model: TaskModel, args: TaskTrainingArgs) -> None:
    """Hold frozen matrices in the precision in which they are multiplied: autocast would cast them in each step."""
    for module in model.modules() if args.precision == "bf16" else ():
        if isinstance(module, torch.nn.Linear) and not any(each.requires_grad for each in module.parameters()):
            module.to(torch.bfloat16)


@contextmanager
def precision(args: TaskTrainingArgs, device: torch.device) -> Iterator[None]:
    """Compute in the precision that is asked for."""
    if args.precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16), quick_attention(device, torch.bfloat16):
            yield
    else:
        yield


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of labels that are on the CPU: asking there, nothing waits for a GPU."""
    if not bool((labels != IGNORED).any()):  # all of its words are cut off
        return logits.sum() * 0.0
    gold = labels.flatten().to(logits.device, non_blocking=True)
    return functional.cross_entropy(logits.flatten(0, -2).float(), gold, ignore_index=IGNORED)


def _optimizer(model: TaskModel, args: TaskTrainingArgs, steps: int) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Return AdamW, with weight decay on matrices alone, and a rate that rises in `warmup` of the steps and falls."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": args.weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, fused=True)
    rising = math.ceil(steps * args.warmup)

    def share(step: int) -> float:
        return step / max(1, rising) if step < rising else max(0.0, (steps - step) / max(1, steps - rising))

    return optimizer, LambdaLR(optimizer, share)
