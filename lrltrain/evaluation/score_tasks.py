"""The pipeline of `lrltrain eval` for tasks: adapters and baselines over seeds, each run a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from lrldata.errors import StorageError, UsageError
from lrldata.language import Language, find, find_recorded
from lrldata.manifest import ADAPTER, read_manifest
from lrldata.output import note
from lrldata.progress import Progress
from lrldata.workspace import adapter_path
from lrltrain.config import EvalConfig
from lrltrain.evaluation.items import Task, TaskData
from lrltrain.evaluation.overlap import contamination, overlaps
from lrltrain.evaluation.record import TASKS, Run
from lrltrain.evaluation.score_text import base_of
from lrltrain.evaluation.stack import LanguageAdapter, open_language_adapter
from lrltrain.evaluation.statistics import deviation
from lrltrain.evaluation.task_runs import Job, task_runs
from lrltrain.evaluation.tasks import check_apart, check_labels, has_task, open_task
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
        """Return the name of the language adapter; None where there is none."""
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
        """Return it as JSON-like values."""
        first = self.runs[0]
        told = {key: first.manifest.get(key) for key in ("overlap", "contamination")}
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
            **told,
        }


def score_tasks(config: EvalConfig, progress: Progress) -> list[TaskScore]:
    """Train and score a task adapter for each adapter and baseline, task and seed; finished runs are read again.

    Raises LrlError.
    """
    adapters = [open_language_adapter(folder) for folder in config.adapter]
    grouped = _by_language(config, adapters)
    if config.learn_fusion and adapters and not any(each.method == "fusion" for each in adapters):
        note("note: --learn-fusion: none of these adapters is a fusion.")
    tasks = [each for each in (ALL if config.task == "all" else (config.task,)) if each != "pppl"]
    origin = [find(config.transfer_from)] if config.transfer_from else []
    scored: list[TaskScore] = []
    for task in tasks:
        check_apart(config.task_data, task, [*grouped, *origin])
        opened = {language: _open(config, task, language) for language in grouped if _has(config, task, language)}
        for language, tested_on in opened.items():
            scored += _score(config, language, grouped[language], tested_on, progress)
    return scored


def _by_language(config: EvalConfig, adapters: Sequence[LanguageAdapter]) -> dict[Language, list[LanguageAdapter]]:
    """Return what is scored on the test set of each language: that of an adapter, if no other one is asked for."""
    if config.lang is None and not adapters:
        raise UsageError("No language given.", "Use --lang CODE, as --lang ug.")
    if not adapters and not config.baselines:
        raise UsageError("Nothing is to be scored.", "Give --adapter DIR, or --baselines none.")
    asked = find(config.lang) if config.lang is not None else None
    grouped: dict[Language, list[LanguageAdapter]] = {asked: []} if asked and not adapters else {}
    for each in adapters:
        grouped.setdefault(asked or find_recorded(each.manifest["language"]), []).append(each)
    return grouped


def _open(config: EvalConfig, task: Task, language: Language) -> TaskData:
    return open_task(task, config.task_data, language, config.limit, own_labels=config.labels == "data")


def _has(config: EvalConfig, task: Task, language: Language) -> bool:
    """Return whether there may be data; of all tasks those that a folder does not hold are left out."""
    if config.task != "all" or not config.task_data or has_task(task, config.task_data, language):
        return True
    note(f"note: {config.task_data} has no data for {task} in {language.name}.")
    return False


def _score(
    config: EvalConfig,
    language: Language,
    adapters: Sequence[LanguageAdapter],
    tested_on: TaskData,
    progress: Progress,
) -> Iterator[TaskScore]:
    """Score baselines and adapters on the test set of one language."""
    base = _base(config, adapters)
    origin = find(config.transfer_from) if config.transfer_from else None
    trained_on = _open(config, tested_on.task, origin) if origin else tested_on
    if set(tested_on.labels) < set(trained_on.labels):
        tested_on = tested_on.with_labels(trained_on.labels)
    if trained_on.labels != tested_on.labels:
        told = (
            f"{trained_on.provenance['name']}: its labels are others in {trained_on.language} and {tested_on.language}."
        )
        raise UsageError(told, "A task is transferred to a set whose labels are among those that are learned.")
    check_labels(trained_on)
    found = _found(config, trained_on, tested_on, language)
    for each in [*_baselines(config, language, base), *adapters]:
        job = Job(base, _source(config, each), each, trained_on, tested_on, language, config.learn_fusion)
        runs = task_runs(job, config, found, progress)
        cut = runs[0].manifest["trained"].get("cut", {}) if runs else {}
        if any(cut.values()):
            told = ", ".join(f"{count:,} of {split}" for split, count in cut.items() if count)
            note(f"note: {language.code} {tested_on.task} {job.method}: the ends of long items are cut off: {told}.")
        yield TaskScore(runs)


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
