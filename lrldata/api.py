"""The Python API of lrldata, imported lazily by `import lrldata`. The commands run the same pipelines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from lrldata.arguments import call_of, naming_arguments, plain, with_options
from lrldata.conceptnet.config import BuildConfig, load_config
from lrldata.errors import UsageError
from lrldata.forks import refuse_forked
from lrldata.language import Language, as_typed, find, parse
from lrldata.language import languages as table
from lrldata.layout import dataset_path
from lrldata.progress import Progress
from lrldata.remote import as_folder, is_remote, opened
from lrldata.settings import AnyPath, as_path, joined
from lrldata.web.config import WebConfig, is_web, load_web_config
from lrldata.workspace import Dataset

if TYPE_CHECKING:
    from lrldata.langid import Prediction
    from lrldata.web.explain import ExplainedLine

Several = list[Any] | tuple[Any, ...] | Iterator[Any]  # language codes, names or Language objects


class BuildOptions(TypedDict, total=False):
    """The options of `lrldata build` as keyword arguments; options that are left out keep their defaults."""

    source: Literal["conceptnet", "glotcc", "web"] | None
    input: AnyPath | None
    documents: Literal["paragraphs", "lines"] | None
    revision: str | None
    text_column: str | None
    url_column: str | None
    lid: AnyPath | None
    protect: Sequence[AnyPath] | None
    benchmarks: bool | None
    unit: Literal["sentences", "lines", "documents"] | None
    skip_bad: bool | None
    verdicts: AnyPath | None
    handles: bool | None
    workers: int | None
    memory: int | None
    scratch: AnyPath | None
    max_bytes: int | None
    dump: AnyPath | None
    dump_sha256: str | None
    conceptnet_db: AnyPath | None
    index: AnyPath | None
    sample: bool | None
    templates: AnyPath | None
    edges: Literal["any", "start", "target"] | None
    min_weight: float | None
    scripts: str | Sequence[str] | None
    split: Literal["pair", "random"] | None
    seed: int | None
    max_rejected: float | None
    out: AnyPath | None
    cache: AnyPath | None
    force: bool | None
    config: AnyPath | None
    quiet: bool | None


@overload
def build(lang: str | Language, **options: Unpack[BuildOptions]) -> Dataset: ...
@overload
def build(lang: Several, **options: Unpack[BuildOptions]) -> list[Dataset]: ...
@with_options(BuildOptions)
def build(lang: str | Language | Several, **options: Any) -> Dataset | list[Dataset]:
    """Build datasets of one or more languages from ConceptNet or web text. Unchanged datasets are not rebuilt.

    Args:
        lang: The code or name of a language ("ro"), or one of `languages()`; or a list of them. In a list, "paper"
            stands for the paper's 30 languages and "all" for all languages in ConceptNet.
        **options: The options of `lrldata build`, e.g. `source="glotcc"`; None means the default. `config` is a TOML
            file of settings, which the arguments override; `quiet` hides progress bars; `out` may be remote.

    Returns:
        The dataset, with `path`, `version`, `rows`, `ledger`, `load()`, `to_frame()` and `report()`; for a list, a list
        of datasets.

    Raises:
        UsageError: An argument is invalid.
        LrlError: Anything else that stops a build; the message says what to do.

    Example:
        >>> import lrldata
        >>> dataset = lrldata.build("ro", source="conceptnet", sample=True, out="workspace")
        >>> dataset.version
        '1.0.0'
        >>> sorted(dataset.rows)
        ['test', 'train', 'validation']

    """
    refuse_forked()
    if not (typed := as_typed(lang)):
        raise UsageError("lang: no language given.", 'Give the code of a language, as in lang="ug".')
    call = call_of(BuildOptions, options, lang=typed)
    with naming_arguments(BuildOptions.__annotations__.keys() | {"lang"}):
        if isinstance(lang, str) and len(parse(lang)) > 1:
            raise UsageError(f"lang: {lang!r} names several languages.", "Give a list to get a list of datasets.")
        settings = load_settings(call.config, call.flags)
        built = build_datasets(settings, call.flags.get("out"), call.progress)
    return built[0] if isinstance(lang, str | Language) else built


def load_settings(file: Path | None, flags: Mapping[str, Any]) -> BuildConfig | WebConfig:
    """Validate the settings of a build: those of a file, overridden by `flags`. Raises UsageError."""
    out = flags.get("out")
    overrides = {key: value for key, value in flags.items() if key != "out"}
    if out is not None and not is_remote(str(out)):
        overrides["out"] = as_folder(str(out))
    if is_web(file, overrides):
        return load_web_config(file, overrides)
    if unsupported := sorted(overrides.keys() - BuildConfig.model_fields.keys()):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unsupported)
        raise UsageError(f"{options}: not for --source conceptnet.", "See `lrldata build --help`.")
    return load_config(file, overrides)


def build_datasets(settings: BuildConfig | WebConfig, out: str | None, progress: Progress) -> list[Dataset]:
    """Build the requested datasets, in a remote workspace if `out` is one. Raises LrlError."""
    paths = [dataset_path(language.code, settings.source) for language in parse(settings.lang)]
    with opened(out, paths, paths, settings.cache) as folder:
        resolved = settings.model_copy(update={"out": folder}) if out and is_remote(out) else settings
        if isinstance(resolved, WebConfig):
            from lrldata.web.build import build_web  # noqa: PLC0415 -- each source loads its own libraries

            return build_web(resolved, progress)
        from lrldata.conceptnet.build import build  # noqa: PLC0415

        return build(resolved, progress)


def open_dataset(path: AnyPath) -> Dataset:
    """Open a dataset folder and check each of its files against the manifest.

    Args:
        path: The folder, e.g. "lrl-workspace/datasets/ro/conceptnet".

    Returns:
        The dataset.

    Raises:
        StorageError: The folder is unfinished or damaged.

    Example:
        >>> import lrldata
        >>> built = lrldata.build("ro", sample=True, out="workspace")
        >>> lrldata.open_dataset(built.path).rows == built.rows
        True

    """
    return Dataset.open(path)


def languages(*, paper: bool = False) -> tuple[Language, ...]:
    """Return the known languages with their codes, scripts and sources.

    Args:
        paper: Return only the paper's 30 languages.

    Returns:
        The languages, the paper's first.

    Example:
        >>> import lrldata
        >>> len(lrldata.languages(paper=True))
        30

    """
    return tuple(language for language in table() if language.paper or not paper)


def find_language(name: str | Language) -> Language:
    """Find a language by any code or name that people use.

    Args:
        name: "ro", "ron", "ron_Latn", "ron-Latn", "Romanian" or "română".

    Returns:
        The language.

    Raises:
        LanguageError: The language is unknown; the message suggests the nearest matches.

    Example:
        >>> import lrldata
        >>> lrldata.find_language("uig_Arab").name
        'Uyghur'

    """
    return find(name)


def identify(
    texts: Iterable[str | None], *, lid: AnyPath = "compact", cache: AnyPath | None = None
) -> "list[Prediction]":
    """Identify the language of each text.

    Args:
        texts: The texts. A line end counts as a space, and None or NaN as a text without letters.
        lid: "compact" (built in), "glotlid", "lid176", or the path of a fastText model.
        cache: The folder for a model that is downloaded from the Hub.

    Returns:
        For each text, the labels, best first, with their probabilities (0 to 1); none for a text without letters.

    Raises:
        UsageError: There is no such model, or `texts` is not a list of texts.
        InputError: The model's file is not a valid fastText model.

    Example:
        >>> import lrldata
        >>> lrldata.identify(["Aceasta este o propoziție în limba română."])[0].labels[0]
        'ro'

    """
    from lrldata.langid import load_model  # noqa: PLC0415 -- loads the model's library

    if isinstance(texts, str):
        raise UsageError("texts: this is one text, not a list.", "Give a list of texts.")
    if not isinstance(texts, Iterable):
        raise UsageError(f"texts: {texts!r:.60} is not a list of texts.", "Give a list of texts.")
    given: Iterable[Any] = texts  # also NaN, which stands for None in pandas
    inputs = ["" if text is None or (isinstance(text, float) and isnan(text)) else text for text in given]
    if invalid := [text for text in inputs if not isinstance(text, str)]:
        raise UsageError(f"texts: {invalid[0]!r:.60} is not a text.", "Give a list of texts; None is allowed.")
    with naming_arguments({"lid", "cache"}):
        return list(load_model(_model(lid), None if cache is None else as_path(cache, "cache")).predict(inputs))


def explain(
    text: str,
    lang: str | Language,
    *,
    lid: AnyPath = "compact",
    scripts: str | Sequence[str] | None = None,
    documents: str = "page",
    cache: AnyPath | None = None,
) -> "list[ExplainedLine]":
    """Explain, line by line, what the cleaning of web text would do with a text, and why.

    Args:
        text: A text. Each line is judged on its own and within its document.
        lang: The language that the text should be in.
        lid: The language identification model, as in `identify`.
        scripts: The scripts to keep, out of the language's own: "Latn" or "Latn,Cyrl".
        documents: What counts as a document: "page" (the whole text), "paragraphs" or "lines", as in `build`.
        cache: The folder for a model that is downloaded from the Hub.

    Returns:
        For each line: `text` as it would be written, the `reason` for dropping it (None if it is kept), `why` in words,
        and the `language` and `probability` of the identification.

    Raises:
        LrlError: The language or the model is unknown.

    Example:
        >>> import lrldata
        >>> lrldata.explain("Read more", "ro")[0].reason is None
        False

    """
    from lrldata.web.explain import as_documents  # noqa: PLC0415
    from lrldata.web.explain import explain as explain_text  # noqa: PLC0415
    from lrldata.web.scripts import requested_scripts  # noqa: PLC0415

    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"text: {text!r:.60} is not a text.", "Give one text.")
    refuse_forked()
    with naming_arguments({"lang", "lid", "scripts", "documents", "cache"}):
        language = find(lang)
        listed = joined(plain(scripts))
        if not isinstance(listed, str | None):
            raise UsageError(
                f"scripts: {scripts!r:.60} is not a script.", 'Give a script such as "Latn", or a list of scripts.'
            )
        selected = requested_scripts(language, as_typed(lang), listed)
        unit = as_documents(documents)
        folder = None if cache is None else as_path(cache, "cache")
        return explain_text(text, language, _model(lid), folder, scripts=selected, documents=unit)


def _model(lid: AnyPath) -> str:
    """Return the name or path of a language identification model. Raises UsageError."""
    return lid if isinstance(lid, str) else str(as_path(lid, "lid"))
