"""`lrltrain report`: values computed from runs, every output format, refused input, and hostile names."""

import csv
import hashlib
import json
import logging
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import altair as alt
import numpy as np
import pytest
from manifests import change
from results import BASE, HOSTILE, fill, predictions, put_adapter, put_run, recipe

from lrldata.drawing import altair_theme
from lrldata.errors import InputError, StorageError, UsageError
from lrldata.language import Language, languages
from lrldata.manifest import write_text
from lrltrain.evaluation.record import PPPL
from lrltrain.evaluation.statistics import Interval
from lrltrain.reporting.averages import ALL, averages, groups
from lrltrain.reporting.costs import costs
from lrltrain.reporting.latex import as_tables, as_tex
from lrltrain.reporting.links import links
from lrltrain.reporting.markdown import as_markdown
from lrltrain.reporting.material import read_material
from lrltrain.reporting.plots import GREY, PALETTE, _series_encoding, _svg
from lrltrain.reporting.report import report
from lrltrain.reporting.sizes import size_of
from lrltrain.reporting.spreadsheets import adapters_csv, scores_csv
from lrltrain.reporting.tables import Cell, Column, Comparison, Row, Table, corrected
from lrltrain.reporting.task_cells import read_tasks

Command = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.xdist_group("results")  # so that the shared fixtures are built once


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("filled") / "ws"
    fill(out)
    report(out)
    return out


def rows_of(out: Path) -> Iterator[dict[str, str]]:
    yield from csv.DictReader((out / "report" / "results.csv").read_text("utf-8").splitlines())


def row_of(out: Path, **columns: str) -> dict[str, str]:
    (match,) = (row for row in rows_of(out) if columns.items() <= row.items())
    return match


def test_every_score_is_in_the_long_table(filled: Path) -> None:
    rows = list(rows_of(filled))
    assert len(rows) == 3 * (2 * 4 + 3), "3 languages, each with two tasks by four methods and three perplexities"
    metrics = pytest.importorskip("sklearn.metrics")
    gold, _ = predictions("topic", 0, 0)
    by_seed = {
        method: [metrics.f1_score(gold, predictions("topic", share, 100 * seed)[1], average="macro") for seed in (1, 2)]
        for method, share in (("none", 0.5), ("seq_bn_inv", 0.85))
    }
    row = row_of(filled, language="ro", method="seq_bn_inv", task="topic")
    mean = sum(by_seed["seq_bn_inv"]) / 2
    assert float(row["mean"]) == pytest.approx(mean, rel=1e-5)
    assert float(row["sd"]) == pytest.approx(abs(by_seed["seq_bn_inv"][0] - mean) * 2**0.5, rel=1e-5)
    assert float(row["delta"]) == pytest.approx(mean - sum(by_seed["none"]) / 2, rel=1e-5)
    assert float(row["low"]) < mean < float(row["high"])
    assert (row["seeds"], row["items"], row["source"], row["verdict"]) == ("2", "60", "conceptnet", "gain")
    assert float(row["p_corrected"]) >= float(row["p"]) == 1e-4
    baseline = row_of(filled, language="ro", method="none", task="topic")
    assert not any(baseline[name] for name in ("delta", "p", "p_corrected", "verdict"))
    prompted = row_of(filled, language="ro", method="prompt-0", task="ner")
    assert (prompted["base"], prompted["p"]) == ("org/prompted-1B", ""), (
        "its base model has no score without an adapter"
    )


def test_the_interval_of_a_score_and_of_a_change_is_that_of_the_resamples(tmp_path: Path) -> None:
    gold, right = predictions("topic", 0.97, 1)  # skewed: a mirrored interval would point the wrong way
    put_run(tmp_path, recipe("ro", "topic", "none", 1), gold, predictions("topic", 0.5, 2)[1])
    put_run(tmp_path, recipe("ro", "topic", "lora", 1), gold, right)
    cell = next(cell for cell in read_tasks(tmp_path, 500, 99) if cell.row.method == "lora")
    assert cell.against
    for interval, resampled in ((cell.score, cell.resampled), (cell.against.change, cell.against.resampled)):
        assert resampled is not None
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])))


