"""The pipeline of `lrldata report`, from a dataset folder to one self-contained HTML page."""

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
from lrldata.report.samples import Group, Sample, Samples, for_display
from lrldata.review.summary import summary_of
from lrldata.review.wording import agreement, headline
from lrldata.split import content_hash

KEPT_SHOWN = 50  # kept rows to show if the folder has no samples
_DETAILS = ("settings", "protected", "templates", "made_with")


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a dataset folder, and return its path. The same folder gives the same bytes.

    The report goes next to the folder, as FOLDER.report.html, or to `out`. It cannot go into the folder, because a
    dataset's folder contains nothing else. Raises StorageError for an unfinished or damaged folder, UsageError for an
    `out` inside it.
    """
    home = folder.resolve()
    path = out or home.with_name(f"{home.name}.report.html")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder.", "Name a file, such as report.html.")
    if path.resolve().is_relative_to(home):
        raise UsageError(f"{path}: is inside the dataset's folder.", "Name a file outside of it.")
    opened = open_shards(home, SAMPLES)
    manifest = opened.manifest
    samples = read_samples(opened, home)
    if samples is None:
        samples = Samples(kept=sample_of(opened.rows(), KEPT_SHOWN))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render(manifest, samples, summary_of(home)))
    return path


def render(manifest: Mapping[str, Any], samples: Samples, speakers: Mapping[str, Any] | None = None) -> str:
    """Return the page of a dataset; `speakers` is the result of review.summary. Pure."""
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
            findings=_findings(speakers, manifest),
            groups=groups,
            by_step=[(step, list(members)) for step, members in groupby(groups, attrgetter("step"))],
            names={group.name for group in groups},
            near={group.name: group for group in _near(samples)},
            details=dict(_flat({key: manifest[key] for key in _DETAILS if manifest.get(key)})),
            style=style,
            script=script,
            policy=policy(style, script),
        )
    )


def sample_of(rows: pl.LazyFrame, most: int) -> tuple[Sample, ...]:
    """Return the kept rows with the lowest hashes of their text: a random selection that is always the same."""
    columns = rows.collect_schema().names()
    origin = next((column for column in ("doc", "edge_uri") if column in columns), None)
    frame = rows.select(
        "text",
        doc=pl.col(origin) if origin else pl.lit(""),
        url=pl.col("url") if "url" in columns else pl.lit(None, pl.String),
    ).collect()
    chosen = frame.with_columns(order=content_hash(frame["text"])).sort("order", "doc").head(most)
    return tuple(Sample(**row) for row in chosen.drop("order").iter_rows(named=True))


def _groups(samples: Samples, ledger: Ledger, source: str) -> Iterator[Group]:
    """Yield the groups to judge: the kept lines, then the dropped ones by step and reason."""
    if samples.kept:
        words = "lines in the dataset" if source != "conceptnet" else "sentences in the dataset"
        yield Group("kept", "kept", words, "Kept", ledger.kept.rows, for_display(samples.kept, "kept"))
    places = {
        reason: place for place, reason in enumerate(name for reasons in steps_of(source).values() for name in reasons)
    }
    for reason in sorted(samples.dropped, key=lambda reason: (places.get(reason, len(places)), reason)):
        total = ledger.dropped[reason].rows if reason in ledger.dropped else None
        lines = for_display(samples.dropped[reason], reason)
        if lines:
            yield Group(reason, "dropped", words_of(reason, source), step_of(reason, source), total, lines)


def _findings(speakers: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> list[str]:
    if not speakers:
        return []
    return [headline(speakers, manifest["language"]["name"], judged_unit_of(manifest)), agreement(speakers)]


def _near(samples: Samples) -> Iterator[Group]:
    for threshold in samples.thresholds:
        yield Group(
            f"near:{threshold.rule}",
            "near",
            threshold.what,
            "Kept",
            None,
            for_display(threshold.near, f"near:{threshold.rule}"),
        )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings with their dotted names."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        yield name, ", ".join(" ".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    elif value is not None:
        yield name, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
