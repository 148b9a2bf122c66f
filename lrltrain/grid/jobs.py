"""From a recipe to its jobs. A job is known by a hash of its settings, of its inputs and of the jobs it needs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from lrldata.conceptnet.config import load_config
from lrldata.errors import LrlError, UsageError
from lrldata.language import Language, parse
from lrldata.manifest import fingerprint
from lrldata.remote import DEFAULT, as_folder, is_remote
from lrldata.web.bundles import bundled
from lrldata.web.config import load_web_config
from lrldata.web.plan import find_input
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.costs import shape_of
from lrltrain.evaluation.tasks import folders_of
from lrltrain.grid import places
from lrltrain.grid.config import Evals, Fits, GridConfig, Source, TaskName, as_lang
from lrltrain.grid.job import Job
from lrltrain.grid.models import Model, models_of
from lrltrain.names import HUB_ID

NONE = "none"
SHARD_JOBS = "shard_jobs"  # of [build.glotcc]: a job per file, before that of the whole
_HELD_IN = {"topic": "sib200", "sentiment": "sentiment", "ner": "wikiann", "pppl": "flores"}  # in languages.toml
_FILES = {"dump", "conceptnet_db", "index", "input", "protect", "templates", "text", "dataset", "data", "base"}
TRAIN_SEED = "train_seed"  # the label of adapters that are trained with several seeds
_IDENTITY_IS_NOT = {
    "out",
    "cache",
    "workers",
    "eval_batch_size",
    "batch_tokens",
    "tracker",
    "scratch",
    "memory",
    "group",
}


class Key(NamedTuple):
    """What an adapter is found by; the base model alone has no source."""

    language: str
    source: str
    model: str
    method: str
    variant: str = ""


@dataclass(frozen=True)
class Adapter:
    """The job that makes an adapter, and the tasks that it is measured by; None means all."""

    job: str
    tasks: Sequence[TaskName] | None


def jobs_of(config: GridConfig) -> list[Job]:
    """Return all jobs of a recipe, each after those that it needs. Raises UsageError, LanguageError."""
    languages = parse(config.lang)
    made: dict[str, Job] = {}
    builds = {
        where: _add(made, replace(whole, needs=tuple(_add(made, file) for file in files)))
        for where, files, whole in _builds(config, languages)
    }
    models = models_of(config.fit)
    adapters = _adapters(config, languages, builds, models, made)
    if config.eval:
        for job in _evals(config, config.eval, languages, builds, adapters, models):
            _add(made, job)
    if config.push is not None:
        for language in languages:
            needs = tuple(job.id for job in made.values() if job.labels.get("lang") == language.code)
            _add(made, Job("push", {"lang": language.code}, config.push | {"lang": language.code}, needs))
    if config.report and config.eval:
        _add(made, Job("report", {}, {}, tuple(job.id for job in made.values() if job.kind == "eval")))
    return list(made.values())


def _add(made: dict[str, Job], job: Job) -> str:
    """Give a job its identity, and return that."""
    named = replace(job, id=identity(job))
    made.setdefault(named.id, named)
    return named.id


def _out(config: GridConfig) -> Path:
    """Return where builds are planned to write: of a remote workspace any folder, as each machine has its mirror."""
    return Path(DEFAULT) if is_remote(config.out) else as_folder(config.out)


def _adapters(
    config: GridConfig,
    languages: list[Language],
    builds: Mapping[tuple[str, Source], str],
    models: Mapping[str, Model],
    made: dict[str, Job],
) -> dict[Key, Adapter]:
    """Add the jobs of all tables of adapters, and return them by what they are found by."""
    adapters: dict[Key, Adapter] = {}
    for number, fits in enumerate(config.fit, 1):
        try:
            for job, key in _fits(config, fits, languages, builds, adapters, models):
                adapters[key] = Adapter(_add(made, job), fits.tasks)
        except LrlError as error:
            raise type(error)(f"[[fit]] {number}: {error.message}", error.hint) from error
    return adapters


def _builds(config: GridConfig, languages: list[Language]) -> Iterator[tuple[tuple[str, Source], list[Job], Job]]:
    """Yield language and source of each dataset, the jobs for its files, if they are asked for, and its own."""
    for source, options in config.build.items():
        for language in languages:
            if source == "web" or source in language.sources:
                whole = _build(config, language, source, options)
                yield (language.code, source), _shards(config, whole) if options.get(SHARD_JOBS) else [], whole


def _build(config: GridConfig, language: Language, source: str, options: Mapping[str, Any]) -> Job:
    labels = {"lang": language.code, "source": source}
    given = {key: value for key, value in options.items() if key != SHARD_JOBS}
    settings = _filled({"source": source, **given, "lang": language.code}, config, language, source)
    load = load_config if source == "conceptnet" else load_web_config
    try:
        load(None, settings | {"out": _out(config), "cache": config.cache})
    except UsageError as error:
        raise UsageError(f"[build.{source}]: {error.message}", error.hint) from error
    return Job("build", labels, settings)


def _shards(config: GridConfig, build: Job) -> list[Job]:
    """Return a job for each file of web text that a dataset is built from, on the Hub or here; small ones share one."""
    asked = load_web_config(None, {**build.settings, "out": _out(config), "cache": config.cache})
    files, _ = find_input(asked, parse(asked.lang)[0])
    corpus = fingerprint([file.sha256 for file in files])[:8]
    labels = [{**build.labels, "corpus": corpus, "shard": str(number)} for number in range(len(bundled(files)))]
    return [Job("shard", each, build.settings) for each in labels]


def _fits(
    config: GridConfig,
    fits: Fits,
    languages: list[Language],
    builds: Mapping[tuple[str, Source], str],
    adapters: Mapping[Key, Adapter],
    models: Mapping[str, Model],
) -> Iterator[tuple[Job, Key]]:
    """Yield the adapters of one table, each with the key by which a fusion and its scores find it."""
    if "variant" in fits.options:
        raise UsageError(
            "variants of a study are its seeds.", "Put the table into a recipe of its own, with another `out`."
        )
    asked = parse(as_lang(fits.languages)) if fits.languages else languages
    for language, source, model, method in product(asked, fits.sources, fits.models, fits.methods):
        if source != "web" and source not in language.sources:
            continue
        called = models[model]
        for variant, seeded in fits.variants.items():
            labels = {"lang": language.code, "source": source, "model": called.model, "method": method}
            labels |= {TRAIN_SEED: str(seeded["seed"])} if variant else {}
            settings = _filled(fits.options, config, language, source) | seeded
            settings |= {"lang": language.code, "source": source, "base": called.model, "method": method}
            settings |= called.of_fit
            held = "text" in settings or "dataset" in settings
            needs = [] if held or (language.code, source) not in builds else [builds[language.code, source]]
            if method == "fusion":
                fused = _fused(adapters, language.code, called.model, fits.fuse, variant)
                needs += [adapters[each].job for each in fused]
                settings["adapters"] = [
                    places.adapter(language.code, called.folder, each.source, fits.fuse, each.variant) for each in fused
                ]
            load_fit_config(None, settings)
            key = Key(language.code, source, called.model, method, variant)
            if key in adapters:
                raise UsageError(f"{' '.join(filter(None, key))} is in a table above.", "Two would be one folder.")
            yield Job("fit", labels | called.labels, settings, tuple(needs)), key


def _fused(adapters: Mapping[Key, Adapter], code: str, model: str, method: str, variant: str) -> list[Key]:
    """Return the adapters that are fused, one of each source: of the fusion's own seed where there is such a one."""
    found: dict[str, Key] = {}
    for key in adapters:
        if (key.language, key.model, key.method) == (code, model, method) and key.variant in ("", variant):
            found[key.source] = max(found.get(key.source, key), key, key=lambda each: each.variant)
    if len(found) < 2:
        same = (key.variant for key in adapters if (key.language, key.model, key.method) == (code, model, method))
        seeded = "with the same seeds" if variant or any(same) else "above it"
        raise UsageError(
            f"a fusion for {code} wants {method} adapters of two sources on {model}.",
            f"Put a [[fit]] table for them {seeded}.",
        )
    return list(found.values())


