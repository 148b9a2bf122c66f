"""The page of results in a browser: sorted and filtered by click and by keyboard, on any width, asking no network."""

import re
from pathlib import Path

import pytest
from reports import CHROMIUM, assert_fits, chromium, told
from results import HOSTILE, fill, predictions, put_run, recipe

from lrltrain.reporting.report import report

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.xdist_group("results"),  # so that what they share is made once
]
MEANS = """
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
def test_the_page_asks_nothing_of_a_network_and_has_nothing_to_complain_of(
    page: Path, tmp_path: Path, theme: str
) -> None:
    log, picture = tmp_path / "net.json", tmp_path / f"{theme}.png"
    settings = ["--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
    options = [f"--log-net-log={log}", f"--screenshot={picture}", "--window-size=1280,3200", "--hide-scrollbars"]
    chromium(tmp_path / "profile", *settings, *options, page.as_uri())
    asked = re.findall(r'"url":"([^"]+)"', log.read_text("utf-8"))
    assert not [url for url in asked if url.startswith("http") and page.name in url]
    assert {url for url in asked if url.startswith("file:")} <= {page.as_uri()}
    image = pytest.importorskip("PIL.Image").open(picture).convert("L")
    corner = image.getpixel((5, 3100))
    assert corner > 240 if theme == "light" else corner < 40
    assert image.getextrema()[1] - image.getextrema()[0] > 180, "there is something to be read on it"


def test_columns_are_sorted_by_buttons_that_the_keyboard_reaches(page: Path, tmp_path: Path) -> None:
    script = f"""{MEANS}
      const place = heads.findIndex((head) => head.textContent.startsWith("ner"));
      const states = () => heads.map((head) => head.getAttribute("aria-sort"));
      const first = shown(0);
      heads[place].querySelector("button").click();
      const down = [shown(place), states()[place], document.getElementById("said").textContent];
      // A press of a key on a button with the focus is a click, which the browser itself makes of it.
      const button = heads[place].querySelector("button");
      button.focus();
      const focused = document.activeElement === button && button.tabIndex === 0;
      button.click();
      const up = [shown(place), states()[place]];
      heads[0].querySelector("button").click();
      const names = [shown(0), states()];
      document.querySelector("form.tools [type=reset]").click();
      tell({{ first, down, up, names, focused, again: shown(0), states: states() }});"""
    found = told(page, tmp_path, script)
    numbers = [float(value) for value in found["down"][0] if value]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 12
    assert found["down"][0][-1] == "", "what has no score is last"
    assert found["down"][1:] == ["descending", "Sorted by ner, wikiann, descending."]
    assert [float(value) for value in found["up"][0] if value] == sorted(numbers)
    assert found["up"][0][-1] == ""
    assert found["up"][1] == "ascending"
    assert found["focused"]
    assert found["names"][0] == sorted(found["names"][0])
    assert found["names"][1] == ["ascending", *[None] * 5]
    assert found["again"] == found["first"]
    assert found["states"] == [None] * 6


def test_rows_are_found_by_language_method_words_and_verdict(page: Path, tmp_path: Path) -> None:
    script = f"""{MEANS}
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
    found = told(page, tmp_path, script)
    counts = [each[0] for each in found["found"]]
    assert counts[:7] == [4, 1, 4, 13, 4, 0, 13]
    assert 0 < counts[7] < 13
    assert counts[8] == 13
    assert [each[1] for each in found["found"]] == [f"{count} of 13 rows shown." for count in counts]
    assert found["averages"]
    assert found["all"]


def test_a_link_opens_the_section_of_a_language_and_nothing_hostile_runs(page: Path, tmp_path: Path) -> None:
    # The policy, which would stop it as well, is not in the copy that is looked at.
    script = """
      const section = document.getElementById("lang-ug").parentElement;
      const before = section.open;
      document.querySelector("#scores-table a[href='#lang-ug']").click();
      await new Promise((done) => setTimeout(done, 200));
      tell({ before, after: section.open, here: document.activeElement.textContent.trim(),
             samples: section.querySelectorAll(".samples li").length,
             charts: section.querySelectorAll("svg[role]").length,
             ran: window.ran ?? null, images: document.images.length });"""
    found = told(page, tmp_path, script)
    assert (found["before"], found["after"], found["ran"], found["images"]) == (False, True, None, 0)
    assert found["here"].startswith("Uyghur")
    assert found["samples"] == 8
    assert found["charts"] == 1


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(page: Path, tmp_path: Path, width: int) -> None:
    assert_fits(page, tmp_path, width)
