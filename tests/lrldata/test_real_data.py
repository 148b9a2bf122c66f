"""Builds of real edges, and comparisons with other programs. Skipped, with the reason, without ../shared/data."""

import gzip
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import BuildConfig
from lrldata.conceptnet.index import make_index
from lrldata.conceptnet.triples import read_fields
from lrldata.conceptnet.uri import edge_uri
from lrldata.dataset import open_dataset
from lrldata.progress import Progress

Run = Callable[..., "subprocess.CompletedProcess[str]"]
QUIET = Progress(quiet=True)


@pytest.fixture
def dump(shared: Path, tmp_path: Path) -> Path:
    """Write the edges of ug, mt and bg to one dump of several gzip members."""
    folder = shared / "conceptnet"
    path = tmp_path / "three.csv.gz"
    parts = [folder / "assertions-ug.csv.gz", *sorted((folder / "reconstructed").iterdir())]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_three_languages_build_and_their_ledgers_add_up(dump: Path, tmp_path: Path) -> None:
    config = BuildConfig(lang="ug,mt,bg", dump=str(dump), out=tmp_path / "ws", cache=tmp_path / "cache")
    results = build(config, QUIET)
    assert [result.ledger.came_in.rows for result in results] == [4031, 3151, 49036]
    for result in results:
        ledger = result.ledger
        assert ledger.came_in.rows == ledger.kept.rows + sum(tally.rows for tally in ledger.dropped.values())
        assert ledger.kept.rows == sum(result.rows.values())
    assert results[0].ledger.dropped["external_url"].rows == 1110


def test_every_uyghur_term_with_a_part_of_speech_is_correct(dump: Path, tmp_path: Path) -> None:
    config = BuildConfig(lang="ug", dump=str(dump), out=tmp_path / "ws", cache=tmp_path / "cache")
    (result,) = build(config, QUIET)
    _, rows = open_dataset(result.path)
    checked = 0
    for uri, start, end, text in rows.select("edge_uri", "start", "end", "text").collect().iter_rows():
        _, *nodes = uri.removeprefix("/a/[").removesuffix("/]").split("/,")
        expected = [node.split("/")[3].replace("_", " ") for node in nodes]
        repaired = [f"\u0626{term[1:]}" if term.startswith("\u064a") else term for term in expected]  # a lost hamza
        assert {start, end} <= {*expected, *repaired}
        assert start in text
        assert end in text
        checked += any(len(node.split("/")) > 4 and node.startswith("/c/ug/") for node in nodes)
    assert checked > 1000


def test_rebuilt_edge_uris_equal_those_in_the_dump(shared: Path) -> None:
    folder = shared / "conceptnet"
    with gzip.open(folder / "assertions-ug.csv.gz", "rt", encoding="utf-8") as uyghur:
        lines = [*uyghur, *(folder / "reference" / "assertions-testbuild.csv").read_text("utf-8").splitlines()]
    facts = [line.split("\t")[:4] for line in lines if "\t/r/ExternalURL\t" not in line]
    assert len(facts) > 3500
    assert all(uri == edge_uri(relation, start, end) for uri, relation, start, end in facts)


def test_the_official_test_build_is_read_without_rejects(shared: Path, tmp_path: Path) -> None:
    path = shared / "conceptnet" / "reference" / "assertions-testbuild.csv"
    index = make_index(path, tmp_path)
    assert index.manifest["edges"] == 764 == len(path.read_text("utf-8").splitlines())
    assert index.manifest["rejected"] == 0
    columns = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    weights = [json.loads(fields[4])["weight"] for fields in columns]
    origins = [(json.loads(fields[4])["dataset"], json.loads(fields[4])["license"]) for fields in columns]
    read = pl.read_parquet(index.edges).pipe(read_fields)
    assert read["weight"].to_list() == weights
    assert read.select("source_dataset", "license").rows() == origins
    assert index.manifest["relations"]["/r/SymbolOf"] == 25


def test_our_sentences_include_those_of_the_papers_authors(shared: Path) -> None:
    script = Path(__file__).parents[2] / "tools" / "benchmarks" / "compare_verbalized.py"
    result = subprocess.run(
        [sys.executable, str(script), str(shared / "conceptnet")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    shares = [float(row.split("%")[0].split()[-1]) for row in result.stdout.splitlines() if "word for word" in row]
    assert len(shares) == 2
    assert min(shares) > 30


def test_a_conceptnet_lite_database_gives_the_same_rows_as_the_dump(shared: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from conceptnet_lite.db import db, load_dump_to_db  # noqa: PLC0415 - warns when imported

        plain = tmp_path / "ug.csv"
        plain.write_bytes(gzip.decompress((shared / "conceptnet" / "assertions-ug.csv.gz").read_bytes()))
        load_dump_to_db(plain, tmp_path / "conceptnet.db", delete_dump=False)
        db.close()
    rows = []
    for source in ({"dump": str(plain)}, {"conceptnet_db": tmp_path / "conceptnet.db"}):
        config = BuildConfig(lang="ug", out=tmp_path / f"ws{len(rows)}", cache=tmp_path / "cache", **source)  # type: ignore[arg-type]
        (result,) = build(config, QUIET)
        rows.append({path.name: path.read_bytes() for path in (result.path / "data").iterdir()})
        assert result.ledger.came_in.rows == 4031
    assert rows[0] == rows[1]
