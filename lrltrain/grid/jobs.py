"""The jobs of a study, each with its identity."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from lrldata.conceptnet.config import load_config
from lrldata.errors import LrlError, UsageError
from lrldata.language import Language, parse
from lrldata.layout import DATASETS, adapter_path, dataset_path
from lrldata.manifest import MANIFEST, fingerprint, sha256_of
from lrldata.remote import DEFAULT, as_folder, is_remote, mirror_of
from lrldata.web.bundles import make_bundles
from lrldata.web.config import load_web_config
from lrldata.web.plan import find_input
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.costs import shape_of
from lrltrain.evaluation.record import NONE, PPPL
from lrltrain.evaluation.tasks import folders_of
from lrltrain.grid.config import Evals, Fits, GridConfig, Source, TaskName, as_lang
from lrltrain.grid.identity import identity
from lrltrain.grid.inputs import has_data, has_text, local
from lrltrain.grid.job import Job
from lrltrain.grid.models import Model, models_of
from lrltrain.grid.places import INPUT_SETTINGS, is_made

SHARD_JOBS = "shard_jobs"  # of [build.glotcc]: one job per file, before the job that builds the dataset
TRAIN_SEED = "train_seed"  # the label of adapters that are trained with several seeds


class Key(NamedTuple):
    """The key of an adapter; the base model alone has no source."""

    language: str
    source: str
    model: str
    method: str
    variant: str = ""


@dataclass(frozen=True)
class Adapter:
    """The job that makes an adapter, and the tasks that measure it; None means all."""

    job: str
    tasks: Sequence[TaskName] | None


def jobs_of(config: GridConfig) -> list[Job]:
    """Return all jobs of a study, each after the jobs it needs. Raises UsageError, LanguageError, StorageError."""
    languages = parse(config.lang)
    if is_remote(config.out):
        mirror_of(config.out, config.cache).fetch([DATASETS], lambda name: name.endswith(f"/{MANIFEST}"))
    jobs: dict[str, Job] = {}
    builds = {
        key: _add(jobs, replace(build, needs=tuple(_add(jobs, file) for file in files)))
        for key, files, build in _builds(config, languages)
    }
    models = models_of(config.fit)
    adapters = _adapters(config, languages, builds, models, jobs)
    if config.eval:
        for job in _evals(config, config.eval, languages, builds, adapters, models):
            _add(jobs, job)
    if config.push is not None:
        for language in languages:
            labels = {"lang": language.code}
            needs = tuple(job.id for job in jobs.values() if job.labels.get("lang") == language.code)
            # p on cards is corrected for all comparisons in the workspace, as in the report.
            after = tuple(job.id for job in jobs.values() if job.kind == "eval" and job.id not in needs)
            _add(jobs, Job("push", labels, config.push | labels, needs, after=after))
    if config.report and config.eval:
        _add(jobs, Job("report", {}, {}, after=tuple(job.id for job in jobs.values() if job.kind == "eval")))
    return list(jobs.values())


def _add(jobs: dict[str, Job], job: Job) -> str:
    """Set the id of a job, add the job, and return the id."""
    identified = replace(job, id=identity(job))
    jobs.setdefault(identified.id, identified)
    return identified.id


def _out(config: GridConfig) -> Path:
    """Return the folder that builds are planned in. For a remote workspace any will do: each machine has a mirror."""
    return Path(DEFAULT) if is_remote(config.out) else as_folder(config.out)


def _adapters(
    config: GridConfig,
    languages: list[Language],
    builds: Mapping[tuple[str, Source], str],
    models: Mapping[str, Model],
    jobs: dict[str, Job],
) -> dict[Key, Adapter]:
    """Add the jobs of all [[fit]] tables, and return their adapters by key."""
    adapters: dict[Key, Adapter] = {}
    for number, fits in enumerate(config.fit, 1):
        try:
            for job, key in _fits(config, fits, languages, builds, adapters, models):
                adapters[key] = Adapter(_add(jobs, job), fits.tasks)
        except LrlError as error:
            raise type(error)(f"[[fit]] {number}: {error.message}", error.hint) from error
    return adapters


def _builds(config: GridConfig, languages: list[Language]) -> Iterator[tuple[tuple[str, Source], list[Job], Job]]:
    """Yield the language and source of each dataset, the jobs for its files (if it is split), and its build."""
    for source, options in config.build.items():
        for language in languages:
            if source == "web" or source in language.sources:
                build = _build(config, language, source, options)
                if build is not None:
                    yield (language.code, source), _shards(config, build) if options.get(SHARD_JOBS) else [], build


def _build(config: GridConfig, language: Language, source: str, options: Mapping[str, Any]) -> Job | None:
    """Return the build of a dataset; None if the study has no text in the language."""
    labels = {"lang": language.code, "source": source}
    build_options = {key: value for key, value in options.items() if key != SHARD_JOBS}
    settings = _filled({"source": source, **build_options, "lang": language.code}, config, language, source)
    load = load_config if source == "conceptnet" else load_web_config
    try:
        load(None, settings | {"out": _out(config), "cache": config.cache})
        return Job("build", labels, settings) if has_text(settings) else None
    except UsageError as error:
        raise UsageError(f"[build.{source}]: {error.message}", error.hint) from error


def _shards(config: GridConfig, build: Job) -> list[Job]:
    """Return one job per file of web text, local or on the Hub, of a dataset; small files share a job."""
    web = load_web_config(None, {**build.settings, "out": _out(config), "cache": config.cache})
    files, _ = find_input(web, parse(web.lang)[0])
    corpus = fingerprint([file.sha256 for file in files])[:8]
    labels = [{**build.labels, "corpus": corpus, "shard": str(number)} for number in range(len(make_bundles(files)))]
    return [Job("shard", shard_labels, build.settings) for shard_labels in labels]


def _fits(
    config: GridConfig,
    fits: Fits,
    languages: list[Language],
    builds: Mapping[tuple[str, Source], str],
    adapters: Mapping[Key, Adapter],
    models: Mapping[str, Model],
) -> Iterator[tuple[Job, Key]]:
    """Yield the job and the key of each adapter of one table."""
    if "variant" in fits.options:
        raise UsageError(
            "variant: is set by the study, one per seed.",
            "Put the table into a study file of its own, with another `out`.",
        )
    table_languages = parse(as_lang(fits.languages)) if fits.languages else languages
    for language, source, model, method in product(table_languages, fits.sources, fits.models, fits.methods):
        if source != "web" and source not in language.sources:
            continue
        base = models[model]
        for variant, seed_options in fits.variants.items():
            labels = {"lang": language.code, "source": source, "model": base.model, "method": method}
            labels |= {TRAIN_SEED: str(seed_options["seed"])} if variant else {}
            settings = _filled(fits.options, config, language, source) | seed_options
            settings |= {"lang": language.code, "source": source, "base": base.model, "method": method}
            settings |= base.of_fit
            build, has_own = builds.get((language.code, source)), "text" in settings or "dataset" in settings
            lacks_text = build is None and source in config.build and language in languages
            if (lacks_text and not has_own) or not has_text(settings):
                continue
            needs = [build] if build and not has_own else []
            if method == "fusion":
                fused = _fused(adapters, language.code, base.model, fits.fuse, variant)
                needs += [adapters[part].job for part in fused]
                settings["adapters"] = [
                    adapter_path(language.code, base.folder, part.source, fits.fuse, part.variant) for part in fused
                ]
            load_fit_config(None, settings)
            given = {} if build or has_own else _given(config, dataset_path(language.code, source))
            key = Key(language.code, source, base.model, method, variant)
            if key in adapters:
                raise UsageError(
                    f"{' '.join(filter(None, key))} occurs twice, in this table or one above.", "Keep one of them."
                )
            yield Job("fit", labels | base.labels, settings, tuple(needs), given=given), key


def _fused(adapters: Mapping[Key, Adapter], code: str, model: str, method: str, variant: str) -> list[Key]:
    """Return the adapters to fuse, one per source, with the seed of the fusion where there is one."""
    by_source: dict[str, Key] = {}
    for key in adapters:
        if (key.language, key.model, key.method) == (code, model, method) and key.variant in ("", variant):
            by_source[key.source] = max(by_source.get(key.source, key), key, key=lambda candidate: candidate.variant)
    if len(by_source) < 2:
        variants = (key.variant for key in adapters if (key.language, key.model, key.method) == (code, model, method))
        placement = "with the same seeds" if variant or any(variants) else "above it"
        raise UsageError(
            f"a fusion for {code} needs {method} adapters of two sources on {model}.",
            f"Put a [[fit]] table for them {placement}.",
        )
    return list(by_source.values())


def _evals(
    config: GridConfig,
    evals: Evals,
    languages: list[Language],
    builds: Mapping[tuple[str, Source], str],
    adapters: Mapping[Key, Adapter],
    models: Mapping[str, Model],
) -> Iterator[Job]:
    """Yield the jobs that measure each base model and each adapter: one per seed of a task, one for perplexity."""
    by_code = {language.code: language for language in [*languages, *_languages_of(adapters)]}
    built = {dataset_path(*pair) for pair in builds}
    for task in evals.tasks:
        measured = [key for key, adapter in adapters.items() if adapter.tasks is None or task in adapter.tasks]
        bases = dict.fromkeys(Key(key.language, NONE, key.model, NONE) for key in measured if evals.baselines)
        for key in [*bases, *measured]:
            code, source, model, method, variant = key
            language = by_code[code]
            base = models[model]
            labels = {"lang": code, "source": source, "model": model, "method": method, "task": task} | base.labels
            labels |= {TRAIN_SEED: variant.removeprefix("seed-")} if variant else {}
            needs: tuple[str, ...] = (adapters[key].job,) if key in adapters else ()
            settings = _filled(evals.options(task), config, language, source)
            if not has_data(task, settings, language, built, config.out):
                continue
            if key in adapters:
                settings["adapter"] = [adapter_path(code, base.folder, source, method, variant)]
                if task != PPPL and (code, source) in builds:
                    settings["corpus"] = dataset_path(code, source)
            model_options = base.of_eval if key in adapters else base.of_eval_alone
            settings |= {"lang": code, "task": task, "base": model} | model_options
            data_builds = [build for pair, build in builds.items() if settings.get("data") == dataset_path(*pair)]
            needs += tuple(data_builds)
            given = {} if data_builds or not is_made(settings.get("data")) else _given(config, settings["data"])
            if task == PPPL:
                _check_eval(task, settings, evals.own(task))
                yield Job("eval", labels, settings, needs, given=given)
                continue
            if key not in adapters:
                settings["baselines"] = [NONE]
            for data in _datasets_of(task, settings.get("data"), language):
                for seed in evals.seeds:
                    run_settings = settings | {"seeds": [seed]} | ({"data": data} if data else {})
                    _check_eval(task, run_settings, evals.own(task))
                    name = {"data": Path(data).name or Path(data).resolve().name} if data else {}
                    yield Job("eval", labels | name | {"seed": str(seed)}, run_settings, needs, given=given)


def _given(config: GridConfig, dataset: str) -> dict[str, str]:
    """Return the version of a dataset in the workspace that the study does not build, as the hash of its manifest."""
    folder = mirror_of(config.out, config.cache).folder if is_remote(config.out) else _out(config)
    manifest = folder / dataset / MANIFEST
    return {dataset: sha256_of(manifest)} if manifest.is_file() else {}


def _check_eval(task: str, settings: dict[str, Any], own: Collection[str]) -> None:
    """Raise UsageError, naming the table, if `lrltrain eval` would refuse these settings; `own` are in the task's."""
    try:
        load_eval_config(None, settings, own)
    except UsageError as error:
        raise UsageError(f"[eval], {task}: {error.message}", error.hint) from error
    if task != PPPL and shape_of(settings["base"]).decoder:
        message = f"[eval] {task}: {settings['base']} is a decoder, and tasks cannot be trained on decoders."
        raise UsageError(message, 'Put tasks = ["pppl"] into its [[fit]] table; use `lrltrain prompt` for decoders.')


