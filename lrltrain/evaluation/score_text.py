"""The pipeline of `lrltrain eval --task pppl`: measure a base model with and without adapters, and keep the results."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from lrldata.errors import InputError, ModelError, UsageError
from lrldata.folder import lock, refuse_foreign_files, replaced
from lrldata.language import Language, find, find_recorded
from lrldata.layout import score_path
from lrldata.manifest import (
    MANIFEST,
    SCORES,
    as_written,
    file_entry,
    fingerprint,
    is_unchanged,
    made_with,
    sealed,
    write_json,
    write_manifest,
)
from lrldata.output import note, warn
from lrldata.progress import Progress
from lrldata.versions import is_other_version
from lrltrain.artifact import LanguageAdapter, open_language_adapter
from lrltrain.config import EvalConfig, Objective
from lrltrain.evaluation.bootstrap import interval, ratio
from lrltrain.evaluation.likelihoods import SCORES_FILE, SENTENCES_FILE, Likelihoods, read_likelihoods, statistic_of
from lrltrain.evaluation.pseudo_perplexity import likelihoods
from lrltrain.evaluation.record import NONE, PPPL
from lrltrain.evaluation.sentences import Sentences, open_sentences
from lrltrain.evaluation.statistics import Interval
from lrltrain.memory import SMALLER, within_memory
from lrltrain.methods import load_adapted
from lrltrain.models import MINI, Base, check_length, find_base, load_model, load_tokenizer, longest_input
from lrltrain.names import base_name
from lrltrain.precision import dtype_for, note_if_slow, precision_of
from lrltrain.tokens import UNKNOWN

OWN = {MANIFEST, SCORES_FILE, SENTENCES_FILE}  # the files in a folder of scores
LONGEST: Mapping[Objective, int] = {"mlm": 512, "clm": 4_096}  # tokens; an encoder takes a pass for each of them
UNREAD = "so this perplexity is not comparable with others"


@dataclass(frozen=True)
class Score:
    """Perplexity of one model on one text: with the adapter and, if there is one, without it, and their ratio."""

    language: str
    base: str
    adapter: str | None
    method: str
    metric: str
    data: str
    sentences: int
    after: Interval
    before: Interval | None
    ratio: Interval | None
    bits_per_character: float | None
    path: Path

    def as_json(self) -> dict[str, Any]:
        """Return the score as JSON-like values."""
        return asdict(self) | {"path": str(self.path)}


@dataclass(frozen=True)
class StoredLikelihoods:
    """A folder of scores, with the likelihoods in it."""

    folder: Path
    values: Likelihoods


def score_text(config: EvalConfig, progress: Progress) -> list[Score]:
    """Measure each adapter and its base model; earlier measurements with the same settings are only read.

    Raises LrlError.
    """
    scores: list[Score] = []
    outdated: list[str] = []
    if not config.adapter:
        scores.append(_score_base(config, progress))
    for folder in config.adapter:
        adapter = open_language_adapter(folder)
        base = base_of(adapter.manifest, config)
        language = find(config.lang) if config.lang else find_recorded(adapter.manifest["language"])
        text = open_sentences(config.text_data, language, config.limit)
        if _may_be_trained_on(text, language, adapter):
            outdated.append(adapter.name)
        before = _measure(config, language.code, base, None, text, progress)
        after = _measure(config, language.code, base, adapter, text, progress)
        scores.append(_score(config, language.code, base, adapter, text, after, before))
        _write_scores(scores[-1], after)
    if outdated:
        warn(
            f"{config.data} has other rows than the version that {', '.join(outdated)} was trained on, so its "
            "test split may contain training lines. Train again, or measure on other text."
        )
    return scores


def _may_be_trained_on(text: Sentences, language: Language, adapter: LanguageAdapter) -> bool:
    """Return whether a test split is of another version of the dataset that an adapter was trained on.

    A line may be in the training split of one version and in the test split of another.
    """
    is_own = text.origin["kind"] == "dataset" and language.code == adapter.language
    return is_own and is_other_version({"name": text.name, **text.origin}, adapter.manifest["inputs"])


def _score_base(config: EvalConfig, progress: Progress) -> Score:
    if config.lang is None:
        raise UsageError("No language given.", "Use --lang CODE with --base.")
    language = find(config.lang)
    base = find_base(config.base or MINI, config.base_revision, config.base_id)
    text = open_sentences(config.text_data, language, config.limit)
    measured = _measure(config, language.code, base, None, text, progress)
    score = _score(config, language.code, base, None, text, measured, None)
    _write_scores(score, measured)
    return score


def base_of(manifest: Mapping[str, Any], config: EvalConfig) -> Base:
    """Find the base model that an adapter was trained on."""
    trained_on = manifest["base"]
    if config.base is None and trained_on["revision"] is None and trained_on["id"] != MINI:
        raise ModelError(
            f"the base model {trained_on['id']} was a local folder when the adapter was trained.",
            "Name it with --base FOLDER.",
        )
    name = config.base or trained_on["id"]
    is_same = name == trained_on["id"] and not Path(name).is_dir()  # a folder may have the path of an id
    revision = config.base_revision or (trained_on["revision"] if is_same else None)
    return find_base(name, revision, config.base_id or trained_on["id"], trained_on["objective"])


def _measure(
    config: EvalConfig,
    language: str,
    base: Base,
    adapter: LanguageAdapter | None,
    text: Sentences,
    progress: Progress,
) -> StoredLikelihoods:
    """Measure one model on one text, or read an earlier measurement."""
    formula = config.formula if base.objective == "mlm" else "perplexity"
    # Recorded for decoders, as earlier versions cut their texts at 512 tokens and scored unknown tokens.
    is_decoder = base.objective == "clm"
    max_length = config.max_length or (LONGEST["clm"] if is_decoder else None)
    rule = {"unknown_tokens": "not scored"} if is_decoder else {}
    recipe = {
        "task": PPPL,
        "data": text.provenance,
        "base": base.as_json(),
        "adapter": adapter.as_json() if adapter else None,
        "settings": {"formula": formula, "max_length": max_length, "precision": precision_of(config.precision)} | rule,
        "made_with": made_with("transformers", "tokenizers", "torch"),
    }
    name = adapter.name if adapter else "base"
    measure = f"{PPPL}-{text.name}-{formula}-{fingerprint(recipe)[:8]}"
    folder = config.out / score_path(language, base_name(base.id), name, measure)
    home = folder.resolve()
    with lock(home, to_read=True):
        refuse_foreign_files(home, OWN.__contains__, "a score")
        if config.overwrite or not is_unchanged(home, SCORES, fingerprint(recipe)):
            values = _likelihoods(config, base, adapter, text, progress)
            with replaced(home, OWN.__contains__, "a score") as partial:
                _write_likelihoods(partial, text, values, recipe)
    measured = read_likelihoods(home)
    if not len(measured.tokens):
        raise InputError(f"{text.name}: no sentence has a token that is in the model's vocabulary.", "Check --data.")
    return StoredLikelihoods(folder, measured)


def _likelihoods(
    config: EvalConfig,
    base: Base,
    adapter: LanguageAdapter | None,
    text: Sentences,
    progress: Progress,
) -> Likelihoods:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    note_if_slow(config.precision)
    precision = precision_of(config.precision)
    dtype = dtype_for(base.objective, precision)
    tokenizer = load_tokenizer(base)
    model = load_adapted(adapter.folder, adapter.manifest, base, dtype) if adapter else load_model(base, dtype)
    check_length(config.max_length, model, base.id)
    measuring = progress.steps(f"Measuring {adapter.name if adapter else base.id}", len(text.sentences))
    with within_memory(SMALLER), measuring as (advance, _):
        return likelihoods(
            model.to(device).eval(),
            tokenizer,
            text.sentences,
            base.objective,
            formula=config.formula,
            max_length=config.max_length or int(min(LONGEST[base.objective], longest_input(model))),
            batch_tokens=config.batch_tokens,
            precision=precision,
            advance=lambda done: advance(done, ""),
        )


def _write_likelihoods(folder: Path, text: Sentences, values: Likelihoods, recipe: Mapping[str, Any]) -> None:
    if not np.isfinite(values.log_likelihood).all():
        model = recipe["base"]["id"]
        raise ModelError(
            f"{model}: a sentence of {text.name} has a likelihood that is not a number.", "Try --precision fp32."
        )
    if values.cut:
        note(f"{values.cut:,} of {len(text.sentences):,} sentences exceed --max-length and are truncated.")
    if values.unknown >= UNKNOWN:
        model = recipe["base"]["id"]
        warn(f"{values.unknown:.0%} of the tokens of {text.name} are unknown to {model}, {UNREAD}.")
    table = pl.DataFrame(
        {
            "sentence": text.sentences,
            "log_likelihood": values.log_likelihood,
            "tokens": values.tokens,
            "characters": values.characters,
        }
    )
    with (folder / SENTENCES_FILE).open("wb") as stream:  # polars accepts no path that is not UTF-8
        table.write_parquet(stream, compression="zstd", statistics=False)
    outputs = [file_entry(folder / SENTENCES_FILE, folder)]
    more = {
        "recipe": fingerprint(recipe),
        "text": text.origin | {"cut": values.cut, "unknown": values.unknown},
        "outputs": outputs,
    }
    write_manifest(folder / MANIFEST, SCORES, {**recipe, **more})


def _score(
    config: EvalConfig,
    language: str,
    base: Base,
    adapter: LanguageAdapter | None,
    text: Sentences,
    after: StoredLikelihoods,
    before: StoredLikelihoods | None,
) -> Score:
    statistic = statistic_of(config.formula if base.objective == "mlm" else "perplexity")
    options = (statistic, config.resamples, config.seed)
    characters = after.values.characters.sum()
    return Score(
        language,
        base.id,
        adapter.name if adapter else None,
        adapter.method if adapter else NONE,
        f"pseudo-perplexity ({config.formula})" if base.objective == "mlm" else "perplexity",
        f"{text.name} {text.split}",
        len(after.values.tokens),
        interval(after.values, *options),
        interval(before.values, *options) if before else None,
        ratio(after.values, before.values, *options) if before else None,
        float(-after.values.log_likelihood.sum() / np.log(2) / characters) if characters else None,
        after.folder,
    )


def _write_scores(score: Score, measured: StoredLikelihoods) -> None:
    """Write the scores for people; the manifest only covers the likelihoods, from which they can be computed again."""
    file, contents = measured.folder / SCORES_FILE, sealed(score.as_json() | {"path": None})
    if not file.is_file() or file.read_bytes() != as_written(contents).encode():  # the disk may be read-only
        write_json(file, contents)
