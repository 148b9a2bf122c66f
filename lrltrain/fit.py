"""The recipe of `lrltrain fit`: from the text of languages to the folders of adapters, one or several at once."""

import math
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from lrldata.errors import ModelError, TrainingError, UsageError
from lrldata.folder import lock
from lrldata.languages import Language, find
from lrldata.manifest import ADAPTER, fingerprint, identity, is_unchanged, made_with, read_manifest
from lrldata.output import note
from lrldata.paths import remove_tree
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter, reference_logits, save_model, write_adapter
from lrltrain.config import Batching, FitConfig
from lrltrain.corpus import Corpus, tokenise, tokenizer_fingerprint
from lrltrain.methods import Attached, assert_active, attach, check_base, fused_invertible
from lrltrain.models import Base, dtype_for, find_base, load_model, load_tokenizer, precision_of, word_starts
from lrltrain.modules.families import base_of, family_of, layers_of
from lrltrain.modules.files import save_adapter, save_fusion
from lrltrain.modules.insert import AdapterStack, FusedStack, insert, take_out
from lrltrain.names import base_name
from lrltrain.runs import like, refuse_other_base, run_folder, start_or_resume, translate_errors
from lrltrain.text import Text, open_text
from lrltrain.training.batches import VALIDATION_SEED, Blocks, Layout, Masking, Vocabulary
from lrltrain.training.loop import Loop, Member, Outcome, Schedule, Told
from lrltrain.training.packing import PackedAttention, probe_packing
from lrltrain.training.processes import Processes, first_process, joined, processes
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}

UNKNOWN = 0.05  # share of unknown tokens at which to warn
SHORT = 24  # tokens of the reference input


@dataclass(frozen=True)
class Fitted:
    """An adapter's folder after a fit; `status` is `fitted` or `unchanged`."""

    path: Path
    status: str
    manifest: Mapping[str, Any]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        kept = {key: self.manifest[key] for key in ("method", "base", "trained")}
        return {"path": str(self.path), "status": self.status, "seconds": round(self.seconds, 3), **kept}


@dataclass(frozen=True)
class Plan:
    """All that is known before a model is loaded."""

    config: FitConfig
    language: Language
    text: Text
    base: Base
    tokenizer: Any
    folder: Path
    recipe: dict[str, Any]


def prepare(config: FitConfig, beside: Plan | None = None) -> Plan:
    """Find text, base model and tokenizer, and name all that shapes the weights.

    `beside` is a plan whose base model and tokenizer are the same, and are taken from there.
    """
    language = find(config.lang)
    for tracker in config.tracker:
        if find_spec(tracker) is None:
            raise UsageError(f"--tracker: {tracker} is not installed.", f"Use `pip install {tracker}`.")
    text = open_text(config, language)
    base = beside.base if beside else find_base(config.base, config.base_revision, config.base_id, config.objective)
    tokenizer = beside.tokenizer if beside else load_tokenizer(base)
    recipe = {
        "language": {"code": language.code, "name": language.name, "hub_code": language.hub_code},
        "method": config.method,
        "base": base.as_json(),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "inputs": [text.provenance, *(_adapter_entry(folder, base) for folder in config.adapters)],
        "settings": config.shaping() | {"processes": processes()},
        "made_with": made_with("transformers", "tokenizers", "torch"),
    }
    called = config.base_folder or base_name(base.id)
    folder = config.out / "adapters" / language.code / called / f"{config.source_name}-{config.method}"
    return Plan(config, language, text, base, tokenizer, folder, recipe)


def fit(config: FitConfig, progress: Progress) -> Fitted:
    """Train the adapter that `config` asks for and write its folder; an unchanged one is left alone.

    A run that was killed goes on from its last checkpoint. Raises LrlError.
    """
    return fit_group([config], progress)[0]


