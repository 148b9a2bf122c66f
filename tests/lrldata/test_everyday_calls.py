"""Calls as users make them: with unusual types, in unusual folders, without a terminal, within a pool."""

import multiprocessing
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import lrldata
from lrldata.arguments import as_text, in_python
from lrldata.cli.options import typed_options
from lrldata.engine import WorkerPool
from lrldata.errors import InputError, LanguageError, StorageError, UsageError
from lrldata.imports import many_imports
from lrldata.settings import as_local_path
from lrldata.web.config import load_web_config

NAMES = {"scripts", "dump", "transfer_from", "transfer_adapter", "answers", "model_id", "private", "base_id", "lang"}
NAMES |= {"form", "normalise", "precision", "data", "labels", "documents", "lid"}
TEXT = """Satul nostru este așezat pe două dealuri, iar între ele curge un pârâu cu apă limpede și rece.
Primele case au fost ridicate din bârne de stejar, iar acoperișurile lor erau făcute din paie de secară.
"""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Leave --scripts out, or name one.", "Leave scripts out, or name one."),
        ("Give one with --dump FILE, or --dump instead.", 'Give one with dump="FILE", or dump instead.'),
        ("--transfer-from wants --transfer-adapter DIR, an", 'transfer_from wants transfer_adapter="DIR", an'),
        ("--answers needs --model-id NAME: the", 'answers needs model_id="NAME": the'),
        ("Give --base-id ORG/NAME.", 'Give base_id="ORG/NAME".'),
        ("Use --lang CODE, as in --lang ug.", 'Use lang="CODE", as in lang="ug".'),
        ("Use --lang ro,mt,ug or --lang paper.", 'Use lang="ro,mt,ug" or lang="paper".'),
        ("Leave out --form chat and --normalise mean.", 'Leave out form="chat" and normalise="mean".'),
        ("give --data FOLDER with x, or --precision fp32", 'give data="FOLDER" with x, or precision="fp32"'),
        ("Use --labels data to accept the labels", 'Use labels="data" to accept the labels'),
        ("Use --documents lines, and --lid glotlid", 'Use documents="lines", and lid="glotlid"'),
    ],
)
def test_options_in_messages_become_arguments(message: str, expected: str) -> None:
    assert in_python(message, NAMES) == expected


def test_languages_are_accepted_as_codes_or_objects(tmp_path: Path) -> None:
    common: dict[str, Any] = {"sample": True, "out": tmp_path, "cache": tmp_path / "cache", "quiet": True}
    language = lrldata.find_language("ro")
    assert lrldata.build(language, **common).language == language
    assert [dataset.language.code for dataset in lrldata.build([language, lrldata.find_language("mt")], **common)] == [
        "ro",
        "mt",
    ]
    assert [dataset.status for dataset in lrldata.build((code for code in ["ro"]), **common)] == ["unchanged"]
    assert lrldata.find_language(language) is language
    assert lrldata.explain("Citește mai mult", language)
    for wrong in (None, 3, [None]):
        with pytest.raises(LanguageError, match="is not a language"):
            lrldata.build(wrong, **common)  # type: ignore[call-overload]


def test_a_single_path_means_a_list_of_one(tmp_path: Path) -> None:
    page, bench = tmp_path / "page.txt", tmp_path / "bench.txt"
    page.write_text(TEXT, "utf-8")
    bench.write_text(TEXT.splitlines()[0], "utf-8")
    options: dict[str, Any] = {"source": "web", "input": page, "cache": tmp_path / "c", "quiet": True}
    one = lrldata.build("ro", protect=str(bench), out=tmp_path / "a", **options)  # type: ignore[arg-type]
    several = lrldata.build("ro", protect=[bench], out=tmp_path / "b", **options)
    (tmp_path / "build.toml").write_text(f'protect = "{bench}"\n', "utf-8")
    assert load_web_config(tmp_path / "build.toml", {"lang": "ro", "source": "glotcc"}).protect == [bench]
    assert one.ledger == several.ledger
    assert one.ledger.dropped["contaminated"].rows == 1


