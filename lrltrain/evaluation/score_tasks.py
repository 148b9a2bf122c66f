"""The pipeline of `lrltrain eval` for tasks: adapters and baselines over seeds, each run a folder."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import polars as pl
import torch

from lrldata.errors import StorageError, UsageError
from lrldata.language import Language, find
from lrldata.manifest import ADAPTER, made_with, read_manifest
from lrldata.output import note
from lrldata.progress import Progress
from lrldata.workspace import adapter_path
from lrltrain.config import EvalConfig
from lrltrain.evaluation.features import featurize
from lrltrain.evaluation.heads import Inputs, TaskHead, TaskModel
from lrltrain.evaluation.items import Label, Task, TaskData
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.overlap import contamination, overlaps
from lrltrain.evaluation.record import TASKS, Run, find_run, folder_of, write_run
from lrltrain.evaluation.score_text import base_of
from lrltrain.evaluation.stack import LanguageAdapter, open_language_adapter, stack
from lrltrain.evaluation.statistics import deviation
from lrltrain.evaluation.tasks import DEFAULTS, check_labels, has_task, open_task
from lrltrain.evaluation.training import TaskTrainingArgs, predict, train
from lrltrain.models import MINI, Base, find_base, load_tokenizer, precision_of

LONGEST = 256  # tokens, by default
FULL = "full"
ALL: tuple[Task, ...] = ("topic", "sentiment", "ner")


@dataclass(frozen=True)
class TaskScore:
    """The runs of one method on one task and language, over seeds."""

    runs: tuple[Run, ...]

    @property
    def values(self) -> list[float]:
        """Return the main score of each run, 0 to 1."""
        return [run.result[TASKS[run.task]] for run in self.runs]

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return mean(self.values)

    @property
    def sd(self) -> float | None:
        """Return the standard deviation over seeds (n - 1); None for a single one."""
        return deviation(self.values)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        first = self.runs[0]
        told = {key: first.manifest.get(key) for key in ("overlap", "contamination")}
        return {
            "language": first.language,
            "base": first.base,
            "method": first.method,
            "source": first.source,
            "task": first.task,
            "data": first.data,
            "metric": TASKS[first.task],
            "mean": self.mean,
            "sd": self.sd,
            "n": len(self.runs),
            "runs": [{"seed": run.seed, "path": str(run.folder), **run.result} for run in self.runs],
            **told,
        }


@dataclass(frozen=True)
class Job:
    """One method on one task: `source` is the adapter that is trained on, `target` the one that is scored on."""

    base: Base
    source: LanguageAdapter | None
    target: LanguageAdapter | None
    trained_on: TaskData
    tested_on: TaskData
    language: Language

    @property
    def transfers(self) -> bool:
        """Return whether the task is learned in another language than it is tested in."""
        return self.trained_on.language != self.tested_on.language

    @property
    def method(self) -> str:
        """Return the method as tables name it: seq_bn, none, seq_bn-from-am."""
        method = self.target.method if self.target else "none"
        return f"{method}-from-{self.trained_on.language}" if self.transfers else method

    @property
    def name(self) -> str:
        """Return the name of the folder of scores."""
        name = self.target.name if self.target else "base"
        return f"{name}-from-{self.trained_on.language}" if self.transfers else name


def score_tasks(config: EvalConfig, progress: Progress) -> list[TaskScore]:
    """Train and score a task adapter for each adapter and baseline, task and seed; finished runs are read again.

    Raises LrlError.
    """
    adapters = [open_language_adapter(folder) for folder in config.adapter]
    language = _language(config, adapters)
    base = _base(config, adapters)
    models = [*_baselines(config, language, base), *adapters]
    if not models:
        raise UsageError("Nothing is to be scored.", "Give --adapter DIR, or --baselines none.")
    scored: list[TaskScore] = []
    for task in ALL if config.task == "all" else (config.task,):
        if task == "pppl":
            continue
        if config.task == "all" and config.task_data and not has_task(task, config.task_data, language):
            note(f"note: {config.task_data} has no data for {task} in {language.name}.")
            continue
        tested_on = open_task(task, config.task_data, language, config.limit)
        origin = find(config.transfer_from) if config.transfer_from else None
        trained_on = open_task(task, config.task_data, origin, config.limit) if origin else tested_on
        check_labels(trained_on)
        found = _found(config, trained_on, tested_on, language)
        for each in models:
            source = _source(config, each)
            job = Job(base, source, each, trained_on, tested_on, language)
            scored.append(TaskScore(tuple(_run(job, config, seed, found, progress) for seed in config.seeds)))
    return scored


def _language(config: EvalConfig, adapters: Sequence[LanguageAdapter]) -> Language:
    if config.lang is None and not adapters:
        raise UsageError("No language given.", "Use --lang CODE, as --lang ug.")
    return find(config.lang or adapters[0].language)


def _base(config: EvalConfig, adapters: Sequence[LanguageAdapter]) -> Base:
    """Find the base model, which is the same for all."""
    if adapters:
        return base_of(adapters[0].manifest, config)
    return find_base(config.base or MINI, config.base_revision, config.base_id)


def _baselines(config: EvalConfig, language: Language, base: Base) -> Iterator[LanguageAdapter | None]:
    """Yield None for `none`, the folder's adapter for a folder, and for `full` those of the workspace."""
    for named in config.baselines:
        if named == "none":
            yield None
        elif named == FULL:
            found = config.out.glob(adapter_path(language.code, "*", "*", FULL))
            held = {folder: read_manifest(folder, ADAPTER) for folder in sorted(found)}
            own = [folder for folder, manifest in held.items() if not manifest or manifest["base"]["id"] == base.id]
            if not own:
                raise StorageError(
                    f"{config.out}: has no fully fine-tuned model of {base.id}.",
                    "Make one with `lrltrain fit --method full`, or name it.",
                )
            yield from map(open_language_adapter, own)
        else:
            yield open_language_adapter(Path(named))