def fit_group(configs: Sequence[FitConfig], progress: Progress) -> list[Fitted]:
    """Train the adapters of several configurations together, each as it would be trained alone.

    Those that are made already are left alone. Raises LrlError.
    """
    began = time.perf_counter()
    plans: list[Plan] = []
    for config in configs:
        plans.append(prepare(config, plans[0] if plans else None))
    _refuse_twins(plans)
    found: dict[Path, Fitted] = {}
    with ExitStack() as held:
        left = []
        for plan in sorted(plans, key=lambda plan: str(plan.folder)):
            home = plan.folder.resolve()
            if first_process():
                held.enter_context(lock(home))
            if is_made(plan) and not plan.config.overwrite:
                remove_tree(run_folder(home))  # of a run that was killed after its last act
                found[plan.folder] = Fitted(plan.folder, "unchanged", open_adapter(home), 0.0)
                continue
            refuse_other_base(home, plan.base, overwrite=plan.config.overwrite)
            left.append(plan)
        if left:
            found |= {made.path: made for made in _train(left, progress, began)}
    return [found[plan.folder] for plan in plans]


def _refuse_twins(plans: Sequence[Plan]) -> None:
    folders = [plan.folder for plan in plans]
    twin = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twin:
        raise UsageError(f"{twin}: two of these adapters have this folder.", "Use another --out for one of them.")


def is_made(plan: Plan) -> bool:
    """Return whether the folder holds, undamaged, what this plan makes.

    With --resume it may also be what a run made whose settings were changed to these on the way.
    """
    home = plan.folder.resolve()
    manifest = read_manifest(home, ADAPTER)
    recipe = like(plan.recipe, manifest or {}, resumed=plan.config.resume)
    return is_unchanged(home, ADAPTER, fingerprint(recipe))


def _train(plans: Sequence[Plan], progress: Progress, began: float) -> list[Fitted]:
    """Train what is not made yet."""
    first = plans[0]
    trackers = first.config.out / "runs" / first.language.code / f"{first.folder.parent.name}-{first.folder.name}"
    with joined(first.config.tracker, trackers) as together:
        if first_process():
            plans = [_begin(plan) for plan in plans]
        together.wait()
        corpora = [tuple(_tokenise(plan, split, progress) for split in ("train", "validation")) for plan in plans]
        for plan, (train, _) in zip(plans, corpora, strict=True):
            _warn_of_unknown(plan, train)
        names = [adapter_name(plan.language, plan.config) for plan in plans]

        model = _load(first)
        attention, batching = _pack(first, model)
        attached = attach(model, first.config, names, [plan.config.seed for plan in plans])
        sample = torch.from_numpy(corpora[0][0].block(0)[0][:SHORT])[None]
        assert_active(model, attached, sample.to(model.device).expand(len(plans), -1))

        step = _step(first, model, attached, attention, len(plans), together)
        vocabulary = Vocabulary.of(first.tokenizer, word_starts(first.tokenizer))
        apart = attention.first_position is not None
        layout = Layout(vocabulary, batching, apart, first.config.max_length, _is_static(first.config))
        members = [
            _member(plan, name, corpus, vocabulary) for plan, name, corpus in zip(plans, names, corpora, strict=True)
        ]
        with progress.steps("Training", first.config.steps) as (advance, say):
            told = Told(advance, say if first_process() else _nothing)
            loop = Loop(members, step, layout, _schedule(first.config), together, told)
            with translate_errors(members[0].run, first.config.batch_size):
                outcomes = loop.run()
        step.release()
        if not first_process():
            return [Fitted(plan.folder, "fitted", {}, 0.0) for plan in plans]
        machine = {"device": device_name(), "processes": processes()}
        written = _Written(first, model, attached, step.weights, batching, sample, names)
        made = [
            written.write(
                number, plan, corpora[number], outcomes[number], machine | {"seconds": time.perf_counter() - began}
            )
            for number, plan in enumerate(plans)
            if not outcomes[number].progressed.failed
        ]
    failed = [
        f"{name}: {outcome.progressed.failed}"
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome.progressed.failed
    ]
    if failed:
        raise TrainingError(
            " ".join(failed), "The others of the group are finished. Lower --learning-rate for these, and begin again."
        )
    return made