def test_a_lower_perplexity_is_a_gain(filled: Path) -> None:
    row = row_of(filled, language="ro", method="seq_bn_inv", task="pppl")
    assert float(row["mean"]) < float(row_of(filled, language="ro", method="none", task="pppl")["mean"])
    assert float(row["delta"]) < 0
    assert float(row["change"]) < 1
    assert row["verdict"] == "gain"
    assert row["source"] == "conceptnet"


def test_a_worse_score_is_a_loss_and_an_equal_one_has_no_verdict(tmp_path: Path) -> None:
    gold, right = predictions("topic", 1.0, 1)
    _, wrong = predictions("topic", 0.1, 1)
    put_run(tmp_path, recipe("ro", "topic", "none", 1), gold, right)
    put_run(tmp_path, recipe("ro", "topic", "lora", 1), gold, wrong)
    put_run(tmp_path, recipe("ro", "topic", "full", 1), gold, right)
    report(tmp_path)
    assert row_of(tmp_path, method="lora")["verdict"] == "loss"
    same = row_of(tmp_path, method="full")
    assert (same["delta"], same["p"], same["verdict"], same["sd"]) == ("0", "1", "", "")


def test_methods_are_compared_only_on_the_same_items_and_seeds(tmp_path: Path) -> None:
    gold, right = predictions("topic", 1.0, 1)
    _, wrong = predictions("topic", 0.2, 1)
    put_run(tmp_path, recipe("ro", "topic", "none", 1), gold, wrong)
    put_run(tmp_path, recipe("ro", "topic", "none", 2), gold, right)
    put_run(tmp_path, recipe("ro", "topic", "lora", 2), gold, right)
    put_run(tmp_path, recipe("ro", "topic", "full", 3), gold[:40], right[:40])
    (lora,) = (cell for cell in read_tasks(tmp_path, 100, 99) if cell.row.method == "lora")
    assert lora.against
    assert (lora.against.change.value, lora.against.p) == (0, 1), "the one seed that both have"
    (full,) = (cell for cell in read_tasks(tmp_path, 100, 99) if cell.row.method == "full")
    assert full.against is None


def test_runs_without_a_shared_seed_are_all_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gold, _ = predictions("topic", 1.0, 1)
    shares = {("none", 7): 0.4, ("none", 8): 0.5, ("lora", 1): 0.6, ("lora", 2): 0.7, ("lora", 3): 0.9}
    for (method, seed), share in shares.items():
        put_run(tmp_path, recipe("ro", "topic", method, seed), gold, predictions("topic", share, seed)[1])
    cells = {cell.row.method: cell for cell in read_tasks(tmp_path, 100, 99)}
    change = cells["lora"].against
    assert change
    assert change.change.value == pytest.approx(cells["lora"].score.value - cells["none"].score.value)
    assert not caplog.records
    put_run(tmp_path, recipe("ro", "topic", "none", 2), gold, predictions("topic", 0.5, 2)[1])
    with caplog.at_level(logging.INFO, "lrldata"):
        cells = {cell.row.method: cell for cell in read_tasks(tmp_path, 100, 99)}
    by_seed = {(method, seed): score for method, cell in cells.items() for _, seed, score in cell.runs}
    change = cells["lora"].against
    assert change
    assert change.change.value == pytest.approx(by_seed["lora", 2] - by_seed["none", 2])
    assert "leave out seeds that their reference lacks: ro lora topic." in caplog.text


def test_runs_with_other_settings_have_their_own_rows(tmp_path: Path) -> None:
    gold, right = predictions("topic", 0.9, 1)
    for steps in (10, 20):
        for method in ("none", "lora"):
            run_recipe = recipe("ro", "topic", method, 1, settings={"seed": 1, "steps": steps})
            put_run(tmp_path, run_recipe, gold, right if steps == 10 else gold)
    put_run(tmp_path, recipe("ro", "topic", "lora", 1), gold, right, name="other")
    cells = read_tasks(tmp_path, 100, 99)
    assert len({(cell.row, cell.column) for cell in cells}) == len(cells) == 5
    changes = [cell.against.change.value for cell in cells if cell.against]
    assert changes == [0, 0, 0], "each is compared with `none` under the same settings"


