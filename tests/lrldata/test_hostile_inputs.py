"""Input that is broken or made to do harm: one clear error, never a dead process, a hang, or gigabytes of memory."""

import gzip
import io
import json
import math
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dumps import line
from test_documents import epub
from test_web import ROMANIAN

import lrldata.langid
from lrldata.conceptnet import read as dumps
from lrldata.conceptnet.index import make_index
from lrldata.errors import InputError
from lrldata.langid import binding, load_model, named
from lrldata.langid.modelfile import read_layout
from lrldata.manifest import sha256_of
from lrldata.web import decoded, garbled, marked, parquet, pii, plain, read
from lrldata.web.letters import join_hyphens
from lrldata.web.read import Columns, Shard, find_shards, read_parts

Make = Callable[..., Path]
MODEL = Path(lrldata.langid.__file__).parent / "compact.ftz"
INPUT, FLAG, END = 5627, 1739473, 1765730  # bytes of the shipped model at which its matrices and the file begin and end
FIELDS = {  # of its header, by where they are
    8: "dimension", 28: "word n-grams", 32: "loss", 36: "model", 40: "buckets", 44: "shortest", 48: "longest",
    64: "entries", 68: "words", 72: "labels", 84: "pruned", 88: "pruned, upper half",
}  # fmt: skip
AT_MATRICES = (INPUT, INPUT + 1, INPUT + 2, INPUT + 10, INPUT + 18, 1605649, 1605653, 1605657, 1605661, 1738433,
               1738437, 1738441, 1738445, FLAG, FLAG + 1, FLAG + 9)  # fmt: skip


# fastText models


def altered() -> Iterator[tuple[str, bytes]]:
    """Yield the shipped model with one number or one byte of it altered, in 150 ways."""
    whole, draw = MODEL.read_bytes(), random.Random(8)

    def put(form: str, at: int, value: float) -> bytes:
        return whole[:at] + struct.pack(form, value) + whole[at + struct.calcsize(form) :]

    for at, name in FIELDS.items():
        (before,) = struct.unpack_from("<i", whole, at)
        for value in {0, -1, 1, before + 1, before - 1, 2**31 - 1, -(2**31)} - {before}:
            yield f"{name}: {value}", put("<i", at, value)
    for at in AT_MATRICES:
        yield f"byte {at}", put("B", at, whole[at] ^ draw.choice([1, 2, 128]))
        yield f"number {at}", put("<i", at, draw.choice([0, 7, -1, 2**31 - 1]))
    for at in (1605665, 1738449, END - 4):
        for value in (math.nan, math.inf, -1e38):
            yield f"weight {at}: {value}", put("<f", at, value)
    for _ in range(30):
        at = draw.randrange(92, INPUT)
        yield f"word {at}", put("B", at, draw.choice([0, 1, 255]))
    for at in (12, 16, 52, 76, 200_000, 1_700_000):  # what matters to training alone, and codes
        yield f"byte {at}", put("B", at, whole[at] ^ 1)


def test_an_altered_model_is_refused_or_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []
    monkeypatch.setattr(named, "try_out", lambda path, _: tried.append(path))  # the checks alone hold this process up
    ends: dict[str, list[str]] = {"refused": [], "works": []}
    for number, (name, content) in enumerate(altered()):
        path = tmp_path / f"{number}.ftz"
        path.write_bytes(content)
        try:
            found = load_model(str(path), binding="fasttext").predict(["fiecare om are dreptul", "ภาษาไทย " * 50])
        except InputError as error:
            assert path.name in error.message  # noqa: PT017
            ends["refused"].append(name)
        else:
            assert all(math.isfinite(share) for each in found for share in each.probabilities)
            ends["works"].append(name)
        path.unlink()
    assert len(ends["refused"]) + len(ends["works"]) >= 150
    assert len(ends["refused"]) >= 110
    assert len(tried) >= 25
    for field in FIELDS.values():
        assert any(name.startswith(f"{field}:") for name in ends["refused"]), field