def test_identify_accepts_nulls_and_refuses_other_types() -> None:
    predictions = lrldata.identify(iter(["Aceasta este o propoziție.", None, float("nan")]))  # as in a column of pandas
    assert [prediction.labels[:1] for prediction in predictions] == [("ro",), (), ()]
    for wrong in (1.5, 0):
        with pytest.raises(UsageError, match=f"texts: {wrong} is not a text"):
            lrldata.identify(["da", wrong])  # type: ignore[list-item]
    for call in (lrldata.identify, lambda texts: lrldata.explain(texts, "ro")):
        with pytest.raises(UsageError, match=r"None is not a list of texts|None is not a text"):
            call(None)  # type: ignore[operator]


def test_folder_names_may_look_like_patterns(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    (tmp_path / "page.txt").write_text(TEXT, "utf-8")
    folder = tmp_path / "w [1]*"
    options: dict[str, Any] = {
        "source": "web",
        "input": tmp_path / "page.txt",
        "out": folder,
        "cache": folder / "cache",
    }
    dataset = lrldata.build("ro", workers=1, quiet=True, **options)
    assert len(dataset.to_frame()) == sum(dataset.load().num_rows.values()) == 2


def test_paths_are_local_and_may_begin_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    dataset = lrldata.build("ro", sample=True, out="~/ws", cache="~/cache", quiet=True)
    assert dataset.path == tmp_path / "ws" / "datasets" / "ro" / "conceptnet"
    assert [stored.path for stored in lrldata.open_workspace("~/ws").datasets()] == [dataset.path]
    assert lrldata.open_dataset("~/ws/datasets/ro/conceptnet").version == dataset.version
    assert dataset.report("~/page.html") == tmp_path / "page.html"
    assert not (tmp_path / "~").exists()
    with pytest.raises(UsageError, match="~nobody-of-this-name/ws"):
        lrldata.open_workspace("~nobody-of-this-name/ws")
    with pytest.raises(UsageError, match="None is not a path"):
        lrldata.open_workspace(None)  # type: ignore[arg-type]
    assert as_local_path("file:///a%20b/c") == as_local_path(Path("file:///a b/c")) == Path("/a b/c")
    for address in ("https://x.org/a.txt", Path("s3://bucket/a")):
        with pytest.raises(UsageError, match=r"input: .* is an address"):
            lrldata.build("ro", source="web", input=address, out=tmp_path, quiet=True)
    assert as_text(Path("s3://bucket/ws"), "out") == "s3://bucket/ws", "a Path keeps one slash"
    assert as_text(Path("file:///a/ws"), "out") == "file:///a/ws"
    assert as_text(Path("/a/b"), "out") == "/a/b"
    for wrong in (b"ws", 3):
        with pytest.raises(UsageError, match=r"out: .* is not a path"):
            lrldata.build("ro", sample=True, out=wrong, quiet=True)  # type: ignore[typeddict-item]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        lrldata.build("ro", sample=True, out=tmp_path / "file", cache=tmp_path / "cache", quiet=True)


def test_a_build_works_without_standard_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert lrldata.build("ro", sample=True, out=tmp_path, cache=tmp_path / "cache").status == "built"


def test_a_process_of_a_pool_starts_no_other_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(multiprocessing.current_process())["_config"], "daemon", True)
    assert WorkerPool(4).workers == 1


def test_an_empty_file_is_not_a_gzip_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(TEXT, "utf-8")
    (tmp_path / "in" / "b.jsonl.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"b.jsonl.gz: cannot be read .*empty"):
        lrldata.build("ro", source="web", input=tmp_path / "in", out=tmp_path / "out", cache=tmp_path / "c", quiet=True)


def test_the_path_of_a_file_with_commas_is_one_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one, two.txt").write_text("x", "utf-8")
    assert typed_options({"text": "one, two.txt"}, lists=("text",)) == {"text": ["one, two.txt"]}
    assert typed_options({"text": "one.txt,two.txt"}, lists=("text",)) == {"text": ["one.txt", "two.txt"]}
    assert len(typed_options({"text": ",".join(["a" * 30] * 20)}, lists=("text",))["text"]) == 20
    with pytest.raises(UsageError, match="no value given"):
        typed_options({"text": ""}, lists=("text",))


def test_an_interrupt_during_imports_takes_effect_after_them() -> None:
    reached = []

    def load() -> None:
        with many_imports("train"):
            signal.raise_signal(signal.SIGINT)
            reached.append("the end of the imports")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background process
    try:
        with pytest.raises(KeyboardInterrupt):
            load()
        assert reached
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
