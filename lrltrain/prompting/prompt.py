"""The pipeline of `lrltrain prompt`: ask a language model about test sets, and keep what it says as a run for each."""

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
from lrldata.workspace import source_of_adapter
from lrltrain.evaluation.items import sample
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.record import Run, earlier_run, find_run, folder_of, write_run
from lrltrain.evaluation.tasks import check_apart
from lrltrain.prompting.answers import label_in
from lrltrain.prompting.cache import Answer, key_of, open_answers
from lrltrain.prompting.config import PromptConfig
from lrltrain.prompting.endpoint import REFUSED, Endpoint, ask_all, find_endpoint
from lrltrain.prompting.examples import TestSet, draw, open_test_sets
from lrltrain.prompting.recorded import find_recorded, match, read_recorded, reread
from lrltrain.prompting.template import Prompts, Template, open_template
from lrltrain.reporting.tables import WITH

_COUNTED = ("unfinished", "refused", "empty")  # of answers; see _ended


@dataclass(frozen=True)
class Asked:
    """A test set with its prompts, the places of what is asked about, and the file of an endpoint's answers."""

    test: TestSet
    prompts: Prompts
    places: tuple[int, ...]
    texts: tuple[str, ...]
    gold: tuple[str, ...]
    answers: Path

    @property
    def name(self) -> str:
        """Return what to call it while it is being asked about."""
        return f"{self.test.language.code} {self.test.name}"


@dataclass(frozen=True)
class Outcome:
    """Labels of all texts, None where there is none; answers in full where they are texts; and what else was found out.

    `columns` and `scores` are of the other rules by which recorded answers are read.
    """

    predicted: list[str | None]
    answers: list[str] | None
    more: dict[str, Any]
    columns: Mapping[str, pl.Series] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


def prompt(config: PromptConfig, progress: Progress) -> list[Run]:
    """Prompt a model about the test sets of each language; a run that is finished is read again. Raises LrlError."""
    asked = open_asked(config)
    if config.answers:
        return _of_record(config, config.answers, asked)
    return _through_endpoint(config, asked, progress) if config.endpoint else _on_this_machine(config, asked, progress)


def open_asked(config: PromptConfig) -> list[Asked]:
    """Read template and test sets of all languages, before anything is asked. Raises LrlError."""
    own = config.labels == "data"
    template = open_template(config.template, config.task, own_labels=own)
    languages = parse(config.lang)
    check_apart(config.data, config.task, languages, "test")
    return [
        _asked(config, template, test)
        for language in languages
        for test in open_test_sets(config.data, config.task, language, config.shots, own_labels=own)
    ]


def requests_of(config: PromptConfig, endpoint: Endpoint, asked: Asked) -> list[dict[str, Any]]:
    """Return what is sent to an endpoint for each text."""
    said = config.request()
    if endpoint.form == "chat":
        return [said | {"messages": asked.prompts.chat(text)} for text in asked.texts]
    return [said | {"prompt": asked.prompts.completion(text)} for text in asked.texts]


def cost_of(prices: list[float], read: float, written: float) -> float:
    """Return what tokens cost, at prices for each million."""
    return round((prices[0] * read + prices[1] * written) / 1e6, 6)


def _asked(config: PromptConfig, template: Template, test: TestSet) -> Asked:
    if test.own is not None:
        template = template.for_labels(test.own, given=config.template is not None)
    shots = draw(test.train, test.test, config.shots, config.seed)
    places = sample(len(test.test), config.limit)
    tested = [test.test[place] for place in places]
    folder = re.sub(r"[^\w-]+", "-", config.model.rstrip("/").rsplit("/", maxsplit=1)[-1])
    return Asked(
        test,
        Prompts(template, test.language.name, tuple(shots)),
        tuple(places),
        tuple(example.text for example in tested),
        tuple(example.label for example in tested),
        config.cache / "answers" / folder / f"{config.task}-{test.name}-{test.language.code}.jsonl",
    )


def _of_record(config: PromptConfig, answers: Path, asked: list[Asked]) -> list[Run]:
    """Score answers that exist; all files are found before the first is read."""
    runs: list[Run] = []
    for each, file in zip(asked, find_recorded(answers, [each.test.language for each in asked]), strict=True):
        base = {"id": config.model, "revision": None}
        settings = {"answers": file_entry(file, file.parent)}
        recipe = _recipe(config, each, base, settings, made_with("scikit-learn"))
        run = _finished(config, recipe)
        if run is None:
            told = match(read_recorded(file), each.test, file)
            read = reread([told[place] for place in each.places], each.gold, each.prompts.template.labels, config.task)
            run = _keep(config, each, recipe, Outcome(read.strict, read.answers, {}, read.columns, read.scores))
        runs.append(run)
    return runs