def _source(config: EvalConfig, target: LanguageAdapter | None) -> LanguageAdapter | None:
    """Return the adapter to train the task on: the target's own, unless it is learned in another language."""
    if target is None or config.transfer_adapter is None:
        return target
    source = open_language_adapter(config.transfer_adapter)
    wanted = find(str(config.transfer_from)).code
    if source.language != wanted:
        raise UsageError(
            f"--transfer-adapter {config.transfer_adapter}: is an adapter of {source.language}, not of {wanted}.",
            f"Use --transfer-from {source.language}, or an adapter of {wanted}.",
        )
    return source


def _found(config: EvalConfig, trained_on: TaskData, tested_on: TaskData, language: Language) -> dict[str, Any]:
    """Count what the test set shares with training data, and, where it is at hand, with the corpus."""
    splits = {**trained_on.splits, "test": tested_on.splits["test"]}
    found: dict[str, Any] = {"overlap": overlaps(splits, language)}
    if config.corpus is not None:
        found["contamination"] = contamination(config.corpus, tested_on.splits["test"], language)
    return found


def _run(job: Job, config: EvalConfig, seed: int, found: dict[str, Any], progress: Progress) -> Run:
    """Return the run of one seed, done before or now."""
    task = job.tested_on.task
    args = _training(config, task, seed)
    recipe = _recipe(job, config, args)
    folder = folder_of(config.out, recipe, job.name)
    run = None if config.overwrite else find_run(folder.resolve(), recipe)
    if run is not None:
        if all(run.manifest.get(key) == value for key, value in found.items()):
            return Run(folder, run.manifest)
        kept = {key: run.manifest[key] for key in ("trained", "seconds", "contamination") if key in run.manifest}
        return write_run(folder, recipe, run.predictions, run.result, **kept | found)
    began = time.perf_counter()
    predicted, trained = _train(job, config, args, progress)
    gold = job.tested_on.splits["test"].labels
    labels = {"gold": list(map(_plain, gold)), "predicted": list(map(_plain, predicted))}
    table = pl.DataFrame({"item": np.arange(len(gold))} | labels)
    seconds = round(time.perf_counter() - began, 3)
    result = scores(task, gold, predicted)
    return write_run(folder, recipe, table, result, **found, trained=trained, seconds=seconds)