def _languages_of(adapters: Mapping[Key, Adapter]) -> list[Language]:
    """Return the languages of the adapters."""
    codes = ",".join(dict.fromkeys(key.language for key in adapters))
    return parse(codes) if codes else []


def _datasets_of(task: Any, data: str | None, language: Language) -> list[str | None]:
    """Return the datasets of a task that a folder has for a language; None stands for the default on the Hub."""
    folder = None if data is None else local(data)
    if folder is None or not folder.exists():
        return [data]
    return [str(part) for part in folders_of(task, folder, language)]


def _filled(options: Mapping[str, Any], config: GridConfig, language: Language, source: str) -> dict[str, Any]:
    """Replace the placeholders in string options by the values of a job.

    What other jobs make in the workspace gets its path there, so that it is an input of the job wherever that is.
    """
    values = {"lang": language.code, "flores": language.flores or "", "source": source, "workspace": config.out}

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            for name, replacement in values.items():
                value = value.replace(f"{{{name}}}", replacement)
            return value
        return [fill(item) for item in value] if isinstance(value, list) else value

    def in_workspace(value: Any) -> Any:
        if isinstance(value, list):
            return [in_workspace(item) for item in value]
        relative = value.removeprefix("{workspace}/") if isinstance(value, str) else value
        return relative if is_made(relative) else value

    return {key: fill(in_workspace(value) if key in INPUT_SETTINGS else value) for key, value in options.items()}
