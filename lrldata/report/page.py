"""The recipe of `lrldata report`: from a dataset folder to one HTML page that asks nothing of a network."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic import ValidationError

from lrldata.dataset import open_dataset
from lrldata.errors import StorageError, UsageError
from lrldata.ledger import Ledger, from_json
from lrldata.manifest import write_text
from lrldata.report import chart
from lrldata.report.funnel import funnel, step_of, steps_of, words_of
from lrldata.report.samples import Group, Sample, Samples, shown
from lrldata.show import size
from lrldata.split import content_hash

SAMPLES = "samples.json"
KEPT_SHOWN = 50  # kept rows, where the folder has no samples
ASSETS = files("lrldata.report")
_DETAILS = ("settings", "protected", "templates", "made_with")


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a dataset folder, and return its path; the same folder gives the same bytes.

    It goes beside the folder, as FOLDER.report.html, unless `out` says where; not into it, as a dataset's folder holds
    nothing else. Raises StorageError for a folder that is unfinished or harmed, UsageError for an `out` in it.
    """
    home = folder.resolve()
    path = out or home.with_name(f"{home.name}.report.html")
    if path.resolve().is_relative_to(home):
        raise UsageError(f"{path}: lies in the dataset's folder.", "Name a file outside of it.")
    manifest, rows = open_dataset(home)
    samples = _read_samples(home / SAMPLES)
    if samples is None:
        samples = Samples(kept=_sample_of(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render(manifest, samples))
    return path


def render(manifest: Mapping[str, Any], samples: Samples) -> str:
    """Return the page of a dataset. Pure."""
    source = manifest["source"]
    ledger = from_json(manifest["ledger"])
    groups = list(_groups(samples, ledger, source))
    style, script = _asset("style.css"), _asset("samples.js") + _asset("thresholds.js")
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            manifest=manifest,
            settings=manifest.get("settings", {}),
            ledger=ledger,
            unit="edges" if source == "conceptnet" else "lines",
            steps=funnel(ledger, source),
            thresholds=samples.thresholds,
            groups=groups,
            by_step=[(step, list(members)) for step, members in groupby(groups, attrgetter("step"))],
            names={group.name for group in groups},
            near={each.name: each for each in _near(samples)},
            details=dict(_flat({key: manifest[key] for key in _DETAILS if manifest.get(key)})),
            style=style,
            script=script,
            policy=_policy(style, script),
        )
    )


def _read_samples(path: Path) -> Samples | None:
    """Return what samples.json holds; None where there is none."""
    try:
        return Samples.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StorageError(
            f"{path}: not as a build writes it ({where}: {first['msg']}).", "Run `lrldata build` again to mend it."
        ) from error


def _sample_of(rows: pl.LazyFrame) -> tuple[Sample, ...]:
    """Return the kept rows with the lowest hashes of their text: at random, but the same each time."""
    known = rows.collect_schema().names()
    named = next((column for column in ("doc", "edge_uri") if column in known), None)
    frame = rows.select(
        "text",
        doc=pl.col(named) if named else pl.lit(""),
        url=pl.col("url") if "url" in known else pl.lit(None, pl.String),
    ).collect()
    chosen = frame.with_columns(order=content_hash(frame["text"])).sort("order", "doc").head(KEPT_SHOWN)
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


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy: nothing is loaded, and no script or style runs but the page's own."""
    style_hash, script_hash = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return ASSETS.joinpath(name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lrldata.report", "."),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "breakable": lambda name: escape(name).replace("_", Markup("_<wbr>")),
        "count": lambda value: f"{value:,}",
        "number": chart.number,
        "share": share,
        "size": size,
    }
    environment.globals |= {
        "histogram": chart.histogram,
        "segments": chart.segments,
        "share": share,
        "would_go": chart.would_go,
    }
    return environment


def share(part: int, whole: int) -> str:
    """Write a part of a whole in per cent."""
    value = part / whole if whole else 0.0
    if 0 < value < 0.0001:
        return "<0.01%"
    return f"{value:.1%}" if value >= 0.001 or value == 0 else f"{value:.2%}"
