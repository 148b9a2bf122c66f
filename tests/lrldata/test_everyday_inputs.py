"""Inputs as users have them: which files of a folder are read or left out, tables, unusual names, and scripts."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from platforms import needs_byte_names
from test_web import ENGLISH, ROMANIAN
from test_web_build import prose
from typer.testing import CliRunner

from lrldata.cli.app import app
from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import BuildConfig
from lrldata.errors import InputError, UsageError
from lrldata.language import find
from lrldata.progress import Progress
from lrldata.web import decoded, read
from lrldata.web.build import build_web
from lrldata.web.config import WebConfig
from lrldata.web.decontaminate import open_protected
from lrldata.web.explain import explain, find_text
from lrldata.web.inputs import ENDINGS, describe_left_out, find_files, type_of
from lrldata.web.read import Columns, find_shards, read_parts
from lrldata.web.repair import repair
from lrldata.web.scripts import requested_scripts

Run = Callable[..., subprocess.CompletedProcess[str]]
DOCUMENTS = prose(12)


def build_from(path: Path, out: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Build a dataset from documents in this process; return it with its manifest."""
    config = WebConfig(lang="ro", source="web", input=path, out=out, cache=out / "cache", workers=1, **options)
    (dataset,) = build_web(config, Progress(quiet=True))
    return dataset, json.loads((dataset.path / "manifest.json").read_text("utf-8"))


def documents(path: Path, columns: Columns | None = None) -> list[str | None]:
    return [
        text
        for shard in find_shards(path, None)
        for part in read_parts(shard, columns or Columns())
        for text in part["text"]
    ]


# Lists of sentences


def test_sentences_of_any_length_are_kept_and_divided_among_the_splits(tmp_path: Path) -> None:
    """Check that rules for pages do not drop short sentences, and that a list is not one document in one split."""
    verbs = ("vine", "pleacă", "doarme", "mănâncă", "citește", "aleargă", "tace", "cântă")
    people = ("Mama", "Tata", "Bunica", "Vecinul", "Copilul", "Fratele", "Sora", "Unchiul", "Mătușa", "Profesorul")
    sentences = [f"{person} {verb} acasă acum." for person in people for verb in verbs]
    (tmp_path / "list.txt").write_text("\n".join(sentences), "utf-8")
    dataset, manifest = build_from(tmp_path / "list.txt", tmp_path / "ws", documents="lines")
    assert "document_short" not in dataset.ledger.dropped
    assert sum(manifest["rows"].values()) > 0.8 * len(sentences)
    assert all(manifest["rows"].values())


def test_a_note_suggests_documents_lines_for_a_list_that_is_read_as_pages(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "list.txt").write_text("\n\n".join(DOCUMENTS[:2]), "utf-8")
    with caplog.at_level("INFO"):
        build_from(tmp_path / "list.txt", tmp_path / "ws")
    assert "too few documents to fill" in caplog.text
    assert "--documents lines" in caplog.text


def test_a_text_file_of_numbered_sentences_is_refused(tmp_path: Path) -> None:
    """Check files like those of the Leipzig corpora, whose numbers would become part of the sentences."""
    rows = [f"{number}\t{line}" for number, line in enumerate(DOCUMENTS[0].splitlines() * 3)]
    (tmp_path / "ron-sentences.txt").write_text("\n".join(rows), "utf-8")
    with pytest.raises(
        InputError, match=r"every line has 1 tab\. Keep only the text, e\.g\. with `cut -f2 ron-sentences"
    ):
        documents(tmp_path)
    (tmp_path / "ron-sentences.txt").write_text("\n".join([*rows, "o linie fără număr"]), "utf-8")
    assert len(documents(tmp_path)) == 1


# Compressed files


def compressed(content: bytes, ending: str) -> bytes:
    if ending == ".zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(content)
        return bytes(sink.getvalue())
    compressors: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".xz": lzma.compress,
        ".bz2": bz2.compress,
    }
    return compressors[ending](content)


