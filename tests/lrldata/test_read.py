"""Damaged and unusual dumps: what is read, what is refused, and with which message."""

import contextlib
import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from dumps import line
from hypothesis import given
from hypothesis import strategies as st

from lrldata.conceptnet.index import Index, make_index
from lrldata.conceptnet.read import (
    BadLineError,
    check_line,
    parse_columns,
    parse_head,
    parse_tail,
    scan_dump,
    snake_case,
)
from lrldata.conceptnet.relations import relations
from lrldata.conceptnet.triples import read_fields
from lrldata.errors import InputError
from lrldata.schema import INDEX

Make = Callable[..., Path]
GOOD = [line("IsA", f"ro:cuvânt_{number}/n", "ro:lucru", 0.5) for number in range(3000)]


def rows(index: Index) -> pl.DataFrame:
    return pl.read_parquet(index.edges).pipe(read_fields)


def rejects(index: Index) -> list[list[str]]:
    text = index.folder.with_suffix(".rejects.tsv").read_text("utf-8")
    return [row.split("\t") for row in text.splitlines()[1:]]


def test_fields_are_read_with_their_types(make_dump: Make, tmp_path: Path) -> None:
    edges = rows(make_index(make_dump([line("IsA", "ro:câine_lup/n/wn/animal", "en:dog", 2.828)]), tmp_path))
    (row,) = edges.to_dicts()
    assert pl.read_parquet_schema(next(tmp_path.rglob("edges.parquet"))) == dict(INDEX)
    assert (row["start"], row["start_lang"], row["end"], row["end_lang"]) == ("câine lup", "ro", "dog", "en")
    assert (row["relation"], row["weight"], row["source_dataset"], row["license"]) == (
        "IsA",
        2.828,
        "/d/test",
        "cc:by/4.0",
    )


@pytest.mark.parametrize(
    "odd",
    [
        line("IsA", 'ro:disc_de_5"', "ro:lucru"),
        line("IsA", "ro:a", "ro:b", surfaceText='he said "x'),
        line("IsA", "ro:a\u2028\u0085b", "ro:b"),
        line("IsA", "ro:a", "ro:b", surfaceText="x" * 1_500_000),
        line("ExternalURL", "ro:a", "http://example.org/wiki/a"),
        line("dbpedia/genre", "ro:a", "ro:b"),
    ],
    ids=[
        "odd number of quotes",
        "escaped quote",
        "line separators of Unicode",
        "over 1 MB",
        "a URL",
        "two-part relation",
    ],
)
def test_unusual_but_valid_lines_are_kept_by_the_fast_way(odd: str, make_dump: Make, tmp_path: Path) -> None:
    index = make_index(make_dump([*GOOD[:5], odd, *GOOD[5:9]]), tmp_path)
    assert index.manifest["edges"] == 10
    assert index.manifest["rejected"] == 0
    assert not index.folder.with_suffix(".rejects.tsv").exists()


BAD = {
    b"/a/x\t/r/IsA\t/c/ro/a": "3 columns instead of 5",
    line("IsA", "ro:a", "ro:b").encode() + b"\textra": "6 columns instead of 5",
    line("IsA", "ro:a", "ro:b").encode().replace(b"/c/ro/a\t", b"/c/ro/\xff\t"): "invalid UTF-8 at byte",
    line("IsA", "ro:a\0", "ro:b").encode(): "NUL byte",
    line("IsA", "ro:a", "ro:b").encode().replace(b"\t/r/IsA", b"\tIsA"): "not a relation",
    line("IsA", "/x/ro/a", "ro:b").encode(): "the start is not a node",
    line("IsA", "ro:a", "/c/ro").encode(): "the end is not a node",
    line("IsA", "ro:a", "ro:b").encode()[:-6]: "invalid JSON at character",
    line("IsA", "ro:a", "ro:b").encode().replace(b'"weight"', b'"height"'): "the JSON lacks dataset, license or weight",
    line("IsA", "ro:a", "ro:b").encode().replace(b'"dataset"', b'"datum"'): "the JSON lacks dataset, license or weight",
    line("IsA", "ro:a", "ro:b", float("nan")).encode(): "the weight is nan",
    line("IsA", "ro:a", "ro:b", 123456789.0).encode(): "the weight is 123456789.0",
    line("IsA", "ro:a", "ro:b").encode().replace(b'"weight": 1.0', b'"weight": 1' + b"0" * 400): "OverflowError",
    line("IsA", "ro:a", "ro:b").encode().replace(b"/d/test", b"/d/\\ud800"): "UnicodeEncodeError",
    b"\t" + line("IsA", "ro:a", "ro:b").encode().split(b"\t", 1)[1]: "no edge URI",
}


@pytest.mark.parametrize("bad", BAD, ids=BAD.values())
def test_a_bad_line_is_listed_with_number_and_reason_and_the_others_are_kept(
    bad: bytes, make_dump: Make, tmp_path: Path
) -> None:
    index = make_index(make_dump([*GOOD[:1000], bad, "", *GOOD[1000:]]), tmp_path)
    assert index.manifest["rejected"] == 1
    assert index.manifest["edges"] == len(GOOD)
    ((number, reason, _),) = rejects(index)
    assert number == "1001"
    assert BAD[bad] in reason
    assert rows(index).equals(rows(make_index(make_dump(GOOD, "clean.csv.gz"), tmp_path)))


