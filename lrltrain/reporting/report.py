"""The pipeline of `lrltrain report`: a workspace as tables, plots and a page, reproducible byte for byte. IO."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lrldata.errors import InputError, UsageError
from lrldata.forks import refuse_forked
from lrldata.layout import ADAPTERS, CARDS, DATASETS, REPORT, SCORES_FOLDER
from lrldata.manifest import reporting_invalid_content, write_text
from lrldata.output import note
from lrldata.paths import remove
from lrltrain.reporting.averages import averages
from lrltrain.reporting.cells import read_cells
from lrltrain.reporting.costs import costs
from lrltrain.reporting.formatting import unused_name
from lrltrain.reporting.latex import as_tables, as_tex
from lrltrain.reporting.links import links
from lrltrain.reporting.markdown import as_markdown
from lrltrain.reporting.material import read_material
from lrltrain.reporting.page import render
from lrltrain.reporting.plots import Plot, plots
from lrltrain.reporting.reference import BASE_MODEL, Reference
from lrltrain.reporting.spreadsheets import adapters_csv, averages_csv, read_scores, runs_csv, scores_csv
from lrltrain.reporting.tables import RESAMPLES, Table

if TYPE_CHECKING:
    import polars as pl

PAGE, RESULTS = "report.html", "results.csv"
MADE_OF = (DATASETS, ADAPTERS, SCORES_FOLDER, CARDS)  # folders that a report reads and must not be written into
_WRITTEN = ".files.json"  # the names of the files of a report


@dataclass(frozen=True)
class Report:
    """The files of a report, and the number of gains and losses that are more than chance."""

    page: Path
    files: tuple[Path, ...]
    scores: int
    compared: int
    gains: int
    losses: int

    def to_frame(self) -> "pl.DataFrame":
        """Return the scores of results.csv as a Polars frame with one row per score."""
        refuse_forked()
        return read_scores(self.page.parent / RESULTS)

    def _repr_html_(self) -> str:
        """Return the frame as HTML for notebooks."""
        return self.to_frame()._repr_html_()

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON-like values."""
        return vars(self) | {"page": str(self.page), "files": [str(path) for path in self.files]}


def is_read(name: str) -> bool:
    """Return whether a report reads a file below MADE_OF; it reads all but the weights of adapters."""
    return not name.endswith((".bin", ".safetensors"))


def report(
    workspace: Path, out: Path | None = None, resamples: int = RESAMPLES, against: Reference = BASE_MODEL
) -> Report:
    """Write results.md, CSV, LaTeX, plots/*.svg and report.html into `out`, WORKSPACE/report by default.

    Changes are relative to `against`. Raises UsageError if there is no workspace, if it has no score of `against`, or
    if `out` is in a folder that the report reads; InputError if it has no scores; StorageError if a file is damaged.
    """
    home = _home(workspace, out)
    with reporting_invalid_content(workspace):
        table = Table(read_cells(workspace, resamples, together=True, against=against), str(against))
        if not table.cells:
            raise InputError(
                f"{workspace}: has no scores to report.", "Measure an adapter first, with `lrltrain eval`."
            )
        material = read_material(workspace)
        training_costs, adapters_text = costs(material), adapters_csv(material)
    averaged, correlations, pictures = averages(table), links(table, material), plots(table, material)
    if against != BASE_MODEL and not any(cell.against for cell in table.cells):
        note(f"nothing is compared with {against}: no score has the same items, base model and text.")
    plots_by_name: dict[str, Plot] = {}
    for plot in pictures:
        plots_by_name[unused_name(plot.name, plots_by_name)] = plot
    texts = {
        "results.md": as_markdown(table, averaged, correlations, training_costs),
        RESULTS: scores_csv(table),
        "runs.csv": runs_csv(table),
        "averages.csv": averages_csv(averaged),
        "adapters.csv": adapters_text,
        "results.tex": as_tex(table),
        **{f"tables/{name}.tex": text for name, text in as_tables(table).items()},
        **{f"plots/{name}.svg": plot.alone for name, plot in plots_by_name.items()},
        PAGE: render(table, averaged, correlations, training_costs, pictures, material, home),
    }
    _write(home, texts)
    _remove_outdated(home, set(texts))
    verdicts = [cell.verdict for cell in table.cells if cell.against]
    files = tuple(home / name for name in texts)
    return Report(home / PAGE, files, len(table.cells), len(verdicts), verdicts.count("gain"), verdicts.count("loss"))


def _write(home: Path, texts: Mapping[str, str]) -> None:
    """Write all files before the first takes the place of an old one, so that a full disk leaves no mixture."""
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".lrl-", dir=home) as partial:  # its own for each of several processes
        for name, text in texts.items():
            for folder in (Path(partial), home):
                folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            write_text(Path(partial, name), text)
        for name in texts:
            Path(partial, name).replace(home / name)


def _remove_outdated(home: Path, written: set[str]) -> None:
    """Remove the tables and plots of an earlier report that this one does not have; other files are not touched."""
    try:
        earlier = set(json.loads((home / _WRITTEN).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        earlier = set()
    for name in sorted(earlier - written):
        if re.fullmatch(r"(tables|plots)/[^/]+", str(name)):
            remove(home, name)
    write_text(home / _WRITTEN, json.dumps(sorted(written)))


def _home(workspace: Path, out: Path | None) -> Path:
    if not workspace.is_dir():
        raise UsageError(
            f"{workspace}: no such workspace.", "Give the workspace that `lrltrain eval` wrote its scores to."
        )
    home = out or workspace / REPORT
    if any(home.resolve().is_relative_to((workspace / part).resolve()) for part in MADE_OF):
        raise UsageError(f"{home}: is inside a folder that the report reads.", "Choose another folder with --out.")
    return home
