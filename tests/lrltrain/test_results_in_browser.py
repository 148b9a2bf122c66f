"""The results page in a browser: sorting and filtering by mouse and keyboard, any width, no network requests."""

import re
from pathlib import Path

import pytest
from reports import CHROMIUM, assert_fits, chromium, run_in_page
from results import HOSTILE, fill, predictions, put_run, recipe

from lrltrain.reporting.report import report

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.xdist_group("results"),  # so that the shared fixtures are built once
]
HELPERS = """
  const table = document.getElementById("scores-table");
  const heads = [...table.tHead.rows[0].cells];
  const shown = (column) => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) =>
    row.cells[column].dataset.value ?? row.cells[column].textContent.trim());
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "ws"
    fill(out)
    gold, predicted = predictions("topic", 0.1, 1)
    put_run(out, recipe("am", "topic", "lora", 1, source=HOSTILE), gold, predicted)
    return report(out).page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_makes_no_network_requests_and_can_be_read_in_both_themes(
    page: Path, tmp_path: Path, theme: str
) -> None:
    log, picture = tmp_path / "net.json", tmp_path / f"{theme}.png"
    settings = ["--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
    options = [f"--log-net-log={log}", f"--screenshot={picture}", "--window-size=1280,3200", "--hide-scrollbars"]
    chromium(tmp_path / "profile", *settings, *options, page.as_uri())
    urls = re.findall(r'"url":"([^"]+)"', log.read_text("utf-8"))
    assert not [url for url in urls if url.startswith("http") and page.name in url]
    assert {url for url in urls if url.startswith("file:")} <= {page.as_uri()}
    image = pytest.importorskip("PIL.Image").open(picture).convert("L")
    corner = image.getpixel((5, 3100))
    assert corner > 240 if theme == "light" else corner < 40
    assert image.getextrema()[1] - image.getextrema()[0] > 180, "the page shows readable content"


def test_columns_are_sorted_by_buttons_that_work_from_the_keyboard(page: Path, tmp_path: Path) -> None:
    script = f"""{HELPERS}
      const place = heads.findIndex((head) => head.textContent.startsWith("ner"));
      const states = () => heads.map((head) => head.getAttribute("aria-sort"));
      const first = shown(0);
      heads[place].querySelector("button").click();
      const down = [shown(place), states()[place], document.getElementById("said").textContent];
      // The browser turns a key press on the focused button into a click.
      const button = heads[place].querySelector("button");
      button.focus();
      const focused = document.activeElement === button && button.tabIndex === 0;
      button.click();
      const up = [shown(place), states()[place]];
      heads[0].querySelector("button").click();
      const names = [shown(0), states()];
      document.querySelector("form.tools [type=reset]").click();
      tell({{ first, down, up, names, focused, again: shown(0), states: states() }});"""
    state = run_in_page(page, tmp_path, script)
    numbers = [float(value) for value in state["down"][0] if value]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 12
    assert state["down"][0][-1] == "", "rows without a score come last"
    assert state["down"][1:] == ["descending", "Sorted by ner, wikiann, descending."]
    assert [float(value) for value in state["up"][0] if value] == sorted(numbers)
    assert state["up"][0][-1] == ""
    assert state["up"][1] == "ascending"
    assert state["focused"]
    assert state["names"][0] == sorted(state["names"][0])
    assert state["names"][1] == ["ascending", *[None] * 5]
    assert state["again"] == state["first"]
    assert state["states"] == [None] * 6


def test_rows_are_filtered_by_language_method_words_and_verdict(page: Path, tmp_path: Path) -> None:
    script = f"""{HELPERS}
      const form = document.querySelector("form.tools");
      const set = (name, value) => {{
        form.elements[name].value = value;
        form.elements[name].dispatchEvent(new Event("input", {{ bubbles: true }}));
        return [shown(0).length, form.querySelector(".state").textContent];
      }};
      const found = [set("language", "ro"), set("method", "lora"), set("language", ""), set("method", "")];
      found.push(set("search", "UYGHUR"), set("search", "no such words"), set("search", ""), set("verdict", "gain"));
      form.querySelector("[type=reset]").click();
      await new Promise((done) => setTimeout(done, 50));
      found.push([shown(0).length, form.querySelector(".state").textContent]);
      const other = document.querySelectorAll("form.tools")[1];
      other.elements.method.value = "lora";
      other.elements.method.dispatchEvent(new Event("input", {{ bubbles: true }}));
      const averages = [...document.getElementById("averages-table").tBodies[0].rows].filter((row) => !row.hidden);
      tell({{ found, averages: averages.length, all: averages.every((row) => row.dataset.method === "lora") }});"""
    result = run_in_page(page, tmp_path, script)
    counts = [entry[0] for entry in result["found"]]
    assert counts[:7] == [4, 1, 4, 13, 4, 0, 13]
    assert 0 < counts[7] < 13
    assert counts[8] == 13
    assert [entry[1] for entry in result["found"]] == [f"{count} of 13 rows shown." for count in counts]
    assert result["averages"]
    assert result["all"]


def test_a_link_opens_the_section_of_a_language_and_nothing_hostile_runs(page: Path, tmp_path: Path) -> None:
    # The copy under test lacks the content security policy, which would also stop it.
    script = """
      const section = document.getElementById("lang-ug").parentElement;
      const before = section.open;
      document.querySelector("#scores-table a[href='#lang-ug']").click();
      await new Promise((done) => setTimeout(done, 200));
      tell({ before, after: section.open, here: document.activeElement.textContent.trim(),
             samples: section.querySelectorAll(".samples li").length,
             charts: section.querySelectorAll("svg[role]").length,
             ran: window.ran ?? null, images: document.images.length });"""
    state = run_in_page(page, tmp_path, script)
    assert (state["before"], state["after"], state["ran"], state["images"]) == (False, True, None, 0)
    assert state["here"].startswith("Uyghur")
    assert state["samples"] == 8
    assert state["charts"] == 1


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(page: Path, tmp_path: Path, width: int) -> None:
    assert_fits(page, tmp_path, width)
