"""The pipeline of `lrltrain prompt`: query a language model about test sets, and store one run for each."""

import asyncio
import contextlib
import re
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.language import parse
from lrldata.manifest import file_entry, made_with
from lrldata.output import note
from lrldata.progress import Progress
from lrltrain.evaluation.items import sample
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.record import Run, earlier_run, exclusive, find_run, folder_of, write_run
from lrltrain.evaluation.tasks import check_apart
from lrltrain.prompting.answers import label_in
from lrltrain.prompting.bill import ENDINGS, bill, count_endings, priced
from lrltrain.prompting.cache import key_of, open_answers
from lrltrain.prompting.config import PromptConfig
from lrltrain.prompting.endpoint import REFUSED, Endpoint, ask_all, find_endpoint
from lrltrain.prompting.examples import TestSet, draw, open_test_sets
from lrltrain.prompting.recorded import find_recorded, match, read_recorded, reread
from lrltrain.prompting.template import Prompts, Template, open_template


@dataclass(frozen=True)
class PromptJob:
    """A prompting job: a test set with its prompts, the selected items, and the file for an endpoint's answers."""

    test: TestSet
    prompts: Prompts
    places: tuple[int, ...]
    texts: tuple[str, ...]
    gold: tuple[str, ...]
    answers: Path

    @property
    def name(self) -> str:
        """Return the name shown in progress and notes."""
        return f"{self.test.language.code} {self.test.name}"


@dataclass(frozen=True)
class Outcome:
    """The predicted labels, None if an answer names none; the full answers, if any; and `more` fields for the manifest.

    `columns` and `scores` come from the other rules for reading recorded answers; `circumstances` are for run.json.
    """

    predicted: list[str | None]
    answers: list[str] | None
    more: dict[str, Any]
    columns: Mapping[str, pl.Series] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    circumstances: Mapping[str, Any] = field(default_factory=dict)


def prompt(config: PromptConfig, progress: Progress) -> list[Run]:
    """Prompt a model about the test sets of each language. Finished runs are reused. Raises LrlError."""
    jobs = open_jobs(config)
    if config.answers:
        return _score_recorded(config, config.answers, jobs)
    return _query_endpoint(config, jobs, progress) if config.endpoint else _run_locally(config, jobs, progress)


def open_jobs(config: PromptConfig) -> list[PromptJob]:
    """Read the template and the test sets of all languages, before any request is sent. Raises LrlError."""
    own = config.labels == "data"
    template = open_template(config.template, config.task, own_labels=own)
    languages = parse(config.lang)
    check_apart(config.data, config.task, languages, "test")
    return [
        _prepare(config, template, test)
        for language in languages
        for test in open_test_sets(config.data, config.task, language, config.shots, own_labels=own)
    ]


def requests_of(config: PromptConfig, endpoint: Endpoint, job: PromptJob) -> list[dict[str, Any]]:
    """Return the request to an endpoint for each text."""
    body = config.request()
    if endpoint.form == "chat":
        return [body | {"messages": job.prompts.chat(text)} for text in job.texts]
    return [body | {"prompt": job.prompts.completion(text)} for text in job.texts]


def _prepare(config: PromptConfig, template: Template, test: TestSet) -> PromptJob:
    if test.own is not None:
        template = template.for_labels(test.own, given=config.template is not None)
    shots = draw(test.train, test.test, config.shots, config.seed)
    places = sample(len(test.test), config.limit)
    items = [test.test[place] for place in places]
    folder = re.sub(r"[^\w-]+", "-", config.model.rstrip("/").rsplit("/", maxsplit=1)[-1])
    return PromptJob(
        test,
        Prompts(template, test.language.name, tuple(shots)),
        tuple(places),
        tuple(example.text for example in items),
        tuple(example.label for example in items),
        config.cache / "answers" / folder / f"{config.task}-{test.name}-{test.language.code}.jsonl",
    )


