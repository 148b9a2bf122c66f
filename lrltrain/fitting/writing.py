"""Writing of trained weights to the folders of adapters. IO."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lrldata.manifest import fingerprint
from lrldata.paths import remove_tree
from lrltrain.artifact import reference_logits, save_model, write_adapter
from lrltrain.config import Batching
from lrltrain.fitting.plan import Adapter, Plan
from lrltrain.fitting.runs import group_of, precisions_of, run_folder
from lrltrain.methods import AttachedMethod, fused_invertible
from lrltrain.models import MINI, load_model
from lrltrain.modules.files import save_adapter, save_fusion
from lrltrain.modules.insert import AdapterStack, FusedStack, insert, take_out
from lrltrain.precision import dtype_for, precision_of, tf32
from lrltrain.training.corpus import Corpus
from lrltrain.training.loop import Outcome
from lrltrain.training.processes import process_count
from lrltrain.training.weights import Weights

SHORT = 24  # tokens of the reference input


class Writer:
    """Writes the folders of trained adapters: the best weights of each, with reference logits."""

    def __init__(
        self,
        plan: Plan,
        model: Any,
        attached: AttachedMethod,
        weights: Weights,
        batching: Batching,
        names: Sequence[str],
    ) -> None:
        self.model, self.attached, self.weights, self.batching, self.names = model, attached, weights, batching, names
        self.trained = sum(parameter.numel() for _, parameter in attached.parameters) // weights.count
        stacks = take_out(model)
        self.base_parameters = sum(parameter.numel() for parameter in model.parameters())
        reference_dtype = dtype_for(plan.base.objective, precision_of(plan.config.precision))
        # The reference logits of an encoder are in single precision.
        if attached.stack is not None and model.dtype != reference_dtype:
            self.model = load_model(plan.base, reference_dtype).to(model.device)
        if isinstance(attached.stack, FusedStack):
            insert(self.model, *stacks)
        self._alone: AdapterStack | None = None
        if isinstance(attached.stack, AdapterStack):
            self._alone = AdapterStack(self.model, attached.stack.settings, names[:1]).to(model.device)
            insert(self.model, self._alone)

    def write(
        self, number: int, plan: Plan, corpus: Sequence[Corpus], outcome: Outcome, machine: Mapping[str, Any]
    ) -> Adapter:
        """Write the folder of one adapter."""
        home, state = plan.folder.resolve(), outcome.state
        train, validation = corpus
        self.weights.put(number, outcome.best)
        self._take(number)
        steps, blocks_per_step = plan.config.steps, plan.config.batch_size * plan.config.accumulate * process_count()
        trained = {
            "steps": steps,
            "best_step": state.best_step,
            "validation_loss_before": next(entry["eval_loss"] for entry in state.log if "eval_loss" in entry),
            "validation_loss": state.best_loss,
            "tokens": round(train.counts.tokens * steps * blocks_per_step / len(train)),
            "corpus": {"train": asdict(train.counts), "validation": asdict(validation.counts)},
            "parameters": self.trained,
            "parameters_of_base": self.base_parameters,
            "batching": self.batching,
            "precision": ", then ".join(precisions_of(run_folder(home))),
            "reference_dtype": str(self.model.dtype).removeprefix("torch."),
        }
        inverse = {"fused_invertible": fused_invertible(plan.config)} if plan.config.method == "fusion" else {}
        names = group_of(run_folder(home))
        group = {"group": names} if len(names) > 1 else {}
        recipe = {**plan.recipe, "recipe": fingerprint(plan.recipe)}
        more: dict[str, Any] = {"name": self.names[number], "source": plan.config.source_name}
        more |= {"variant": plan.config.variant} if plan.config.variant else {}
        more |= {"text": plan.text.origin} if plan.text.origin else {}
        more |= {"weights": plan.base.weights} if plan.base.weights and plan.base.id != MINI else {}
        manifest = {**recipe, **more, **inverse, **group, "trained": trained}
        with tf32(on=False):  # the reference is for comparison on other machines, including CPUs
            reference = reference_logits(self.model, _reference_input(plan).to(self.model.device))
        complete = write_adapter(
            home,
            lambda folder: self._save(folder, plan),
            self.names[number],
            manifest,
            state.log,
            machine,
            reference,
        )
        remove_tree(run_folder(home))
        return plan.adapter("fitted", complete, float(machine["seconds"]))

    @torch.no_grad()
    def _take(self, number: int) -> None:
        """Copy one adapter's weights into the stack of one."""
        if self._alone is None or not isinstance(self.attached.stack, AdapterStack):
            return
        self._alone.names = [self.names[number]]
        for alone, stacked in zip(self._alone.parameters(), self.attached.stack.parameters(), strict=True):
            alone[0].copy_(stacked[number])

    def _save(self, folder: Path, plan: Plan) -> None:
        if self._alone is not None:
            save_adapter(folder, self.model, self._alone)
        elif isinstance(self.attached.stack, FusedStack):
            save_fusion(folder, self.model, self.attached.stack)
        else:
            save_model(self.model, folder)
            plan.tokenizer.save_pretrained(folder)


def _reference_input(plan: Plan) -> torch.Tensor:
    """Return tokens (1, length) to check a loaded adapter with; none are from the text, which may not be public."""
    numbers = " ".join(map(str, range(1, 13)))
    ids = plan.tokenizer(f"{plan.language.native_name or plan.language.name}: {numbers}")["input_ids"]
    return torch.tensor(ids[:SHORT])[None]