def _through_endpoint(config: PromptConfig, asked: list[Asked], progress: Progress) -> list[Run]:
    endpoint = find_endpoint(config)
    request = {name: value for name, value in config.request().items() if name != "model"}
    runs: list[Run] = []
    for each in asked:
        settings = {"endpoint": endpoint.url, "request": request}
        recipe = _recipe(config, each, {"id": config.model, "revision": None}, settings, made_with("scikit-learn"))
        run = _finished(config, recipe)
        if run is None:
            home = _folder(config, recipe).resolve()
            before = None if config.overwrite or find_run(home, recipe) else earlier_run(home, recipe)
            given = _read_again(config, endpoint, each, before) if before else None
            run = _keep(config, each, recipe, given or _ask(config, endpoint, each, progress))
        runs.append(run)
        _note_unfinished(config, each, runs[-1])
    return runs


def _on_this_machine(config: PromptConfig, asked: list[Asked], progress: Progress) -> list[Run]:
    from lrltrain.prompting.local import find_local, open_local  # noqa: PLC0415 -- torch: an endpoint does without

    found, settings = find_local(config)
    more = {"adapter": found.adapter, **_method_of(config, found.manifest)} if found.adapter else {}
    libraries = made_with("scikit-learn", "tokenizers", "torch", "transformers")
    model = None
    runs: list[Run] = []
    for each in asked:
        recipe = _recipe(config, each, found.base.as_json(), settings, libraries) | more
        run = _finished(config, recipe)
        if run is None:
            model = model or open_local(config, found, progress)
            began = time.perf_counter()
            predicted, tokens, cut = model.classify(each.name, each.prompts, each.texts, progress)
            seconds = round(time.perf_counter() - began, 3)
            counts = {"tokens": {"prompt": tokens, "completion": 0}, "cost": None, "cut": cut, "seconds": seconds}
            run = _keep(config, each, recipe, Outcome(predicted, None, counts))
        if run.manifest.get("cut"):
            note(f"note: {each.name}: {run.manifest['cut']:,} of {len(each.texts):,} texts are cut: see --max-length.")
        runs.append(run)
    return runs


def _recipe(
    config: PromptConfig, asked: Asked, base: Mapping[str, Any], settings: Mapping[str, Any], libraries: dict[str, str]
) -> dict[str, Any]:
    """Return all that shapes a run, as its manifest has it."""
    return {
        "task": config.task,
        "language": asked.test.language.code,
        "data": asked.test.provenance,
        "base": dict(base),
        "adapter": None,
        "method": f"prompt-{config.shots}",
        "source": None,
        "settings": config.shaping() | dict(settings) | {"template": asked.prompts.template.model_dump()},
        "made_with": libraries,
    }


