"""The Python API of lrltrain, imported lazily by `import lrltrain`. The commands run the same pipelines."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from lrldata.arguments import call_of, is_several, is_table, naming_arguments, plain, with_options
from lrldata.errors import DivergedError, UsageError
from lrldata.forks import refuse_forked
from lrldata.imports import many_imports
from lrldata.language import Language, as_typed
from lrldata.layout import ADAPTERS, DATASETS
from lrldata.manifest import MANIFEST
from lrldata.settings import AnyPath, as_path, read_toml
from lrldata.workspace import Dataset
from lrltrain.config import load_eval_config, load_fit_configs
from lrltrain.options import EvalOptions, FitOptions, PromptOptions
from lrltrain.prompting.config import load_prompt_config
from lrltrain.scores import Scores

if TYPE_CHECKING:
    from lrltrain.evaluation.score_tasks import TaskScore
    from lrltrain.evaluation.score_text import Score
    from lrltrain.fitting.plan import Adapter
    from lrltrain.reporting.report import Report

Data = Dataset | Language | AnyPath
Several = list[Any] | tuple[Any, ...] | Iterator[Any]  # of Data


@overload
def fit(data: Data, **options: Unpack[FitOptions]) -> "Adapter": ...
@overload
def fit(data: Several, **options: Unpack[FitOptions]) -> "list[Adapter]": ...
@with_options(FitOptions)
def fit(data: Any, **options: Any) -> Any:
    """Train an adapter on a dataset, or several adapters together.

    Adapters that are trained together share the base model's dropout, so each differs a little from one that is trained
    alone. `group=1` trains each one alone.
    An interrupted run resumes from its last checkpoint when `fit` is called again with the same arguments. An existing,
    unchanged adapter is left alone.

    Args:
        data: A dataset of `lrldata`, a dataset's folder, or a language (a code, or one of `lrldata.languages()`) whose
            dataset is in the workspace `out` (or the language of `text`). The items of a list are trained together.
        **options: The options of `lrltrain fit`, e.g. `base`, `method`, `steps`. If the dataset is in a workspace,
            `out` defaults to that workspace. If `data` is a list, `method` and `seed` may be lists too (and `source`,
            if `data` is a list of languages), and an adapter is trained for each combination:
            `fit([dataset], seed=[1, 2, 3])` trains three.

    Returns:
        The adapter: `path`, `method`, `validation_loss`, `load(model)`. If `data` is a list, a list of adapters.

    Raises:
        UsageError: If an argument is invalid.
        LrlError: If anything else stops training; the message says what to do.

    Example:
        >>> import lrldata, lrltrain
        >>> dataset = lrldata.build("ro", sample=True, out="workspace")
        >>> adapter = lrltrain.fit(dataset, base="lrl-mini", method="seq_bn_inv", steps=2, batch_size=2, max_length=32)
        >>> adapter.path.as_posix()
        'workspace/adapters/ro/lrl-mini/conceptnet-seq_bn_inv'

    """
    options = {key: plain(value) for key, value in options.items()}  # convert once: a generator can be read only once
    if not options.get("text"):  # datasets are read with Polars, which hangs in a forked process
        refuse_forked()
    is_list = is_several(data)
    several = []
    for item in data if is_list else [data]:
        if not isinstance(item, Dataset | Language | str | Path):
            raise UsageError(
                f"data: {_shown(item)} is not a dataset.", "Give a dataset of lrldata, its folder, or a language."
            )
        several.append(item)
    with naming_arguments(FitOptions.__annotations__.keys() | {"lang"}):
        calls = [
            call_of(
                FitOptions, options | _without_set(_workspace_option(item), options), **_data_options(item, options)
            )
            for item in several
        ]
        settings = [config for call in calls for config in load_fit_configs(call.config, call.flags)]
        if not is_list and len(settings) > 1:
            raise UsageError("the options select several adapters.", "Pass a list as `data`; fit then returns a list.")
        with many_imports("train"):
            from lrltrain.fitting.groups import fit_all  # noqa: PLC0415 -- imports torch
            from lrltrain.session import isolated_session  # noqa: PLC0415
        with isolated_session():
            adapters = fit_all(settings, calls[0].progress) if calls else []
    return adapters if is_list else adapters[0]


def _shown(value: object) -> str:
    """Return a wrong argument as text; of a table, its type."""
    return type(value).__name__ if is_table(value) else f"{value!r:.60}"


def _data_options(data: Dataset | Language | AnyPath, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that select the training data."""
    if isinstance(data, Language):
        return {"lang": data.code}
    if not isinstance(data, Dataset):
        if data == "":
            raise UsageError("data: no dataset given.", "Give a dataset of lrldata, its folder, or a language.")
        folder = as_path(data, "data")
        if not (folder / MANIFEST).is_file():
            if not isinstance(data, str) or os.sep in data:
                Dataset.open(folder)  # raises the error that explains the problem
            return {"lang": data}
        data = Dataset.open(folder)
    data.check_current()
    if options.get("dataset") is not None:
        raise UsageError("dataset: `data` is already a dataset.", "Give only one of the two.")
    source = {} if options.get("source") is not None else {"source": data.source}  # a different source is refused later
    return {"lang": data.language.code, "dataset": str(data.path)} | source


