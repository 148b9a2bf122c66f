"""Review by speakers: the sampling frame, the page, the server, and both used by keyboard in a browser."""

import asyncio
import html
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from browser import CHROMIUM, Page, browser
from typer.testing import CliRunner

from lrldata.cli.app import app
from lrldata.cli.review import dataset_folder
from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.dataset import VERDICTS, open_shards
from lrldata.errors import InputError, UsageError
from lrldata.manifest import DamagedError
from lrldata.progress import Progress
from lrldata.report.page import write_report
from lrldata.review import verdicts as verdict_files
from lrldata.review.frame import NOT_ABOUT_THE_LINE, frame_of
from lrldata.review.page import english, order, read_words, review_page, translations
from lrldata.review.server import Review, application
from lrldata.review.suggest import suggest
from lrldata.review.summary import summary_of
from lrldata.review.verdicts import Verdict, append, current_verdicts, line_id, now, read_all
from lrldata.review.wording import headline
from lrldata.web.build import build_web
from lrldata.web.config import load_web_config

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
JSON = {"Content-Type": "application/json", "X-Lrl-Review": "1"}
KEY = "key"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("review")
    flags = {"lang": "ro", "sample": True, "out": root / "ws", "cache": root / "cache"}
    build_web(load_web_config(None, flags | {"source": "glotcc"}), Progress(quiet=True))
    build(load_config(None, flags), Progress(quiet=True))
    return root / "ws"


@pytest.fixture
def folder(workspace: Path) -> Iterator[Path]:
    home = workspace / "datasets/ro/glotcc"
    frame_of(home)
    yield home
    for path in (home / VERDICTS).glob("*.jsonl"):
        path.unlink()


def test_a_frame_has_kept_and_dropped_lines_in_strata_of_known_size(folder: Path) -> None:
    frame = frame_of(folder)
    manifest = open_shards(folder).manifest
    sizes: dict[str, int] = {}
    for stratum in frame.strata:
        sizes[stratum.group] = sizes.get(stratum.group, 0) + stratum.size
    assert sizes.pop("kept") == sum(manifest["rows"].values())
    assert sizes == {
        reason: tally["rows"]
        for reason, tally in manifest["ledger"]["dropped"].items()
        if reason not in NOT_ABOUT_THE_LINE
    }
    rows = set(open_shards(folder).rows().select("text").collect()["text"])
    for line in frame.lines:
        assert line_id(line.text) == line.line
        assert (line.text in rows) == (frame.strata[line.stratum].group == "kept")


def test_kept_lines_at_higher_risk_are_in_the_stratum_near(folder: Path) -> None:
    frame = frame_of(folder)
    lengths: dict[str, list[int]] = {}
    for line in frame.lines:
        stratum = frame.strata[line.stratum]
        if stratum.group == "kept":
            lengths.setdefault(stratum.name, []).append(len(line.text))
    means = {name: sum(values) / len(values) for name, values in lengths.items()}
    assert means["near"] < means["far"]


def test_conceptnet_sentences_are_in_strata_by_relation(workspace: Path) -> None:
    frame = frame_of(workspace / "datasets/ro/conceptnet")
    rows = open_shards(workspace / "datasets/ro/conceptnet").rows().collect()
    assert sum(stratum.size for stratum in frame.strata) == len(rows)
    counts = dict(rows["relation"].value_counts().iter_rows())
    sizes = {stratum.name: stratum.size for stratum in frame.strata if stratum.name != "rare"}
    assert sizes == {name: counts[name] for name in sizes}


def test_a_frame_that_was_changed_is_refused(folder: Path) -> None:
    (path,) = (folder / VERDICTS).glob("frame-*.json")
    original = path.read_text()
    path.write_text(original.replace('"kept"', '"menu"', 1))
    with pytest.raises(DamagedError, match="changed after it was written"):
        frame_of(folder)
    path.write_text(original)


