"""The Python API of lrltrain, which `import lrltrain` finds lazily. The commands run the same pipelines."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from lrldata.arguments import call_of, is_several, naming_arguments, plain, with_options
from lrldata.errors import UsageError
from lrldata.forks import refuse_forked
from lrldata.imports import many_imports
from lrldata.language import Language, as_typed
from lrldata.manifest import MANIFEST
from lrldata.settings import Place, as_path, read_toml
from lrldata.workspace import ADAPTERS, DATASETS, Dataset
from lrltrain.config import load_eval_config, load_fit_configs
from lrltrain.options import EvalOptions, FitOptions, PromptOptions
from lrltrain.prompting.config import load_prompt_config
from lrltrain.scores import Scores

if TYPE_CHECKING:
    from lrltrain.evaluation.score_tasks import TaskScore
    from lrltrain.evaluation.score_text import Score
    from lrltrain.fitting.plan import Adapter
    from lrltrain.reporting.report import Reported


Data = Dataset | Language | Place
Several = list[Any] | tuple[Any, ...] | Iterator[Any]  # of such


@overload
def fit(data: Data, **options: Unpack[FitOptions]) -> "Adapter": ...
@overload
def fit(data: Several, **options: Unpack[FitOptions]) -> "list[Adapter]": ...
@with_options(FitOptions)
def fit(data: Any, **options: Any) -> Any:
    """Train an adapter on a dataset, or several together, each as it would be trained alone.

    A run that was killed goes on from its last checkpoint when it is called again with the same arguments; an adapter
    that is there, unchanged, is left alone.

    Args:
        data: A dataset of `lrldata`, a dataset's folder, or a language (a code, or one of `lrldata.languages()`) whose
            dataset is in the workspace `out` (or that `text` is in). A list of them is trained together.
        **options: The options of `lrltrain fit`, e.g. `base`, `method`, `steps`. `out` is the dataset's workspace
            where it lies in one. With a list as `data`, `method` and `seed` may be lists too (and `source`, where it
            is a list of languages): `fit([dataset], seed=[1, 2, 3])` trains an adapter with each of the others.

    Returns:
        The adapter: `path`, `method`, `validation_loss`, `load(model)`; of a list, a list.

    Raises:
        UsageError: An argument that cannot be meant.
        LrlError: Anything else that stops training; the message says what to do.

    Example:
        >>> import lrldata, lrltrain
        >>> dataset = lrldata.build("ro", sample=True, out="workspace")
        >>> adapter = lrltrain.fit(dataset, base="lrl-mini", method="seq_bn_inv", steps=2, batch_size=2, max_length=32)
        >>> adapter.path.as_posix()
        'workspace/adapters/ro/lrl-mini/conceptnet-seq_bn_inv'

    """
    options = {key: plain(value) for key, value in options.items()}  # once: a generator gives its values once
    if not options.get("text"):  # a dataset is read with Polars
        refuse_forked()
    listed = is_several(data)
    several = list(data) if listed else [data]
    if wrong := [each for each in several if not isinstance(each, Dataset | Language | str | Path)]:
        raise UsageError(f"data: {wrong[0]!r:.60} is not a dataset.", "Give one of lrldata, its folder, or a language.")
    with naming_arguments(FitOptions.__annotations__.keys() | {"lang"}):
        calls = [
            call_of(FitOptions, options | _unsaid(_where(each), options), **_what(each, options)) for each in several
        ]
        settings = [each for call in calls for each in load_fit_configs(call.config, call.flags)]
        if not listed and len(settings) > 1:
            raise UsageError("several adapters are asked for.", "Give a list as the data, which returns a list.")
        with many_imports("train"):
            from lrltrain.fitting.groups import fit_all  # noqa: PLC0415 -- imports torch
            from lrltrain.session import undisturbed  # noqa: PLC0415
        with undisturbed():
            made = fit_all(settings, calls[0].progress) if calls else []
    return made if listed else made[0]


def _what(data: Dataset | Language | Place, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say what is trained on."""
    if isinstance(data, Language):
        return {"lang": data.code}
    if not isinstance(data, Dataset):
        if data == "":
            raise UsageError("data: nothing is named.", "Give a dataset of lrldata, its folder, or a language.")
        folder = as_path(data, "data")
        if not (folder / MANIFEST).is_file():
            if not isinstance(data, str) or os.sep in data:
                Dataset.open(folder)  # which says what is wrong
            return {"lang": data}
        data = Dataset.open(folder)
    if options.get("dataset") is not None:
        raise UsageError("dataset: the data is a dataset already.", "Name one of them.")
    source = {} if options.get("source") is not None else {"source": data.source}  # another one is refused later
    return {"lang": data.language.code, "dataset": str(data.path)} | source