def _method_of(config: PromptConfig, manifest: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how a prompted model with an adapter is named in tables, as prompt-0+lora, and of which source it is."""
    if manifest is None or config.adapter is None:
        return {}
    method = f"prompt-{config.shots}{WITH}{manifest['method']}"
    return {"method": method, "source": source_of_adapter(config.adapter.resolve().name, manifest)}


def _folder(config: PromptConfig, recipe: Mapping[str, Any]) -> Path:
    return folder_of(config.out, recipe, (recipe["adapter"] or {}).get("name") or recipe["method"])


def _finished(config: PromptConfig, recipe: Mapping[str, Any]) -> Run | None:
    """Return a run that was done before. At other prices it is counted again, from the answers that are kept."""
    run = None if config.overwrite else find_run(_folder(config, recipe), recipe)
    if run is not None and config.prices and run.manifest.get("prices") != config.prices:
        return None
    return run


def _ask(config: PromptConfig, endpoint: Endpoint, asked: Asked, progress: Progress) -> Outcome:
    """Ask an endpoint about all texts, and read the labels out of its answers."""
    requests = requests_of(config, endpoint, asked)
    keys = [key_of(endpoint.url, request, config.draw) for request in requests]
    with open_answers(asked.answers) as kept:
        missing = len({key for key in keys if kept.get(key) is None})
        with progress.steps(f"Asking about {asked.name}", missing) as (advance, _):
            _run(ask_all(endpoint, requests, kept, config, lambda done: advance(done, "")))
        answers = [answer for key in keys if (answer := kept.get(key)) is not None]
    predicted = _labels_in([answer.text for answer in answers], endpoint, asked)
    more = _bill(dict(zip(keys, answers, strict=True)), config) | _ended(answers)
    return Outcome(predicted, [answer.text for answer in answers], more)


def _read_again(config: PromptConfig, endpoint: Endpoint, asked: Asked, run: Run) -> Outcome | None:
    """Read the labels out of answers that a run before an upgrade holds: they were paid for."""
    table = run.predictions
    if "answer" not in table.columns or table["answer"].null_count():
        return None
    answers = table["answer"].to_list()
    told = {key: run.manifest[key] for key in ("tokens", "cost", "prices", *_COUNTED) if key in run.manifest}
    if (tokens := told.get("tokens")) and config.prices:
        told |= {"cost": cost_of(config.prices, tokens["prompt"], tokens["completion"]), "prices": config.prices}
    note(f"note: {asked.name}: the answers of a run by other versions are read again. --overwrite asks again.")
    return Outcome(_labels_in(answers, endpoint, asked), answers, told)


def _labels_in(answers: Sequence[str], endpoint: Endpoint, asked: Asked) -> list[str | None]:
    labels, one_line = asked.prompts.template.labels, endpoint.form == "completion"
    return [label_in(answer, labels, one_line=one_line) for answer in answers]


def _run(asking: Coroutine[Any, Any, None]) -> None:
    """Run it; where a loop runs in this thread already, as in a notebook, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(asking)
        return
    loop = asyncio.new_event_loop()
    task = loop.create_task(asking)
    with ThreadPoolExecutor(1) as pool, contextlib.closing(loop):
        ended = pool.submit(loop.run_until_complete, task)
        try:
            ended.result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            wait([ended])
            raise


def _ended(answers: Sequence[Answer]) -> dict[str, Any]:
    """Count the answers that ended at the limit of tokens, and the empty ones: the model may think first."""
    return {
        "unfinished": sum(answer.finish == "length" for answer in answers),
        "refused": sum(answer.finish in REFUSED for answer in answers),
        "empty": sum(not answer.text.strip() for answer in answers),
    }


def _note_unfinished(config: PromptConfig, asked: Asked, run: Run) -> None:
    """Say of how many answers the end, where the label may stand, was not waited for, and how many were refused."""
    unfinished, empty, refused = (run.manifest.get(name, 0) for name in ("unfinished", "empty", "refused"))
    if refused:
        note(
            f"note: {asked.name}: the endpoint refuses {refused:,} of {len(asked.texts):,} texts, which count as wrong."
        )
    if unfinished or empty > refused:
        request = config.request()
        named = next((name for name in ("max_completion_tokens", "max_tokens") if request.get(name)), "max_tokens")
        limit = f"--{named.replace('_', '-')} {request.get(named) or ''}".strip()
        told = f"{unfinished:,} of {len(asked.texts):,} answers end at {limit}"
        note(
            f"note: {asked.name}: {told}, and {empty - refused:,} are empty. A model that thinks first needs more "
            "tokens, or thinking switched off with --extra."
        )


def _bill(answers: Mapping[str, Answer], config: PromptConfig) -> dict[str, Any]:
    """Count the tokens of all answers, each call once, and what they cost; None where the endpoint does not count."""
    read = [answer.prompt_tokens for answer in answers.values()]
    written = [answer.completion_tokens for answer in answers.values()]
    if None in read or None in written:
        return {"tokens": None, "cost": None, "prices": config.prices}
    tokens = {"prompt": sum(filter(None, read)), "completion": sum(filter(None, written))}
    cost = cost_of(config.prices, tokens["prompt"], tokens["completion"]) if config.prices else None
    return {"tokens": tokens, "cost": cost, "prices": config.prices}


def _keep(config: PromptConfig, asked: Asked, recipe: Mapping[str, Any], outcome: Outcome) -> Run:
    """Write a run, with the answer in full beside each prediction, so that it can be seen why one is invalid."""
    predictions = pl.DataFrame(
        {"item": asked.places, "gold": asked.gold, "predicted": outcome.predicted},
        schema={"item": pl.Int64, "gold": pl.String, "predicted": pl.String},
    )
    if outcome.answers is not None:
        predictions = predictions.with_columns(answer=pl.Series(outcome.answers, dtype=pl.String), **outcome.columns)
    invalid = sum(label is None for label in outcome.predicted) / len(outcome.predicted)
    result = scores(config.task, asked.gold, outcome.predicted) | {"invalid": invalid} | dict(outcome.scores)
    return write_run(_folder(config, recipe), recipe, predictions, result, **outcome.more)