def _workspace_option(data: Dataset | Language | AnyPath) -> dict[str, Any]:
    """Return the option `out` for the workspace that contains a dataset; empty if no workspace does."""
    if isinstance(data, Language):
        return {}
    workspace = _workspace_of(data.path if isinstance(data, Dataset) else as_path(data), DATASETS, 3)
    return {} if workspace is None else {"out": workspace}


def _workspace_of(path: Path, kind: str, depth: int) -> Path | None:
    """Return the workspace that contains a folder of this kind, `depth` levels below it; None if it is in none."""
    full = path if len(path.parts) > depth else path.absolute()
    is_within = len(full.parts) > depth and full.parts[-depth] == kind
    return full.parents[depth - 1] if is_within else None


def _without_set(inferred: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inferred options that neither the arguments nor their settings file set."""
    explicit = _set_options(options)
    return {key: value for key, value in inferred.items() if key not in explicit}


def _set_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options set by the arguments or their settings file; the arguments take precedence."""
    from_file = read_toml(as_path(options["config"], "config")) if options.get("config") else {}
    return from_file | {key: value for key, value in options.items() if value is not None}


@with_options(EvalOptions)
def evaluate(
    adapter: "Adapter | AnyPath | Iterable[Adapter | str | Path] | None" = None, **options: Unpack[EvalOptions]
) -> Scores:
    """Measure adapters: perplexity with and without them, or the score of a task learned on top of them.

    Results of an earlier call with the same arguments are read from disk.

    Args:
        adapter: An adapter returned by `fit`, the folder that `fit` wrote, or a list of these; None measures only the
            model `base`.
        **options: The options of `lrltrain eval`. If an adapter is in a workspace, `out` defaults to that workspace.
            Without `data`, perplexity is measured on the test splits of the training datasets, without network access,
            if all adapters were returned by `fit` and have a dataset folder; otherwise, all are measured on FLORES-200
            from the Hub. The frame's column `data` names the data that was used.

    Returns:
        The scores: `to_frame()`, `texts`, `tasks`.

    Raises:
        UsageError: If an argument is invalid.
        LrlError: If the data, model or adapter cannot be used.

    Example:
        >>> import lrldata, lrltrain
        >>> dataset = lrldata.build("ro", sample=True, out="workspace")
        >>> adapter = lrltrain.fit(dataset, base="lrl-mini", method="seq_bn_inv", steps=2, batch_size=2, max_length=32)
        >>> lrltrain.evaluate(adapter, task="pppl", limit=2).to_frame()["metric"].to_list()
        ['pseudo-perplexity (corrected)']

    """
    refuse_forked()
    several: list[Any] = [] if adapter is None else list(adapter) if is_several(adapter) else [adapter]  # type: ignore[arg-type]
    if invalid := [item for item in several if not isinstance(item, str | Path) and not hasattr(item, "workspace")]:
        raise UsageError(
            f"adapter: {invalid[0]!r:.60} is not an adapter.", "Give an adapter returned by `fit`, or its folder."
        )
    call_options: dict[str, Any] = {key: plain(value) for key, value in options.items()} | _language_options(options)
    if several and not any(isinstance(item, str | Path) for item in several):
        return _evaluate_fitted(several, call_options)
    return _evaluate_folders(several, call_options)


def _evaluate_folders(adapters: "Sequence[Adapter | str | Path]", call_options: dict[str, Any]) -> Scores:
    """Measure adapters, some of which are given as folders, or only a base model, all on the same data."""
    explicit = _set_options(call_options)
    folders = (_workspace_of(as_path(item, "adapter"), ADAPTERS, 4) for item in adapters)
    workspaces = {workspace.resolve(): workspace for workspace in folders if workspace is not None}
    if len(workspaces) > 1 and "out" not in explicit:
        raise UsageError("out: the adapters are in several workspaces.", "Say in which one to store the scores.")
    first = next(iter(workspaces.values()), None)
    return _measured(adapters, call_options | ({} if "out" in explicit or first is None else {"out": first}))


def _evaluate_fitted(fitted: "Sequence[Adapter]", call_options: dict[str, Any]) -> Scores:
    """Measure adapters returned by `fit`, by workspace, dataset and base model. Raises DivergedError."""
    explicit = _set_options(call_options)
    on_training_data = (
        explicit.get("task", "pppl") == "pppl" and "data" not in explicit and all(item.dataset for item in fitted)
    )
    for fitted_adapter in fitted:
        fitted_adapter.check_current(with_dataset=on_training_data)
    groups: dict[tuple[Path | None, Path | None, Path | None], list[int]] = {}
    for number, fitted_adapter in enumerate(fitted):
        base = None if "base" in explicit else fitted_adapter.base_folder
        data = fitted_adapter.dataset if on_training_data else None
        workspace = None if "out" in explicit else fitted_adapter.workspace.absolute()
        groups.setdefault((workspace, data, base), []).append(number)
    texts: dict[int, Score] = {}
    tasks: list[TaskScore] = []
    failed: list[DivergedError] = []
    for (_, data, base), numbers in groups.items():
        group = [fitted[number] for number in numbers]
        inferred = {"out": group[0].workspace, "data": data, "base": base}
        settings = call_options | {key: value for key, value in inferred.items() if key not in explicit}
        try:
            measured = _measured(group, settings)
        except DivergedError as error:
            failed.append(error)
            continue
        texts |= dict(zip(numbers, measured.texts, strict=False))
        tasks += measured.tasks
    if failed:
        raise DivergedError([message for error in failed for message in error.messages], failed[0].hint)
    return Scores(tuple(texts[number] for number in sorted(texts)), tuple(tasks))


def _language_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that name languages, as they would be typed on the command line."""
    return {key: as_typed(options[key]) for key in ("lang", "transfer_from") if options.get(key) is not None}


def _measured(adapters: "Sequence[Adapter | AnyPath]", options: dict[str, Any]) -> Scores:
    """Measure adapters on the same data. Raises LrlError if the data, model or an adapter cannot be used."""
    if not isinstance(data := options.get("data"), str | Path | None):
        raise UsageError(f"data: {_shown(data)} is not a path.", "Give a dataset, a path or an id on the Hub.")
    call = call_of(EvalOptions, options, adapter=adapters)
    with naming_arguments(EvalOptions.__annotations__.keys() | {"adapter"}):
        settings = load_eval_config(call.config, call.flags)
        with many_imports("train"):
            from lrltrain.evaluation.measure import measure  # noqa: PLC0415 -- imports torch
            from lrltrain.session import isolated_session  # noqa: PLC0415
        with isolated_session():
            tasks, texts = measure(settings, call.progress)
    return Scores(tuple(texts), tuple(tasks))


@with_options(PromptOptions)
def prompt(lang: str | Language | Iterable[str | Language], **options: Unpack[PromptOptions]) -> Scores:
    """Prompt a language model on the test sets of a task and score its answers.

    Args:
        lang: The code of a language, or one of `lrldata.languages()`; several as a list or separated by commas.
        **options: The options of `lrltrain prompt`. `model` has no default; it is not needed with `answers`.

    Returns:
        The scores: `to_frame()`, and `tasks`, one score per language. The run of a score, `runs[0]`, has all metrics
        in `result` and all answers in `predictions`.

    Raises:
        UsageError: If an argument is invalid.
        LrlError: If the data, model or endpoint cannot be used.

    """
    refuse_forked()
    if not (languages := as_typed(lang)):
        raise UsageError("lang: no language given.", 'Give the code of a language, as in lang="ug".')
    call = call_of(PromptOptions, options, lang=languages)
    with naming_arguments(PromptOptions.__annotations__.keys() | {"lang"}):
        settings = load_prompt_config(call.config, call.flags)
        with many_imports("train"):
            from lrltrain.evaluation.score_tasks import TaskScore  # noqa: PLC0415 -- imports torch
            from lrltrain.prompting.prompt import prompt as ask  # noqa: PLC0415
            from lrltrain.session import isolated_session  # noqa: PLC0415
        with isolated_session():
            return Scores(tasks=tuple(TaskScore((run,)) for run in ask(settings, call.progress)))


def report(workspace: AnyPath = "lrl-workspace", *, out: AnyPath | None = None, against: str | None = None) -> "Report":
    """Write the results of a workspace as tables (Markdown, CSV, LaTeX), plots (SVG) and one HTML page.

    Args:
        workspace: The folder.
        out: The folder to write to; `report` in the workspace by default.
        against: The reference that scores are compared with: a method (`lora`, or with its source `lora, glotcc`) with
            the same base model; a model (`gpt-4`); or a model and its method (`gpt-4: prompt-0`). By default, the base
            model without an adapter.

    Returns:
        The written `page` and `files`, the numbers of comparisons that exceed chance (`gains`, `losses`), and
        `to_frame()`, one row per score with the columns of results.csv.

    Raises:
        UsageError: If the workspace does not exist, or contains no score of the reference `against`.
        InputError: If the workspace contains no scores.
        StorageError: If a score or dataset is damaged.

    """
    refuse_forked()
    with many_imports("train"):
        from lrltrain.reporting.reference import BASE_MODEL, Reference  # noqa: PLC0415 -- imports libraries that draw
        from lrltrain.reporting.report import report as write  # noqa: PLC0415
    if not isinstance(against, str | None):
        raise UsageError(f"against: {against!r:.60} is not a name.", "Give the name of a method or a model.")
    with naming_arguments({"out", "against"}):
        if "://" in str(workspace) and not str(workspace).startswith("file://"):
            raise UsageError(
                f"{workspace}: not a folder on this machine.", "Use `lrltrain report` for a remote workspace."
            )
        folder = as_path(workspace, "workspace")
        reference = BASE_MODEL if against is None else Reference(against)
        return write(folder, None if out is None else as_path(out, "out"), against=reference)