def test_the_page_does_not_say_what_the_program_decided(folder: Path) -> None:
    frame = frame_of(folder)
    served = review_page(frame, english(), "Romanian")
    alone = review_page(frame, english(), "Romanian", alone=True)
    for page in (served, alone):
        for reason in {stratum.group for stratum in frame.strata if "_" in stratum.group}:
            assert reason not in page
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
        assert "stratum" not in data["about"]
    assert frame.lines[0].text not in served
    assert "connect-src 'self'" in html.unescape(served)
    assert "connect-src" not in alone


def test_text_of_lines_and_names_is_escaped(folder: Path) -> None:
    frame = frame_of(folder)
    hostile = "</script><script>alert(1)</script>"
    lines = [frame.lines[0].model_copy(update={"text": hostile})]
    page = review_page(frame.model_copy(update={"lines": lines}), english(), "X", reviewers=[hostile], alone=True)
    assert hostile not in page
    assert page.count("</script>") == 2


def test_without_answers_the_order_of_lines_mixes_groups(folder: Path) -> None:
    frame = frame_of(folder)
    ordered = order(frame)
    assert sorted(ordered) == sorted(line.line for line in frame.lines)
    group = {line.line: frame.strata[line.stratum].group for line in frame.lines}
    first = [group[line] for line in ordered[:60]]
    assert 15 < first.count("kept") < 45
    assert len(set(first)) > 8


