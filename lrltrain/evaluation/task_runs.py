"""The runs of one method on one task: train the seeds, together if there is a GPU, and write a folder for each."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch

from lrldata.errors import DivergedError, TrainingError
from lrldata.language import Language
from lrldata.manifest import made_with
from lrldata.output import note
from lrldata.progress import Progress
from lrldata.versions import other_versions
from lrltrain.artifact import LanguageAdapter
from lrltrain.config import EvalConfig
from lrltrain.evaluation.features import CUT_OFF, NO_TOKEN, featurize
from lrltrain.evaluation.heads import TaskHeads, TaskModel
from lrltrain.evaluation.inputs import Inputs
from lrltrain.evaluation.items import Items, Prediction, Task, TaskData
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.record import FROM, NONE, OF_TASK, Run, earlier_run, exclusive, find_run, folder_of, write_run
from lrltrain.evaluation.stack import TaskStack, stack
from lrltrain.evaluation.tasks import DEFAULTS
from lrltrain.evaluation.training import HINT, TaskTraining, TaskTrainingArgs
from lrltrain.memory import is_out_of_memory, release_gpu_memory
from lrltrain.models import Base, check_length, load_tokenizer, longest_input
from lrltrain.precision import note_if_slow, precision_of, tf32

LONGEST = 256  # tokens, by default


@dataclass(frozen=True)
class Job:
    """One method on one task: `source` is the adapter that the task is trained on, `target` the one it is scored on."""

    base: Base
    source: LanguageAdapter | None
    target: LanguageAdapter | None
    trained_on: TaskData
    tested_on: TaskData
    language: Language
    learn_fusion: bool = False

    @property
    def learns_fusion(self) -> bool:
        """Return whether the layers of a fusion learn the task."""
        return self.learn_fusion and self.target is not None and self.target.method == "fusion"

    @property
    def transfers(self) -> bool:
        """Return whether the task is learned in another language than it is tested in."""
        return self.trained_on.language != self.tested_on.language

    @property
    def method(self) -> str:
        """Return the method as it is named in tables: seq_bn, none, seq_bn-from-am, fusion-task."""
        method = self.target.method if self.target else NONE
        method += OF_TASK if self.learns_fusion else ""
        return f"{method}{FROM}{self.trained_on.language}" if self.transfers else method

    @property
    def name(self) -> str:
        """Return the name of the folder of scores."""
        name = self.target.name if self.target else "base"
        return f"{name}{FROM}{self.trained_on.language}" if self.transfers else name


def task_runs(job: Job, config: EvalConfig, data_checks: dict[str, Any], progress: Progress) -> tuple[Run, ...]:
    """Return the runs of all seeds, including finished ones; on a GPU, the remaining seeds train together.

    Raises DivergedError for the seeds that fail, after the others are finished.
    """
    args = _training_args(config, job.tested_on.task)
    recipes = {seed: _recipe(job, config, args, seed) for seed in config.seeds}
    runs = _finished(job, config, recipes, data_checks)
    remaining = {seed: recipe for seed, recipe in recipes.items() if seed not in runs}
    with exclusive(folder_of(config.out, recipe, job.name) for recipe in remaining.values()):
        runs |= _finished(job, config, remaining, data_checks)
        remaining = {seed: recipe for seed, recipe in remaining.items() if seed not in runs}
        runs |= _train_all(job, config, args, remaining, data_checks, progress)
    return tuple(run for run in map(runs.get, config.seeds) if run is not None)


def _train_all(
    job: Job,
    config: EvalConfig,
    args: TaskTrainingArgs,
    recipes: Mapping[int, dict[str, Any]],
    checks: dict[str, Any],
    progress: Progress,
) -> dict[int, Run]:
    """Train these seeds, in smaller groups if they do not fit on the GPU together."""
    if recipes:
        note_if_slow(config.precision)
    for recipe in recipes.values():
        _note_earlier(job, config, recipe)
    runs: dict[int, Run] = {}
    failed: list[str] = []
    queue = _groups(list(recipes))
    while queue:
        seeds = queue.pop(0)
        try:
            trained = _train_if_it_fits(job, config, args, {seed: recipes[seed] for seed in seeds}, checks, progress)
        except DivergedError as error:
            failed += error.messages
            continue
        if trained is None:  # retried in halves, once the failed attempt is out of memory
            release_gpu_memory()
            queue[:0] = [seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]]
        else:
            runs |= trained
    if failed:
        raise DivergedError(failed, HINT)
    return runs


def _groups(seeds: Sequence[int]) -> list[Sequence[int]]:
    """Return the groups of seeds that train together; on a CPU, each seed by itself, so its bytes do not vary."""
    together = bool(seeds) and torch.cuda.is_available()
    return [seeds] if together else [[seed] for seed in seeds]


def _finished(
    job: Job, config: EvalConfig, recipes: Mapping[int, dict[str, Any]], checks: dict[str, Any]
) -> dict[int, Run]:
    """Return the runs that were finished before, by seed, with `checks` brought up to date in them."""
    runs = {}
    for seed, recipe in recipes.items():
        folder = folder_of(config.out, recipe, job.name)
        run = None if config.overwrite else find_run(folder.resolve(), recipe)
        if run is None:
            continue
        if any(run.manifest.get(key) != value for key, value in checks.items()):
            kept = {key: run.manifest[key] for key in ("trained", "seconds", "contamination") if key in run.manifest}
            run = write_run(folder, recipe, run.predictions, run.result, run.circumstances, **kept | checks)
        runs[seed] = Run(folder, run.manifest)
    return runs


def _note_earlier(job: Job, config: EvalConfig, recipe: dict[str, Any]) -> None:
    """Print a note if a run is repeated because it was made with other versions."""
    if not config.overwrite and (earlier := earlier_run(folder_of(config.out, recipe, job.name).resolve(), recipe)):
        versions = other_versions(earlier.manifest, recipe)
        note(f"{earlier.folder}: made with {versions}. The run is repeated, and the old one is kept.")


def _training_args(config: EvalConfig, task: Task) -> TaskTrainingArgs:
    epochs, size = DEFAULTS[task]
    return TaskTrainingArgs(
        config.epochs or epochs,
        config.batch_size or size,
        config.learning_rate,
        config.weight_decay,
        config.warmup,
        precision_of(config.precision),
    )


def _recipe(job: Job, config: EvalConfig, args: TaskTrainingArgs, seed: int) -> dict[str, Any]:
    """Return everything that shapes a run."""
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
            "seed": seed,
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


def _train_if_it_fits(
    job: Job, config: EvalConfig, args: TaskTrainingArgs, recipes: Mapping[int, dict[str, Any]], *more: Any
) -> dict[int, Run] | None:
    """Train seeds together; return None if several do not fit into memory. Raises TrainingError if one does not."""
    try:
        return _train(job, config, args, recipes, *more)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(recipes) > 1:
            return None
        message = f"there is not enough memory for batches of {args.batch_size}."
        raise TrainingError(message, "Use a smaller --batch-size or --max-length, or a smaller model.") from error


@tf32(on=True)
def _train(
    job: Job,
    config: EvalConfig,
    args: TaskTrainingArgs,
    recipes: Mapping[int, dict[str, Any]],
    checks: dict[str, Any],
    progress: Progress,
) -> dict[int, Run]:
    """Train seeds together on `trained_on`, predict the test set of `tested_on`, and write the runs.

    Raises DivergedError for the seeds that fail, after the others are written.
    """
    began = time.perf_counter()
    seeds, task = list(recipes), job.tested_on.task
    stacked, model = _model(job, config, seeds)
    inputs = _inputs(job, config, model)
    training = TaskTraining(model, job.tested_on.labels, args)
    name = f"{job.language.code} {task} {job.method}"
    label = ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(map(str, seeds))
    with progress.steps(f"Training {name} {label}", args.epochs) as (advance, _):
        dev = job.trained_on.splits["dev"]
        trained = training.fit(inputs["train"], inputs["dev"], dev, task, seeds, advance)
    stacked.swap(target=True)
    predicted = training.predict(inputs["test"])
    training.graphs.clear()
    circumstances: dict[str, Any] = {"seconds": round((time.perf_counter() - began) / len(seeds), 3)}
    circumstances |= {"together": seeds} if len(seeds) > 1 else {}
    gold = job.tested_on.splits["test"].labels
    details = {
        "parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad) // len(seeds),
        "frozen_part_kept": inputs["train"].kept is not None,
        "words_cut_off": sum(int((first == CUT_OFF).sum()) for first in inputs["test"].features.first or ()),
        "words_without_token": sum(int((first == NO_TOKEN).sum()) for first in inputs["test"].features.first or ()),
        "cut": {split: tokens.features.cut for split, tokens in inputs.items()},
    }
    runs = {}
    for (seed, recipe), outcome, labels in zip(recipes.items(), trained, predicted, strict=True):
        if not outcome.failed:
            entry = {"best_epoch": outcome.best_epoch, "dev": outcome.dev, "loss": outcome.loss} | details
            folder, result = folder_of(config.out, recipe, job.name), scores(task, gold, labels)
            table = _table(job.tested_on.splits["test"], labels)
            runs[seed] = write_run(folder, recipe, table, result, circumstances, **checks, trained=entry)
    outcomes = zip(seeds, trained, strict=True)
    if failed := [f"{name}, seed {seed}: {outcome.failed}" for seed, outcome in outcomes if outcome.failed]:
        raise DivergedError(failed, HINT)
    return runs


def _model(job: Job, config: EvalConfig, seeds: Sequence[int]) -> tuple[TaskStack, TaskModel]:
    factor = config.reduction_factor
    stacked = stack(job.base, job.source, job.target, factor, seeds, learn_fusion=job.learns_fusion)
    settings, labels = stacked.encoder.config, len(job.tested_on.labels)
    by_token = job.tested_on.task == "ner"
    head = TaskHeads(seeds, settings.hidden_size, labels, dropout_of(settings), tokens=by_token)
    return stacked, TaskModel(stacked.encoder, head, stacked.penalty).to("cuda" if torch.cuda.is_available() else "cpu")


def dropout_of(config: Any) -> float:
    """Return the dropout rate in a model's configuration, whatever its name there."""
    return float(getattr(config, "hidden_dropout_prob", getattr(config, "dropout", 0.1)))


def _inputs(job: Job, config: EvalConfig, model: TaskModel) -> dict[str, Inputs]:
    """Return the tokenized splits. Raises UsageError if the model cannot read as many tokens as requested."""
    tokenizer, device = load_tokenizer(job.base), model.encoder.device
    check_length(config.max_length, model.encoder, job.base.id)
    longest = int(min(config.max_length or LONGEST, longest_input(model.encoder)))
    splits = {"train": job.trained_on, "dev": job.trained_on, "test": job.tested_on}
    return {
        split: Inputs(
            featurize(tokenizer, data.splits[split], job.tested_on.labels, longest),
            tokenizer.pad_token_id,
            device,
        )
        for split, data in splits.items()
    }


def _table(test: Items, predicted: Sequence[Prediction]) -> pl.DataFrame:
    """Return one row per item; for ner, the labels are lists."""
    labels = {"gold": list(map(_plain, test.labels)), "predicted": list(map(_plain, predicted))}
    return pl.DataFrame({"item": test.numbered} | labels)


def _plain(label: Prediction) -> str | list[str | None]:
    return label if isinstance(label, str) else list(label)
