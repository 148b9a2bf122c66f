"""The Python API of lrldata, which `import lrldata` finds lazily. The commands run the same pipelines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from lrldata.arguments import call_of, naming_arguments, plain, with_options
from lrldata.conceptnet.config import BuildConfig, load_config
from lrldata.errors import UsageError
from lrldata.forks import refuse_forked
from lrldata.language import Language, as_typed, find, parse
from lrldata.language import languages as table
from lrldata.progress import Progress
from lrldata.remote import as_folder, is_remote, opened
from lrldata.settings import Place, as_path, joined
from lrldata.web.config import WebConfig, is_web, load_web_config
from lrldata.workspace import Dataset, dataset_path

if TYPE_CHECKING:
    from lrldata.langid import Prediction
    from lrldata.web.explain import Explained

Several = list[Any] | tuple[Any, ...] | Iterator[Any]  # of codes and languages


class BuildOptions(TypedDict, total=False):
    """The options of `lrldata build`, as keyword arguments; what is left out has its default."""

    source: Literal["conceptnet", "glotcc", "web"] | None
    input: Place | None
    documents: Literal["paragraphs", "lines"] | None
    revision: str | None
    text_column: str | None
    url_column: str | None
    lid: Place | None
    protect: Sequence[Place] | None
    benchmarks: bool | None
    unit: Literal["sentences", "lines", "documents"] | None
    skip_bad: bool | None
    verdicts: Place | None
    handles: bool | None
    workers: int | None
    memory: int | None
    scratch: Place | None
    max_bytes: int | None
    dump: Place | None
    dump_sha256: str | None
    conceptnet_db: Place | None
    index: Place | None
    sample: bool | None
    templates: Place | None
    edges: Literal["any", "start", "target"] | None
    min_weight: float | None
    scripts: str | Sequence[str] | None
    split: Literal["pair", "random"] | None
    seed: int | None
    max_rejected: float | None
    out: Place | None
    cache: Place | None
    force: bool | None
    config: Place | None
    quiet: bool | None


@overload
def build(lang: str | Language, **options: Unpack[BuildOptions]) -> Dataset: ...
@overload
def build(lang: Several, **options: Unpack[BuildOptions]) -> list[Dataset]: ...
@with_options(BuildOptions)
def build(lang: str | Language | Several, **options: Any) -> Dataset | list[Dataset]:
    """Build the dataset of a language from ConceptNet or web text. An unchanged one is left alone.

    Args:
        lang: Code or name of one language ("ro"), or one of `languages()`, which gives one dataset; or a list of them,
            which gives a list.
            In a list, "paper" stands for the paper's 30 languages, "all" for all in ConceptNet.
        **options: The options of `lrldata build`, e.g. `source="glotcc"`; None means the default. `config` names
            settings in TOML, which arguments stand above; `quiet` shows no progress bars; `out` may be remote.

    Returns:
        The dataset: `path`, `version`, `rows`, `ledger`, `load()`, `to_frame()`, `report()`.

    Raises:
        UsageError: An argument that cannot be meant.
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
    call = call_of(BuildOptions, options, lang=as_typed(lang))
    with naming_arguments(BuildOptions.__annotations__.keys() | {"lang"}):
        if isinstance(lang, str) and len(parse(lang)) > 1:
            raise UsageError(f"lang: {lang!r} names several languages.", "Give a list, which returns a list.")
        settings = load_settings(call.config, call.flags)
        built = build_datasets(settings, call.flags.get("out"), call.progress)
    return built[0] if isinstance(lang, str | Language) else built


def load_settings(file: Path | None, flags: Mapping[str, Any]) -> BuildConfig | WebConfig:
    """Check the settings of a build: those of a file with `flags` above them. Raises UsageError."""
    out = flags.get("out")
    own = {key: value for key, value in flags.items() if key != "out"}
    if out is not None and not is_remote(str(out)):
        own["out"] = as_folder(str(out))
    if is_web(file, own):
        return load_web_config(file, own)
    if foreign := sorted(own.keys() - BuildConfig.model_fields.keys()):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in foreign)
        raise UsageError(f"{named}: not for --source conceptnet.", "`lrldata build --help` says what is.")
    return load_config(file, own)