def test_a_change_that_seeds_may_explain_is_not_marked() -> None:
    def cell(change: Interval, task: str = "topic") -> Cell:
        column = Column(task, "sib200", "macro_f1")
        return Cell(Row("ro", BASE, "lora", "glotcc"), column, 3, 204, Interval(0.7, 0.6, 0.8), 0.01, compared(change))

    def compared(change: Interval) -> Comparison:
        return Comparison(change, p=0.001, p_corrected=0.01)

    assert cell(Interval(0.02, 0.001, 0.04)).verdict == "gain"
    assert cell(Interval(0.02, -0.001, 0.04)).verdict == ""
    assert cell(Interval(-0.02, -0.04, -0.001)).verdict == "loss"
    assert cell(Interval(0.8, 0.7, 0.99), PPPL).verdict == "gain"
    assert cell(Interval(0.8, 0.7, 1.01), PPPL).verdict == ""


def test_an_average_says_whether_languages_agree() -> None:
    def cells(changes: list[float], task: str, metric: str) -> list[Cell]:
        return [
            Cell(
                Row(code, BASE, "lora", "glotcc"),
                Column(task, "x", metric),
                *(1, 100, Interval(0.5, 0.4, 0.6), None),
                Comparison(Interval(change, change, change), 0.5, resampled=np.full(10, change)),
                np.full(10, 0.5),
            )
            for code, change in zip(("ro", "mt", "ug", "am", "yo", "si", "ka"), changes, strict=True)
        ]

    up, mixed = [0.01, 0.03, 0.02, 0.05, 0.04, 0.01, 0.02], [0.01, -0.03, 0.02, -0.05, 0.04, 0.01, -0.02]
    ratios = [0.5, 0.9, 0.8, 0.7, 0.6, 0.9, 0.8]
    table = Table((*cells(up, "topic", "macro_f1"), *cells(mixed, "ner", "f1"), *cells(ratios, PPPL, "bits")))
    by_task = {average.column.task: average for average in averages(table) if average.group == ALL}
    assert by_task["topic"].p == by_task[PPPL].p == 2 / 2**7
    assert by_task["topic"].p_corrected == 3 * 2 / 2**7, "corrected for three tests"
    assert [by_task[task].is_clear for task in ("topic", PPPL, "ner")] == [True, True, False]
    assert [by_task[task].is_gain for task in ("topic", PPPL)] == [True, True]
    markdown = as_markdown(table, list(by_task.values()), [])
    assert "+2.6\N{DAGGER} (+2.6 to +2.6) | 0.047 | 0 | 0 |" in markdown


def test_averages_are_over_known_groups(filled: Path) -> None:
    table = Table(corrected(read_tasks(filled, 200, 9_999)))
    all_averages = averages(table)
    (topic_average,) = (
        average
        for average in all_averages
        if (average.group, average.method, average.column.task) == (ALL, "seq_bn_inv", "topic")
    )
    cells = [
        table.by_place[Row(code, BASE, "seq_bn_inv", "conceptnet"), topic_average.column] for code in ("mt", "ro", "ug")
    ]
    assert not isinstance(topic_average.score, float)
    assert topic_average.score.value == pytest.approx(sum(cell.score.value for cell in cells) / 3)
    spread = math.hypot(*(float(cell.resampled.std()) for cell in cells if cell.resampled is not None)) / 3
    assert topic_average.score.high - topic_average.score.low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert isinstance(topic_average.change, Interval)
    assert topic_average.change.low > 0
    assert (topic_average.p, topic_average.is_clear) == (1 / 4, False), (
        "2 of the 2**3 sign assignments have the same sign for all three gains"
    )
    assert (topic_average.gains, topic_average.losses, topic_average.compared, topic_average.languages) == (
        3,
        0,
        3,
        ("mt", "ro", "ug"),
    )
    assert dict(groups(BASE, ["ro", "mt", "ug", "am"])) == {
        ALL: ("ro", "mt", "ug", "am"),
        "Joshi class 2": ("mt", "am"),
        "in the base model's CC100": ("ro", "ug", "am"),
        "script Latn": ("ro", "mt"),
    }
    assert dict(groups("some/other", ["ro", "mt"])) == {ALL: ("ro", "mt")}