def _begin(plan: Plan) -> Plan:
    home = plan.folder.resolve()
    return replace(plan, recipe=start_or_resume(home, run_folder(home), plan.recipe, plan.config))


def _load(plan: Plan) -> Any:
    """Load the base model: to be trained itself in single precision, frozen in the one in which it computes."""
    torch.manual_seed(plan.config.seed)
    held = torch.float32 if plan.config.method == "full" else HALVES.get(precision_of(plan.config.precision))
    model = load_model(plan.base, held or torch.float32, plan.config.dropout)
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = True
        model.to("cuda")
    return model


def _pack(plan: Plan, model: Any) -> tuple[PackedAttention, Batching]:
    """Find out how lines of a block are kept apart; where the model cannot, they are joined, and that is said."""
    config, objective = plan.config, plan.base.objective
    attention = probe_packing(model, objective, model.config.vocab_size)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and config.max_length > positions - (attention.first_position or 0):
        most = positions - (attention.first_position or 0)
        raise UsageError(f"--max-length {config.max_length}: {plan.base.id} reads {most} tokens at most.")
    if config.batching == "packed" and attention.first_position is None and first_process():
        note(f"note: {plan.base.id} cannot keep lines of a block apart, so that they are joined.")
    if config.batching == "joined":
        return PackedAttention(objective, dtype=attention.dtype), "joined"
    if config.batching == "line":
        return attention, "line"
    return attention, "packed" if attention.first_position is not None else "joined"


def _is_static(config: FitConfig) -> bool:
    """Return whether shapes have to repeat: for the graphs of a GPU, and for a compiler."""
    return torch.cuda.is_available() or config.torch_compile


def _step(
    plan: Plan, model: Any, attached: Attached, attention: PackedAttention, count: int, together: Processes
) -> Step:
    config, half = plan.config, HALVES.get(precision_of(plan.config.precision))
    if config.torch_compile:
        layers = layers_of(model, family_of(model)) if config.method != "full" else [(0, base_of(model))]
        for _, layer in layers:
            layer.compile(dynamic=False)
    share = 1 / (config.accumulate * together.count)  # of what is added to the loss once a step
    penalty = attached.penalty
    return Step(
        model,
        Weights(
            attached.parameters, count, stacked=isinstance(attached.stack, AdapterStack), half=half == torch.float16
        ),
        attention,
        autocast=half if config.method == "full" else None,
        penalty=None if penalty is None else lambda: penalty() * share,
        graphs=torch.cuda.is_available(),
    )


def _member(plan: Plan, name: str, corpus: Sequence[Corpus], vocabulary: Vocabulary) -> Member:
    config = plan.config
    masking = Masking(plan.base.objective, config.mask_probability, config.whole_word)
    train = Blocks(corpus[0], vocabulary, masking, config.seed)
    return Member(
        name, train, Blocks(corpus[1], vocabulary, masking, VALIDATION_SEED), run_folder(plan.folder.resolve())
    )


def _schedule(config: FitConfig) -> Schedule:
    return Schedule(
        config.steps,
        config.every,
        config.batch_size,
        config.eval_batch_size or config.batch_size,
        config.accumulate,
        Rates(config.rate, config.warmup, config.weight_decay),
    )


