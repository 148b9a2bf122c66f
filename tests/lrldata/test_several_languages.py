"""Web text of several languages in one command: a failure stops no other language, and none is taken for another."""

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from test_web_build import prose

import lrldata
from lrldata.errors import IncompleteError, InputError, UsageError
from lrldata.progress import Progress
from lrldata.web import build as building
from lrldata.web.build import build_web
from lrldata.web.config import load_web_config
from lrldata.web.plan import plan_web


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of GlotCC-V1 with Romanian text in two folders, one of which is labelled Danish."""
    for folder in ("ron-Latn", "dan-Latn"):
        (tmp_path / "v1.0" / folder).mkdir(parents=True)
        rows = "".join(json.dumps({"text": text}) + "\n" for text in prose(12))
        (tmp_path / "v1.0" / folder / "pages.jsonl").write_text(rows, "utf-8")
    return tmp_path / "v1.0"


def build(copy: Path, lang: str, **options: Any) -> list[lrldata.Dataset]:
    out = copy.parent / "ws"
    settings = {"lang": lang, "source": "glotcc", "input": copy, "out": out, "cache": out / "cache", "workers": 1}
    return build_web(load_web_config(None, settings | options), Progress())


def test_a_language_missing_from_the_copy_is_not_built_from_others(copy: Path) -> None:
    with pytest.raises(InputError, match=r"v1\.0: holds no mlt-Latn, but dan-Latn, ron-Latn\. Name") as raised:
        build(copy, "mt")
    assert "--input" in raised.value.hint
    assert not list(copy.parent.glob("ws/datasets/*/*/manifest.json"))
    (copy / "more.txt").write_text("Un rând.\n", "utf-8")  # now a folder of the user's own files, not such a copy
    with pytest.raises(InputError, match="Nothing is left"):
        build(copy, "mt")


def test_a_language_with_nothing_left_does_not_stop_the_others(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(IncompleteError, match=r"^Nothing is left of \d+ lines of Danish.* holds no mlt-Latn") as raised:
        build(copy, "da,mt,ro")
    assert [dataset.language.code for dataset in raised.value.built] == ["ro"]
    assert raised.value.hint.endswith("The other datasets are built.")
    assert (copy.parent / "ws/datasets/ro/glotcc/manifest.json").is_file()
    messages = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in messages if line.startswith(("Danish", "Maltese", "Romanian"))] == [
        *("Danish (da)", "Maltese (mt)", "Romanian (ro)")
    ]
    assert "Romanian (ro): built, " in messages[-1]
    assert [path.name for path in copy.parent.glob("ws/cache/glotcc/*")] == [".locks"], (
        "no intermediate files are left behind"
    )


def test_an_error_that_concerns_all_languages_is_reported_once(copy: Path) -> None:
    with pytest.raises(
        InputError, match=r"^[^:]*nowhere: no such file or folder\. Give --input[^:]*: [^:]*$"
    ) as raised:
        build(copy.parent / "nowhere", "da,mt,ro")
    assert not isinstance(raised.value, IncompleteError)


def test_a_plan_says_which_languages_have_no_data(copy: Path) -> None:
    settings = {"lang": "mt,ro", "source": "glotcc", "input": copy, "out": copy.parent / "ws"}
    steps = plan_web(load_web_config(None, settings))
    assert [(step.action, step.what) for step in steps if step.action in ("skip", "write")] == [
        ("skip", "Maltese"),
        ("write", str(copy.parent / "ws/datasets/ro/glotcc")),
    ]


def test_a_plan_for_a_single_language_without_data_is_an_error(copy: Path) -> None:
    with pytest.raises(InputError, match="holds no mlt-Latn"):
        plan_web(load_web_config(None, {"lang": "mt", "source": "glotcc", "input": copy}))


def test_the_users_files_next_to_a_copy_are_reported(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lrldata"):
        build(copy, "ro")
        assert "left out" not in caplog.text, "the folders of other languages are not reported"
        (copy / "mine.txt").write_text("Un rând.\n", "utf-8")
        build(copy, "ro")
    assert "left out, not in the folder of the language: 2" in caplog.text


def test_contradictory_settings_are_refused_before_anything_is_built(copy: Path) -> None:
    with pytest.raises(UsageError, match="Bulgarian"):
        build(copy, "ro,bg", scripts="Latn")
    assert not list(copy.parent.glob("ws/datasets/*/*/manifest.json"))


def test_two_concurrent_builds_do_the_work_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned: list[int] = []
    original, started = building.clean_corpus, threading.Event()

    def clean(*arguments: Any) -> Any:
        cleaned.append(1)
        started.set()
        assert waiting.wait(60), "the other build has looked for a dataset, and waits for the lock"
        return original(*arguments)

    waiting = threading.Event()
    monkeypatch.setattr(building, "clean_corpus", clean)
    monkeypatch.setattr("lrldata.locks.warn", lambda *_: waiting.set())
    statuses: list[str] = []
    threads = [threading.Thread(target=lambda: statuses.append(build(copy, "ro")[0].status)) for _ in range(2)]
    threads[0].start()
    assert started.wait(60)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == ["built", "unchanged"]
    assert cleaned == [1]