def test_sizes_agree_with_the_published_tables(shared: Path) -> None:
    for name, base in (
        ("cc100", "FacebookAI/xlm-roberta-large"),
        ("wikipedia", "google-bert/bert-base-multilingual-cased"),
    ):
        lines = (shared / "paper" / f"{name}_datasets_info.csv").read_text("utf-8").splitlines()
        for row in csv.DictReader(lines):
            size = size_of(base, row["Language"])
            assert size == pytest.approx(float(row["Size (GB)"]) * 1000, abs=0.06) or (
                name == "wikipedia" and size == 0
            )
    assert size_of(BASE, "mt") == 0
    assert size_of(BASE, "fr") is None
    assert size_of("lrl-mini", "ro") is None


def test_correlations_are_over_languages(filled: Path) -> None:
    table = Table(corrected(read_tasks(filled, 100, 999)))
    correlations = {(link.of, link.to): link.correlation for link in links(table, read_material(filled))}
    assert (
        correlations[
            "xlm-roberta-base, topic, sib200: change of lora, conceptnet", "bytes of adaptation text (log)"
        ].points
        == 3
    )
    assert {correlation.points for correlation in correlations.values()} == {3}


def test_bytes_of_text_are_given_only_for_the_text_that_an_adapter_was_trained_on(tmp_path: Path) -> None:
    fill(tmp_path)
    material = read_material(tmp_path)
    (dataset,) = (dataset for dataset in material.datasets if dataset.language == "ro")
    assert material.train_bytes("ro", "conceptnet") == dataset.train_bytes > 0
    folder = tmp_path / "datasets" / "ro" / "conceptnet"
    history = [{"version": entry["version"], "content": "0" * 64} for entry in dataset.manifest["history"]]
    change(folder, history=history)  # as if it had been rebuilt with other text
    assert read_material(tmp_path).train_bytes("ro", "conceptnet") is None
    report(tmp_path)
    adapters = csv.DictReader((tmp_path / "report" / "adapters.csv").read_text("utf-8").splitlines())
    assert {row["train_bytes"] == "" for row in adapters if row["language"] == "ro"} == {True}


def test_the_output_formats_agree(filled: Path) -> None:
    row = row_of(filled, language="ro", method="seq_bn_inv", task="topic")
    score = f"{100 * float(row['mean']):.1f} ± {100 * float(row['sd']):.1f}"
    markdown = (filled / "report" / "results.md").read_text("utf-8")
    assert any(score in line and "| ro |" in line and "†" in line for line in markdown.splitlines())
    tex = (filled / "report" / "results.tex").read_text("utf-8")
    typeset = score.replace("±", r"$\pm$")
    assert rf"\textbf{{{typeset}}}$^{{\dagger}}$" in tex
    assert score.partition(" ")[0] in (filled / "report" / "report.html").read_text("utf-8")
    widths = {line.count(" | ") for line in markdown.partition("## Averages")[0].splitlines() if line.startswith("| ")}
    assert len(widths) == 1


def test_the_same_workspace_gives_the_same_bytes(filled: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(filled, moved, ignore=shutil.ignore_patterns("report"))
    report(moved)
    before, after = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "report").rglob("*.*")}
        for folder in (filled, moved)
    )
    assert before == after
    assert "report.html" in after


def test_plots_are_legible_on_light_and_dark_backgrounds(filled: Path) -> None:
    plots = sorted((filled / "report" / "plots").glob("*.svg"))
    names = ("adaptation", "funnels", "perplexity", "pretraining")
    assert [path.stem.partition("-")[0] for path in plots] == list(names)
    for path in plots:
        text = path.read_text("utf-8")
        ET.fromstring(text)  # noqa: S314 -- our own
        assert "currentColor" in text
        assert "style=" not in text, "the page's policy forbids inline styles"
        assert not re.findall(r'(?:href|src)="', text)
    for colour in (*PALETTE, GREY):
        for background in ("#ffffff", "#111827"):
            bright, faint = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (bright + 0.05) / (faint + 0.05) >= 3, (colour, background)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


