"""The trainer of `adapters` (and of transformers, for full fine-tuning) with the loss at labelled positions alone."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adapters import AdapterTrainer
from torch import Tensor
from torch.utils.data import Sampler
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from lrldata.errors import TrainingError
from lrltrain.batches import Shuffled
from lrltrain.loss import IGNORED, LabelledHead
from lrltrain.runs import vouch
from lrltrain.wiring import Wiring


class LabelledLoss(Trainer):
    """Takes the loss at the positions that carry a label, adds it up over tokens, and refuses one that is no number.

    The sum is divided by the number of labels of the whole step, over all processes and accumulated batches, so that
    the gradient does not depend on how the step is cut up.
    """

    def __init__(self, *arguments: Any, wiring: Wiring, **options: Any) -> None:
        super().__init__(*arguments, compute_metrics=_mean_loss, **options)
        self.model_accepts_loss_kwargs = True  # which makes the trainer count the labels of a step
        self.wiring = wiring
        self.head = LabelledHead(
            self.model, torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else None
        )
        self.blocks_seen = 0
        self._unchecked: tuple[int, Tensor, Tensor] | None = None

    def take_up(self, checkpoint: str) -> bool:
        """Take state and best weights of a run that was stopped after its last step; False where one is left to do.

        `train` would do one step too many.
        """
        state = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME))
        state.best_model_checkpoint = _in_place(state, Path(checkpoint).parent)
        if state.global_step < self.args.max_steps or not Path(state.best_model_checkpoint or "", "").is_dir():
            return False
        self.state = state
        self._load_best_model()
        return True

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch, as its share of the step's mean."""
        with self.head.at(inputs["positions"]):
            hidden = model(**self.wiring.inputs(inputs)).logits[0]
        total = self.head.loss(hidden, inputs["labels"])
        count = (inputs["labels"] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return total / count * (self.accelerator.num_processes if num_items_in_batch is not None else 1)

    def training_step(self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: Any = None) -> Tensor:
        """Train on a batch. Raises TrainingError where a loss is not a number.

        On the CPU that is before the weights are touched, on a device a step later, so that it need not be waited for.
        """
        self.blocks_seen += len(inputs["block"])
        step, blocks = self.state.global_step + 1, inputs["block"]
        self._check()
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._unchecked = (step, loss, blocks)
        if loss.device.type == "cpu":
            self._check()
        return loss

    def _check(self) -> None:
        if self._unchecked is None:
            return
        step, loss, blocks = self._unchecked
        self._unchecked = None
        if not math.isfinite(loss.item()):
            kept = self.state.global_step - self.state.global_step % max(1, int(self.args.save_steps))
            raise TrainingError(
                f"the loss is {loss.item()} at step {step}, in the batch of blocks {blocks.tolist()}.",
                (f"The checkpoint of step {kept} is kept. " if kept else "")
                + "Lower --learning-rate, or use --precision bf16 or fp32, and begin again with --overwrite.",
            )

    def prediction_step(
        self, model: Any, inputs: dict[str, Tensor], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[None, Tensor, Tensor]:
        """Return the sum of losses and the number of labels of each block, (blocks, 2), so that the mean is exact."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager(), self.head.at(inputs["positions"]):
            hidden = model(**self.wiring.inputs(inputs)).logits[0]
            losses = self.head.losses(hidden, inputs["labels"])
        blocks, length = inputs["input_ids"].shape
        row = inputs["positions"].div(length, rounding_mode="floor")
        counted = torch.stack([losses.float(), (inputs["labels"] != IGNORED).float()], dim=1)
        sums = torch.zeros(blocks, 2, device=losses.device).index_add_(0, row, counted)
        return None, sums, sums[:, 1]

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Take up what a checkpoint holds, but with the rate and weight decay that are asked for now.

        Both stand in the checkpoint too, and would silently be those of before.
        """
        if checkpoint is None or self.optimizer is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        asked = ("initial_lr", "weight_decay")
        groups = [{key: group[key] for key in asked if key in group} for group in self.optimizer.param_groups]
        scheduler: Any = getattr(self.lr_scheduler, "scheduler", self.lr_scheduler)
        rates = list(scheduler.base_lrs)
        super()._load_optimizer_and_scheduler(checkpoint)
        scheduler.base_lrs = rates
        shares = [share(scheduler.last_epoch) for share in scheduler.lr_lambdas]
        for group, kept, rate, share in zip(self.optimizer.param_groups, groups, rates, shares, strict=True):
            group.update(kept, lr=rate * share)
        scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]  # noqa: SLF001 -- what is logged

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        dataset: Any = train_dataset if train_dataset is not None else self.train_dataset
        return Shuffled(len(dataset), self.args.seed)


def _in_place(state: TrainerState, run: Path) -> str | None:
    """Return the best checkpoint of a run where the run is now: a workspace may have been moved since."""
    best = state.best_model_checkpoint
    here = run / Path(best).name if best else run
    return str(here) if best and here.is_dir() else best


class FullTrainer(LabelledLoss):
    """Trains every weight."""


class LanguageAdapterTrainer(LabelledLoss, AdapterTrainer):  # type: ignore[misc]
    """Trains adapters."""


def _mean_loss(prediction: EvalPrediction) -> dict[str, float]:
    total, count = np.asarray(prediction.predictions, np.float64).sum(axis=0)
    return {"loss": float(total / count)}


class Report(TrainerCallback):
    """Tells how training goes, `advance(step)` at each step and `say(line)` at each evaluation; vouches for saves."""

    def __init__(
        self,
        advance: Callable[[int, str], None],
        say: Callable[[str], None],
        blocks: Callable[[], int],
        tokens_a_block: float,
    ) -> None:
        self.advance, self.say, self.blocks, self.tokens_a_block = advance, say, blocks, tokens_a_block
        self.began = time.perf_counter()
        self.first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock; of a run that goes on, evaluate and save as is asked for now."""
        state.compute_steps(args, state.max_steps)
        state.best_model_checkpoint = _in_place(state, Path(str(args.output_dir)))
        self.began, self.first_step = time.perf_counter(), state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Advance the bar."""
        self.advance(state.global_step, f"{self.speed():,.0f} tokens/s")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Vouch for a checkpoint when all of it is written."""
        if state.is_world_process_zero:
            vouch(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Say a line."""
        validation = f"validation loss {(metrics or {}).get('eval_loss', math.nan):.3f}"
        done = state.global_step - self.first_step
        if not done:
            self.say(f"step {state.global_step:,} of {state.max_steps:,}: {validation}")
            return
        left = (time.perf_counter() - self.began) / done * (state.max_steps - state.global_step)
        trained = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), math.nan)
        self.say(
            f"step {state.global_step:,} of {state.max_steps:,}: {validation}, training {trained:.3f}, "
            f"{self.speed():,.0f} tokens/s, {left / 60:.1f} min left"
        )

    def speed(self) -> float:
        """Return real tokens a second of this process since training began."""
        return self.blocks() * self.tokens_a_block / max(1e-9, time.perf_counter() - self.began)


KEPT_IN_LOG = ("step", "epoch", "loss", "learning_rate", "grad_norm", "eval_loss")


def told_once(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a trainer's log as it is without interruptions: a run that goes on evaluates its checkpoint again."""
    kept: dict[tuple[int, bool], dict[str, Any]] = {}
    for entry in history:
        told = {key: entry[key] for key in KEPT_IN_LOG if key in entry}
        kept.setdefault((entry["step"], "eval_loss" in entry), told)
    return list(kept.values())