def _evals(
    config: GridConfig,
    evals: Evals,
    languages: list[Language],
    builds: Mapping[tuple[str, Source], str],
    adapters: Mapping[Key, Adapter],
    models: Mapping[str, Model],
) -> Iterator[Job]:
    """Yield what is measured of each base model, and of each adapter: tasks by seed, perplexity once."""
    by_code = {language.code: language for language in [*languages, *_languages_of(adapters)]}
    built = {places.dataset(*made) for made in builds}
    for task in evals.tasks:
        asked = [key for key, adapter in adapters.items() if adapter.tasks is None or task in adapter.tasks]
        bases = dict.fromkeys(Key(key.language, NONE, key.model, NONE) for key in asked if evals.baselines)
        for key in [*bases, *asked]:
            code, source, model, method, variant = key
            language = by_code[code]
            called = models[model]
            labels = {"lang": code, "source": source, "model": model, "method": method, "task": task} | called.labels
            labels |= {TRAIN_SEED: variant.removeprefix("seed-")} if variant else {}
            needs: tuple[str, ...] = (adapters[key].job,) if key in adapters else ()
            settings = _filled(evals.options(task), config, language, source)
            if not _has_data(task, settings, language, built, config.out):
                continue
            if key in adapters:
                settings["adapter"] = [places.adapter(code, called.folder, source, method, variant)]
                if task != "pppl" and (code, source) in builds:
                    settings["corpus"] = places.dataset(code, source)
            of_model = called.of_eval if key in adapters else called.of_eval_alone
            settings |= {"lang": code, "task": task, "base": model} | of_model
            needs += tuple(build for made, build in builds.items() if settings.get("data") == places.dataset(*made))
            if task == "pppl":
                _check_eval(task, settings)
                yield Job("eval", labels, settings, needs)
                continue
            if key not in adapters:
                settings["baselines"] = [NONE]
            for data in _sets(task, settings.get("data"), language):
                for seed in evals.seeds:
                    own = settings | {"seeds": [seed]} | ({"data": data} if data else {})
                    _check_eval(task, own)
                    name = {"data": Path(data).name or Path(data).resolve().name} if data else {}
                    yield Job("eval", labels | name | {"seed": str(seed)}, own, needs)