def test_valid_json_in_another_form_is_read_by_the_careful_way(make_dump: Make, tmp_path: Path) -> None:
    start = "/a/x\t/r/IsA\t/c/ro/a\t/c/ro/b\t"
    other = [
        start + '{"weight": 2, "license": "cc:by/4.0", "dataset": "/d/other"}',
        start + '{"dataset":"/d/x","license":"cc:by/4.0","sources":[],"weight":1e-1}',
        start + '{"dataset": "/d/x", "license": "cc:by/4.0", "sources": [], "weight": 2.8284271247461903}',
    ]
    index = make_index(make_dump([*GOOD, *other]), tmp_path)
    assert index.manifest["rejected"] == 0
    assert rows(index)["weight"].tail(3).to_list() == [2.0, 0.1, 2.828]
    assert rows(index)["source_dataset"].tail(3).to_list() == ["/d/other", "/d/x", "/d/x"]


def test_metadata_with_non_ascii_letters_is_read(make_dump: Make, tmp_path: Path) -> None:
    index = make_index(make_dump([*GOOD, line("IsA", "ro:a", "ro:b", dataset="/d/é")]), tmp_path)
    assert rows(index)["source_dataset"].tail(1).to_list() == ["/d/é"]


def test_more_than_a_thousandth_of_bad_lines_stops_the_build(make_dump: Make, tmp_path: Path) -> None:
    dump = make_dump([*GOOD, *["bad\tline"] * 4])
    with pytest.raises(
        InputError, match=r"4 of 3,004 lines are bad .*line 3001: 2 columns instead of 5.*rejects\.tsv"
    ) as error:
        make_index(dump, tmp_path)
    assert "--max-rejected" in error.value.hint
    assert make_index(dump, tmp_path, max_rejected=0.01).manifest["rejected"] == 4
    with pytest.raises(InputError, match="4 of 3,004 lines are bad"):
        make_index(dump, tmp_path)  # an index built with a lenient limit is not accepted under a strict one


@pytest.mark.parametrize("harm", ["cut", "gone", "manifest"])
def test_a_damaged_index_is_rebuilt(harm: str, make_dump: Make, tmp_path: Path) -> None:
    dump = make_dump(GOOD)
    index = make_index(dump, tmp_path)
    before = index.edges.read_bytes()
    if harm == "cut":
        index.edges.write_bytes(before[:-1])
    elif harm == "gone":
        index.edges.unlink()
    else:
        (index.folder / "manifest.json").write_text('{"kind": "conceptnet-index"}')
    (tmp_path / "fingerprints" / "sha256.json").write_text("[1, 2]")
    assert make_index(dump, tmp_path).edges.read_bytes() == before


def test_truncated_and_corrupt_gzip_files_are_reported_as_damaged(make_dump: Make, tmp_path: Path) -> None:
    whole = make_dump(GOOD).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for name, damaged in {"cut": whole[: len(whole) // 2], "flipped": bytes(flipped), "head": whole[:5]}.items():
        path = tmp_path / f"{name}.csv.gz"
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged gzip file"):
            make_index(path, tmp_path)
    assert not list((tmp_path / "conceptnet" / "index").glob("*/manifest.json"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>404</html>\n", "HTML or XML page"),
        (gzip.compress(b"<?xml version='1.0'?><Error>AccessDenied</Error>", mtime=0), "HTML or XML page"),
        (b"", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (b"word,other,3\n", "line 1: not in ConceptNet's assertions format"),
    ],
    ids=["a page", "a zipped page", "nothing", "zipped nothing", "another format"],
)
def test_a_file_that_is_not_a_dump_is_refused_with_the_reason(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        make_index(path, tmp_path)


def test_plain_text_crlf_and_several_gzip_members_are_read_alike(make_dump: Make, tmp_path: Path) -> None:
    plain = make_dump(GOOD, "plain.csv")
    crlf = make_dump([row + "\r" for row in GOOD], "crlf.csv.gz")
    members = tmp_path / "members.csv.gz"
    half = len(GOOD) // 2
    members.write_bytes(
        b"".join(gzip.compress("".join(f"{row}\n" for row in part).encode()) for part in (GOOD[:half], GOOD[half:]))
    )
    first, *others = [rows(make_index(path, tmp_path)) for path in (plain, crlf, members)]
    assert all(first.equals(other) for other in others)


@given(st.binary(max_size=200))
def test_any_bytes_are_either_a_line_or_a_bad_line(junk: bytes) -> None:
    with contextlib.suppress(BadLineError):
        assert len(check_line(junk.replace(b"\n", b""))) == 5


numbers = st.floats(min_value=0, max_value=99999, allow_nan=False).map(lambda number: round(number, 3))


@given(numbers, st.text(max_size=50))
def test_the_fast_way_reads_what_the_careful_way_writes(weight: float, surface: str) -> None:
    raw = line("IsA", "ro:a", "ro:b", weight, surfaceText=surface).encode()
    columns = check_line(raw)
    frame = pl.LazyFrame([columns], schema=["uri", "relation", "start", "end", "metadata"], orient="row")
    (row,) = parse_columns(frame).collect().to_dicts()
    assert parse_head(row["head"]) == ("/d/test", "cc:by/4.0")
    assert parse_tail(row["tail"]) == weight


def test_conceptnet_lite_spells_relations_in_snake_case() -> None:
    expected = {"HasA": "has_a", "IsA": "is_a", "EtymologicallyRelatedTo": "etymologically_related_to",
                "dbpedia/influencedBy": "dbpedia/influenced_by", "ExternalURL": "external_url"}  # fmt: skip
    assert {name: snake_case(name) for name in expected} == expected
    assert len({snake_case(name) for name in relations()}) == len(relations())


def test_an_unrelated_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE notes (text)")
    database.close()
    with pytest.raises(InputError, match="not a conceptnet-lite database"):
        make_index(path, tmp_path)


def test_brackets_in_a_path_are_not_taken_for_a_pattern(make_dump: Make, tmp_path: Path) -> None:
    path = make_dump(GOOD[:3]).rename(tmp_path / "dump[1]*.csv.gz")
    assert scan_dump(path).collect().height == 3
