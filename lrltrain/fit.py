"""The recipe of `lrltrain fit`: from the text of a language to an adapter's folder."""

import math
import platform
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainingArguments

from lrldata.errors import ModelError, TrainingError, UsageError
from lrldata.folder import lock
from lrldata.languages import Language, find
from lrldata.manifest import ADAPTER, fingerprint, identity, is_unchanged, made_with, read_manifest
from lrldata.output import note
from lrldata.paths import remove_tree
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter, reference_logits, write_adapter
from lrltrain.batches import VALIDATION_SEED, Blocks, Collator, Masking, Vocabulary
from lrltrain.config import Batching, FitConfig
from lrltrain.corpus import Corpus, tokenise, tokenizer_fingerprint
from lrltrain.methods import assert_active, attach, check_base, fused_invertible
from lrltrain.models import (
    Base,
    dtype_for,
    find_base,
    load_model,
    load_tokenizer,
    mixed,
    precision_of,
    quiet,
    word_starts,
)
from lrltrain.names import base_name
from lrltrain.runs import (
    claim,
    first_process,
    in_words,
    last_checkpoint,
    like,
    processes,
    refuse_other_base,
    run_folder,
)
from lrltrain.text import Text, open_text
from lrltrain.trainer import FullTrainer, LabelledLoss, LanguageAdapterTrainer, Report, told_once
from lrltrain.wiring import Wiring, find_wiring

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


def prepare(config: FitConfig) -> Plan:
    """Find text, base model and tokenizer, and name all that shapes the weights."""
    language = find(config.lang)
    for tracker in config.tracker:
        if find_spec(tracker) is None:
            raise UsageError(f"--tracker: {tracker} is not installed.", f"Use `pip install {tracker}`.")
    text = open_text(config, language)
    base = find_base(config.base, config.base_revision, config.base_id, config.objective)
    tokenizer = load_tokenizer(base)
    recipe = {
        "language": {"code": language.code, "name": language.name, "hub_code": language.hub_code},
        "method": config.method,
        "base": base.as_json(),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "inputs": [text.provenance, *(_adapter_entry(folder, base) for folder in config.adapters)],
        "settings": config.shaping() | {"processes": processes()},
        "made_with": made_with("adapters", "transformers", "tokenizers", "torch"),
    }
    called = config.base_folder or base_name(base.id)
    folder = config.out / "adapters" / language.code / called / f"{config.source_name}-{config.method}"
    return Plan(config, language, text, base, tokenizer, folder, recipe)


def fit(config: FitConfig, progress: Progress) -> Fitted:
    """Train the adapter that `config` asks for and write its folder; an unchanged one is left alone.

    A run that was killed goes on from its last checkpoint. Raises LrlError.
    """
    began = time.perf_counter()
    plan = prepare(config)
    home = plan.folder.resolve()
    with lock(home) if first_process() else nullcontext():
        if is_made(plan) and not config.overwrite:
            remove_tree(run_folder(home))  # of a run that was killed after its last act
            return Fitted(plan.folder, "unchanged", open_adapter(home), 0.0)
        refuse_other_base(home, plan.base, overwrite=config.overwrite)
        return _train(plan, home, progress, began)


def is_made(plan: Plan) -> bool:
    """Return whether the folder holds, undamaged, what this plan makes.

    With --resume it may also be what a run made whose settings were changed to these on the way.
    """
    home = plan.folder.resolve()
    manifest = read_manifest(home, ADAPTER)
    recipe = like(plan.recipe, manifest or {}, resumed=plan.config.resume)
    return is_unchanged(home, ADAPTER, fingerprint(recipe))