class _Written:
    """Writes the folders of what was trained: each adapter's best weights, with logits for reference."""

    def __init__(
        self,
        plan: Plan,
        model: Any,
        attached: Attached,
        weights: Weights,
        batching: Batching,
        sample: torch.Tensor,
        names: Sequence[str],
    ) -> None:
        self.model, self.attached, self.weights, self.batching, self.names = model, attached, weights, batching, names
        self.sample = sample
        self.trained = sum(parameter.numel() for _, parameter in attached.parameters) // weights.count
        stacks = take_out(model)
        self.base_parameters = sum(parameter.numel() for parameter in model.parameters())
        wanted = dtype_for(plan.base.objective, precision_of(plan.config.precision))
        if attached.stack is not None and model.dtype != wanted:  # an encoder's reference is in single precision
            self.model = load_model(plan.base, wanted).to(model.device)
        if isinstance(attached.stack, FusedStack):
            insert(self.model, *stacks)
        self._alone: AdapterStack | None = None
        if isinstance(attached.stack, AdapterStack):
            self._alone = AdapterStack(self.model, attached.stack.settings, names[:1]).to(model.device)
            insert(self.model, self._alone)

    def write(
        self, number: int, plan: Plan, corpus: Sequence[Corpus], outcome: Outcome, machine: Mapping[str, Any]
    ) -> Fitted:
        """Write one folder. Raises TrainingError where the loss in the end is not a number."""
        home, known = plan.folder.resolve(), outcome.progressed
        if not math.isfinite(known.best_loss):
            raise TrainingError(
                f"the validation loss is {known.log[-1].get('eval_loss')} in the end.",
                "Lower --learning-rate, and use --overwrite.",
            )
        train, validation = corpus
        self.weights.put(number, outcome.best)
        self._take(number)
        steps, a_step = plan.config.steps, plan.config.batch_size * plan.config.accumulate * processes()
        trained = {
            "steps": steps,
            "best_step": known.best_step,
            "validation_loss_before": next(entry["eval_loss"] for entry in known.log if "eval_loss" in entry),
            "validation_loss": known.best_loss,
            "tokens": round(train.counts.tokens * steps * a_step / len(train)),
            "corpus": {"train": asdict(train.counts), "validation": asdict(validation.counts)},
            "parameters": self.trained,
            "parameters_of_base": self.base_parameters,
            "batching": self.batching,
        }
        inverse = {"fused_invertible": fused_invertible(plan.config)} if plan.config.method == "fusion" else {}
        group = {"group": list(self.names)} if len(self.names) > 1 else {}
        recipe = {**plan.recipe, "recipe": fingerprint(plan.recipe)}
        manifest = {**recipe, "name": self.names[number], **inverse, **group, "trained": trained}
        reference = reference_logits(self.model, self.sample.to(self.model.device))
        complete = write_adapter(
            home, lambda folder: self._save(folder, plan), self.names[number], manifest, known.log, machine, reference
        )
        remove_tree(run_folder(home))
        return Fitted(plan.folder, "fitted", complete, float(machine["seconds"]))

    @torch.no_grad()
    def _take(self, number: int) -> None:
        """Put one adapter's weights into the stack of one."""
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


def adapter_name(language: Language, config: FitConfig) -> str:
    """Return the name under which the adapter is known inside a model: ug_conceptnet_seq_bn_inv."""
    return f"{language.code}_{config.source_name}_{config.method}".replace("-", "_")


def _tokenise(plan: Plan, split: str, progress: Progress) -> Corpus:
    with progress.waiting(f"Tokenising {split}"):
        return tokenise(
            plan.text,
            split,
            plan.tokenizer,
            batching=plan.config.batching,
            max_length=plan.config.max_length,
            cache=plan.config.cache,
        )


def _warn_of_unknown(plan: Plan, train: Corpus) -> None:
    share = train.counts.unknown_share
    if share >= UNKNOWN and first_process():
        note(
            f"warning: {share:.0%} of the tokens of {plan.language.name} are unknown to {plan.base.id}: its vocabulary "
            "does not have this script or these letters, and an adapter cannot learn what the model cannot read.",
        )


def _adapter_entry(folder: Path, base: Base) -> dict[str, Any]:
    """Describe an adapter that is to be fused. Raises ModelError where it does not fit the base model."""
    manifest = open_adapter(folder)
    if manifest["method"] not in ("seq_bn", "seq_bn_inv"):  # fusion is over the outputs of bottlenecks
        raise ModelError(f"{folder}: {manifest['method']} cannot be fused.", "Give seq_bn or seq_bn_inv adapters.")
    check_base(folder, manifest, base)
    return {"kind": ADAPTER, "name": manifest["name"], "manifest_sha256": identity(folder, manifest)}


def device_name() -> str:
    """Name the machine's processor, as a card should."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"


def _nothing(_line: str) -> None:
    """Say nothing, as processes but the first do."""