def test_the_words_of_the_page_can_be_translated(tmp_path: Path) -> None:
    assert {*english()} == {*read_words("ro")}
    assert {"en", "ro"} <= set(translations())
    file = tmp_path / "mt.toml"
    file.write_text('lang = "mt"\nright = "Tajjeb"\n[letters]\nright = "t"\n', encoding="utf-8")
    words = read_words(str(file))
    assert (words["right"], words["letters"]["right"], words["letters"]["wrong"]) == ("Tajjeb", "t", "w")
    file.write_text('rihgt = "Tajjeb"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="rihgt"):
        read_words(str(file))
    with pytest.raises(UsageError, match="no such file"):
        read_words("../../etc")


def test_the_dataset_to_review_is_found(workspace: Path, folder: Path) -> None:
    assert dataset_folder(folder, None, None) == folder.resolve()
    assert dataset_folder(workspace, "Romanian", "glotcc") == folder.resolve()
    with pytest.raises(UsageError, match="there are 2 datasets"):
        dataset_folder(workspace, None, None)
    with pytest.raises(UsageError, match="no such dataset"):
        dataset_folder(workspace, "mt", None)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    served = application(Review(folder, frame_of(folder)), english(), "Romanian", KEY)
    async with TestServer(served, host="127.0.0.1") as server, aiohttp.ClientSession() as client:
        yield client, f"http://127.0.0.1:{server.port}/{KEY}/"


def run(task: Callable[[aiohttp.ClientSession, str], Awaitable[Any]], folder: Path) -> Any:
    async def whole() -> Any:
        async with serving(folder) as (client, address):
            return await task(client, address)

    return asyncio.run(whole())


async def ask(client: aiohttp.ClientSession, address: str, **request: Any) -> dict[str, Any]:
    async with client.post(f"{address}answer", json={"reviewer": "Ana", **request}, headers=JSON) as answer:
        assert answer.status == 200, await answer.text()
        state: dict[str, Any] = await answer.json()
        return state


def test_a_verdict_is_on_disk_when_the_next_line_is_shown(folder: Path) -> None:
    async def judge(client: aiohttp.ClientSession, address: str) -> None:
        answer = await ask(client, address)
        for number, decision in enumerate(("right", "wrong", "unsure"), 1):
            line = answer["line"]
            answer = await ask(client, address, line=line, decision=decision, note="vechi")
            verdicts = read_all(folder / VERDICTS)
            assert (len(verdicts), verdicts[-1].line, verdicts[-1].decision, verdicts[-1].note) == (
                number,
                line,
                decision,
                "vechi",
            )
            assert answer["judged"] == number
            assert answer["line"] != line

    run(judge, folder)


def test_the_terminal_says_why_an_answer_was_not_saved(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def judge(client: aiohttp.ClientSession, address: str) -> int:
        async with client.post(f"{address}answer", json={"reviewer": "Ana"}, headers=JSON) as answer:
            return answer.status

    monkeypatch.setattr(Review, "answer", fail)
    with caplog.at_level("INFO", "lrldata"):
        assert run(judge, folder) == 500
    assert "an answer was not saved: [Errno 28] No space left on device." in caplog.text


def test_undo_goes_back_through_all_verdicts_even_after_a_restart(folder: Path) -> None:
    async def judge(client: aiohttp.ClientSession, address: str) -> list[str]:
        lines, answer = [], await ask(client, address)
        for _ in range(3):
            lines.append(answer["line"])
            answer = await ask(client, address, line=answer["line"], decision="right")
        return lines

    async def undo(client: aiohttp.ClientSession, address: str) -> list[str]:
        return [(await ask(client, address, undo=True))["line"] for _ in range(3)]

    lines = run(judge, folder)
    assert run(undo, folder) == lines[::-1]
    assert not current_verdicts(read_all(folder / VERDICTS))
    assert len(read_all(folder / VERDICTS)) == 6


def test_undo_gives_back_the_note_and_comes_after_what_it_undoes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def judge(client: aiohttp.ClientSession, address: str) -> list[str]:
        first = await ask(client, address)
        await ask(client, address, line=first["line"], decision="wrong", note="cuvânt vechi")
        monkeypatch.setattr(verdict_files, "datetime", SlowClock)  # the clock of this machine is set back
        undone = await ask(client, address, undo=True)
        again = await ask(client, address, line=undone["line"], decision="right", note=undone["note"])
        return [undone["line"], undone["note"], again["note"]]

    line, noted, after = run(judge, folder)
    assert (noted, after) == ("cuvânt vechi", "")
    (kept,) = current_verdicts(read_all(folder / VERDICTS))[line].values()
    assert (kept.decision, kept.note) == ("right", "cuvânt vechi")


class SlowClock(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> "SlowClock":
        return cls(2026, 1, 1, tzinfo=tz)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"X-Lrl-Review": "2"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_requests_with_another_origin_or_host_name_are_refused(
    folder: Path, headers: dict[str, str], status: int
) -> None:
    async def send(client: aiohttp.ClientSession, address: str) -> int:
        body = json.dumps({"reviewer": "Eve", "line": frame_of(folder).lines[0].line, "decision": "wrong"})
        async with client.post(f"{address}answer", data=body, headers=JSON | headers) as answer:
            return answer.status

    assert run(send, folder) == status
    assert not read_all(folder / VERDICTS)


@pytest.mark.parametrize(
    "body",
    [
        "{", "[" * 9_000, "[]", '{"reviewer": ""}', '{"reviewer": "\\u0007"}', '{"reviewer": "a", "line": "../x"}',
        '{"reviewer": "a", "surprise": 1}',
    ],
)  # fmt: skip
def test_invalid_requests_are_refused_and_change_nothing(folder: Path, body: str) -> None:
    async def send(client: aiohttp.ClientSession, address: str) -> int:
        async with client.post(f"{address}answer", data=body, headers=JSON) as answer:
            return answer.status

    assert run(send, folder) == 400
    assert not read_all(folder / VERDICTS)


def test_without_the_key_nothing_is_found(folder: Path) -> None:
    async def get(client: aiohttp.ClientSession, address: str) -> list[int]:
        statuses = []
        for path in ("", KEY, f"{KEY}/../other/", "answer"):
            async with client.get(address.removesuffix(f"{KEY}/") + path) as answer:
                statuses.append(answer.status)
        return statuses

    assert run(get, folder) == [404] * 4


@asynccontextmanager
async def command(folder: Path) -> AsyncIterator[tuple[subprocess.Popen[str], str]]:
    arguments = [sys.executable, "-u", "-m", "lrldata.cli", "review", str(folder), "--port", "0"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ)  # noqa: ASYNC220
    try:
        assert process.stdout
        match = re.search(r"http\S+", process.stdout.readline())
        assert match
        yield process, match[0]
    finally:
        process.kill()
        process.communicate()


def merge(folder: Path, file: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["review", str(folder), "--merge", str(file), *options])
    assert result.exit_code == 0, result.output
    return result.stdout


async def judge_by_keys(page: Page, address: str, name: str, keys: str) -> list[str]:
    """Enter a name and press keys, each after the answer to the previous one; return the lines that were shown."""
    await page.open(address)
    await page.until("document.activeElement.id === 'name'")
    await page.tell("document.activeElement.value = ''")
    await page.type(name)
    await page.press("Enter")
    lines = []
    for key in keys:
        await page.until("document.activeElement.id === 'line'")
        lines.append(await page.tell("document.getElementById('line').textContent"))
        await page.tell(
            "document.getElementById('count').textContent = document.getElementById('said').textContent = ''"
        )
        await page.press(key)
        await page.until("document.getElementById('count').textContent !== ''")
    assert not page.complaints
    return lines


@needs_browser
def test_forty_lines_judged_by_keyboard_survive_a_kill_and_are_merged(folder: Path, tmp_path: Path) -> None:
    keys = "rrwr1" * 4

    async def review() -> tuple[list[str], list[str], str]:
        async with browser() as page:
            async with command(folder) as (process, address):
                first = await judge_by_keys(page, address, "Ana", keys)
                process.send_signal(signal.SIGKILL)
            async with command(folder) as (_, address):
                second = await judge_by_keys(page, address, "Ana", keys)
                return first, second, await page.tell("document.getElementById('count').textContent")

    first, second, count = asyncio.run(review())
    assert len({*first, *second}) == 40, "a line that was judged before the kill is not shown again"
    assert count.startswith("You have judged 40 of")
    verdicts = read_all(folder / VERDICTS)
    texts = {line.line: line.text for line in frame_of(folder).lines}
    assert [texts[verdict.line] for verdict in verdicts] == [*first, *second]
    assert [verdict.decision for verdict in verdicts] == ["right", "right", "wrong", "right", "right"] * 8

    other = tmp_path / "ion.jsonl"
    changed = [
        verdict.model_copy(update={"reviewer": "Ion", "credit": True, "after": None}) for verdict in verdicts[:30]
    ]
    other.write_text(
        "".join(f"{verdict.model_dump_json(exclude={'after'})}\n" for verdict in changed), encoding="utf-8"
    )
    for added in (30, 0):  # the second time nothing is new
        answer = json.loads(merge(folder, other, "--json"))
        assert answer["files"][str(other)]["added"] == added
    assert answer["speakers"]["reviewers"] == 2
    assert answer["speakers"]["credited"] == ["Ion"]
    assert answer["speakers"]["alpha"] == 1.0


@needs_browser
def test_notes_undo_and_help_work_by_keyboard(folder: Path) -> None:
    async def review() -> Any:
        async with serving(folder) as (_, address), browser() as page:
            await judge_by_keys(page, address, "Ana", "r")
            await page.press("n")
            await page.type("un cuvânt vechi, r w u")
            await page.press("Enter")
            await page.press("w")
            await page.until("document.getElementById('count').textContent.includes(' 2 of')")
            await page.press("?")
            await page.until("document.getElementById('help').open")
            await page.press("r")
            await page.press("Escape")
            await page.press("4")
            await page.until("document.getElementById('count').textContent.includes(' 1 of')")
            return await page.tell("[document.getElementById('noting').hidden, document.getElementById('note').value]")

    assert asyncio.run(review()) == [False, "un cuvânt vechi, r w u"], "the note on the line is given back"
    verdicts = read_all(folder / VERDICTS)
    assert [(verdict.decision, verdict.note) for verdict in verdicts] == [
        ("right", ""),
        ("wrong", "un cuvânt vechi, r w u"),
        ("none", ""),
    ]


@needs_browser
def test_a_standalone_page_keeps_verdicts_and_saves_a_verdict_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "review.html"
    file.write_text(review_page(frame_of(folder), english(), "Romanian", alone=True), encoding="utf-8")

    async def review() -> tuple[str, str]:
        async with browser() as page:
            await judge_by_keys(page, file.as_uri(), "Eva", "rw3")
            await judge_by_keys(page, file.as_uri(), "Eva", "rz")
            count = await page.tell("document.getElementById('count').textContent")
            script = """new Promise((tell) => {
              URL.createObjectURL = (blob) => { blob.text().then(tell); return "#"; };
              document.querySelector("[name=save]").click(); })"""
            return count, await page.tell(script)

    count, saved = asyncio.run(review())
    assert count.startswith("You have judged 3 of")
    path = tmp_path / "eva.jsonl"
    path.write_text(saved, encoding="utf-8")
    assert "Merged" in merge(folder, path)
    decisions = [verdict.decision for verdict in read_all(folder / VERDICTS)]
    assert decisions == ["right", "wrong", "unsure", "right", "none"]
    summary = summary_of(folder)
    assert summary
    assert (summary["lines"], summary["unsure"]) == (3, 1)


@needs_browser
def test_accidents_on_a_shared_computer_lose_and_invent_no_verdict(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "review.html"
    file.write_text(review_page(frame_of(folder), english(), "Romanian", alone=True), encoding="utf-8")
    count = "Number(document.getElementById('count').textContent.match(/\\d+/)[0])"
    add = """(() => {
      const [key, value] = Object.entries(localStorage).find(([name]) => name.endsWith("verdicts"));
      const verdicts = JSON.parse(value);
      localStorage.setItem(key, JSON.stringify([...verdicts, {...verdicts[0], reviewer: "Dan", line: "d".repeat(32)}]));
      return key; })()"""
    agree = "localStorage.setItem(KEY.replace(' verdicts', ''), JSON.stringify({name: 'Eva', credit: true}))"
    click = "document.querySelector('[name=right]').dispatchEvent(new MouseEvent('click', {bubbles: true, detail: NR}))"
    credit = "document.querySelector('[name=credit]').checked"

    async def review() -> dict[str, Any]:
        seen: dict[str, Any] = {}
        async with browser() as page:
            await judge_by_keys(page, file.as_uri(), "Eva", "rw")
            key = json.dumps(await page.tell(add))  # as another tab of this browser would
            await page.press("r")
            await page.until(f"{count} === 3")
            seen["tabs"] = await page.tell(f"JSON.parse(localStorage.getItem({key})).map((one) => one.reviewer)")
            # The number rows of a Slovak and a Persian keyboard:
            for number, code, sign in ((4, "Digit1", "+"), (5, "Digit2", "۲"), (6, "Numpad3", "3")):
                event = json.dumps({"key": sign, "code": code, "bubbles": True})
                await page.tell(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {event}))")
                await page.until(f"{count} === {number}")
            event = json.dumps({"key": "ArrowDown", "code": "Numpad2", "bubbles": True})  # scrolls, without NumLock
            await page.tell(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {event}))")
            await page.tell("new Promise((go) => setTimeout(go, 400))")
            for number in (1, 2):  # a double click
                await page.tell(click.replace("NR", str(number)))
            await page.tell("new Promise((go) => setTimeout(go, 100))")
            seen["clicked"] = await page.tell(count)
            await page.tell(agree.replace("KEY", key))
            await page.open(file.as_uri())  # the next person at the same computer
            await page.until("document.activeElement.id === 'name'")
            seen["offered"] = await page.tell(f"[document.activeElement.value, {credit}]")
            await page.tell("document.activeElement.value = ''")
            await page.type("Ion")
            seen["ticked"] = await page.tell(credit)
        return seen

    seen = asyncio.run(review())
    assert sorted(seen["tabs"]) == ["Dan", "Eva", "Eva", "Eva"]
    assert seen["clicked"] == 7
    assert (seen["offered"], seen["ticked"]) == (["Eva", True], False)


def test_verdicts_on_an_earlier_version_are_not_undone(folder: Path) -> None:
    append(folder, [Verdict(
        language="ro", source="glotcc", version="0.9.0", line=line_id("gone"), decision="right", reviewer="Ana",
        time="2026-01-01T00:00:00Z",
    )])  # fmt: skip

    async def judge(client: aiohttp.ClientSession, address: str) -> None:
        first = await ask(client, address)
        assert (first["can_undo"], first["judged"]) == (False, 0)
        assert await ask(client, address, undo=True) == first
        after = await ask(client, address, line=first["line"], decision="right")
        assert (after["can_undo"], after["judged"]) == (True, 1)
        assert (await ask(client, address, undo=True))["line"] == first["line"]

    run(judge, folder)
    recorded = [(verdict.line == line_id("gone"), verdict.decision) for verdict in read_all(folder / VERDICTS)]
    assert recorded == [(True, "right"), (False, "right"), (False, "none")]


def test_the_headline_says_what_speakers_found(folder: Path) -> None:
    async def judge(client: aiohttp.ClientSession, address: str) -> None:
        answer = await ask(client, address)
        for _ in range(60):
            answer = await ask(client, address, line=answer["line"], decision="right", credit=True)

    run(judge, folder)
    summary = summary_of(folder)
    assert summary
    sentence = headline(summary, "Romanian", "lines")
    judged = summary["kept"]["judged"]
    assert sentence.startswith(f"{judged} of {judged} sampled kept lines are good Romanian")
    assert sentence.endswith("by 1 speaker (Ana).")
    assert all(share["share"] < 0.2 for share in summary["dropped"].values()), "the good lines were wrongly dropped"


def test_the_report_says_what_speakers_found(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(folder, page)
    assert "What speakers say" not in page.read_text("utf-8")
    add_verdicts(folder, {line.line: "right" for line in frame_of(folder).lines[:80]})
    write_report(folder, page)
    text = html.unescape(page.read_text("utf-8"))
    summary = summary_of(folder)
    assert summary
    assert headline(summary, "Romanian", "lines") in text
    assert "dropped: " in text or not summary["dropped"]


def test_another_threshold_is_suggested_if_speakers_disagree_with_the_current_one(folder: Path) -> None:
    with pytest.raises(InputError, match="none of its lines were judged"):
        suggest(folder)
    frame = frame_of(folder)
    group = {line.line: frame.strata[line.stratum].group for line in frame.lines}
    decisions = {line: "right" if name == "kept" else "wrong" for line, name in group.items()}
    add_verdicts(folder, decisions)
    suggestions = {suggestion.rule: suggestion for suggestion in suggest(folder)}
    assert suggestions["shortest_line"].better == suggestions["shortest_line"].now
    assert suggestions["shortest_line"].good_lost == suggestions["shortest_line"].bad_kept == 0
    add_verdicts(folder, {line: "right" for line, name in group.items() if name == "short_line"}, reviewer="Ana")
    short = {suggestion.rule: suggestion for suggestion in suggest(folder)}["shortest_line"]
    assert short.better < short.now
    assert short.good_lost < short.good_lost_now
    assert short.good_lost_now == sum(stratum.size for stratum in frame.strata if stratum.group == "short_line")


def add_verdicts(folder: Path, decisions: dict[str, str], reviewer: str = "Ana") -> None:
    frame = frame_of(folder)
    append(
        folder,
        [
            Verdict(
                language=frame.language, source=frame.source, version=frame.version, line=line, decision=decision,
                reviewer=reviewer, time=now(),
            )
            for line, decision in decisions.items()
        ],
    )  # fmt: skip
