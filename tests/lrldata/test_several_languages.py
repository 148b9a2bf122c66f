"""Web text of several languages in one command: one that fails stops no other, and none is taken for another."""

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
    """Return a copy of GlotCC-V1 with Romanian in two folders, of which one is called Danish."""
    for folder in ("ron-Latn", "dan-Latn"):
        (tmp_path / "v1.0" / folder).mkdir(parents=True)
        rows = "".join(json.dumps({"text": text}) + "\n" for text in prose(12))
        (tmp_path / "v1.0" / folder / "pages.jsonl").write_text(rows, "utf-8")
    return tmp_path / "v1.0"


def build(copy: Path, lang: str, **options: Any) -> list[lrldata.Dataset]:
    out = copy.parent / "ws"
    given = {"lang": lang, "source": "glotcc", "input": copy, "out": out, "cache": out / "cache", "workers": 1}
    return build_web(load_web_config(None, given | options), Progress())


def test_a_language_that_the_copy_lacks_is_not_made_of_the_others(copy: Path) -> None:
    with pytest.raises(InputError, match=r"v1\.0: holds no mlt-Latn, but dan-Latn, ron-Latn\. Name") as raised:
        build(copy, "mt")
    assert "--input" in raised.value.hint
    assert not list(copy.parent.glob("ws/datasets/*/*/manifest.json"))
    (copy / "more.txt").write_text("Un rând.\n", "utf-8")  # a folder of somebody's own, and no such copy
    with pytest.raises(InputError, match="Nothing is left"):
        build(copy, "mt")


def test_a_language_of_which_nothing_is_left_stops_no_other(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(IncompleteError, match=r"^Nothing is left of \d+ lines of Danish.* holds no mlt-Latn") as raised:
        build(copy, "da,mt,ro")
    assert [each.language.code for each in raised.value.built] == ["ro"]
    assert raised.value.hint.endswith("The other datasets are built.")
    assert (copy.parent / "ws/datasets/ro/glotcc/manifest.json").is_file()
    told = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told if line.startswith(("Danish", "Maltese", "Romanian"))] == [
        *("Danish (da)", "Maltese (mt)", "Romanian (ro)")
    ]
    assert "Romanian (ro): built, " in told[-1]
    assert [path.name for path in copy.parent.glob("ws/cache/glotcc/*")] == [".locks"], "nothing is left behind"


def test_what_concerns_all_languages_is_said_once(copy: Path) -> None:
    with pytest.raises(
        InputError, match=r"^[^:]*nowhere: no such file or folder\. Give --input[^:]*: [^:]*$"
    ) as raised:
        build(copy.parent / "nowhere", "da,mt,ro")
    assert not isinstance(raised.value, IncompleteError)


def test_a_plan_says_which_languages_have_nothing(copy: Path) -> None:
    asked = {"lang": "mt,ro", "source": "glotcc", "input": copy, "out": copy.parent / "ws"}
    steps = plan_web(load_web_config(None, asked))
    assert [(step.action, step.what) for step in steps if step.action in ("skip", "write")] == [
        ("skip", "Maltese"),
        ("write", str(copy.parent / "ws/datasets/ro/glotcc")),
    ]


def test_a_plan_of_one_language_that_has_nothing_is_an_error(copy: Path) -> None:
    with pytest.raises(InputError, match="holds no mlt-Latn"):
        plan_web(load_web_config(None, {"lang": "mt", "source": "glotcc", "input": copy}))


def test_files_of_ones_own_beside_a_copy_are_named(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lrldata"):
        build(copy, "ro")
        assert "left out" not in caplog.text, "the folders of other languages are none of this one's"
        (copy / "mine.txt").write_text("Un rând.\n", "utf-8")
        build(copy, "ro")
    assert "left out, not in the folder of the language: 2" in caplog.text


def test_what_cannot_be_meant_is_refused_before_the_first_is_built(copy: Path) -> None:
    with pytest.raises(UsageError, match="Bulgarian"):
        build(copy, "ro,bg", scripts="Latn")
    assert not list(copy.parent.glob("ws/datasets/*/*/manifest.json"))


def test_two_at_once_do_the_work_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned: list[int] = []
    real, begun = building.clean_corpus, threading.Event()

    def clean(*given: Any) -> Any:
        cleaned.append(1)
        begun.set()
        waiting.wait(5)  # until the other has looked at what is there, and waits for the lock
        return real(*given)

    waiting = threading.Event()
    monkeypatch.setattr(building, "clean_corpus", clean)
    monkeypatch.setattr(logging.getLogger("lrldata"), "info", lambda *_, **__: waiting.set())
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(build(copy, "ro")[0].status)) for _ in range(2)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    threading.Timer(0.5, waiting.set).start()
    for each in threads:
        each.join()
    assert sorted(made) == ["built", "unchanged"]
    assert cleaned == [1]