def _score_recorded(config: PromptConfig, answers: Path, jobs: list[PromptJob]) -> list[Run]:
    """Score recorded answers. All files are located before the first is read."""
    runs: list[Run] = []
    for job, file in zip(jobs, find_recorded(answers, [job.test.language for job in jobs]), strict=True):
        settings = {"answers": file_entry(file, file.parent)}
        recipe = _recipe(config, job, {"id": config.model, "revision": None}, settings, made_with("scikit-learn"))
        run = _find_finished(config, recipe)
        if run is None:
            matched = match(read_recorded(file), job.test, file)
            readings = reread(
                [matched[place] for place in job.places], job.gold, job.prompts.template.labels, config.task
            )
            run = _keep(
                config, job, recipe, Outcome(readings.strict, readings.answers, {}, readings.columns, readings.scores)
            )
        runs.append(run)
    return runs


def _query_endpoint(config: PromptConfig, jobs: list[PromptJob], progress: Progress) -> list[Run]:
    endpoint = find_endpoint(config)
    runs: list[Run] = []
    for job in jobs:
        recipe = _endpoint_recipe(config, endpoint, job)
        run = _find_finished(config, recipe)
        if run is None:
            earlier = _find_earlier(config, recipe)
            outcome = _reread_answers(config, endpoint, job, earlier) if earlier else None
            run = _keep(config, job, recipe, outcome or _ask(config, endpoint, job, progress))
        runs.append(run)
        _note_unfinished(config, job, runs[-1])
    return runs


def _run_locally(config: PromptConfig, jobs: list[PromptJob], progress: Progress) -> list[Run]:
    from lrltrain.prompting.local import find_local, open_local  # noqa: PLC0415 -- imports torch, which an endpoint does not need

    local, settings = find_local(config)
    libraries = made_with("scikit-learn", "tokenizers", "torch", "transformers")
    model = None
    runs: list[Run] = []
    for job in jobs:
        recipe = _recipe(config, job, local.base.as_json(), settings, libraries) | local.adapter_entries(config.shots)
        run = _find_finished(config, recipe)
        with exclusive([] if run else [_folder(config, recipe)]):
            run = run or _find_finished(config, recipe)
            if run is None:
                model = model or open_local(config, local, progress)
                started = time.perf_counter()
                predicted, tokens, cut = model.classify(job.name, job.prompts, job.texts, progress)
                time_taken = {"seconds": round(time.perf_counter() - started, 3)}
                counts = {"tokens": {"prompt": tokens, "completion": 0}, "cost": None, "cut": cut}
                run = _keep(config, job, recipe, Outcome(predicted, None, counts, circumstances=time_taken))
        if run.manifest.get("cut"):
            note(f"{job.name}: truncated {run.manifest['cut']:,} of {len(job.texts):,} texts: see --max-length.")
        runs.append(run)
    return runs


def _recipe(
    config: PromptConfig,
    job: PromptJob,
    base: Mapping[str, Any],
    settings: Mapping[str, Any],
    libraries: dict[str, str],
) -> dict[str, Any]:
    """Return everything that determines a run, in the form of its manifest."""
    return {
        "task": config.task,
        "language": job.test.language.code,
        "data": job.test.provenance,
        "base": dict(base),
        "adapter": None,
        "method": f"prompt-{config.shots}",
        "source": None,
        "settings": config.shaping() | dict(settings) | {"template": job.prompts.template.as_json()},
        "made_with": libraries,
    }


def _endpoint_recipe(config: PromptConfig, endpoint: Endpoint, job: PromptJob) -> dict[str, Any]:
    request = {name: value for name, value in config.request().items() if name != "model"}
    settings = {"endpoint": endpoint.url, "request": request}
    return _recipe(config, job, {"id": config.model, "revision": None}, settings, made_with("scikit-learn"))


def has_answers(config: PromptConfig, endpoint: Endpoint, job: PromptJob) -> bool:
    """Return whether a run has the answers to all requests of a job."""
    run = _find_earlier(config, _endpoint_recipe(config, endpoint, job))
    return run is not None and not run.predictions["answer"].null_count()


def _folder(config: PromptConfig, recipe: Mapping[str, Any]) -> Path:
    return folder_of(config.out, recipe, (recipe["adapter"] or {}).get("name") or recipe["method"])


def _find_finished(config: PromptConfig, recipe: Mapping[str, Any]) -> Run | None:
    """Return the finished run, if any. If prices changed, return None: its answers are then priced again."""
    run = None if config.overwrite else find_run(_folder(config, recipe), recipe)
    if run is not None and config.prices and run.manifest.get("prices") != config.prices:
        return None
    return run