def _plain(label: Label) -> str | list[str]:
    return label if isinstance(label, str) else list(label)


def _training(config: EvalConfig, task: Task, seed: int) -> TaskTrainingArgs:
    epochs, size = DEFAULTS[task]
    return TaskTrainingArgs(
        config.epochs or epochs,
        config.batch_size or size,
        config.learning_rate,
        config.weight_decay,
        config.warmup,
        seed,
        precision_of(config.precision),
    )


def _recipe(job: Job, config: EvalConfig, args: TaskTrainingArgs) -> dict[str, Any]:
    """Return all that shapes a run."""
    transfer = {
        "language": job.trained_on.language,
        "data": job.trained_on.provenance,
        "adapter": job.source.as_json() if job.source else None,
    }
    return {
        "task": job.tested_on.task,
        "language": job.language.code,
        "data": job.tested_on.provenance,
        "base": job.base.as_json(),
        "adapter": job.target.as_json() if job.target else None,
        "method": job.method,
        "source": job.target.source if job.target else None,
        **({"transfer": transfer} if job.transfers else {}),
        "settings": {
            "seed": args.seed,
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "learning_rate": args.learning_rate,
            "weight_decay": args.weight_decay,
            "warmup": args.warmup,
            "reduction_factor": config.reduction_factor,
            "max_length": config.max_length or LONGEST,
            "precision": args.precision,
        },
        "made_with": made_with("transformers", "tokenizers", "torch", "scikit-learn"),
    }


def _train(
    job: Job, config: EvalConfig, args: TaskTrainingArgs, progress: Progress
) -> tuple[list[Label], dict[str, Any]]:
    """Train on one language's data and predict the test set of the other, or the same one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    labels, task = job.tested_on.labels, job.tested_on.task
    tokenizer = load_tokenizer(job.base)
    stacked = stack(job.base, job.source, job.target, config.reduction_factor, args.seed)
    settings = stacked.encoder.config
    longest = config.max_length or LONGEST
    positions = getattr(settings, "max_position_embeddings", longest + 2) - 2
    if config.max_length and longest > positions:
        raise UsageError(f"--max-length {longest}: {job.base.id} reads {positions} tokens at most.")
    head = TaskHead(settings.hidden_size, len(labels), settings.hidden_dropout_prob, tokens=task == "ner")
    model = TaskModel(stacked.encoder, head).to(device)
    splits = {"train": job.trained_on, "dev": job.trained_on, "test": job.tested_on}
    inputs = {
        split: Inputs(
            featurize(tokenizer, data.splits[split], labels, min(longest, positions)), tokenizer.pad_token_id, device
        )
        for split, data in splits.items()
    }
    what = f"{job.language.code} {task} {job.method} seed {args.seed}"
    with progress.steps(f"Training {what}", args.epochs) as (advance, _):
        dev = job.trained_on.splits["dev"]
        trained = train(model, (inputs["train"], inputs["dev"]), dev, task, labels, args, advance)
    stacked.swap(target=True)
    predicted = predict(model, inputs["test"], labels, args)
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    cut = sum(int((first < 0).sum()) for first in inputs["test"].features.first or ())
    told = {"best_epoch": trained.best_epoch, "dev": trained.dev, "loss": trained.loss, "parameters": parameters}
    return predicted, told | {"frozen_part_kept": model.splits, "words_cut_off": cut}