def _train(plan: Plan, home: Path, progress: Progress, began: float) -> Fitted:
    config, name = plan.config, adapter_name(plan.language, plan.config)
    run = run_folder(home)
    if first_process():
        plan = replace(plan, recipe=claim(home, run, plan.recipe, config))

    train, validation = (_tokenise(plan, split, progress) for split in ("train", "validation"))
    _warn_of_unknown(plan, train)

    torch.manual_seed(config.seed)
    model = load_model(plan.base, dtype_for(plan.base.objective, precision_of(config.precision)), config.dropout)
    wiring, batching = _wire(plan, model)
    with quiet():
        parameters = attach(model, name, config)
    sample = torch.from_numpy(train.block(0)[0][:SHORT])[None]
    assert_active(model, sample)

    vocabulary = Vocabulary.of(plan.tokenizer, word_starts(plan.tokenizer))
    trainer = _trainer(plan, model, wiring, Collator(vocabulary, batching, _width(config)), train, validation, run)
    with progress.steps("Training", config.steps) as (advance, say):
        callback = Report(
            advance, say if first_process() else _nothing, lambda: trainer.blocks_seen, _tokens_a_block(train)
        )
        trainer.add_callback(callback)
        trainer.remove_callback(PrinterCallback)
        with quiet(), in_words(run, config.batch_size):
            stopped_at = last_checkpoint(run)
            if stopped_at is None or not trainer.take_up(stopped_at):
                trainer.train(resume_from_checkpoint=stopped_at)
        trainer.remove_callback(callback)
    loss = trainer.evaluate()["eval_loss"]
    if not math.isfinite(loss):
        raise TrainingError(f"the validation loss is {loss} in the end.", "Lower --learning-rate, and use --overwrite.")
    if not first_process():
        return Fitted(plan.folder, "fitted", {}, 0.0)

    log = told_once(trainer.state.log_history[:-1])
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    trained = {
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step or trainer.state.global_step,
        "validation_loss_before": next(entry["eval_loss"] for entry in log if "eval_loss" in entry),
        "validation_loss": loss,
        "tokens": round(train.counts.tokens * (trainer.state.epoch or 0.0)),
        "corpus": {"train": asdict(train.counts), "validation": asdict(validation.counts)},
        "parameters": sum(sizes[parameter] for parameter in parameters),
        "parameters_of_base": sum(sizes.values()) - sum(sizes[each] for each in parameters if config.method != "full"),
        "batching": batching,
    }
    inverse = {"fused_invertible": fused_invertible(config)} if config.method == "fusion" else {}
    recipe = {**plan.recipe, "recipe": fingerprint(plan.recipe)}
    manifest = {**recipe, "name": name, **inverse, "trained": trained}
    machine = {"seconds": time.perf_counter() - began, "device": device_name(), "processes": processes()}
    with mixed(model):
        reference = reference_logits(model, sample.to(model.device))
    complete = write_adapter(home, model, plan.tokenizer, name, manifest, log, machine, reference)
    remove_tree(run)
    return Fitted(plan.folder, "fitted", complete, time.perf_counter() - began)


def _wire(plan: Plan, model: Any) -> tuple[Wiring, Batching]:
    """Find out how lines of a block are kept apart; where the model cannot, they are joined, and that is said."""
    config, objective = plan.config, plan.base.objective
    wiring = find_wiring(model, objective, model.config.vocab_size)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and config.max_length > positions - (wiring.first_position or 0):
        most = positions - (wiring.first_position or 0)
        raise UsageError(f"--max-length {config.max_length}: {plan.base.id} reads {most} tokens at most.")
    if config.batching == "packed" and wiring.first_position is None and first_process():
        note(f"note: {plan.base.id} cannot keep lines of a block apart, so that they are joined.")
    if config.batching != "packed" or wiring.first_position is None:
        return Wiring(objective), "line" if config.batching == "line" else "joined"
    return wiring, "packed"


def _divisor(number: int, most: int) -> int:
    return next(each for each in range(max(1, most), 0, -1) if number % each == 0)


def _width(config: FitConfig) -> int | None:
    """Return the fixed width of a block, where shapes that stay the same are faster: on a GPU, or compiled."""
    fixed = config.batching != "line" and (torch.cuda.is_available() or config.torch_compile)
    return config.max_length if fixed else None


def _trainer(
    plan: Plan, model: Any, wiring: Wiring, collator: Collator, train: Corpus, validation: Corpus, run: Path
) -> LabelledLoss:
    config = plan.config
    masking = Masking(plan.base.objective, config.mask_probability, config.whole_word)
    on_gpu = torch.cuda.is_available()
    precision = precision_of(config.precision)
    arguments = TrainingArguments(
        output_dir=str(run),
        max_steps=config.steps,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.eval_batch_size or config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.rate,
        weight_decay=config.weight_decay,
        warmup_ratio=config.warmup,
        lr_scheduler_type="linear",
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=config.every,
        save_steps=config.every,
        eval_on_start=True,
        logging_steps=_divisor(config.every, config.every // 5),  # so that none spans a checkpoint
        logging_nan_inf_filter=False,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        seed=config.seed,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        tf32=True if on_gpu else None,
        torch_compile=config.torch_compile,
        use_cpu=not on_gpu,
        ddp_backend="gloo" if processes() > 1 and not on_gpu else None,
        ddp_find_unused_parameters=False,
        dataloader_num_workers=4 if on_gpu else 0,
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=list(config.tracker) or "none",
        logging_dir=str(config.out / "runs" / plan.language.code / f"{plan.folder.parent.name}-{plan.folder.name}"),
        disable_tqdm=True,
        log_level="error",
    )
    kind = FullTrainer if config.method == "full" else LanguageAdapterTrainer
    return kind(
        model,
        arguments,
        wiring=wiring,
        data_collator=collator,
        train_dataset=Blocks(train, collator.vocabulary, masking, config.seed),
        eval_dataset=Blocks(validation, collator.vocabulary, masking, VALIDATION_SEED),
    )


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


def _tokens_a_block(corpus: Corpus) -> float:
    return corpus.counts.tokens / corpus.counts.blocks


def device_name() -> str:
    """Name the machine's processor, as a card should."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"


def _nothing(_line: str) -> None:
    """Say nothing, as processes but the first do."""
