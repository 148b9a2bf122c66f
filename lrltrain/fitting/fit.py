"""The pipeline of `lrltrain fit`: from text in some languages to adapter folders, one or several at once."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import import_utils

from lrldata.errors import DivergedError, StorageError, UsageError
from lrldata.folder import lock
from lrldata.layout import tracker_path
from lrldata.manifest import ADAPTER, read_manifest
from lrldata.output import note, warn
from lrldata.paths import remove_tree
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter
from lrltrain.config import Batching, FitConfig
from lrltrain.fitting.plan import (
    Adapter,
    Plan,
    adapter_name,
    check_agreement,
    fused_adapters,
    is_made,
    note_other_versions,
    prepare,
)
from lrltrain.fitting.runs import (
    drop_uncommon,
    refuse_other_base,
    run_folder,
    start_or_resume,
    steps_kept,
    translate_errors,
)
from lrltrain.fitting.writing import Writer
from lrltrain.methods import AttachedMethod, assert_active, attach
from lrltrain.models import check_length, load_model, word_starts
from lrltrain.modules.families import base_of, family_of, layers_of
from lrltrain.precision import HALF, device_name, note_if_fp32_is_slow, note_if_slow, precision_of, tf32
from lrltrain.tokens import UNKNOWN
from lrltrain.training.batches import VALIDATION_SEED, Blocks, Layout, Masking, Vocabulary
from lrltrain.training.corpus import Corpus, tokenize
from lrltrain.training.loop import Loop, Member, ProgressCallbacks, Schedule
from lrltrain.training.packing import PackedAttention, probe_packing, waits_for_gpu
from lrltrain.training.processes import Processes, first_process, join_processes, process_count
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

if TYPE_CHECKING:
    from pathlib import Path


SHORT = 24  # tokens of the input that the adapters are tried with


def fit(config: FitConfig, progress: Progress) -> Adapter:
    """Train the adapter that `config` asks for and write its folder; one that is up to date is left as it is.

    An interrupted run resumes from its last checkpoint. Raises LrlError.
    """
    return fit_group([config], progress)[0]


def fit_group(configs: Sequence[FitConfig], progress: Progress) -> list[Adapter]:
    """Train the adapters of several configurations together; the dropout of the base model is all that they share.

    Adapters that are made already are left as they are. Raises LrlError.
    """
    began = time.perf_counter()
    progress = progress if first_process() else Progress(quiet=True)
    plans: list[Plan] = []
    for config in configs:
        plans.append(prepare(config, plans[0] if plans else None))
    _check_duplicates(plans)
    prepared = time.perf_counter() - began
    adapters: dict[Path, Adapter] = {}
    with join_processes((), configs[0].out) as process_group, ExitStack() as locks:
        remaining = []
        ordered = sorted(plans, key=lambda plan: str(plan.folder))
        for plan in ordered if first_process() else ():
            locks.enter_context(lock(plan.folder.resolve(), to_read=True))
        process_group.wait()  # then all find the same adapters made, even if another run has just finished
        began = time.perf_counter() - prepared  # without the time that it waited for another run
        for plan in ordered:
            home = plan.folder.resolve()
            if is_made(plan) and not plan.config.overwrite:
                remove_tree(run_folder(home))  # left by a run that was killed after it had written the adapter
                manifest = open_adapter(home)
                note_other_versions(plan, manifest)
                adapters[plan.folder] = plan.adapter("unchanged", manifest, 0.0)
                continue
            refuse_other_base(home, plan.base, overwrite=plan.config.overwrite)
            remaining.append(plan)
        check_agreement(remaining, process_group)
        failed: list[str] = []
        for group in _groups_in_step(remaining):
            try:
                adapters |= {adapter.path: adapter for adapter in _train(group, progress, began)}
            except DivergedError as error:
                failed += error.messages
            began = time.perf_counter()
    if failed:
        raise diverged(failed, len(configs))
    return [adapters[plan.folder] for plan in plans]


def _groups_in_step(plans: Sequence[Plan]) -> list[list[Plan]]:
    """Group plans that can continue together: those whose unfinished runs are at the same step, and those without one.

    A run that was interrupted while its group was writing checkpoints may have one more than others; they still have a
    step in common.
    """
    steps_of = {plan.folder: steps_kept(run_folder(plan.folder.resolve()), plan.recipe, plan.config) for plan in plans}
    steps = list(steps_of.values())
    if not plans:
        return []
    at_most_first = all(max(saved, default=0) <= plan.config.every for plan, saved in zip(plans, steps, strict=True))
    records_step = any(plan.config.resume for plan in plans)  # of a change of settings, which must be true
    if (at_most_first and not records_step) or set(steps[0]).intersection(*steps[1:]):
        return [list(plans)]
    groups: dict[int, list[Plan]] = {}
    for plan in plans:
        groups.setdefault(max(steps_of[plan.folder], default=0), []).append(plan)
    return list(groups.values())


def _check_duplicates(plans: Sequence[Plan]) -> None:
    folders = [plan.folder for plan in plans]
    duplicate = next((folder for folder in folders if folders.count(folder) > 1), None)
    if duplicate:
        raise UsageError(
            f"{duplicate}: two of these adapters would be written to this folder.", "Use another --out for one of them."
        )


@tf32(on=True)
def _train(plans: Sequence[Plan], progress: Progress, began: float) -> list[Adapter]:
    """Train the adapters of plans that are not made yet."""
    first = plans[0]
    names = [adapter_name(plan.language, plan.config) for plan in plans]
    trackers = first.config.out / tracker_path(first.language.code, first.folder.parent.name, first.folder.name)
    with join_processes(first.config.tracker, trackers) as process_group:
        if first_process():
            note_if_slow(first.config.precision)
            drop_uncommon([(run_folder(plan.folder.resolve()), plan.recipe, plan.config) for plan in plans])
            plans = [_begin(plan, names) for plan in plans]
        process_group.wait()
        with process_group.in_turn():  # the first one tokenizes, the others open its cache
            corpora = [tuple(_tokenize(plan, split, progress) for split in ("train", "validation")) for plan in plans]
        for plan, (train, _) in zip(plans, corpora, strict=True):
            _warn_of_unknown(plan, train)

        with translate_errors(run_folder(first.folder.resolve()), first.config.batch_size):
            model = _load(first)
            attention, batching = _pack(first, model)
            attached = attach(model, first.config, names, [plan.config.seed for plan in plans])
            if fused_adapters(first.config, first.base) != first.recipe["inputs"][1:]:
                raise StorageError("an adapter to be fused was replaced meanwhile.", "Run the same command again.")
            sample = torch.from_numpy(corpora[0][0].block(0)[0][:SHORT])[None].to(model.device)
            assert_active(model, attached, sample.expand(len(plans), -1))

            step = _step(first, model, attached, attention, len(plans), process_group)
            vocabulary = Vocabulary.of(first.tokenizer, word_starts(first.tokenizer))
            separates = attention.separates_segments
            layout = Layout(vocabulary, batching, separates, first.config.max_length, _is_static(first.config))
            members = [
                _member(plan, name, corpus, vocabulary)
                for plan, name, corpus in zip(plans, names, corpora, strict=True)
            ]
            with progress.steps("Training", first.config.steps) as (advance, say):
                reports = ProgressCallbacks(advance, say)
                loop = Loop(members, step, layout, _schedule(first.config), process_group, reports)
                outcomes = loop.run()
        step.release()
        finished = [number for number, outcome in enumerate(outcomes) if not outcome.state.failed]
        adapters: list[Adapter] = []
        if finished and first_process():
            machine = {"device": device_name(), "processes": process_count()}
            with translate_errors(run_folder(first.folder.resolve()), first.config.batch_size), step.eager():
                writer = Writer(first, model, attached, step.weights, batching, names)
                adapters = [
                    writer.write(
                        number,
                        plans[number],
                        corpora[number],
                        outcomes[number],
                        machine
                        | {"seconds": loop.earlier_seconds[number] + (time.perf_counter() - began) / len(plans)},
                    )
                    for number in finished
                ]
        process_group.wait()
        if not first_process():
            adapters = [_as_written(plans[number]) for number in finished]
    if len(finished) < len(plans):
        pairs = zip(names, (outcome.state for outcome in outcomes), strict=True)
        raise diverged([f"{name}: {state.failed}" for name, state in pairs if state.failed])
    return adapters


def diverged(messages: Sequence[str], count: int = 1) -> DivergedError:
    """Return the error for those of `count` adapters that failed, each with its message."""
    settings = "with a lower --learning-rate, or with --precision bf16 or fp32, and --overwrite"
    them = "these" if messages[1:] else "this"
    others = f"The others are finished. Fit only {them}" if len(messages) < count else f"Fit {them}"
    return DivergedError(messages, f"{others} again {settings}.")


def _as_written(plan: Plan) -> Adapter:
    """Return the adapter that the first process wrote; its manifest is empty if its files are not visible here."""
    return plan.adapter("fitted", read_manifest(plan.folder.resolve(), ADAPTER) or {}, 0.0)


def _begin(plan: Plan, group: Sequence[str]) -> Plan:
    home = plan.folder.resolve()
    return replace(plan, recipe=start_or_resume(home, run_folder(home), plan.recipe, plan.config, group))


def _load(plan: Plan) -> Any:
    """Load the base model: in single precision if it is trained itself, else in the precision of the computation."""
    torch.manual_seed(plan.config.seed)
    dtype = torch.float32 if plan.config.method == "full" else HALF.get(precision_of(plan.config.precision))
    model = load_model(plan.base, dtype or torch.float32, plan.config.dropout)
    if first_process():
        note_if_fp32_is_slow(plan.config.precision, model.num_parameters())
    return model.to("cuda") if torch.cuda.is_available() else model


def _pack(plan: Plan, model: Any) -> tuple[PackedAttention, Batching]:
    """Find out how the lines of a block are kept apart; if the model cannot, they are joined, with a note."""
    config, objective = plan.config, plan.base.objective
    attention = probe_packing(model, objective, model.config.get_text_config().vocab_size, config.max_length)
    check_length(config.max_length, model, plan.base.id)
    if config.batching == "packed" and not attention.separates_segments and first_process():
        note(f"{plan.base.id} cannot keep the lines of a block apart, so they are joined.")
    if config.batching == "joined":
        return PackedAttention(objective, dtype=attention.dtype), "joined"
    if config.batching == "line":
        return attention, "line"
    return attention, "packed" if attention.separates_segments else "joined"


def _is_static(config: FitConfig) -> bool:
    """Return whether shapes have to repeat: for CUDA graphs, and for a compiler."""
    return torch.cuda.is_available() or config.torch_compile


def _can_be_captured(model: Any, attention: PackedAttention) -> bool:
    """Return whether a forward pass never waits for the GPU, which a graph cannot do."""
    inspects_mask = not attention.separates_segments and not hasattr(import_utils, "is_cuda_stream_capturing")
    return not inspects_mask and not waits_for_gpu(model.config)  # transformers 4 inspects a two-dimensional mask


def _step(
    plan: Plan, model: Any, attached: AttachedMethod, attention: PackedAttention, count: int, process_group: Processes
) -> Step:
    config, half = plan.config, HALF.get(precision_of(plan.config.precision))
    share = 1 / (config.accumulate * process_group.count)  # of the penalty, which is added to the loss once per step
    penalty = attached.penalty
    step = Step(
        model,
        Weights(attached.parameters, count, stacked=attached.stack is not None, half=half == torch.float16),
        attention,
        autocast=half if config.method == "full" else None,
        penalty=None if penalty is None else lambda: penalty() * share,
        graphs=torch.cuda.is_available() and _can_be_captured(model, attention),
        compiled=config.torch_compile,
    )
    if config.torch_compile:
        layers = layers_of(model, family_of(model)) if config.method != "full" else [(0, base_of(model))]
        for _, layer in layers:
            layer.compile()
    return step


def _member(plan: Plan, name: str, corpus: Sequence[Corpus], vocabulary: Vocabulary) -> Member:
    config = plan.config
    masking = Masking(plan.base.objective, config.mask_probability, config.whole_word)
    train = Blocks(corpus[0], vocabulary, masking, config.seed)
    validation = Blocks(corpus[1], vocabulary, masking, VALIDATION_SEED, config.eval_blocks, kept=True)
    return Member(name, train, validation, run_folder(plan.folder.resolve()))


def _schedule(config: FitConfig) -> Schedule:
    return Schedule(
        config.steps,
        config.every,
        config.batch_size,
        config.eval_batch_size or config.batch_size,
        config.accumulate,
        Rates(config.rate, config.warmup, config.weight_decay),
    )


def _tokenize(plan: Plan, split: str, progress: Progress) -> Corpus:
    lines = plan.text.provenance.get("rows", {}).get(split)  # unknown for plain text and for a held-out split
    with progress.steps(f"Tokenizing {split}", lines) as (advance, _):
        return tokenize(
            plan.text,
            split,
            plan.tokenizer,
            batching=plan.config.batching,
            max_length=plan.config.max_length,
            cache=plan.config.cache,
            advance=lambda done: advance(done, ""),
        )


def _warn_of_unknown(plan: Plan, train: Corpus) -> None:
    share = train.counts.unknown_share
    if share >= UNKNOWN and first_process():
        warn(
            f"{share:.0%} of the tokens of {plan.language.name} are unknown to {plan.base.id}: its vocabulary "
            "lacks this script or these letters, and an adapter cannot learn what the model cannot read.",
        )