def test_a_tree_of_labels_that_would_have_circles_is_refused(tmp_path: Path) -> None:
    content = bytearray(MODEL.read_bytes())
    content[32] = 1  # hierarchical softmax: its tree is made of how often each label was seen
    path = tmp_path / "tree.ftz"
    path.write_bytes(content)
    read_layout(path)
    begin = content.index(b"\0", 92) + 1
    for count in (0, -1, 10**15, 2**63 - 1):
        content[begin : begin + 8] = struct.pack("<q", count)
        path.write_bytes(content)
        with pytest.raises(InputError, match="labels were seen"):
            read_layout(path)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a model that works, and is not one that we know."""
    content = bytearray(MODEL.read_bytes())
    content[12] ^= 1
    path = tmp_path / "mine.ftz"
    path.write_bytes(content)
    return path


def test_a_model_that_is_not_known_is_tried_in_another_process_once(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = subprocess.run, []
    monkeypatch.setattr(binding.subprocess, "run", lambda *args, **named: asked.append(args) or run(*args, **named))
    monkeypatch.setattr(named, "_TRIED", set())
    known = tmp_path / "known.ftz"
    known.write_bytes(MODEL.read_bytes())
    load_model(str(known))
    assert not asked
    assert load_model(str(copy)).sha256 == sha256_of(copy)
    load_model(str(copy))
    assert len(asked) == 1
    assert asked[0][0][:3] == [sys.executable, "-I", "-c"]


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "killed by signal 11"),
        ("import time; time.sleep(60)", "did not finish within"),
        ("raise ValueError('no such loss')", "no such loss"),
        ("x = b'x' * (1 << 40)", "MemoryError"),
    ],
    ids=["dies", "hangs", "raises", "fills the memory"],
)
def test_what_a_model_does_to_the_library_is_told_and_not_suffered(
    does: str, message: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_library.py").write_text(f"def load_model(path):\n    {does}\n")
    monkeypatch.setattr(binding, "_choose", lambda _: "evil_library")
    monkeypatch.setattr(binding, "_SECONDS", 0.3 if "sleep" in does else 60)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=rf"mine\.ftz.*{message}"):
        binding.try_out(copy)


def test_the_json_beside_a_model_is_not_believed(copy: Path) -> None:
    for text in ("[" * 100_000, '{"letters_only": "no"}', "\ud800", "x" * 2_000_000):
        copy.with_suffix(".json").write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(InputError, match=r"mine\.json"):
            load_model(str(copy))


# Documents


def parts(path: Path, columns: Columns | None = None) -> pl.DataFrame:
    return pl.concat(list(read_parts(find_shards(path, None)[0], columns or Columns())))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 2 .*nested too deep"),
        ('{"text": ["a"]}', "line 2: 'text' is a list, not text"),
        ('{"text": {"ro": "a"}}', "line 2: 'text' is an object, not text"),
        ('{"text": 5}', "line 2: 'text' is a number, not text"),
        ('{"text": true}', "line 2: 'text' is a boolean, not text"),
        ('{"text": "a", "url": ["b"]}', "line 2: 'url' is a list, not text"),
        ('{"text": "a\ud800"}', "line 2 is not UTF-8 at byte 12"),
        ("5", 'line 2 .* Each line must be a document: {"text": "..."}'),
    ],
    ids=["deep", "list", "object", "number", "boolean", "address", "not UTF-8", "not an object"],
)
def test_a_bad_line_is_named(bad: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(f'{{"text": "good"}}\n{bad}\n'.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=rf"bad\.jsonl.*{message}") as error:
        parts(path)
    assert "{{" not in str(error.value)


def test_numbers_of_any_size_and_kind_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "numbers.jsonl"
    known = ("1" + "0" * 400, "NaN", "1e999", "55", '"x"', "[" * 400 + "]" * 400, "null", "0.5")
    rows = [f'{{"text": "a", "script-percentage": {value}, "id": {"9" * 5000}}}' for value in known]
    rows += ['{"text": null, "categories": [1]}', '{"categories": ["\\ud800", "b"]}']
    path.write_text("\n".join(rows))
    found = parts(path)
    assert found["script_share"].to_list() == [None, None, None, 0.55, None, None, None, 0.5, None, None]
    assert found["categories"].to_list() == [None] * 9 + [["\ufffd", "b"]]
    assert found["text"].to_list() == ["a"] * 8 + [None] * 2


def test_each_row_is_read_by_its_own_columns_wherever_a_batch_ends(tmp_path: Path) -> None:
    rows = [{"text": str(number)} for number in range(600)]
    rows[250] = {"content": "250"}
    rows[550] = {"id": "550"}
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert parts(path)["text"].to_list() == [None if number == 550 else str(number) for number in range(600)]


@pytest.mark.parametrize("name", ["long.jsonl", "long.txt", "long.jsonl.gz", "long.txt.gz"])
def test_a_line_is_read_to_a_limit_and_no_further(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "LONGEST_LINE", 1 << 20)
    taken: list[int] = []

    class Endless(io.RawIOBase):
        """A file whose second line has no end."""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            taken.append(len(buffer))
            assert sum(taken) < 4 << 20, "the whole line is taken into memory"
            block = b'{"text": "a"}\n' if len(taken) == 1 else b"x" * len(buffer)
            buffer[: len(block)] = block
            return len(block)

    if name.endswith(".gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(b'{"text": "a"}\n' + b"x" * (64 << 20), 1))
        shard = find_shards(path, None)[0]
    else:
        shard = Shard(name, name, 0, "", lambda: io.BufferedReader(Endless()))
    with pytest.raises(InputError, match=rf"{name}: line 2 is longer than 32 MiB|{name}: line 2 is longer than 1 MiB"):
        list(read_parts(shard, Columns()))


def test_documents_of_many_megabytes_are_held_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "PART", 40_000)
    monkeypatch.setattr(plain, "PART", 40_000)
    text = "cuvânt " * 2_000
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text + str(n)}) + "\n" for n in range(30)))
    (tmp_path / "b.txt").write_text(f"{text}\n" * 30)
    for shard in find_shards(tmp_path, None):
        with shard.open() as stream:
            lines = decoded.lines_of(shard, stream)
            if "jsonl" in shard.name:
                sizes = [
                    frame["text"].str.len_bytes().sum()
                    for frame in read._jsonl(shard, lines, Columns())  # noqa: SLF001
                ]
            else:
                sizes = [len("".join(texts).encode()) for texts in plain.paragraphs(shard, lines, Columns())]
        assert max(sizes) < 2 * read.PART, shard.name


@pytest.mark.parametrize("name", ["big.jsonl", "big.parquet", "big.txt"])
def test_a_document_beyond_the_limit_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrldata.web.fields.LONGEST_TEXT", 1000)
    path = tmp_path / name
    texts = ["ă" * 499, "ă" * 501]
    if name.endswith(".parquet"):
        pl.DataFrame({"text": texts}).write_parquet(path)
    else:
        rows = [json.dumps({"text": text}) + "\n" if "jsonl" in name else f"{text}\n\n" for text in texts]
        path.write_text("".join(rows))
    with pytest.raises(InputError, match=r"big\..*(line|document) 2.* is longer than"):
        parts(path)


def parquet_of(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([Decimal("1.1")], pa.decimal256(50, 2)), r"column 'text' is decimal256\(50, 2\), not text"),
        (pa.array([1]), "column 'text' is int64, not text"),
        (pa.array([["a"]]), "column 'text' is list.*, not text"),
        (pa.array([{"ro": "a"}]), "column 'text' is struct.*, not text"),
        (pa.array([b"\xff"]), "column 'text' cannot be read .*utf8"),
    ],
    ids=["decimal256", "numbers", "lists", "structs", "bytes"],
)
def test_a_column_that_is_not_text_is_named(column: pa.Array, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"bad\.parquet: {message}"):
        parts(parquet_of(tmp_path / "bad.parquet", text=column))
    with pytest.raises(InputError, match=rf"bad\.parquet: {message.replace('text', 'url', 1)}"):
        parts(parquet_of(tmp_path / "bad.parquet", text=["a"], url=column))


def test_text_in_a_parquet_file_that_is_not_utf8_is_refused_before_it_corrupts_memory(tmp_path: Path) -> None:
    ends = pa.array([0, 3, 6], pa.int32()).buffers()[1]
    bad = pa.Array.from_buffers(pa.string(), 2, [None, ends, pa.py_buffer(b"\xff\xfeabcd")])
    with pytest.raises(InputError, match=r"bad\.parquet: column 'text' cannot be read .*UTF8"):
        parts(parquet_of(tmp_path / "bad.parquet", text=bad))


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="column 'text' occurs 2 times"):
        parts(tmp_path / "twice.parquet")


def test_what_is_known_of_documents_may_be_of_any_type(tmp_path: Path) -> None:
    odd = pa.array([Decimal("1.1")], pa.decimal256(50, 2))
    lists = pa.array([[Decimal("1.1")]], pa.list_(pa.decimal256(50, 2)))
    path = parquet_of(tmp_path / "odd.parquet", text=["a"], categories=lists, **{"script-percentage": odd})
    assert parts(path).select("text", "categories", "script_share").rows() == [("a", None, None)]
    path = parquet_of(tmp_path / "nan.parquet", text=["a", "b"], **{"script-percentage": [math.nan, 40.0]})
    assert parts(path)["script_share"].to_list() == [None, 0.4]


def test_a_value_that_a_parquet_file_repeats_is_not_spread_over_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "AT_ONCE", 8_000_000)
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["x" * 1_000_000]))
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"text": text}), path, dictionary_pagesize_limit=1 << 30, compression="zstd")
    assert path.stat().st_size < 10_000
    with path.open("rb") as stream:
        frames = parquet.read_frames(pq.ParquetFile(stream), stream, ["text"], [])
        assert [len(frame) for frame in frames] == [8] * 12 + [4]
    pq.write_table(pa.table({"text": ["x" * 20_000_000]}), path, use_dictionary=False, compression="zstd")
    with pytest.raises(InputError, match=r"bomb\.parquet: cannot be read .*would expand to 20,0"):
        parts(path)


def test_altered_parquet_files_are_read_or_refused(tmp_path: Path) -> None:
    given = {"content": ["unu doi " * 20, None, "trei"] * 100, "quality-warnings": [["a"], None, []] * 100}
    whole = parquet_of(tmp_path / "a.parquet", **given, **{"script-percentage": [1.0, 2.0, None] * 100}).read_bytes()
    draw, refused = random.Random(5), 0
    for _ in range(200):
        content = bytearray(whole)
        at = draw.randrange(len(whole))
        content[at] ^= 1 << draw.randrange(8)
        shard = Shard("a.parquet", "a.parquet", len(whole), "", lambda content=content: io.BytesIO(content))  # type: ignore[misc]
        try:
            assert all(frame["text"].dtype == pl.String for frame in read_parts(shard, Columns()))
        except InputError:
            refused += 1
    assert refused > 50


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(b'{"text": "a"}\n' * 1000))
    for at in range(12, len(content), 7):
        path = tmp_path / "damaged.jsonl.gz"
        path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        with pytest.raises(InputError, match=r"damaged\.jsonl\.gz"):
            parts(path)


def test_with_skip_bad_such_files_are_left_out_and_counted(lrldata: Any, tmp_path: Path) -> None:
    given = tmp_path / "in"
    given.mkdir()
    (given / "good.txt").write_text("\n".join(ROMANIAN), "utf-8")
    (given / "deep.jsonl").write_text('{"text": ' + "[" * 100_000)
    (given / "list.jsonl").write_text('{"text": ["a"]}')
    parquet_of(given / "decimal.parquet", text=pa.array([Decimal("1.1")], pa.decimal256(50, 2)))
    options = ("--source", "web", "--input", given, "--out", tmp_path / "ws", "--json", "--skip-bad")
    made = lrldata("build", "--lang", "ro", *options)
    assert made.returncode == 0, made.stderr
    assert "panicked" not in made.stderr
    manifest = json.loads((Path(json.loads(made.stdout)["path"]) / "manifest.json").read_text("utf-8"))
    assert sorted(manifest["skipped"]) == ["decimal.parquet", "deep.jsonl", "list.jsonl"]


def test_a_page_with_sections_that_html_does_not_have_is_read() -> None:
    page = ["<p>a</p><![foo[ x ]]><p>b</p>", "<![\n x ]]><![if !IE]><p>c <![CDATA[x > <b>y</b>]]>d</p><![endif]>"]
    assert list(marked.lines_of_text("html", page)) == ["a\n", "b\n", "c d\n"]


@pytest.mark.parametrize("page", ["<a " * 70_000, '<a b="' * 70_000, "<p>a</p>" * 9_000 + "<a " * 70_000])
def test_a_page_of_tags_without_an_end_is_refused_at_once(page: str, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(page, "utf-8")
    began = time.process_time()
    with pytest.raises(InputError, match=r"bad\.html: .*most tags are not closed"):
        parts(tmp_path / "bad.html")
    assert time.process_time() - began < 2


def test_elements_without_text_that_are_never_closed_cost_little() -> None:
    began = time.process_time()
    assert list(marked.lines_of_text("html", ["<aside>" * 20_000 + "</b>" * 20_000 + "<body><p>a</p>"])) == ["a\n"]
    assert time.process_time() - began < 2


def word_file(path: Path, between: str) -> Path:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    said = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"
    body = f"<w:body>{said.format('unu')}{between}{said.format('doi')}</w:body>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", "<Relationships/>")
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{space}">{body}</w:document>')
    return path


def test_a_document_of_elements_without_text_is_not_held_whole(tmp_path: Path) -> None:
    tracemalloc.start()
    with word_file(tmp_path / "a.docx", "<x/>" * 200_000).open("rb") as stream:
        assert list(marked.lines_of_packed("docx", stream)) == ["unu\n", "doi\n"]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000, "200,000 elements are 20 MB"


def test_a_document_that_is_a_thousand_times_its_packed_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bomb\.docx: .*word/document.xml is 1,\d\d\d times its packed size"):
        parts(word_file(tmp_path / "bomb.docx", " " * (17 << 20)))
    assert parts(word_file(tmp_path / "good.docx", " " * (15 << 20)))["text"].to_list() == ["unu\ndoi\n"]


def test_a_chapter_is_read_once_and_a_book_is_no_larger_than_its_file_can_be(tmp_path: Path) -> None:
    whole = epub(tmp_path).read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as book:
        held = {name: book.read(name).decode() for name in book.namelist()}
    spelt = [f"t/{'./' * number}%61.xhtml" for number in range(200)]

    def with_chapters(name: str, places: list[str], more: dict[str, str]) -> Path:
        """Return the book with these chapters behind its own, packed."""
        items = "".join(f'<item id="x{number}" href="{place}"/>' for number, place in enumerate(places))
        shown = "".join(f'<itemref idref="x{number}"/>' for number in range(len(places)))
        listed = (
            held["o/book.opf"].replace("</manifest>", f"{items}</manifest>").replace("</spine>", f"{shown}</spine>")
        )
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as book:
            for part, content in (held | {"o/book.opf": listed} | more).items():
                book.writestr(part, content)
        return tmp_path / name

    lines = list(marked.lines_of_packed("epub", io.BytesIO(whole)))
    with with_chapters("again.epub", spelt, {"o/cover.bmp": " " * (30 << 20)}).open("rb") as stream:
        assert list(marked.lines_of_packed("epub", stream)) == lines, "a picture may be as large as it is"
    many = {f"o/t/{number}.xhtml": "<p>a</p>" + " " * (1 << 20) for number in range(20)}
    file = with_chapters("many.epub", [name.removeprefix("o/") for name in many], many)
    with file.open("rb") as stream, pytest.raises(ValueError, match="more than 200 times the size of the file"):
        list(marked.lines_of_packed("epub", stream))


HALF, SIGNS = np.array([0.5]), {"least_signs": 3, "letters_a_sign": 10.0}


@pytest.mark.parametrize(
    ("clean", "text"),
    [
        (pii.replace, "1.2.3.4 " * 20_000),
        (lambda texts: join_hyphens(texts, "Latn", "mt"), "ta-\nqbida " + "a" * 200_000),
        (lambda texts: garbled.is_garbled(texts, HALF, HALF, SIGNS, spaced=True), "a.b!" * 50_000),
    ],
    ids=["addresses", "hyphens", "signs"],
)
def test_a_line_of_any_kind_is_cleaned_in_a_time_that_grows_with_it(clean: Any, text: str) -> None:
    began = time.perf_counter()
    clean(pl.Series([text]))
    assert time.perf_counter() - began < 3


# Dumps


GOOD = [line("IsA", f"ro:cuvânt_{number}/n", "ro:lucru", 0.5) for number in range(1500)]


@pytest.mark.parametrize("name", ["dump.csv", "dump.csv.gz"])
@pytest.mark.parametrize("other", [[], ["a\tbad line"]], ids=["alone", "with another bad line"])
def test_a_line_beyond_the_limit_is_rejected_by_either_way(
    name: str, other: list[str], make_dump: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumps, "LONGEST_LINE", 100_000)
    at = 100_000 - len(line("IsA", "ro:a", "ro:b", surfaceText=""))
    within, beyond = (line("IsA", "ro:a", "ro:b", surfaceText="x" * length) for length in (at, at + 1))
    index = make_index(
        make_dump([*GOOD, within, beyond, *GOOD[:9], *other, within + "\r", beyond + "\r"], name),
        tmp_path,
        max_rejected=1,
    )
    assert index.manifest["edges"] == len(GOOD) + 2 + 9
    assert index.manifest["rejected"] == 2 + len(other)
    assert "\tlonger than" in index.folder.with_suffix(".rejects.tsv").read_text("utf-8")


def test_a_dump_of_one_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrldata.conceptnet.index.scan_dump", lambda _: pytest.fail("Polars is given the line"))
    path = tmp_path / "endless.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(20):
            stream.write(b"\t" * (1 << 20))
    with pytest.raises(InputError, match=r"endless\.csv\.gz, line 1: longer than 16 MiB"):
        make_index(path, tmp_path)


def test_a_reason_does_not_quote_megabytes(make_dump: Make, tmp_path: Path) -> None:
    start = "/a/x\t/r/IsA\t/c/ro/a\t/c/ro/b\t"
    odd = start + json.dumps({"dataset": "/d/x", "license": "y", "weight": "z" * 1_000_000})
    named = start + json.dumps({"dataset": "ă" * 2_000, "license": "y", "weight": 1.0}, ensure_ascii=False)
    index = make_index(make_dump([*GOOD, odd, named]), tmp_path, max_rejected=1)
    rows = index.folder.with_suffix(".rejects.tsv").read_text("utf-8").splitlines()
    assert [row.split("\t")[0] for row in rows[1:]] == ["1501", "1502"]
    assert max(map(len, rows)) < 1000


def test_gzip_that_is_damaged_where_the_careful_way_reads_is_named(make_dump: Make, tmp_path: Path) -> None:
    content = bytearray(make_dump(GOOD).read_bytes())
    content[10] |= 0b110  # a kind of block that there is not
    path = tmp_path / "damaged.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged\.csv\.gz: damaged gzip file"):
        dumps.separate_bad_lines(path, tmp_path / "clean.gz", tmp_path / "rejects")