def _check_eval(task: str, settings: dict[str, Any]) -> None:
    """Raise UsageError that names the table, for settings that an eval would refuse."""
    try:
        load_eval_config(None, settings)
    except UsageError as error:
        raise UsageError(f"[eval], {task}: {error.message}", error.hint) from error
    if task != "pppl" and shape_of(settings["base"]).decoder:
        told = f"[eval] {task}: {settings['base']} is a decoder, which gets no task adapter here."
        raise UsageError(told, 'Put tasks = ["pppl"] into its [[fit]] table; `lrltrain prompt` asks decoders.')


def _has_data(task: str, settings: Mapping[str, Any], language: Language, built: Collection[str], out: str) -> bool:
    """Return whether a language has data: not where the study makes a source of others that it has not.

    Raises UsageError for data that are neither here, nor made by the study, nor an id on the Hub.
    """
    data: Any = settings.get("data")
    if data is None:
        return getattr(language, _HELD_IN[task]) is not None
    if places.is_made(data):
        if data in built or is_remote(out) or (as_folder(out) / data).exists():
            return True
        if Path(data).name in {Path(each).name for each in built}:
            return False
        raise UsageError(
            f"[eval] {task}: data: {data}: the study makes no such dataset, and {out} has none.",
            f"What begins with datasets/ is of the workspace; a folder of yours is ./{data}.",
        )
    if not isinstance(data, str) or data == "flores" or Path(data).expanduser().exists():
        return True
    if not HUB_ID.fullmatch(data) or "/" not in data or places.is_by_language(Path(data).parent):
        raise UsageError(f"[eval] {task}: data: {data}: no such file or folder.", "Paths are from where you are.")
    return True


def _languages_of(adapters: Mapping[Key, Adapter]) -> list[Language]:
    """Return the languages of adapters."""
    codes = ",".join(dict.fromkeys(key.language for key in adapters))
    return parse(codes) if codes else []


def _sets(task: Any, data: str | None, language: Language) -> list[str | None]:
    """Return the sets of a task that a folder has for a language; None stands for the one on the Hub."""
    if data is None or not Path(data).exists():
        return [data]
    return [str(folder) for folder in folders_of(task, Path(data), language)]


def _filled(options: Mapping[str, Any], config: GridConfig, language: Language, source: str) -> dict[str, Any]:
    """Put a job's own words into texts."""
    words = {"lang": language.code, "flores": language.flores or "", "source": source, "workspace": config.out}

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            for word, meant in words.items():
                value = value.replace(f"{{{word}}}", meant)
            return value
        return [fill(each) for each in value] if isinstance(value, list) else value

    return {key: fill(value) for key, value in options.items()}


def identity(job: Job) -> str:
    """Return the hash of all that shapes what a job makes. Of local files it is their size and time, to be quick."""
    shaping = {key: value for key, value in job.settings.items() if key not in _IDENTITY_IS_NOT}
    given = [
        each for key in _FILES & shaping.keys() for each in places.listed(shaping[key]) if not places.is_made(each)
    ]
    files = sorted(_stat(Path(each)) for each in given if Path(each).exists())
    return fingerprint([job.kind, dict(job.labels), shaping, files, sorted(job.needs)])[:16]


def _stat(path: Path) -> list[Any]:
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [[each.name, each.stat().st_size, each.stat().st_mtime_ns] for each in found if each.is_file()]