def _find_earlier(config: PromptConfig, recipe: Mapping[str, Any]) -> Run | None:
    """Return a run with the same requests, but by other versions or with other prices: its answers were paid for."""
    folder = _folder(config, recipe).resolve()
    return None if config.overwrite else find_run(folder, recipe) or earlier_run(folder, recipe)


def _ask(config: PromptConfig, endpoint: Endpoint, job: PromptJob, progress: Progress) -> Outcome:
    """Query an endpoint about all texts, and extract the labels from its answers."""
    requests = requests_of(config, endpoint, job)
    keys = [key_of(endpoint.url, request, config.draw) for request in requests]
    with open_answers(job.answers) as stored:
        missing = len({key for key in keys if stored.get(key) is None})
        with progress.steps(f"Asking about {job.name}", missing) as (advance, _):
            _run_coroutine(ask_all(endpoint, requests, stored, config, lambda done: advance(done, "")))
        answers = [answer for key in keys if (answer := stored.get(key)) is not None]
    texts = ["" if answer.finish in REFUSED else answer.text for answer in answers]  # may end before its label
    details = bill(dict(zip(keys, answers, strict=True)), config.prices) | count_endings(answers)
    return Outcome(_labels_in(texts, endpoint, job), texts, details)


def _reread_answers(config: PromptConfig, endpoint: Endpoint, job: PromptJob, run: Run) -> Outcome | None:
    """Extract the labels again from the answers of an earlier run, and price them."""
    table = run.predictions
    if "answer" not in table.columns or table["answer"].null_count():
        return None
    answers = table["answer"].to_list()
    details = {key: run.manifest[key] for key in ("tokens", "cost", "prices", *ENDINGS) if key in run.manifest}
    if config.prices:
        details |= priced(details.get("tokens"), config.prices)
    note(f"{job.name}: reusing the answers of an earlier run. --overwrite ignores that run.")
    return Outcome(_labels_in(answers, endpoint, job), answers, details)


def _labels_in(answers: Sequence[str], endpoint: Endpoint, job: PromptJob) -> list[str | None]:
    labels, one_line = job.prompts.template.labels, endpoint.form == "completion"
    return [label_in(answer, labels, one_line=one_line) for answer in answers]


def _run_coroutine(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine; if this thread already has an event loop, as in a notebook, run it in a separate thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
        return
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)
    with ThreadPoolExecutor(1) as pool, contextlib.closing(loop):
        future = pool.submit(loop.run_until_complete, task)
        try:
            future.result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            wait([future])
            raise


def _note_unfinished(config: PromptConfig, job: PromptJob, run: Run) -> None:
    """Print how many answers were cut off, are empty or were refused."""
    unfinished, empty, refused = (run.manifest.get(name, 0) for name in ("unfinished", "empty", "refused"))
    if refused:
        note(f"{job.name}: the endpoint refuses {refused:,} of {len(job.texts):,} texts, which count as wrong.")
    if unfinished or empty:
        request = config.request()
        if completion := request.get("max_completion_tokens"):  # set by --extra
            limit = f"max_completion_tokens = {completion}"
        else:
            limit = f"--max-tokens {request['max_tokens']}" if request.get("max_tokens") else "the server's limit"
        note(
            f"{job.name}: {unfinished:,} of {len(job.texts):,} answers end at {limit}, and {empty:,} are empty. "
            "A model that thinks first needs more tokens, or thinking disabled with --extra."
        )


def _keep(config: PromptConfig, job: PromptJob, recipe: Mapping[str, Any], outcome: Outcome) -> Run:
    """Write a run. The full answer next to each prediction shows why a prediction is invalid."""
    numbers = job.test.numbers
    predictions = pl.DataFrame(
        {
            "item": [numbers[place] for place in job.places] if numbers else job.places,
            "gold": job.gold,
            "predicted": outcome.predicted,
        },
        schema={"item": pl.Int64, "gold": pl.String, "predicted": pl.String},
    )
    if outcome.answers is not None:
        predictions = predictions.with_columns(answer=pl.Series(outcome.answers, dtype=pl.String), **outcome.columns)
    invalid = sum(label is None for label in outcome.predicted) / len(outcome.predicted)
    result = scores(config.task, job.gold, outcome.predicted) | {"invalid": invalid} | dict(outcome.scores)
    return write_run(_folder(config, recipe), recipe, predictions, result, outcome.circumstances, **outcome.more)
