"""The report of a dataset: what it shows, and that web text in it stays text."""

import json
import re
import shutil
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from reports import HOSTILE, ROMANIAN, build_dataset, lines, put_samples, samples

from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.errors import StorageError, UsageError
from lrldata.ledger import EDGE_REASONS, WEB_REASONS, Ledger, Tally, from_json
from lrldata.manifest import MANIFEST
from lrldata.progress import Progress
from lrldata.report.chart import histogram, segments, would_go
from lrldata.report.funnel import EDGE_STEPS, OTHER, STEPS, funnel
from lrldata.report.page import SAMPLES, write_report
from lrldata.report.samples import Threshold, link

VOID = {"meta", "link", "input", "wbr", "br", "img"}


class Document(HTMLParser):
    """A page as a list of elements, each with its name, its attributes and all text inside it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, {name: value or "" for name, value in attrs}, [])
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    def all(self, tag: str, kind: str = "") -> list[tuple[dict[str, str], str]]:
        """Return the attributes and text of every element with this name and, if given, this class."""
        return [
            (attributes, " ".join("".join(texts).split()))
            for name, attributes, texts in self.elements
            if name == tag and kind in ("", *attributes.get("class", "").split())
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = build_dataset(tmp_path_factory.mktemp("web"))
    put_samples(dataset, samples())
    return dataset


@pytest.fixture(scope="module")
def page(folder: Path) -> Document:
    return Document(write_report(folder).read_text("utf-8"))


@pytest.mark.parametrize(("steps", "reasons"), [(STEPS, WEB_REASONS), (EDGE_STEPS, EDGE_REASONS)])
def test_every_reason_is_in_exactly_one_step(steps: dict[str, tuple[str, ...]], reasons: dict[str, str]) -> None:
    assert Counter(reason for step in steps.values() for reason in step) == Counter(list(reasons))


def test_the_lines_left_after_the_last_step_are_the_kept_ones(folder: Path, page: Document) -> None:
    ledger = from_json(json.loads((folder / MANIFEST).read_text("utf-8"))["ledger"])
    steps = funnel(ledger, "web")
    assert steps[-1].left == ledger.kept
    assert sum((step.gone for step in steps), ledger.kept) == ledger.came_in
    for before, after in pairwise(steps):
        assert after.gone + after.left == before.left
    shown = {text for _, text in page.all("tr")}
    for reason, tally in ledger.dropped.items():
        assert any(row.startswith(reason) and f"−{tally.rows:,} " in row for row in shown), reason
    assert f"{ledger.kept.rows} were kept" in page.all("p", "lead")[0][1]


def test_a_reason_without_a_step_is_counted_among_the_others() -> None:
    ledger = Ledger(Tally(9, 90), Tally(2, 20), {"new_reason": Tally(4, 40), "menu": Tally(3, 30)}, {})
    last = funnel(ledger, "web")[-1]
    assert (last.name, last.drops[0].words, last.left) == (OTHER, "new reason", ledger.kept)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_bar_is_no_longer_than_the_whole(left: int, gone: int, before: int) -> None:
    bar = segments(left, gone, left + gone + before)
    assert 0 <= bar.left <= bar.left + bar.gone <= 1000.1
    assert (bar.gone > 0) == (gone > 0)


def threshold(**changed: object) -> Threshold:
    return Threshold.model_validate(samples()["thresholds"][0] | changed)


@pytest.mark.parametrize(
    ("side", "value", "rows", "exact"),
    [
        ("below", 0.5, 40, True),
        ("above", 0.5, 1960, True),
        ("below", 0.375, 25, False),
        ("below", -1.0, 0, True),
        ("below", 2.0, 2000, True),
        ("above", 2.0, 0, True),
    ],
)
def test_lines_that_another_threshold_would_drop_are_counted_from_the_bins(
    side: str, value: float, rows: int, exact: bool
) -> None:
    gone, is_exact = would_go(threshold(side=side), value)
    assert (gone.rows, is_exact) == (rows, exact)


@pytest.mark.parametrize(("value", "goes"), [(0.5, [1, 1, 0, 0]), (0.6, [1, 1, 1, 0, 0]), (0.0, [0] * 4)])
def test_the_bin_that_contains_the_threshold_is_drawn_as_two_bars(value: float, goes: list[int]) -> None:
    chart = histogram(threshold(value=value))
    assert [bar.goes for bar in chart.bars] == list(map(bool, goes))
    assert sum(bar.width for bar in chart.bars) == pytest.approx(100, abs=0.1)
    assert chart.threshold == pytest.approx(100 * value)


def test_empty_bins_are_not_drawn() -> None:
    chart = histogram(threshold(rows=[0] * 4, bytes=[0] * 4))
    assert (chart.bars, chart.counts) == ((), ())


def test_every_sample_is_shown_unchanged(page: Document) -> None:
    texts = [text for _, text in page.all("p", "text")]
    for text in (*ROMANIAN, *(sample["text"] for sample in HOSTILE[:3])):
        assert text in texts
    assert "bell ␇, override \u202etxet\u202c" in texts
    assert all(attributes["dir"] == "auto" for attributes, _ in page.all("p", "text"))
    keys = [attributes["data-key"] for attributes, _ in page.all("li", "sample")]
    assert len(keys) == len(set(keys)) == len(texts)


def test_web_text_never_becomes_markup(page: Document) -> None:
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not page.all("img")
    for name, attributes, _ in page.elements:
        assert not [
            attribute
            for attribute in attributes
            if attribute.startswith("on") or attribute in ("src", "style", "action")
        ], name
    for attributes, _ in page.all("a"):
        assert re.match(r"https?://\w|#", attributes["href"])
        if not attributes["href"].startswith("#"):
            assert attributes["rel"] == "noreferrer noopener"
    assert {attributes["lang"] for attributes, _ in page.all("p", "text")} == {"ro", "", "zxx-Latn"}


@pytest.mark.parametrize(
    ("url", "leads"),
    [
        ("https://example.org/a b", True),
        ("HTTP://EXAMPLE.ORG", True),
        ("javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        (" javascript://example.org/%0aalert(1)", False),
        ("data:text/html,<script>", False),
        ("file:///etc/passwd", False),
        ("//example.org", False),
        ("https://", False),
        ("https://[", False),
        ("", False),
        (None, False),
    ],
)
def test_only_web_addresses_become_links(url: str | None, leads: bool) -> None:
    assert bool(link(url)[1]) == leads


def test_the_policy_forbids_requests_and_all_scripts_except_the_pages_own(folder: Path) -> None:
    text = write_report(folder).read_text("utf-8")
    match = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', text)
    assert match
    policy = match[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    for part in ("script", "style"):
        inside = text.partition(f"<{part}>")[2].partition(f"</{part}>")[0]
        assert f"{part}-src 'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'" in policy
        assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp", inside)


def test_the_report_has_the_same_bytes_wherever_the_dataset_is(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    first = write_report(folder)
    assert first == folder.resolve().with_name("web.report.html")
    second = write_report(tmp_path / "elsewhere" / folder.name, tmp_path / "new" / "page.html")
    assert first.read_bytes() == second.read_bytes()
    assert str(folder.parents[3]).encode() not in first.read_bytes()


def test_a_conceptnet_dataset_has_a_report_too(tmp_path: Path) -> None:
    flags = {"lang": "ro", "sample": True, "out": tmp_path / "ws", "cache": tmp_path / "cache"}
    dataset = build(load_config(None, flags), Progress(quiet=True))[0]
    page = Document(write_report(dataset.path).read_text("utf-8"))
    assert len(page.all("li", "sample")) == 50
    assert not page.all("section", "threshold")
    headings = [text for _, text in page.all("th")]
    assert not [text for text in headings if text.startswith(OTHER)]
    assert any(text.startswith("stored_both_ways a symmetric fact") for text in headings)
    assert any("HasAgent 1, NotIsA 2" in text for text in headings)


@pytest.mark.parametrize(
    "broken", [b"{", b"[]", b'{"kept": [{"text": 1}]}', b'{"thresholds": [{"rule": "x"}]}', b'{"kept": ["\\ud800"]}']
)
def test_the_error_names_an_invalid_samples_file(broken: bytes, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "web")
    (copy / SAMPLES).write_bytes(broken)
    with pytest.raises(StorageError, match=SAMPLES):
        write_report(copy)
    assert not (tmp_path / "web.report.html").exists()


@pytest.mark.parametrize(
    "changed", [{"edges": [0, 1]}, {"edges": [0, 0, 1, 2, 3]}, {"rows": [-1, 0, 0, 0]}, {"value": float("nan")}]
)
def test_an_inconsistent_histogram_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"do not match|ascending|greater|finite"):
        threshold(**changed)


def test_the_report_is_never_written_inside_the_dataset_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match="outside"):
        write_report(folder, folder / "data" / "report.html")


def test_a_large_report_is_below_a_megabyte(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "web")
    texts = [f"{number} {'cuvânt ' * 85}" for number in range(20)]
    dropped = {f"reason_{number}": lines(*texts) for number in range(25)}
    put_samples(copy, samples() | {"dropped": dropped, "kept": lines(*texts) * 3})
    assert write_report(copy).stat().st_size < 1_000_000


def test_the_page_is_accessible(page: Document) -> None:
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes, _ in page.all("a"):
        if attributes["href"].startswith("#"):
            assert attributes["href"][1:] in ids
    for _, attributes, _ in page.elements:
        assert attributes.get("aria-labelledby", "main") in ids
    levels = [int(name[1]) for name, _, _ in page.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all("scope" in attributes for attributes, _ in page.all("th"))
    assert len(page.all("label")) == len(page.all("input")) + len(page.all("select"))
    assert page.all("a", "skip")[0][0]["href"] == "#main"


def test_colours_have_enough_contrast() -> None:
    style = (Path(__file__).parents[2] / "lrldata" / "report" / "base.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in re.findall(r":root \{([^}]+#[^}]+)\}", style)[:2]
    )
    for theme in (light, light | dark):
        pairs = [(ink, ground, 4.5) for ink in ("ink", "soft", "link") for ground in ("ground", "tint")]
        pairs += [("on-mark", mark, 4.5) for mark in ("right", "wrong")]
        pairs += [(mark, "ground", 3.0) for mark in ("kept", "gone", "edge", "right", "wrong")]
        for one, other, least in pairs:
            bright, faint = sorted((_luminance(theme[one]), _luminance(theme[other])), reverse=True)
            assert (bright + 0.05) / (faint + 0.05) >= least, (one, other)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