@pytest.mark.parametrize("ending", ENDINGS)
def test_compressed_files_are_read_as_they_are_published(ending: str, tmp_path: Path) -> None:
    """Check files like HPLT and OSCAR (.jsonl.zst) and CC-100 (.txt.xz); a file may consist of several streams."""
    rows = [f'{{"text": "rând {number}"}}\n'.encode() for number in range(3_000)]
    (tmp_path / f"a.jsonl{ending}").write_bytes(
        compressed(b"".join(rows[:1_000]), ending) + compressed(b"".join(rows[1_000:]), ending)
    )
    assert documents(tmp_path) == [f"rând {number}" for number in range(3_000)]
    (tmp_path / f"a.jsonl{ending}").unlink()
    (tmp_path / f"b.csv{ending.upper()}").write_bytes(compressed(b"text,n\nunu,1\ndoi,2\n", ending))
    assert documents(tmp_path) == ["unu", "doi"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("damage", ["cut", "changed", "not packed", "empty"])
def test_damaged_compressed_files_are_named(ending: str, damage: str, tmp_path: Path) -> None:
    if (damage, ending) == ("changed", ".zst"):
        pytest.skip("Arrow writes zstd without a checksum")
    rng = random.Random(1)
    intact = compressed("".join(f"cuvânt {rng.random()}\n" for _ in range(2_000)).encode(), ending)
    changed = bytearray(intact)
    changed[len(intact) // 2] ^= 255
    content = {"cut": intact[: len(intact) // 2], "changed": bytes(changed), "not packed": b"text\n" * 9, "empty": b""}
    (tmp_path / f"a.txt{ending}").write_bytes(content[damage])
    with pytest.raises(InputError, match=rf"a\.txt{ending}: cannot be read"):
        documents(tmp_path)


# Which files are read


def test_every_file_below_a_folder_is_read_or_listed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    for directory in (folder / ".git", folder / "__MACOSX", folder / "sub.jsonl", elsewhere):
        directory.mkdir(parents=True)
    texts = iter(DOCUMENTS)
    readable = [folder / "one.txt", folder / "TWO.TXT", folder / "sub.jsonl" / "part.txt", elsewhere / "three.txt"]
    for path in [*readable, folder / ".git" / "notes.txt"]:
        path.write_text(next(texts), "utf-8")
    (folder / "__MACOSX" / "._one.txt").write_bytes(b"\0\xff")
    (folder / "~$one.docx").write_bytes(b"\x03Ana")
    (folder / "._one.txt").write_bytes(b"\0\xff")
    (folder / "page.xml").write_text("<p>x</p>")
    (folder / "link").symlink_to(elsewhere)
    (folder / "linked.txt").symlink_to(elsewhere / "three.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "sub.jsonl" / "loop").symlink_to(folder / "sub.jsonl")
    (folder / "gone.txt").symlink_to(tmp_path / "nothing.txt")
    os.mkfifo(folder / "pipe.txt")
    dataset, manifest = build_from(folder, tmp_path / "ws")
    assert [entry["name"] for entry in manifest["inputs"]] == [
        "TWO.TXT",
        "link/three.txt",
        "one.txt",
        "sub.jsonl/part.txt",
    ]
    assert manifest["left_out"] == {
        "hidden": {"count": 4, "names": ["._one.txt", ".git", "__MACOSX", "~$one.docx"]},
        "unknown_type": {"count": 1, "names": ["page.xml"]},
        "again": {"count": 1, "names": ["linked.txt"]},
        "circle": {"count": 2, "names": ["sub.jsonl/loop", "up"]},
        "broken_link": {"count": 1, "names": ["gone.txt"]},
        "not_regular": {"count": 1, "names": ["pipe.txt"]},
    }
    assert dataset.as_json()["left_out"] == manifest["left_out"]
    assert "left out, hidden: 4 (._one.txt, .git, __MACOSX, ...)" in list(describe_left_out(manifest["left_out"]))


def test_left_out_files_are_recorded_only_if_there_are_any(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "one.txt").write_text(DOCUMENTS[0], "utf-8")
    dataset, manifest = build_from(folder, tmp_path / "ws")
    assert not {"left_out", "text_column"} & manifest.keys()
    assert not {"documents", "scripts"} & manifest["settings"].keys()
    (folder / "more.doc").write_text("x")
    dataset, manifest = build_from(folder, tmp_path / "ws")
    assert (dataset.status, dataset.version) == ("built", "1.0.0")
    assert manifest["left_out"]["unknown_type"]["names"] == ["more.doc"]
    assert build_from(folder, tmp_path / "ws")[0].status == "unchanged"


def test_files_outside_the_folder_of_the_language_are_listed(tmp_path: Path) -> None:
    (tmp_path / "ron-Latn").mkdir()
    (tmp_path / "ron-Latn" / "a.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "mine.txt").write_text("b")
    files = find_files(tmp_path, "ron-Latn")
    assert [name for name, _ in files.files] == ["ron-Latn/a.jsonl"]
    assert files.left_out() == {"other_folder": {"count": 1, "names": ["mine.txt"]}}
    assert [name for name, _ in find_files(tmp_path, "mlt-Latn").files] == ["mine.txt"], "Romanian is skipped"


def test_a_folder_of_links_is_read_and_a_folder_linked_twice_only_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("a")
    (tmp_path / "in").mkdir()
    for name in ("x", "y"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "real")
    files = find_files(tmp_path / "in")
    assert ([name for name, _ in files.files], files.names) == (["x/a.txt"], {"again": ["y"]})


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.parquet.gz", "a.jsonl.bak", "jsonl"])
def test_a_file_of_unknown_type_is_refused_and_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(ROMANIAN[0])
    with pytest.raises(InputError, match=rf"{name}: unsupported file type.* \.csv"):
        find_files(tmp_path / name)
    with pytest.raises(InputError, match=rf"holds no document: left out, unsupported file type: 1 \({name}\)"):
        find_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("from.jsonl.parts/a.txt", "text"), ("a.JSONL", "jsonl"), ("a.Txt.GZ", "text"), ("a.csv.gz", "csv"),
        ("x.txt/a.tsv", "tsv"), ("a.ndjson", "jsonl"), ("a.json", "json"), ("a.jsonl.txt", "text"), ("a.txt/b", None),
    ],
)  # fmt: skip
def test_a_file_type_depends_on_the_ending_of_the_file_name(name: str, kind: str | None) -> None:
    assert type_of(name) == kind


@needs_byte_names
def test_a_file_name_that_is_not_utf8_is_refused_or_skipped(lrldata: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ok.txt").write_text("\n\n".join(DOCUMENTS), "utf-8")
    with open(os.fsencode(folder) + b"/pagin\xe3.txt", "w", encoding="utf-8") as stream:  # noqa: PTH123 -- bytes
        stream.write(DOCUMENTS[0])
    command = ("build", "--lang", "ro", "--source", "web", "--input", folder, "--out", tmp_path / "ws", "--json")
    result = lrldata(*command)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert r"pagin\udce3.txt: the name of this file is not UTF-8" in result.stderr
    summary = json.loads(lrldata(*command, "--skip-bad").stdout)
    manifest = json.loads((Path(summary["path"]) / "manifest.json").read_bytes().decode())
    assert list(manifest["skipped"]) == list(summary["skipped"]) == [r"pagin\xe3.txt"]
    assert [entry["name"] for entry in manifest["inputs"]] == ["ok.txt"]
    with pytest.raises(InputError, match="is not UTF-8"):
        find_shards(Path(os.fsdecode(os.fsencode(folder) + b"/pagin\xe3.txt")), None)


# Columns and tables


@pytest.mark.parametrize("position", [0, 498, 499, 500, 501, 599])
def test_a_row_without_text_is_counted_at_any_position(position: int, tmp_path: Path) -> None:
    rows = [{"text": str(number)} for number in range(600)]
    rows[position] = {"id": "x"}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert documents(tmp_path) == [None if number == position else str(number) for number in range(600)]


def test_a_file_is_refused_only_if_no_row_has_text(tmp_path: Path) -> None:
    path = tmp_path / "late.jsonl"
    path.write_text('{"id": 1}\n' * 700 + '{"text": "a"}\n')
    assert documents(path) == [None] * 700 + ["a"]
    path.write_text('{"id": 1, "title": "x"}\n' * 700)
    with pytest.raises(InputError, match=r"late\.jsonl: has no column content or text.* It has id, title"):
        documents(path)
    with pytest.raises(InputError, match="has no column 'url' "):
        documents(path, Columns(text="title", url="url"))


def test_of_two_text_columns_the_filled_one_is_read_and_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rows = [{"content": None, "text": DOCUMENTS[0]}, {"content": DOCUMENTS[1], "text": "altceva"}]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pl.DataFrame({"content": [None, DOCUMENTS[2]], "text": [DOCUMENTS[3], None]}).write_parquet(folder / "b.parquet")
    assert documents(folder) == [DOCUMENTS[number] for number in (0, 1, 3, 2)]
    dataset, manifest = build_from(folder, tmp_path / "ws")
    assert manifest["text_column"] == dataset.notes["text_column"] == {"content": 2, "text": 2}


def test_a_blank_cell_does_not_hide_the_text_in_another_column(tmp_path: Path) -> None:
    rows = [["", DOCUMENTS[0]], [" ", DOCUMENTS[1]], [DOCUMENTS[2], ""], ["", ""]]
    expected = [*DOCUMENTS[:3], ""]
    (tmp_path / "a.csv").write_text(as_csv(",", [["content", "text"], *rows]), "utf-8")
    frame = pl.DataFrame(rows, {"content": pl.String, "text": pl.String}, orient="row")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.jsonl")
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        assert [text or "" for text in documents(tmp_path / name)] == expected, name


def as_csv(delimiter: str, rows: list[list[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue()


TEXTS = [*DOCUMENTS[:3], 'Zise: "Da", și\tplecă.', ""]
TABLE: list[list[Any]] = [["id", "text"], *([number, text] for number, text in enumerate(TEXTS))]
OBJECTS = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", as_csv(",", TABLE)),
        ("a.CSV", as_csv(";", TABLE)),
        ("a.csv.gz", as_csv("\t", TABLE)),
        ("a.tsv", as_csv("\t", TABLE)),
        ("mac.csv", as_csv(",", TABLE).replace("\r\n", "\r")),
        ("a.json", json.dumps(OBJECTS)),
        ("b.json", json.dumps(OBJECTS, indent=2, ensure_ascii=False)),
        ("lines.json", "\n".join(map(json.dumps, OBJECTS))),
        ("pretty.json.gz", "\n".join(json.dumps(item, indent=1) for item in OBJECTS)),
        ("bom.json", "\ufeff" + json.dumps(OBJECTS)),
    ],
)
def test_tables_and_json_arrays_are_read(
    name: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "_BLOCK", 7)  # blocks end within letters and objects
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert documents(tmp_path) == TEXTS


def test_quotation_marks_that_enclose_no_field_of_a_tsv_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t"Da" zise el\n2\t"Nu\n3\tbine\n', "utf-8")
    assert documents(tmp_path) == ['"Da" zise el', '"Nu', "bine"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "id,text\n1,a\n2,b,c\n", "line 3 has 3 fields, but the header has 2"),
        ("a.csv", 'id,text\n1,"a\n' + "b\n" * 3, "line 5: unexpected end of data"),
        ("a.csv", "id,body\n1,a\n", "has no column content or text.* It has id, body"),
        ("a.csv", "text,text\n1,a\n", "column 'text' occurs 2 times"),
        ("a.json", "3", "not a JSON array of objects"),
        ("a.json", '[{"text": "a"}', "ends within an array"),
        ("a.json", '[{"text": "a"} {"text": "b"}]', "item 2: a comma is missing"),
        ("a.json", '[{"text": "a"}, 3]', "item 2 is not an object"),
        ("a.json", '[{"text": "a"}, {"text": ]', "item 2 is not valid JSON"),
        ("a.json", '[{"text": "a"}] x', "unexpected content after item 1"),
        ("a.json", '[{"text": ["a"]}]', "item 1: 'text' is a list, not text"),
        ("a.json", '[{"text": ' + "[" * 200_000, "item 1 is nested too deep"),
        ("a.json", '{"data": [{"text": "a"}]}', "has no column content or text.* It has data"),
    ],
)
def test_a_damaged_table_is_named_with_its_defect(name: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match=rf"a\.(csv|json): .*{words}"):
        documents(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", 'text\n"' + "x\n" * 900), ("a.json", '[{"text": "' + "x" * 3000), ("a.tsv", "text\n" + "x" * 3000)],
)
def test_a_row_is_read_only_up_to_a_limit(
    name: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (read, decoded):
        monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    monkeypatch.setattr(decoded, "_BLOCK", 100)
    monkeypatch.setattr("lrldata.web.tables._BLOCK", 100)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="longer than"):
        documents(tmp_path)


# Text


NFD = unicodedata.normalize("NFD", ROMANIAN[0])


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_text_of_every_file_type_is_normalized(name: str, tmp_path: Path) -> None:
    text = f"{NFD}\r\nunu\x0bdoi\u2028trei"
    path = tmp_path / name
    if name.endswith(".parquet"):
        pl.DataFrame({"text": [text]}).write_parquet(path)
    elif name.endswith(".txt"):
        path.write_text(text, "utf-8", newline="")
    elif name.endswith(".csv"):
        path.write_text(as_csv(",", [["text"], [text]]), "utf-8", newline="")
    else:
        path.write_text(json.dumps([{"text": text}] if name == "a.json" else {"text": text}), "utf-8")
    assert documents(path) == [f"{ROMANIAN[0]}\nunu doi\ntrei"]


def test_stray_windows_1252_characters_are_repaired_without_joining_words() -> None:
    assert repair(pl.Series(["drumul \x96 spre\x96munte"]), "Latn").to_list() == ["drumul – spre–munte"]


def test_explained_and_protected_text_is_normalized(tmp_path: Path) -> None:
    lines = explain(f"{NFD}\ndrumul\x0cspre munte este lung și foarte frumos", find("ro"))
    assert [line.text for line in lines] == [ROMANIAN[0], "drumul spre munte este lung și foarte frumos"]
    hashes = []
    for form in ("NFC", "NFD"):
        path = tmp_path / f"{form}.txt"
        path.write_text(unicodedata.normalize(form, "\n".join(ROMANIAN)), "utf-8")
        benchmark = open_protected(find("ro"), [path], benchmarks=False)
        assert benchmark is not None
        hashes.append(benchmark.hashes.tolist())
    assert hashes[0] == hashes[1]
    (tmp_path / "a.jsonl").write_text('{"text": "a"}')
    with pytest.raises(InputError, match=r"a\.jsonl: not a text file"):
        open_protected(find("ro"), [tmp_path / "a.jsonl"])


def test_conceptnet_terms_are_composed(make_dump: Callable[..., Path], tmp_path: Path) -> None:
    from dumps import line  # noqa: PLC0415

    rows = []
    for form in ("NFC", "NFD"):
        dump = make_dump([line("IsA", unicodedata.normalize(form, "ro:câine"), "ro:animal")], f"{form}.csv.gz")
        config = BuildConfig(lang="ro", dump=str(dump), out=tmp_path / form, cache=tmp_path / "cache", max_rejected=1)
        (dataset,) = build(config, Progress(quiet=True))
        (shard,) = dataset.path.joinpath("data").iterdir()
        rows.append(pl.read_parquet(shard).select("text", "start", "end").rows())
    assert rows[0] == rows[1]


def test_each_line_can_be_a_document_of_its_own(tmp_path: Path) -> None:
    lines = [f"{text} Iar noi am plecat acasă pe jos, prin ploaie." for text in ROMANIAN[:4]]
    path = tmp_path / "a.txt"
    path.write_text("\n".join([lines[0], *[ENGLISH] * 9, *lines[1:]]), "utf-8")
    with pytest.raises(InputError, match="document_other_language"):
        build_from(path, tmp_path / "ws")
    dataset, manifest = build_from(path, tmp_path / "ws", documents="lines")
    assert dataset.ledger.kept.rows == 4
    assert manifest["settings"]["documents"] == "lines"


# explain


def test_explain_takes_the_name_of_a_file_or_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("page.txt").write_text("\ufeff" + "\n".join(ROMANIAN[:2]), "utf-8")
    assert find_text("page.txt") == "\n".join(ROMANIAN[:2])
    for text in (f"{ROMANIAN[0]}\\n{ROMANIAN[1]}", "x" * 5000, "a\0b", "casă.", "see the file notes.txt"):
        assert find_text(text) == text.replace("\\n", "\n")


@pytest.mark.parametrize(
    ("argument", "words"),
    [("", "The text is empty"), (" ", "The text is empty"), (".", "not a file"), ("a.jsonl", "not plain text"),
     ("nofile.txt", r"nofile\.txt: no such file"), ("there/nofile.tsv", "no such file"),
     ("old.txt", r"old\.txt: line 2 is not UTF-8"), ("-", "standard input: holds no text")],
)  # fmt: skip
def test_an_input_that_explain_cannot_read_is_named(
    argument: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text("{}")
    Path("old.txt").write_bytes(b"a\n\xfe\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    with pytest.raises(InputError, match=words):
        find_text(argument)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("printf 'O propozi\\xfeie' | RUN -", "standard input: line 1 is not UTF-8"),
        ("RUN - <&-", "Standard input is closed"),
        ("RUN - 0> out", "Standard input cannot be read"),
    ],
)
def test_unreadable_standard_input_is_a_one_line_error(command: str, words: str, tmp_path: Path) -> None:
    command = command.replace("RUN", f"{sys.executable} -m lrldata.cli explain --lang ro")
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.stderr
    assert words in result.stderr


# Scripts


SERBIAN = [
    "Deca su juče gledala lepu predstavu u pozorištu.",
    "Posle toga su svi zajedno otišli na večeru kod bake.",
    "Sutra će verovatno padati kiša u celoj Srbiji.",
]


def test_a_script_of_the_language_is_kept_on_request() -> None:
    serbian = find("sr")
    for typed, option in (("sr-Latn", None), ("sr", "Latn"), ("ro,sr_Latn", None)):
        scripts = requested_scripts(serbian, typed, option)
        assert scripts == ("Latn",)
        assert [line.reason for line in explain("\n".join(SERBIAN), serbian, scripts=scripts)] == [None] * 3
    assert requested_scripts(serbian, "sr", None) is None
    assert requested_scripts(serbian, "srp-Cyrl", None) is None
    assert requested_scripts(serbian, "sr-Latn,sr-Cyrl", None) is None, "both"
    other = explain(f"{SERBIAN[0]}\n{ROMANIAN[1]}\n{SERBIAN[1]}", serbian, scripts=("Latn",))
    assert [line.reason for line in other] == [None, "other_language", None]


def test_a_script_that_cannot_be_kept_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"has Romanian \(ro\) in Latn, not Cyrl"):
        requested_scripts(find("ro"), "ro", "Cyrl")
    for code, script, message in [
        ("kk", "Arab", "knows Kazakh only in Cyrl: text in Arab would be dropped"),
        ("bm", "Nkoo", "knows Bambara only in Latn: text in Nkoo would be dropped"),
    ]:
        language = find(code)
        with pytest.raises(UsageError, match=message):
            explain("x", language, scripts=requested_scripts(language, code, script))


# JSON


def test_template_commands_can_print_json(tmp_path: Path) -> None:
    description = json.loads(CliRunner().invoke(app, ["templates", "show", "native/ro", "--json"]).stdout)
    assert description["language"] == "ro"
    file = tmp_path / "mine.toml"
    header = 'language = "ro"\ndescription = ""\nreviewed = false\nreviewed_by = []\n[relations]\n'
    file.write_text(header + 'IsA = ["{start} este."]\n')
    result = CliRunner().invoke(app, ["templates", "check", str(file), "--json"])
    report = json.loads(result.stdout)
    assert (result.exit_code, report["sets"][0]["name"], len(report["faults"])) == (1, "mine", 1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_in_another_encoding_is_named_with_a_command_to_convert_it(encoding: str, tmp_path: Path) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""  # for utf-16, Python writes it itself
    (tmp_path / "a.txt").write_bytes((mark + "În fiecare primăvară.\n").encode(encoding))
    with pytest.raises(InputError, match=r"a\.txt: is in UTF-16, not UTF-8 text\. .*iconv -f UTF-16 -t UTF-8"):
        documents(tmp_path)
    (tmp_path / "a.txt").write_bytes("primăvară\n".encode("iso8859-2"))
    with pytest.raises(InputError, match=r"line 1 is not UTF-8 at byte 5\)\. .*iconv -f ENCODING -t UTF-8"):
        documents(tmp_path)