class Elements(HTMLParser):
    """Collects all elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def test_the_page_is_accessible_to_screen_readers(filled: Path) -> None:
    elements = Elements((filled / "report" / "report.html").read_text("utf-8")).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    hrefs = [str(attributes["href"]) for tag, attributes in elements if tag == "a"]
    assert all(href[1:] in ids for href in hrefs if href.startswith("#"))
    assert all((filled / "report" / href).exists() for href in hrefs if not href.startswith("#"))
    assert "../cards/lrl-ro/index.html" in hrefs
    levels = [int(tag[1]) for tag, _ in elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all("scope" in attributes for tag, attributes in elements if tag == "th")
    assert all(attributes.get("aria-label") for tag, attributes in elements if tag == "svg" and attributes.get("role"))
    policy = next(str(attributes["content"]) for tag, attributes in elements if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_hostile_names_are_shown_as_text(tmp_path: Path) -> None:
    fill(tmp_path, ["ro"], [1])
    gold, predicted = predictions("topic", 0.5, 1)
    data = {"name": HOSTILE, "files": {}, "counts": {}}
    for method in ("none", "lora"):
        base = {"id": f"org/{HOSTILE}", "revision": None}
        run_recipe = recipe("ro", "topic", method, 1, data=data, base=base, source=HOSTILE)
        folder = put_run(
            tmp_path, run_recipe | {"data": {**data, "name": "x"}, "base": {"id": "org/x"}}, gold, predicted
        )
        change(folder, data=data, base=base, method=method)
    put_run(tmp_path, recipe("ro", "topic", "=cmd()", 1), gold, predicted)
    report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert not list((tmp_path / "report" / "plots").glob("*[<>]*"))
    markdown = (tmp_path / "report" / "results.md").read_text("utf-8")
    assert r"\<img src=x" in markdown
    assert "<img" not in markdown.replace(r"\<img", "")
    tex = (tmp_path / "report" / "results.tex").read_text("utf-8")
    assert r"\textless{}img src=x" in tex
    assert r"\textbackslash{}\textbar{}*" in tex
    assert row_of(tmp_path, method="'=cmd()")


def table_of(name: str) -> Table:
    """Return a table in which everything has this name."""
    return Table((Cell(Row(name, name, name, name, name), Column("topic", name, "f1"), 1, 9, Interval(0.5, 0.4, 0.6)),))


FORMULAS = (
    "=1+1", " =1+1", "\t=1+1", "\n=1+1", "\xa0=1+1", "\u3000=1+1", "\u200b=1+1", "\ufeff=1+1", "\x00=1+1", "\r\n +1",
    "-1", "@SUM(1)", "\uff1d1", " \uff0b1", "\uff0d1", "\uff20SUM(1)", "\ufe661", "\u22121", "\u202e=1", "\u2028=1",
)  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS, ids=ascii)
def test_no_name_becomes_a_formula_in_a_spreadsheet(name: str) -> None:
    (row,) = csv.DictReader(scores_csv(table_of(name)).splitlines())
    cells = {row[key] for key in ("language", "base", "method", "source", "variant", "data")}
    assert {cell[0] for cell in cells} == {"'"}
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(cells))


def test_a_name_stays_in_its_cell_in_every_format() -> None:
    name = "[1cm]\x1b[31m *a\r\n| <b>x</b> `c`\x00\x85\u2028d \ud800 \\input{e} <!-- lrl:end use -->"
    table = table_of(name)
    (wide,) = as_tables(Table(tuple(replace(cell, row=cell.row._replace(variant="")) for cell in table.cells))).values()
    assert wide.startswith("% [1cm][U+001B]")
    assert wide.count("\n") == 8
    for text in (scores_csv(table), as_markdown(table, [], []), as_tex(table), wide):
        text.encode()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", text)
    assert len(scores_csv(table).splitlines()) == 2
    lines = [line for line in as_markdown(table, [], []).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5}
    assert not re.search(r"(?<!\\)[<`*](?!\*)", lines[-1].replace("**", ""))
    rows = as_tex(table).splitlines()
    (row,) = (line for line in rows if line.startswith("{}["))  # so that it is not an argument of the rule above it
    assert "{}[1cm][U+001B][31m *a \\textbar{} \\textless{}b\\textgreater{}" in row
    assert not any(line.startswith(("[", "*")) for line in rows)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX is installed")
def test_the_table_can_be_typeset(filled: Path, tmp_path: Path) -> None:
    shutil.copy(filled / "report" / "results.tex", tmp_path)
    names = sorted(path.name for path in (filled / "report" / "tables").iterdir())
    assert names[0] == "ner-wikiann-prompted-1B.tex"
    assert "topic-sib200-xlm-roberta-base.tex" in names
    included = "\n\n".join(rf"\input{{{filled}/report/tables/{name}}}" for name in names)
    preamble = r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{booktabs}"
    paper = rf"{preamble}\begin{{document}}{included}\end{{document}}"
    (tmp_path / "paper.tex").write_text(paper, encoding="utf-8")
    for file in ("results.tex", "paper.tex"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", file]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        assert result.returncode == 0, result.stdout[-2000:]


def test_a_paper_table_has_methods_as_columns_and_a_mean_over_shared_languages(filled: Path) -> None:
    lines = (filled / "report" / "tables" / "topic-sib200-xlm-roberta-base.tex").read_text("utf-8").splitlines()
    assert lines[3].split(" & ") == ["language", "none", "seq\\_bn\\_inv, conceptnet", "lora, conceptnet \\\\"]
    means = {row["method"]: [] for row in rows_of(filled)}
    for row in rows_of(filled):
        if (row["task"], row["base"]) == ("topic", BASE):
            means[row["method"]].append(100 * float(row["mean"]))
    (mean,) = (line for line in lines if line.startswith("mean of 3"))
    printed_means = [float(value) for value in mean.removesuffix(r" \\").split(" & ")[1:]]
    assert printed_means == pytest.approx(
        [sum(means[method]) / 3 for method in ("none", "seq_bn_inv", "lora")], abs=0.051
    )


def test_the_training_costs_of_adapters_are_reported(tmp_path: Path) -> None:
    for language, seconds in (("ro", 60), ("mt", 120)):
        put_adapter(tmp_path, language, "lora", [8, 6])
        folder = tmp_path / "adapters" / language / "xlm-roberta-base" / "conceptnet-lora"
        (folder / "run.json").write_text(json.dumps({"seconds": seconds, "processes": 2, "device": "a GPU"}))
    put_adapter(tmp_path, "ro", "seq_bn", [8, 6])  # its training time is not recorded
    (lora, bottleneck) = costs(read_material(tmp_path))
    assert (lora.adapters, lora.seconds, bottleneck.seconds) == (2, 180, None)
    assert lora.numbers() == ["2", "1", "100.00 %", "1", "3.0"]
    assert bottleneck.numbers()[-1] == "\N{MINUS SIGN}"
    rows = list(csv.DictReader(adapters_csv(read_material(tmp_path)).splitlines()))
    assert [(row["language"], row["method"], row["seconds"], row["device"]) for row in rows] == [
        ("mt", "lora", "240", "a GPU"),
        ("ro", "lora", "120", "a GPU"),
        ("ro", "seq_bn", "", ""),
    ]


def test_run_values_and_averages_are_written_as_csv(filled: Path) -> None:
    runs = list(csv.DictReader((filled / "report" / "runs.csv").read_text("utf-8").splitlines()))
    columns = {"language": "ro", "base": BASE, "method": "lora", "task": "topic"}
    matches = [row for row in runs if columns.items() <= row.items()]
    assert [row["seed"] for row in matches] == ["1", "2"]
    assert sum(float(row["value"]) for row in matches) / 2 == pytest.approx(
        float(row_of(filled, **columns)["mean"]), abs=1e-5
    )
    assert {row["seed"] for row in runs if row["task"] == PPPL} == {""}
    average_rows = list(csv.DictReader((filled / "report" / "averages.csv").read_text("utf-8").splitlines()))
    (row,) = (
        row
        for row in average_rows
        if (row["group"], row["method"], row["task"], row["base"]) == (ALL, "lora", "topic", BASE)
    )
    assert (row["languages"], row["compared"], row["p"]) == ("3", "3", "0.25")
    assert float(row["low"]) < float(row["mean"]) < float(row["high"])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX is installed")
def test_a_table_of_thirty_languages_continues_over_several_pages(tmp_path: Path) -> None:
    write_text(tmp_path / "results.tex", as_tex(_wide_table(languages()[:30], ["sib200"])))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "results.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Float too large" not in result.stdout
    assert re.search(r"\([2-9] pages", result.stdout)


def _wide_table(of: Sequence[Language], sets: list[str]) -> Table:
    methods = ("none", "lora", "seq_bn_inv")
    rows = [Row(language.code, BASE, method, "conceptnet+glotcc") for language in of for method in methods]
    columns = [Column("sentiment", name, "f1") for name in sets]
    return Table(
        tuple(Cell(row, column, 3, 204, Interval(0.5, 0.4, 0.6), sd=0.01) for row in rows for column in columns)
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX is installed")
def test_many_test_sets_fit_on_the_page(tmp_path: Path) -> None:
    sets = [f"nusa_translation_{number}" for number in range(15)]
    write_text(tmp_path / "results.tex", as_tex(_wide_table(languages()[:1], sets)))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "results.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Overfull" not in result.stdout
    text = (tmp_path / "results.tex").read_text("utf-8")
    assert all(
        len(re.findall(rf"nusa\\_translation\\_{number}\b", text)) == 2 for number in range(15)
    )  # twice per table


def test_a_workspace_without_scores_is_refused(tmp_path: Path, lrltrain: Command) -> None:
    with pytest.raises(UsageError, match="no such workspace"):
        report(tmp_path / "none")
    with pytest.raises(InputError, match=r"has no scores.*lrltrain eval"):
        report(tmp_path)
    result = lrltrain("report", tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "has no scores" in result.stderr
    assert not (tmp_path / "report").exists()


def test_damaged_runs_are_refused(tmp_path: Path) -> None:
    gold, predicted = predictions("topic", 0.5, 1)
    folder = put_run(tmp_path, recipe("ro", "topic", "none", 1), gold, predicted)
    with pytest.raises(UsageError, match="is inside a folder that the report reads"):
        report(tmp_path, tmp_path / "scores" / "report")
    other = put_run(tmp_path, recipe("ro", "topic", "none", 2), gold[1:], predicted[1:])
    with pytest.raises(StorageError, match="other items"):
        report(tmp_path)
    shutil.rmtree(other)
    change(folder, language=None)
    with pytest.raises(StorageError, match="are required for a task run"):
        report(tmp_path)
    change(folder, language="ro")
    (folder / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match="does not match the manifest"):
        report(tmp_path)


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [path for path in report(filled).files if path.suffix != ".html"]
    for path in files:
        path.write_text("earlier")

    def fail(path: Path, text: str) -> None:
        if path.suffix == ".html":
            raise OSError(28, "No space left on device", str(path))
        write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr("lrltrain.reporting.report.write_text", fail)
        with pytest.raises(OSError, match="No space"):
            report(filled)
    assert {path.read_text() for path in files} == {"earlier"}
    assert not list((filled / "report").glob(".lrl-*"))
    report(filled)
    assert "earlier" not in {path.read_text("utf-8") for path in files}


def test_the_command_prints_a_summary(filled: Path, tmp_path: Path, lrltrain: Command) -> None:
    result = lrltrain("report", filled, "--out", tmp_path / "r", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["scores"], summary["compared"], summary["losses"]) == (33, 18, 0)
    assert summary["gains"] == sum(row["verdict"] == "gain" for row in rows_of(filled))
    assert all(Path(path).is_file() for path in summary["files"])


def test_sixteen_series_look_different() -> None:
    names = [f"series {number}" for number in range(16)]
    encoding = _series_encoding("series", names, names)
    colours, shapes = (encoding[channel].to_dict()["scale"]["range"] for channel in ("color", "shape"))
    assert len(set(zip(colours, shapes, strict=True))) == len(names)


def test_tables_and_plots_of_an_earlier_report_are_removed(filled: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    report(filled, out)
    written = json.loads((out / ".files.json").read_text("utf-8"))
    old = out / "tables" / "old.tex"
    (out / ".files.json").write_text(json.dumps([*written, "tables/old.tex", "../victim", "notes.txt"]))
    for path in (old, out / "tables" / "mine.tex", out / "notes.txt", tmp_path / "victim"):
        path.write_text("x")
    report(filled, out)
    assert not old.exists()
    assert all(path.exists() for path in (out / "tables" / "mine.tex", out / "notes.txt", tmp_path / "victim"))


def test_plots_do_not_depend_on_the_session_s_theme() -> None:
    chart = alt.Chart(alt.Data(values=[{"a": 1}])).mark_bar().encode(x="a:Q")
    plain = _svg(chart)
    with altair_theme("urbaninstitute"):
        assert _svg(chart) == plain