def build_datasets(settings: BuildConfig | WebConfig, out: str | None, progress: Progress) -> list[Dataset]:
    """Build what is asked for, in a remote workspace where `out` is one. Raises LrlError."""
    makes = [dataset_path(language.code, settings.source) for language in parse(settings.lang)]
    with opened(out, makes, makes, settings.cache) as folder:
        wanted = settings.model_copy(update={"out": folder}) if out and is_remote(out) else settings
        if isinstance(wanted, WebConfig):
            from lrldata.web.build import build_web  # noqa: PLC0415 -- each source its own libraries

            return build_web(wanted, progress)
        from lrldata.conceptnet.build import build  # noqa: PLC0415

        return build(wanted, progress)


def open_dataset(path: Place) -> Dataset:
    """Open a dataset folder and check every file of it against its manifest.

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
    """Return the languages that are known: codes, scripts, and which sources hold them.

    Args:
        paper: Only the 30 of the paper.

    Returns:
        The languages, those of the paper first.

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
        LanguageError: It is not known; the message names the nearest.

    Example:
        >>> import lrldata
        >>> lrldata.find_language("uig_Arab").name
        'Uyghur'

    """
    return find(name)


def identify(texts: Iterable[str | None], *, lid: Place = "compact", cache: Place | None = None) -> "list[Prediction]":
    """Say in which language texts are.

    Args:
        texts: The texts; a line end in one counts as a space, and None is a text without letters.
        lid: "compact" (built in), "glotlid", "lid176", or the path of a fastText model.
        cache: Folder for a model that comes from the Hub.

    Returns:
        For each text the labels, best first, and their probabilities (0 to 1); none for a text without letters.

    Raises:
        UsageError: No such model.
        InputError: `texts` is one text and not a list.

    Example:
        >>> import lrldata
        >>> lrldata.identify(["Aceasta este o propoziție în limba română."])[0].labels[0]
        'ro'

    """
    from lrldata.langid import load_model  # noqa: PLC0415 -- loads a model's library

    if isinstance(texts, str):
        raise UsageError("texts: one text was given.", "Give a list of texts.")
    if not isinstance(texts, Iterable):
        raise UsageError(f"texts: {texts!r:.60} was given.", "Give a list of texts.")
    asked = ["" if text is None else text for text in texts]
    if wrong := [text for text in asked if not isinstance(text, str)]:
        raise UsageError(f"texts: {wrong[0]!r:.60} is not a text.", "Give a list of texts; None counts as one.")
    with naming_arguments({"lid", "cache"}):
        return list(load_model(_model(lid), None if cache is None else as_path(cache, "cache")).predict(asked))


def explain(
    text: str,
    lang: str | Language,
    *,
    lid: Place = "compact",
    scripts: str | Sequence[str] | None = None,
    documents: str = "page",
    cache: Place | None = None,
) -> "list[Explained]":
    """Say line by line what the cleaning of web text would do with a text, and why.

    Args:
        text: A text; its lines are judged on their own and within their document.
        lang: The language that it should be in.
        lid: The model for identification, as in `identify`.
        scripts: Scripts to keep, of those of the language: "Latn" or "Latn,Cyrl".
        documents: What is a document: "page" (the whole text), "paragraphs" or "lines", as `build` has it.
        cache: Folder for a model that comes from the Hub.

    Returns:
        For each line: `text` as it would come out, `reason` for which it goes (None where it stays), `why` in words,
        `language` and `probability` of the identification.

    Raises:
        LrlError: A language or model that is not known.

    Example:
        >>> import lrldata
        >>> lrldata.explain("Read more", "ro")[0].reason is None
        False

    """
    from lrldata.web.explain import as_documents  # noqa: PLC0415
    from lrldata.web.explain import explain as explain_text  # noqa: PLC0415
    from lrldata.web.scripts import scripts_asked  # noqa: PLC0415

    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"text: {text!r:.60} is not a text.", "Give one text.")
    refuse_forked()
    with naming_arguments({"lang", "lid", "scripts", "documents", "cache"}):
        language = find(lang)
        named = joined(plain(scripts))
        if not isinstance(named, str | None):
            raise UsageError(f"scripts: {scripts!r:.60} is not a script.", 'Give "Latn", or a list of such.')
        asked = scripts_asked(language, as_typed(lang), named)
        cut = as_documents(documents)
        home = None if cache is None else as_path(cache, "cache")
        return explain_text(text, language, _model(lid), home, scripts=asked, documents=cut)


def _model(lid: Place) -> str:
    """Return the name or path of a model for identification. Raises UsageError."""
    return lid if isinstance(lid, str) else str(as_path(lid, "lid"))
