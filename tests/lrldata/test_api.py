"""The Python API of lrldata: what it is made of, what it returns, and how it fails."""

import doctest
import inspect
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lrldata
from lrldata import api
from lrldata.arguments import in_python
from lrldata.conceptnet.config import BuildConfig
from lrldata.errors import StorageError
from lrldata.output import LOGGER, note
from lrldata.web.config import WebConfig

NAMES = {
    *("Dataset", "LrlError", "Workspace", "__version__", "build", "explain", "find_language", "identify", "languages"),
    *("open_dataset", "open_workspace"),
}
SIGNATURES = {
    "explain": "text, lang, lid='compact', scripts=None, documents='page', cache=None",
    "find_language": "name",
    "identify": "texts, lid='compact', cache=None",
    "languages": "paper=False",
    "open_dataset": "path",
    "open_workspace": "path='lrl-workspace'",
}
QUICK = """
import sys, time
began = time.perf_counter()
import {package}
seconds = time.perf_counter() - began
print(seconds, *sorted({{"torch", "polars", "transformers", "datasets", "huggingface_hub"}} & sys.modules.keys()))
"""


@pytest.fixture
def dataset(tmp_path: Path) -> lrldata.Dataset:
    return lrldata.build("ro", source="conceptnet", sample=True, out=tmp_path, cache=tmp_path / "cache", quiet=True)


def test_the_api_is_these_names_and_no_others() -> None:
    assert set(lrldata.__all__) == NAMES
    assert set(dir(lrldata)) == NAMES
    assert all(getattr(lrldata, name) is not None for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = lrldata.nonsense  # type: ignore[attr-defined]


def test_signatures_stay_as_they_are() -> None:
    for name, expected in SIGNATURES.items():
        parameters = inspect.signature(getattr(lrldata, name)).parameters.values()
        shown = ", ".join(
            f"{each.name}" + ("" if each.default is each.empty else f"={each.default!r}") for each in parameters
        )
        assert shown == expected, name


def test_the_options_of_a_build_are_those_of_the_command() -> None:
    options = BuildConfig.model_fields.keys() | WebConfig.model_fields.keys()
    shown = inspect.signature(lrldata.build).parameters
    assert set(shown) == (options - {"dry_run"}) | {"config", "quiet"}
    assert all(each.kind is each.KEYWORD_ONLY for each in list(shown.values())[1:])


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__", "LrlError", "Dataset", "Workspace"}))
def test_public_functions_say_what_they_take_return_and_raise(name: str) -> None:
    told = inspect.getdoc(getattr(lrldata, name)) or ""
    wanted = ["Example:"] if name == "open_workspace" else ["Args:", "Returns:", "Example:"]
    assert all(part in told for part in wanted)


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lrldata import workspace  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    for module in (api, workspace):
        ran = doctest.testmod(module)
        assert ran.attempted > 2
        assert not ran.failed


@pytest.mark.parametrize("package", ["lrldata", "hub_cards"])
def test_importing_is_quick_and_brings_nothing_large(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUICK.format(package=package)], capture_output=True, text=True, check=True
    )
    seconds, *brought = done.stdout.split()
    assert brought == []
    assert float(seconds) < 1, "0.03 s on an idle machine"


def test_a_dataset_answers_for_itself(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    assert dataset.status == "built"
    assert (dataset.language.code, dataset.source, dataset.version) == ("ro", "conceptnet", "1.0.0")
    loaded = dataset.load()
    assert {split: len(rows) for split, rows in loaded.items()} == dataset.rows
    frame = dataset.to_frame()
    assert isinstance(frame, pl.DataFrame)
    assert len(frame) == sum(dataset.rows.values()) == dataset.ledger.kept.rows
    opened = lrldata.open_workspace(tmp_path).dataset("Romanian")
    assert opened.manifest == dataset.manifest
    assert opened.status == "found"
    assert [each.path for each in lrldata.open_workspace(tmp_path).datasets()] == [dataset.path]


def test_a_list_of_languages_gives_a_list(tmp_path: Path) -> None:
    built = lrldata.build(["ro", "mt"], sample=True, out=tmp_path, cache=tmp_path / "cache")
    assert [each.language.code for each in built] == ["ro", "mt"]


@pytest.mark.parametrize(
    ("lang", "options", "says"),
    [
        ("ro,mt", {}, "lang: 'ro,mt' names several languages. Give a list"),
        ("ro", {"dump": "x", "sample": True}, "dump and sample are mutually exclusive"),
        ("ro", {"min_weight": -1.0}, "min_weight: Input should be greater than or equal to 0."),
        ("ro", {"source": "web"}, 'Use source="web" input="FOLDER".'),
        ("ro", {"unit": "lines"}, "unit: not for source"),
        ("ro", {"sampel": True}, "sampel"),
    ],
)
def test_errors_name_arguments_and_no_flags(lang: str, options: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(lrldata.LrlError) as raised:
        lrldata.build(lang, out=tmp_path, **options)
    assert says in str(raised.value)
    assert "--" not in str(raised.value).replace("`lrldata build --help`", "")


def test_options_in_commands_and_of_others_stay() -> None:
    told = in_python("Use `lrldata build --lang ro`, --out DIR or --force.", {"lang", "out"})
    assert told == 'Use `lrldata build --lang ro`, out="DIR" or --force.'


def test_a_workspace_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such workspace"):
        lrldata.open_workspace(tmp_path / "none")


def test_notes_go_through_logging() -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    LOGGER.addHandler(handler)
    try:
        note("note: something is left out\x1b[31m")
        note("warning: something is odd")
    finally:
        LOGGER.removeHandler(handler)
    assert [(each.levelname, each.getMessage()) for each in records] == [
        ("INFO", "something is left out\\x1b[31m"),
        ("WARNING", "something is odd"),
    ]