def _where(data: Dataset | Language | Place) -> dict[str, Any]:
    """Return the workspace that a dataset lies in."""
    if isinstance(data, Language):
        return {}
    home = _workspace(data.path if isinstance(data, Dataset) else as_path(data), DATASETS, 3)
    return {} if home is None else {"out": home}


def _workspace(path: Path, kind: str, depth: int) -> Path | None:
    """Return the workspace that a folder lies in, so many folders below it, among those of a kind."""
    whole = path if len(path.parts) > depth else path.absolute()
    within = len(whole.parts) > depth and whole.parts[-depth] == kind
    return whole.parents[depth - 1] if within else None


def _unsaid(inferred: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is inferred of that which neither the arguments nor their settings file say."""
    said = _said(options)
    return {key: value for key, value in inferred.items() if key not in said}


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what arguments and their settings file say, the arguments above."""
    held = read_toml(as_path(options["config"], "config")) if options.get("config") else {}
    return held | {key: value for key, value in options.items() if value is not None}


@with_options(EvalOptions)
def evaluate(
    adapter: "Adapter | Place | Iterable[Adapter | str | Path] | None" = None, **options: Unpack[EvalOptions]
) -> Scores:
    """Measure adapters: perplexity with and without them, or the score of a task learned on top of them.

    What was measured before, with the same arguments, is read again.

    Args:
        adapter: An adapter of `fit`, the folder of one, or a list of these; None measures the model `base` alone.
        **options: The options of `lrltrain eval`. `out` is the adapter's workspace where it lies in one. Without
            `data`, perplexity is measured on FLORES-200 from the Hub; of an adapter that `fit` returned, on the test
            split of the dataset that it was trained on, which asks for nothing from the network. The frame's column
            `data` says which it was.

    Returns:
        The scores: `to_frame()`, `texts`, `tasks`.

    Raises:
        UsageError: An argument that cannot be meant.
        LrlError: Data, model or adapter that cannot be used.

    Example:
        >>> import lrldata, lrltrain
        >>> dataset = lrldata.build("ro", sample=True, out="workspace")
        >>> adapter = lrltrain.fit(dataset, base="lrl-mini", method="seq_bn_inv", steps=2, batch_size=2, max_length=32)
        >>> lrltrain.evaluate(adapter, task="pppl", limit=2).to_frame()["metric"].to_list()
        ['pseudo-perplexity (corrected)']

    """
    refuse_forked()
    several: list[Any] = [] if adapter is None else list(adapter) if is_several(adapter) else [adapter]  # type: ignore[arg-type]
    if wrong := [each for each in several if not isinstance(each, str | Path) and not hasattr(each, "workspace")]:
        raise UsageError(f"adapter: {wrong[0]!r:.60} is not an adapter.", "Give what `fit` returned, or its folder.")
    given: dict[str, Any] = {key: plain(value) for key, value in options.items()} | _languages(options)
    fitted = [each for each in several if not isinstance(each, str | Path)]
    said = _said(given)
    if not fitted or len(fitted) < len(several):
        first = _workspace(as_path(several[0], "adapter"), ADAPTERS, 4) if several else None
        return _measured(several, given | ({} if "out" in said or first is None else {"out": first}))
    own = said.get("task", "pppl") == "pppl" and "data" not in said and all(each.dataset for each in fitted)
    alike: dict[tuple[Path | None, Path | None], list[int]] = {}
    for number, each in enumerate(fitted):
        base = None if "base" in said else each.base_folder
        alike.setdefault((each.dataset if own else None, base), []).append(number)
    texts: dict[int, Score] = {}
    tasks: list[TaskScore] = []
    for (data, base), numbers in alike.items():
        together = [fitted[number] for number in numbers]
        inferred = {"out": (together if own else fitted)[0].workspace, "data": data, "base": base}
        measured = _measured(together, given | {key: each for key, each in inferred.items() if key not in said})
        texts |= dict(zip(numbers, measured.texts, strict=False))
        tasks += measured.tasks
    return Scores(tuple(texts[number] for number in sorted(texts)), tuple(tasks))


def _languages(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are languages, as they would be typed."""
    return {key: as_typed(options[key]) for key in ("lang", "transfer_from") if options.get(key) is not None}


def _measured(adapters: "Sequence[Adapter | Place]", options: dict[str, Any]) -> Scores:
    """Measure adapters on the same data. Raises LrlError."""
    if not isinstance(data := options.get("data"), str | Path | None):
        raise UsageError(f"data: {data!r:.60} is not a path.", "Give a dataset, a path or an id on the Hub.")
    call = call_of(EvalOptions, options, adapter=adapters)
    with naming_arguments(EvalOptions.__annotations__.keys() | {"adapter"}):
        settings = load_eval_config(call.config, call.flags)
        with many_imports("train"):
            from lrltrain.evaluation.measure import measure  # noqa: PLC0415 -- imports torch
            from lrltrain.session import undisturbed  # noqa: PLC0415
        with undisturbed():
            tasks, texts = measure(settings, call.progress)
    return Scores(tuple(texts), tuple(tasks))


@with_options(PromptOptions)
def prompt(lang: str | Language | list[str] | list[Language], **options: Unpack[PromptOptions]) -> Scores:
    """Prompt a language model about the test sets of a task, and score what it answers.

    Args:
        lang: Code of a language, or one of `lrldata.languages()`; several in a list, or between commas.
        **options: The options of `lrltrain prompt`; `model` and `data` have no default.

    Returns:
        The scores: `to_frame()`, and `tasks`, a score for each language. Its run, `runs[0]`, has all metrics in
        `result` and every answer in `predictions`.

    Raises:
        UsageError: An argument that cannot be meant.
        LrlError: Data, model or endpoint that cannot be used.

    """
    refuse_forked()
    if not (named := as_typed(lang)):
        raise UsageError("lang: nothing is named.", 'Give the code of a language, as in lang="ug".')
    call = call_of(PromptOptions, options, lang=named)
    with naming_arguments(PromptOptions.__annotations__.keys() | {"lang"}):
        settings = load_prompt_config(call.config, call.flags)
        with many_imports("train"):
            from lrltrain.evaluation.score_tasks import TaskScore  # noqa: PLC0415 -- imports torch
            from lrltrain.prompting.prompt import prompt as ask  # noqa: PLC0415
            from lrltrain.session import undisturbed  # noqa: PLC0415
        with undisturbed():
            return Scores(tasks=tuple(TaskScore((run,)) for run in ask(settings, call.progress)))


def report(workspace: Place = "lrl-workspace", *, out: Place | None = None, against: str | None = None) -> "Reported":
    """Write the results of a workspace as tables (Markdown, CSV, LaTeX), plots (SVG) and one HTML page.

    Args:
        workspace: The folder.
        out: Where to write to; `report` in the workspace by default.
        against: What changes are against: a method (`lora`, or with its source `lora, glotcc`), of the same base
            model; a model (`gpt-4`); or a model and its method (`gpt-4: prompt-0`). By default no adapter.

    Returns:
        What was written: `page`, `files`, how many comparisons are more than chance (`gains`, `losses`), and
        `to_frame()`, a row per score with the columns of results.csv.

    Raises:
        UsageError: No such workspace, or no score in it is of what changes should be against.
        InputError: It holds no scores.
        StorageError: A score or dataset is damaged.

    """
    refuse_forked()
    with many_imports("train"):
        from lrltrain.reporting.reference import BASE_MODEL, Reference  # noqa: PLC0415 -- imports libraries that draw
        from lrltrain.reporting.report import report as write  # noqa: PLC0415
    if not isinstance(against, str | None):
        raise UsageError(f"against: {against!r:.60} is not a name.", "Name a method or a model.")
    with naming_arguments({"out", "against"}):
        if "://" in str(workspace) and not str(workspace).startswith("file://"):
            raise UsageError(f"{workspace}: not a folder of this machine.", "Use `lrltrain report` for remote ones.")
        home = as_path(workspace, "workspace")
        against_what = BASE_MODEL if against is None else Reference(against)
        return write(home, None if out is None else as_path(out, "out"), against=against_what)
