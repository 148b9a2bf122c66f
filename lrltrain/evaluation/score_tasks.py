"""The pipeline of `lrltrain eval` for tasks: adapters and baselines over several seeds, with one folder per run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from lrldata.errors import DivergedError, StorageError, UsageError
from lrldata.language import Language, find, find_recorded
from lrldata.layout import adapter_path
from lrldata.manifest import ADAPTER, read_manifest
from lrldata.output import note
from lrldata.progress import Progress
from lrltrain.artifact import LanguageAdapter, open_language_adapter
from lrltrain.config import EvalConfig
from lrltrain.evaluation.items import Task, TaskData, types_of
from lrltrain.evaluation.overlap import contamination, overlaps
from lrltrain.evaluation.own_labels import check_labels
from lrltrain.evaluation.record import NONE, PPPL, TASKS, Run
from lrltrain.evaluation.score_text import base_of
from lrltrain.evaluation.statistics import deviation
from lrltrain.evaluation.task_runs import Job, task_runs
from lrltrain.evaluation.tasks import check_apart, has_task, open_task
from lrltrain.evaluation.training import HINT
from lrltrain.models import MINI, Base, find_base

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
    def adapter(self) -> str | None:
        """Return the name of the language adapter; None if there is none."""
        adapter = self.runs[0].manifest["adapter"]
        return str(adapter["name"]) if adapter else None

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return mean(self.values)

    @property
    def sd(self) -> float | None:
        """Return the standard deviation over seeds (n - 1); None for a single one."""
        return deviation(self.values)

    def as_json(self) -> dict[str, Any]:
        """Return the score as JSON-like values."""
        first = self.runs[0]
        data_checks = {key: first.manifest.get(key) for key in ("overlap", "contamination")}
        return {
            "language": first.language,
            "base": first.base,
            "method": first.method,
            "source": first.source,
            "adapter": self.adapter,
            "task": first.task,
            "data": first.data,
            "metric": TASKS[first.task],
            "mean": self.mean,
            "sd": self.sd,
            "n": len(self.runs),
            "runs": [{"seed": run.seed, "path": str(run.folder), **run.result} for run in self.runs],
            **data_checks,
        }


def score_tasks(config: EvalConfig, progress: Progress) -> list[TaskScore]:
    """Train and score a task adapter for each adapter and baseline, task and seed; finished runs are only read.

    If the loss of some seeds is not finite, the others are finished, and a DivergedError names the failed ones. Raises
    LrlError.
    """
    adapters = [open_language_adapter(folder) for folder in config.adapter]
    grouped = _by_language(config, adapters)
    if config.learn_fusion and adapters and not any(adapter.method == "fusion" for adapter in adapters):
        note("--learn-fusion: none of these adapters is a fusion.")
    tasks = [task for task in (ALL if config.task == "all" else (config.task,)) if task != PPPL]
    origin = [find(config.transfer_from)] if config.transfer_from else []
    scored: list[TaskScore] = []
    failed: list[str] = []
    for task in tasks:
        check_apart(config.task_data, task, [*grouped, *origin])
        opened = {
            language: _open_data(config, task, language) for language in grouped if _has_data(config, task, language)
        }
        for language, tested_on in opened.items():
            scored += _score(config, language, grouped[language], tested_on, progress, failed)
    if failed:
        raise DivergedError(failed, f"All other runs are finished, and `lrltrain report` shows them. {HINT}")
    return scored


def _by_language(config: EvalConfig, adapters: Sequence[LanguageAdapter]) -> dict[Language, list[LanguageAdapter]]:
    """Group adapters by the language whose test set they are scored on: the requested one, or else their own."""
    if config.lang is None and not adapters:
        raise UsageError("No language given.", "Use --lang CODE, such as --lang ug.")
    if not adapters and not config.baselines:
        raise UsageError("Nothing to score.", "Give --adapter DIR, or --baselines none.")
    requested = find(config.lang) if config.lang is not None else None
    grouped: dict[Language, list[LanguageAdapter]] = {requested: []} if requested and not adapters else {}
    for adapter in adapters:
        grouped.setdefault(requested or find_recorded(adapter.manifest["language"]), []).append(adapter)
    return grouped


def _open_data(config: EvalConfig, task: Task, language: Language) -> TaskData:
    return open_task(task, config.task_data, language, config.limit, own_labels=config.labels == "data")


def _has_data(config: EvalConfig, task: Task, language: Language) -> bool:
    """Return whether there may be data; with `--task all`, print a note if the folder lacks the task."""
    if config.task != "all" or not config.task_data or has_task(task, config.task_data, language):
        return True
    note(f"{config.task_data} has no data for {task} in {language.name}.")
    return False


def _score(
    config: EvalConfig,
    language: Language,
    adapters: Sequence[LanguageAdapter],
    tested_on: TaskData,
    progress: Progress,
    failed: list[str],
) -> Iterator[TaskScore]:
    """Score baselines and adapters on the test set of one language; add messages about seeds that fail to `failed`."""
    base = _base(config, adapters)
    origin = find(config.transfer_from) if config.transfer_from else None
    trained_on = _open_data(config, tested_on.task, origin) if origin else tested_on
    known = types_of(trained_on.labels) if tested_on.task == "ner" else set(trained_on.labels)
    if tested_on.splits["test"].label_set <= known:
        tested_on = tested_on.with_labels(trained_on.labels)
    if trained_on.labels != tested_on.labels:
        message = (
            f"{trained_on.provenance['name']}: the labels for {trained_on.language} and {tested_on.language} differ."
        )
        raise UsageError(
            message, "A task can only be transferred to a test set whose labels are all among the training labels."
        )
    check_labels(trained_on, tested_on)
    checks = _data_checks(config, trained_on, tested_on, language)
    for adapter in [*_baselines(config, language, base), *adapters]:
        job = Job(base, _source(config, adapter), adapter, trained_on, tested_on, language, config.learn_fusion)
        try:
            runs = task_runs(job, config, checks, progress)
        except DivergedError as error:
            failed += error.messages
            continue
        cut = runs[0].manifest["trained"].get("cut", {})
        if any(cut.values()):
            cut_counts = ", ".join(f"{count:,} of {split}" for split, count in cut.items() if count)
            note(f"{language.code} {tested_on.task} {job.method}: long items are truncated: {cut_counts}.")
        yield TaskScore(runs)


def _base(config: EvalConfig, adapters: Sequence[LanguageAdapter]) -> Base:
    """Find the base model, which is the same for all adapters."""
    if adapters:
        return base_of(adapters[0].manifest, config)
    return find_base(config.base or MINI, config.base_revision, config.base_id)


def _baselines(config: EvalConfig, language: Language, base: Base) -> Iterator[LanguageAdapter | None]:
    """Yield None for `none`, a folder's adapter for a folder, and those of the workspace for `full`."""
    for baseline in config.baselines:
        if baseline == NONE:
            yield None
        elif baseline == FULL:
            folders = config.out.glob(adapter_path(language.code, "*", "*", FULL))
            manifests = {folder: read_manifest(folder, ADAPTER) for folder in sorted(folders)}
            of_base = [
                folder for folder, manifest in manifests.items() if not manifest or manifest["base"]["id"] == base.id
            ]
            if not of_base:
                raise StorageError(
                    f"{config.out}: has no fully fine-tuned model of {base.id}.",
                    "Make one with `lrltrain fit --method full`, or name its folder.",
                )
            yield from map(open_language_adapter, of_base)
        else:
            yield open_language_adapter(Path(baseline))


def _source(config: EvalConfig, target: LanguageAdapter | None) -> LanguageAdapter | None:
    """Return the adapter to train the task on: the target's own, unless the task is learned in another language."""
    if target is None or config.transfer_adapter is None:
        return target
    source = open_language_adapter(config.transfer_adapter)
    code = find(str(config.transfer_from)).code
    if source.language != code:
        raise UsageError(
            f"--transfer-adapter {config.transfer_adapter}: is an adapter of {source.language}, not of {code}.",
            f"Use --transfer-from {source.language}, or an adapter of {code}.",
        )
    return source


def _data_checks(config: EvalConfig, trained_on: TaskData, tested_on: TaskData, language: Language) -> dict[str, Any]:
    """Count what the test set shares with the training data and, if there is one, with the corpus."""
    splits = {**trained_on.splits, "test": tested_on.splits["test"]}
    checks: dict[str, Any] = {"overlap": overlaps(splits, language)}
    if config.corpus is not None:
        checks["contamination"] = contamination(config.corpus, tested_on.splits["test"], language)
    return checks
