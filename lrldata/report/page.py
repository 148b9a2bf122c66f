"""The pipeline of `lrldata report`: from a dataset folder to one self-contained HTML page."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.dataset import SAMPLES, open_shards
from lrldata.errors import UsageError
from lrldata.ledger import Ledger, from_json, judged_unit_of, unit_of
from lrldata.manifest import write_text
from lrldata.report.funnel import funnel, step_of, steps_of, words_of
from lrldata.report.html import STYLE, asset, environment, policy
from lrldata.report.read import read_samples
from lrldata.report.samples import Group, Sample, Samples, shown
from lrldata.review.summary import summary_of
from lrldata.review.wording import agreement, headline
from lrldata.split import content_hash

KEPT_SHOWN = 50  # kept rows, where the folder has no samples
_DETAILS = ("settings", "protected", "templates", "made_with")


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a dataset folder, and return its path; the same folder gives the same bytes.

    It goes beside the folder, as FOLDER.report.html, unless `out` says where; not into it, as a dataset's folder holds
    nothing else. Raises StorageError for a folder that is unfinished or damaged, UsageError for an `out` in it.
    """
    home = folder.resolve()
    path = out or home.with_name(f"{home.name}.report.html")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder.", "Name a file, as report.html.")
    if path.resolve().is_relative_to(home):
        raise UsageError(f"{path}: lies in the dataset's folder.", "Name a file outside of it.")
    opened = open_shards(home, SAMPLES)
    manifest = opened.manifest
    samples = read_samples(opened, home)
    if samples is None:
        samples = Samples(kept=sample_of(opened.rows(), KEPT_SHOWN))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render(manifest, samples, summary_of(home)))
    return path


def render(manifest: Mapping[str, Any], samples: Samples, speakers: Mapping[str, Any] | None = None) -> str:
    """Return the page of a dataset; `speakers` is what review.summary gives. Pure."""
    source = manifest["source"]
    ledger = from_json(manifest["ledger"])
    groups = list(_groups(samples, ledger, source))
    style, script = asset(STYLE) + asset("style.css"), asset("samples.js") + asset("thresholds.js")
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            manifest=manifest,
            settings=manifest.get("settings", {}),
            ledger=ledger,
            unit=unit_of(manifest),
            steps=funnel(ledger, source),
            thresholds=samples.thresholds,
            speakers=speakers,
            told=[headline(speakers, manifest["language"]["name"], judged_unit_of(manifest)), agreement(speakers)]
            if speakers
            else [],
            groups=groups,
            by_step=[(step, list(members)) for step, members in groupby(groups, attrgetter("step"))],
            names={group.name for group in groups},
            near={each.name: each for each in _near(samples)},
            details=dict(_flat({key: manifest[key] for key in _DETAILS if manifest.get(key)})),
            style=style,
            script=script,
            policy=policy(style, script),
        )
    )


def sample_of(rows: pl.LazyFrame, most: int) -> tuple[Sample, ...]:
    """Return the kept rows with the lowest hashes of their text: at random, but the same each time."""
    known = rows.collect_schema().names()
    named = next((column for column in ("doc", "edge_uri") if column in known), None)
    frame = rows.select(
        "text",
        doc=pl.col(named) if named else pl.lit(""),
        url=pl.col("url") if "url" in known else pl.lit(None, pl.String),
    ).collect()
    chosen = frame.with_columns(order=content_hash(frame["text"])).sort("order", "doc").head(most)
    return tuple(Sample(**row) for row in chosen.drop("order").iter_rows(named=True))


def _groups(samples: Samples, ledger: Ledger, source: str) -> Iterator[Group]:
    """Yield what is judged: the kept lines, then those that went, by step and reason."""
    if samples.kept:
        words = "lines that the dataset has" if source != "conceptnet" else "sentences that the dataset has"
        yield Group("kept", "kept", words, "Kept", ledger.kept.rows, shown(samples.kept, "kept"))
    places = {reason: place for place, reason in enumerate(r for each in steps_of(source).values() for r in each)}
    for reason in sorted(samples.dropped, key=lambda reason: (places.get(reason, len(places)), reason)):
        total = ledger.dropped[reason].rows if reason in ledger.dropped else None
        lines = shown(samples.dropped[reason], reason)
        if lines:
            yield Group(reason, "dropped", words_of(reason, source), step_of(reason, source), total, lines)


def _near(samples: Samples) -> Iterator[Group]:
    for each in samples.thresholds:
        yield Group(f"near:{each.rule}", "near", each.what, "Kept", None, shown(each.near, f"near:{each.rule}"))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings by their dotted names."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        yield name, ", ".join(" ".join(map(str, each)) if isinstance(each, list) else str(each) for each in value)
    elif value is not None:
        yield name, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
