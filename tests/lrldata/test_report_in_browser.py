"""The report of a dataset in a browser: keyboard use, filters and thresholds, any width, and no network requests."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from reports import CHROMIUM, ROMANIAN, assert_fits, build_dataset, chromium, lines, put_samples, run_in_page, samples

from lrldata.report.page import render, write_report
from lrldata.report.samples import Samples

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"), pytest.mark.slow]
WILSON = "1 judged, 1 wrong: 100.0% (20.7% to 100.0%)"  # the lower end is 1 / (1 + 1.96 ** 2)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_dataset(tmp_path_factory.mktemp("web"))
    put_samples(folder, samples())
    return write_report(folder)


def marks_of(sample: str) -> str:
    return f"[...document.querySelectorAll('{sample}')].map((each) => each.dataset.mark)"


def test_the_page_makes_no_network_requests_and_logs_no_errors(page: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    shown = chromium(tmp_path / "profile", f"--log-net-log={log}", "--dump-dom", page.as_uri())
    assert 'aria-pressed="false"' in shown, "the page's own script has run, as the policy allows"
    assert "6 of 12 lines" not in shown
    requested = set(re.findall(r'"url":"([^"]+)"', log.read_text("utf-8")))
    assert not [url for url in requested if "example.org" in url]


def test_lines_can_be_judged_with_the_keyboard_only(page: Path, tmp_path: Path) -> None:
    script = f"""
      press("j"); press("r"); press("w"); press("k"); press("ArrowDown"); press("w"); press("w");
      press("k"); press("w");
      const group = document.getElementById("reason-kept");
      tell({{
        marks: {marks_of("#reason-kept .sample")}, open: group.open, here: document.activeElement.textContent,
        judged: group.querySelector(".judged").textContent, all: document.getElementById("judged").textContent,
        kept: Object.values(JSON.parse(localStorage.getItem("lrl-report ro web"))),
        said: document.getElementById("said").textContent,
      }});"""
    # j selects the 1st line; r marks it and moves to the 2nd; w marks that and moves to the 3rd; k and down lead back
    # to the 3rd; w marks it and moves to the 4th; w marks that and moves to the 5th; k goes to the 4th; w unmarks it.
    state = run_in_page(page, tmp_path, script)
    assert state["marks"] == ["right", "wrong", "wrong", "", "", ""]
    assert state["open"]
    assert state["here"].startswith(ROMANIAN[3])
    assert state["judged"] == "3 judged, 2 wrong: 66.7% (20.8% to 93.9%)"
    assert state["all"] == "3 judged, 2 wrong."
    assert sorted(state["kept"]) == ["right", "wrong", "wrong"]
    assert state["said"] == "Mark removed. 3 of 6 judged in this group."


def test_keys_move_through_the_reasons_and_can_be_switched_off(page: Path, tmp_path: Path) -> None:
    script = """
      for (let time = 0; time < 7; time += 1) press("j");
      const next = document.activeElement.closest("details").dataset.group;
      press("?");
      const help = document.getElementById("help");
      const opened = help.open;
      press("r");
      help.querySelector("[name=keys]").click();
      help.querySelector("[name=close]").click();
      press("r", document.body);
      const marks = document.querySelectorAll(".sample[data-mark=right]").length;
      tell({ next, opened, closed: !help.open, marks });"""
    assert run_in_page(page, tmp_path, script) == {"next": "menu", "opened": True, "closed": True, "marks": 0}


def test_stored_marks_are_restored_and_invalid_ones_ignored(page: Path, tmp_path: Path) -> None:
    key = re.findall(r'data-key="(\w+)"', page.read_text("utf-8").partition('id="reason-menu"')[2])[0]
    stored = json.dumps({key: "wrong", "gone": "right", "__proto__": "right", "x": "<b>"})
    before = f"localStorage.setItem('lrl-report ro web', {json.dumps(stored)});"
    script = "tell(document.querySelector('#reason-menu .judged').textContent);"
    assert run_in_page(page, tmp_path, script, before) == WILSON


def test_the_page_warns_if_the_browser_stores_nothing(page: Path, tmp_path: Path) -> None:
    before = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no storage'); } });"
    script = """
      press("j"); press("w");
      tell([document.getElementById("storage").hidden, document.getElementById("judged").textContent]);"""
    assert run_in_page(page, tmp_path, script, before) == [False, "1 judged, 1 wrong."]
    assert run_in_page(page, tmp_path, "tell(document.getElementById('storage').hidden);") is True


def saved(page: Path, scratch: Path) -> Any:
    """Judge lines of three groups, and return the JSON and the TSV that the page saves."""
    script = """
      const blobs = [];
      URL.createObjectURL = (blob) => { blobs.push(blob); return "#"; };
      press("j"); press("r");
      document.querySelector("#reason-few_letters .sample:nth-child(2) [data-mark=wrong]").click();
      document.querySelector("#reason-menu [data-mark=wrong]").click();
      document.querySelector("[name=json]").click();
      document.querySelector("[name=tsv]").click();
      tell(await Promise.all(blobs.map((blob) => blob.text())));"""
    return run_in_page(page, scratch, script)


def test_marks_are_saved_as_json_and_tsv(page: Path, tmp_path: Path) -> None:
    as_json, as_tsv = saved(page, tmp_path)
    value = json.loads(as_json)
    assert (value["format"], value["dataset"]["language"], value["dataset"]["version"]) == (
        "lrl-marks-1",
        "ro",
        "1.0.0",
    )
    marks = [(mark["group"], mark["mark"], mark["text"]) for mark in value["marks"]]
    assert [mark[:2] for mark in marks] == [("kept", "right"), ("menu", "wrong"), ("few_letters", "wrong")]
    assert marks[0][2] == ROMANIAN[0]
    assert value["marks"][0]["url"] == "https://example.org/a?b=1&c=2"
    assert {key: tuple(tally.values())[:3] for key, tally in value["groups"].items()}["few_letters"] == (4, 0, 1)
    rows = [line.split("\t") for line in as_tsv.splitlines()]
    assert [row[:2] for row in rows] == [["group", "mark"], *(list(mark[:2]) for mark in marks)]
    assert {len(row) for row in rows} == {6}


def test_no_cell_of_a_tsv_is_a_formula(page: Path, tmp_path: Path) -> None:
    folder = page.with_name("web")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    value = samples() | {"kept": lines("=HYPERLINK(1)\tx\ny")}
    other = tmp_path / "other.html"
    other.write_text(render(manifest, Samples.model_validate(value)), encoding="utf-8")
    assert saved(other, tmp_path)[1].splitlines()[1].split("\t")[2] == "'=HYPERLINK(1) x y"


def test_lines_can_be_filtered_by_reason_words_and_mark(page: Path, tmp_path: Path) -> None:
    script = """
      const form = document.querySelector("form.tools");
      const lines = [...document.querySelectorAll("#samples ~ details .sample")];
      const seen = () => lines.filter((each) => each.checkVisibility()).length;
      const set = (name, value) => {
        form.elements[name].value = value;
        form.elements[name].dispatchEvent(new Event("input", { bubbles: true }));
        return [seen(), document.getElementById("matching").textContent];
      };
      const found = [set("search", "TOAMNA"), set("search", "right"), set("search", ""), set("group", "few_letters")];
      document.querySelector("#reason-few_letters [data-mark=right]").click();
      found.push(set("mark", "right"), set("mark", "none"));
      location.hash = "#reason-menu";
      await new Promise((done) => setTimeout(done, 200));
      tell([...found, form.elements.group.value, document.getElementById("reason-menu").open]);"""
    results = run_in_page(page, tmp_path, script)
    texts = [f"{count} of 12 lines shown." for count in (1, 0, 12, 4, 1, 3)]
    assert [result[1] for result in results[:6]] == texts
    assert [results[index][0] for index in (0, 1, 3, 4, 5)] == [1, 0, 4, 1, 3]
    assert results[6:] == ["", True], "a link to a reason removes the filter"


def test_a_threshold_can_be_tried_out_by_slider_and_by_number(page: Path, tmp_path: Path) -> None:
    rendered = re.findall(r"<output>(.*?)</output>", page.read_text("utf-8"))
    script = """
      const section = document.querySelector(".threshold");
      const [range, typed] = section.querySelectorAll(".try input");
      const message = () => section.querySelector("output").textContent;
      const set = (input, value) => {
        input.value = value;
        input.dispatchEvent(new Event("input", { bubbles: true }));
        return message();
      };
      const first = [...document.querySelectorAll("output")].map((each) => each.textContent);
      const slid = [set(range, 3), range.getAttribute("aria-valuetext"), typed.value];
      const found = [...slid, set(typed, 0.4), set(typed, "")];
      section.querySelector(".try button").click();
      tell([first, ...found, message()]);"""
    first, slid, value, number, typed, kept, reset = run_in_page(page, tmp_path, script)
    assert first == rendered, "the script shows the same text as the page was rendered with"
    assert slid == "At 0.75: 440 lines (22.0%), 25.0 kB, would be dropped. That is 400 more than at 0.5."
    assert (value, number) == ("0.75", "0.75")
    assert typed == kept == "At 0.4: about 28 lines (1.4%), 640 B, would be dropped. That is 12 fewer than at 0.5."
    assert reset == rendered[0]
    assert rendered[1] == "At 15: about 105 lines (94.6%), 105 B, would be dropped."


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(page: Path, tmp_path: Path, width: int) -> None:
    manifest = json.loads((page.with_name("web") / "manifest.json").read_text("utf-8"))
    wide = [
        {**sample, "doc": "d" * 400, "url": f"https://{'h' * 60}.example.org/{'p' * 200}"}
        for sample in lines("w" * 700)
    ]
    value = samples() | {"kept": wide, "dropped": {"r" * 80: wide, **samples()["dropped"]}}
    (tmp_path / "wide.html").write_text(render(manifest, Samples.model_validate(value)), encoding="utf-8")
    assert_fits(tmp_path / "wide.html", tmp_path, width)


def test_a_hostile_line_does_not_run(page: Path, tmp_path: Path) -> None:
    # The tested copy lacks the policy, which would stop it as well.
    assert run_in_page(page, tmp_path, "tell([window.ran ?? null, document.images.length]);") == [None, 0]
