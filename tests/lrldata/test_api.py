"""The Python API of lrldata: its names, what they return, and how they fail."""

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
from lrldata.output import LOGGER, note, warn
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
TIME_IMPORT = """
import sys, time
began = time.process_time()
import {package}
seconds = time.process_time() - began
print(seconds, *sorted({{"torch", "polars", "transformers", "datasets", "huggingface_hub"}} & sys.modules.keys()))
"""


@pytest.fixture
def dataset(tmp_path: Path) -> lrldata.Dataset:
    return lrldata.build("ro", source="conceptnet", sample=True, out=tmp_path, cache=tmp_path / "cache", quiet=True)


def test_the_public_api_is_exactly_these_names() -> None:
    assert set(lrldata.__all__) == NAMES
    assert set(dir(lrldata)) == NAMES
    assert all(getattr(lrldata, name) is not None for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = lrldata.nonsense  # type: ignore[attr-defined]


def test_signatures_are_unchanged() -> None:
    for name, expected in SIGNATURES.items():
        parameters = inspect.signature(getattr(lrldata, name)).parameters.values()
        signature = ", ".join(
            f"{parameter.name}" + ("" if parameter.default is parameter.empty else f"={parameter.default!r}")
            for parameter in parameters
        )
        assert signature == expected, name


def test_build_takes_the_options_of_the_command() -> None:
    options = BuildConfig.model_fields.keys() | WebConfig.model_fields.keys()
    parameters = inspect.signature(lrldata.build).parameters
    assert set(parameters) == (options - {"dry_run"}) | {"config", "quiet"}
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in list(parameters.values())[1:])


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__", "LrlError", "Dataset", "Workspace"}))
def test_docstrings_have_arguments_return_values_and_examples(name: str) -> None:
    docstring = inspect.getdoc(getattr(lrldata, name)) or ""
    sections = ["Example:"] if name == "open_workspace" else ["Args:", "Returns:", "Example:"]
    assert all(section in docstring for section in sections)


def test_docstring_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lrldata import workspace  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    for module in (api, workspace):
        results = doctest.testmod(module)
        assert results.attempted > 2
        assert not results.failed


@pytest.mark.parametrize("package", ["lrldata", "hub_cards"])
def test_importing_is_quick_and_loads_no_large_library(package: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", TIME_IMPORT.format(package=package)], capture_output=True, text=True, check=True
    )
    seconds, *large_libraries = result.stdout.split()
    assert large_libraries == []
    assert float(seconds) < 1, "importing takes 0.03 s on an idle machine"


def test_a_dataset_describes_itself(dataset: lrldata.Dataset, tmp_path: Path) -> None:
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
    assert [stored.path for stored in lrldata.open_workspace(tmp_path).datasets()] == [dataset.path]


def test_a_list_of_languages_gives_a_list_of_datasets(tmp_path: Path) -> None:
    datasets = lrldata.build(["ro", "mt"], sample=True, out=tmp_path, cache=tmp_path / "cache")
    assert [dataset.language.code for dataset in datasets] == ["ro", "mt"]


@pytest.mark.parametrize(
    ("lang", "options", "message"),
    [
        ("ro,mt", {}, "lang: 'ro,mt' names several languages. Give a list"),
        ("", {}, 'lang: no language given. Give the code of a language, as in lang="ug".'),
        ("ro", {"dump": "x", "sample": True}, "dump and sample are mutually exclusive"),
        ("ro", {"min_weight": -1.0}, "min_weight: Input should be greater than or equal to 0."),
        ("ro", {"source": "web"}, 'Use source="web" input="FOLDER".'),
        ("ro", {"unit": "lines"}, "unit: not for source"),
        ("ro", {"source": "web", "input": ["a", "b"]}, "input: Input should be one path, not a list."),
        ("ro", {"sampel": True}, "sampel"),
    ],
)
def test_errors_name_arguments_instead_of_flags(
    lang: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(lrldata.LrlError) as raised:
        lrldata.build(lang, out=tmp_path, **options)
    assert message in str(raised.value)
    assert "--" not in str(raised.value).replace("`lrldata build --help`", "")


def test_options_inside_commands_and_unknown_options_are_unchanged() -> None:
    message = in_python("Use `lrldata build --lang ro`, --out DIR or --force.", {"lang", "out"})
    assert message == 'Use `lrldata build --lang ro`, out="DIR" or --force.'


def test_opening_a_missing_workspace_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such workspace"):
        lrldata.open_workspace(tmp_path / "none")


def test_notes_go_through_logging() -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    LOGGER.addHandler(handler)
    try:
        note("something is left out\x1b[31m")
        warn("something is odd")
    finally:
        LOGGER.removeHandler(handler)
    assert [(record.levelname, record.getMessage()) for record in records] == [
        ("INFO", "something is left out\\x1b[31m"),
        ("WARNING", "something is odd"),
    ]
