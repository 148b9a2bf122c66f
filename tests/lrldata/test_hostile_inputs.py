"""Broken or malicious input: it causes one clear error, never a crash, a hang, or the use of gigabytes of memory."""

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
from lrldata.conceptnet import read as dump_reader
from lrldata.conceptnet.index import make_index
from lrldata.errors import InputError
from lrldata.langid import binding, load_model, named
from lrldata.langid.modelfile import read_layout
from lrldata.manifest import sha256_of
from lrldata.web import decoded, garbled, parquet, pii, plain, read
from lrldata.web.letters import join_hyphens
from lrldata.web.office import lines_of_archive
from lrldata.web.page import lines_of_html
from lrldata.web.read import Columns, Shard, find_shards, read_parts

Make = Callable[..., Path]
MODEL = Path(lrldata.langid.__file__).parent / "compact.ftz"
# Offsets in the shipped model: where its two matrices begin and where the file ends.
INPUT, OUTPUT, END = 5627, 1739473, 1765730
FIELDS = {  # of the model's header, by offset
    8: "dimension", 28: "word n-grams", 32: "loss", 36: "model", 40: "buckets", 44: "shortest", 48: "longest",
    64: "entries", 68: "words", 72: "labels", 84: "pruned", 88: "pruned, upper half",
}  # fmt: skip
AT_MATRICES = (INPUT, INPUT + 1, INPUT + 2, INPUT + 10, INPUT + 18, 1605649, 1605653, 1605657, 1605661, 1738433,
               1738437, 1738441, 1738445, OUTPUT, OUTPUT + 1, OUTPUT + 9)  # fmt: skip


# fastText models


def altered() -> Iterator[tuple[str, bytes]]:
    """Yield at least 150 copies of the shipped model with one number or byte altered, each with a name."""
    model, rng = MODEL.read_bytes(), random.Random(8)

    def put(form: str, offset: int, value: float) -> bytes:
        return model[:offset] + struct.pack(form, value) + model[offset + struct.calcsize(form) :]

    for offset, name in FIELDS.items():
        (before,) = struct.unpack_from("<i", model, offset)
        for value in {0, -1, 1, before + 1, before - 1, 2**31 - 1, -(2**31)} - {before}:
            yield f"{name}: {value}", put("<i", offset, value)
    for offset in AT_MATRICES:
        yield f"byte {offset}", put("B", offset, model[offset] ^ rng.choice([1, 2, 128]))
        yield f"number {offset}", put("<i", offset, rng.choice([0, 7, -1, 2**31 - 1]))
    for offset in (1605665, 1738449, END - 4):
        for value in (math.nan, math.inf, -1e38):
            yield f"weight {offset}: {value}", put("<f", offset, value)
    for _ in range(30):
        offset = rng.randrange(92, INPUT)
        yield f"word {offset}", put("B", offset, rng.choice([0, 1, 255]))
    for offset in (12, 16, 52, 76, 200_000, 1_700_000):  # fields used only in training, and bytes within the matrix
        yield f"byte {offset}", put("B", offset, model[offset] ^ 1)


def test_an_altered_model_is_refused_or_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []
    monkeypatch.setattr(named, "try_out", lambda path, _: tried.append(path))  # only the checks protect this process
    outcomes: dict[str, list[str]] = {"refused": [], "works": []}
    for number, (name, content) in enumerate(altered()):
        path = tmp_path / f"{number}.ftz"
        path.write_bytes(content)
        try:
            predictions = load_model(str(path), binding="fasttext").predict(["fiecare om are dreptul", "ภาษาไทย " * 50])
        except InputError as error:
            assert path.name in error.message  # noqa: PT017
            outcomes["refused"].append(name)
        else:
            assert all(
                math.isfinite(probability) for prediction in predictions for probability in prediction.probabilities
            )
            outcomes["works"].append(name)
        path.unlink()
    assert len(outcomes["refused"]) + len(outcomes["works"]) >= 150
    assert len(outcomes["refused"]) >= 110
    assert len(tried) >= 25
    for field in FIELDS.values():
        assert any(name.startswith(f"{field}:") for name in outcomes["refused"]), field


def test_label_counts_that_would_make_a_circular_tree_are_refused(tmp_path: Path) -> None:
    content = bytearray(MODEL.read_bytes())
    content[32] = 1  # hierarchical softmax: its tree is built from the label counts
    path = tmp_path / "tree.ftz"
    path.write_bytes(content)
    read_layout(path)
    start = content.index(b"\0", 92) + 1
    for count in (0, -1, 10**15, 2**63 - 1):
        content[start : start + 8] = struct.pack("<q", count)
        path.write_bytes(content)
        with pytest.raises(InputError, match="labels were seen"):
            read_layout(path)


@pytest.fixture
def unknown_model(tmp_path: Path) -> Path:
    """Return the path of a model that works but is not a known one."""
    content = bytearray(MODEL.read_bytes())
    content[12] ^= 1
    path = tmp_path / "mine.ftz"
    path.write_bytes(content)
    return path


def test_an_unknown_model_is_tried_once_in_another_process(
    unknown_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = subprocess.run, []
    monkeypatch.setattr(binding.subprocess, "run", lambda *args, **options: calls.append(args) or run(*args, **options))
    monkeypatch.setattr(named, "_TRIED", set())
    shipped_model = tmp_path / "known.ftz"
    shipped_model.write_bytes(MODEL.read_bytes())
    load_model(str(shipped_model))
    assert not calls
    assert load_model(str(unknown_model)).sha256 == sha256_of(unknown_model)
    load_model(str(unknown_model))
    assert len(calls) == 1
    assert calls[0][0][:3] == [sys.executable, "-I", "-c"]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "killed by signal 11"),
        ("import time; time.sleep(60)", "did not finish within"),
        ("raise ValueError('no such loss')", "no such loss"),
        ("x = b'x' * (1 << 40)", "MemoryError"),
    ],
    ids=["dies", "hangs", "raises", "fills the memory"],
)
def test_a_model_that_makes_the_library_fail_is_a_clear_error(
    statement: str, message: str, unknown_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_library.py").write_text(f"def load_model(path):\n    {statement}\n")
    monkeypatch.setattr(binding, "_choose", lambda _: "evil_library")
    monkeypatch.setattr(binding, "_SECONDS", 0.3 if "sleep" in statement else 60)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=rf"mine\.ftz.*{message}"):
        binding.try_out(unknown_model)


def test_invalid_json_next_to_a_model_is_refused(unknown_model: Path) -> None:
    for text in ("[" * 100_000, '{"letters_only": "no"}', "\ud800", "x" * 2_000_000):
        unknown_model.with_suffix(".json").write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(InputError, match=r"mine\.json"):
            load_model(str(unknown_model))


# Documents


def read_documents(path: Path, columns: Columns | None = None) -> pl.DataFrame:
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
        read_documents(path)
    assert "{{" not in str(error.value)


def test_metadata_values_of_any_size_and_kind_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "numbers.jsonl"
    values = ("1" + "0" * 400, "NaN", "1e999", "55", '"x"', "[" * 400 + "]" * 400, "null", "0.5")
    rows = [f'{{"text": "a", "script-percentage": {value}, "id": {"9" * 5000}}}' for value in values]
    rows += ['{"text": null, "categories": [1]}', '{"categories": ["\\ud800", "b"]}']
    path.write_text("\n".join(rows))
    frame = read_documents(path)
    assert frame["script_share"].to_list() == [None, None, None, 0.55, None, None, None, 0.5, None, None]
    assert frame["categories"].to_list() == [None] * 9 + [["\ufffd", "b"]]
    assert frame["text"].to_list() == ["a"] * 8 + [None] * 2


def test_each_row_is_read_by_its_own_columns_in_any_batch(tmp_path: Path) -> None:
    rows = [{"text": str(number)} for number in range(600)]
    rows[250] = {"content": "250"}
    rows[550] = {"id": "550"}
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_documents(path)["text"].to_list() == [None if number == 550 else str(number) for number in range(600)]


@pytest.mark.parametrize("name", ["long.jsonl", "long.txt", "long.jsonl.gz", "long.txt.gz"])
def test_a_line_is_read_only_up_to_a_limit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "LONGEST_LINE", 1 << 20)
    buffer_sizes: list[int] = []

    class Endless(io.RawIOBase):
        """A file whose second line has no end."""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            buffer_sizes.append(len(buffer))
            assert sum(buffer_sizes) < 4 << 20, "the whole line is read into memory"
            block = b'{"text": "a"}\n' if len(buffer_sizes) == 1 else b"x" * len(buffer)
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


def test_only_a_few_large_documents_are_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "PART", 40_000)
    monkeypatch.setattr(plain, "PART", 40_000)
    text = "cuvânt " * 2_000
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text + str(n)}) + "\n" for n in range(30)))
    (tmp_path / "b.txt").write_text(f"{text}\n" * 30)
    for shard in find_shards(tmp_path, None):
        if "jsonl" in shard.name:
            frames = read._rows(shard, Columns())  # noqa: SLF001
            sizes = [frame["text"].str.len_bytes().sum() for frame in frames]
        else:
            with shard.open() as stream:
                lines = decoded.lines_of(shard, stream)
                sizes = [len("".join(texts).encode()) for texts in plain.paragraphs(shard, lines, Columns())]
        assert max(sizes) < 2 * read.PART, shard.name


@pytest.mark.parametrize("name", ["big.jsonl", "big.parquet", "big.txt"])
def test_a_document_over_the_size_limit_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrldata.web.fields.LONGEST_TEXT", 1000)
    path = tmp_path / name
    texts = ["ă" * 499, "ă" * 501]
    if name.endswith(".parquet"):
        pl.DataFrame({"text": texts}).write_parquet(path)
    else:
        rows = [json.dumps({"text": text}) + "\n" if "jsonl" in name else f"{text}\n\n" for text in texts]
        path.write_text("".join(rows))
    with pytest.raises(InputError, match=r"big\..*(line|document) 2.* is longer than"):
        read_documents(path)


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
        read_documents(parquet_of(tmp_path / "bad.parquet", text=column))
    with pytest.raises(InputError, match=rf"bad\.parquet: {message.replace('text', 'url', 1)}"):
        read_documents(parquet_of(tmp_path / "bad.parquet", text=["a"], url=column))


def test_text_in_a_parquet_file_that_is_not_utf8_is_refused_before_it_corrupts_memory(tmp_path: Path) -> None:
    offsets = pa.array([0, 3, 6], pa.int32()).buffers()[1]
    bad = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xff\xfeabcd")])
    with pytest.raises(InputError, match=r"bad\.parquet: column 'text' cannot be read .*UTF8"):
        read_documents(parquet_of(tmp_path / "bad.parquet", text=bad))


def test_a_column_that_occurs_twice_is_named(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="column 'text' occurs 2 times"):
        read_documents(tmp_path / "twice.parquet")


def test_metadata_columns_may_be_of_any_type(tmp_path: Path) -> None:
    odd = pa.array([Decimal("1.1")], pa.decimal256(50, 2))
    lists = pa.array([[Decimal("1.1")]], pa.list_(pa.decimal256(50, 2)))
    path = parquet_of(tmp_path / "odd.parquet", text=["a"], categories=lists, **{"script-percentage": odd})
    assert read_documents(path).select("text", "categories", "script_share").rows() == [("a", None, None)]
    path = parquet_of(tmp_path / "nan.parquet", text=["a", "b"], **{"script-percentage": [math.nan, 40.0]})
    assert read_documents(path)["script_share"].to_list() == [None, 0.4]


def test_a_repeated_value_in_a_parquet_file_is_not_expanded_to_gigabytes(
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
        read_documents(path)


def test_altered_parquet_files_are_read_or_refused(tmp_path: Path) -> None:
    columns = {"content": ["unu doi " * 20, None, "trei"] * 100, "quality-warnings": [["a"], None, []] * 100}
    intact = parquet_of(tmp_path / "a.parquet", **columns, **{"script-percentage": [1.0, 2.0, None] * 100}).read_bytes()
    rng, refused = random.Random(5), 0
    for _ in range(200):
        content = bytearray(intact)
        position = rng.randrange(len(intact))
        content[position] ^= 1 << rng.randrange(8)
        shard = Shard("a.parquet", "a.parquet", len(intact), "", lambda content=content: io.BytesIO(content))  # type: ignore[misc]
        try:
            assert all(frame["text"].dtype == pl.String for frame in read_parts(shard, Columns()))
        except InputError:
            refused += 1
    assert refused > 50


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(b'{"text": "a"}\n' * 1000))
    for position in range(12, len(content), 7):
        path = tmp_path / "damaged.jsonl.gz"
        path.write_bytes(content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :])
        with pytest.raises(InputError, match=r"damaged\.jsonl\.gz"):
            read_documents(path)


def test_hostile_files_are_left_out_and_listed_with_skip_bad(lrldata: Any, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.txt").write_text("\n".join(ROMANIAN), "utf-8")
    (folder / "deep.jsonl").write_text('{"text": ' + "[" * 100_000)
    (folder / "list.jsonl").write_text('{"text": ["a"]}')
    parquet_of(folder / "decimal.parquet", text=pa.array([Decimal("1.1")], pa.decimal256(50, 2)))
    options = ("--source", "web", "--input", folder, "--out", tmp_path / "ws", "--json", "--skip-bad")
    result = lrldata("build", "--lang", "ro", *options)
    assert result.returncode == 0, result.stderr
    assert "panicked" not in result.stderr
    manifest = json.loads((Path(json.loads(result.stdout)["path"]) / "manifest.json").read_text("utf-8"))
    assert sorted(manifest["skipped"]) == ["decimal.parquet", "deep.jsonl", "list.jsonl"]


def test_a_page_with_sections_that_are_not_html_is_read() -> None:
    page = ["<p>a</p><![foo[ x ]]><p>b</p>", "<![\n x ]]><![if !IE]><p>c <![CDATA[x > <b>y</b>]]>d</p><![endif]>"]
    assert list(lines_of_html(page)) == ["a", "b", "c d"]


@pytest.mark.parametrize("page", ["<a " * 70_000, '<a b="' * 70_000, "<p>a</p>" * 9_000 + "<a " * 70_000])
def test_a_page_of_unclosed_tags_is_refused_quickly(page: str, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(page, "utf-8")
    start = time.process_time()
    with pytest.raises(InputError, match=r"bad\.html: .*most tags are not closed"):
        read_documents(tmp_path / "bad.html")
    assert time.process_time() - start < 2


def test_unclosed_elements_without_text_take_little_time() -> None:
    start = time.process_time()
    assert list(lines_of_html(["<aside>" * 20_000 + "</b>" * 20_000 + "<body><p>a</p>"])) == ["a"]
    assert len(list(lines_of_html(["<p><a>" + "<sup> <del>" * 20_000 + "</sup></a>" * 20_000]))) == 0
    assert time.process_time() - start < 2


def docx_with(path: Path, between: str) -> Path:
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    paragraph = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"
    body = f"<w:body>{paragraph.format('unu')}{between}{paragraph.format('doi')}</w:body>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", "<Relationships/>")
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{namespace}">{body}</w:document>')
    return path


def test_a_document_of_elements_without_text_takes_little_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    with docx_with(tmp_path / "a.docx", "<x/>" * 200_000).open("rb") as stream:
        assert list(lines_of_archive("docx", stream)) == ["unu\n", "doi\n"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000, "all 200,000 elements would take 20 MB"


def test_a_document_that_expands_to_a_thousand_times_its_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bomb\.docx: .*word/document.xml is 1,\d\d\d times its packed size"):
        read_documents(docx_with(tmp_path / "bomb.docx", " " * (17 << 20)))
    assert read_documents(docx_with(tmp_path / "good.docx", " " * (15 << 20)))["text"].to_list() == ["unu\ndoi\n"]


def test_a_chapter_is_read_once_and_the_size_of_a_book_is_limited(tmp_path: Path) -> None:
    original = epub(tmp_path).read_bytes()
    with zipfile.ZipFile(io.BytesIO(original)) as book:
        contents = {name: book.read(name).decode() for name in book.namelist()}
    spellings = [f"t/{'./' * number}%61.xhtml" for number in range(200)]

    def with_chapters(name: str, addresses: list[str], files: dict[str, str]) -> Path:
        """Write the book with these chapters after its own, and return the path."""
        items = "".join(f'<item id="x{number}" href="{address}"/>' for number, address in enumerate(addresses))
        spine = "".join(f'<itemref idref="x{number}"/>' for number in range(len(addresses)))
        package = (
            contents["o/book.opf"].replace("</manifest>", f"{items}</manifest>").replace("</spine>", f"{spine}</spine>")
        )
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as book:
            for part, content in (contents | {"o/book.opf": package} | files).items():
                book.writestr(part, content)
        return tmp_path / name

    lines = list(lines_of_archive("epub", io.BytesIO(original)))
    with with_chapters("again.epub", spellings, {"o/cover.bmp": " " * (30 << 20)}).open("rb") as stream:
        assert list(lines_of_archive("epub", stream)) == lines, "a picture may be of any size"
    chapters = {f"o/t/{number}.xhtml": "<p>a</p>" + " " * (1 << 20) for number in range(20)}
    file = with_chapters("many.epub", [name.removeprefix("o/") for name in chapters], chapters)
    with file.open("rb") as stream, pytest.raises(ValueError, match="more than 200 times the size of the file"):
        list(lines_of_archive("epub", stream))


HALF, SIGNS = np.array([0.5]), {"least_signs": 3, "letters_per_sign": 10.0}


@pytest.mark.parametrize(
    ("clean", "text"),
    [
        (pii.replace, "1.2.3.4 " * 20_000),
        (lambda texts: join_hyphens(texts, "Latn", "mt"), "ta-\nqbida " + "a" * 200_000),
        (lambda texts: garbled.is_garbled(texts, HALF, HALF, SIGNS, spaced=True), "a.b!" * 50_000),
    ],
    ids=["addresses", "hyphens", "signs"],
)
def test_a_long_line_of_any_kind_is_cleaned_quickly(clean: Any, text: str) -> None:
    start = time.process_time()
    clean(pl.Series([text]))
    assert time.process_time() - start < 3


# Dumps


GOOD = [line("IsA", f"ro:cuvânt_{number}/n", "ro:lucru", 0.5) for number in range(1500)]


@pytest.mark.parametrize("name", ["dump.csv", "dump.csv.gz"])
@pytest.mark.parametrize("other", [[], ["a\tbad line"]], ids=["alone", "with another bad line"])
def test_a_line_over_the_limit_is_rejected_by_both_readers(
    name: str, other: list[str], make_dump: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_reader, "LONGEST_LINE", 100_000)
    filler_length = 100_000 - len(line("IsA", "ro:a", "ro:b", surfaceText=""))
    within, beyond = (
        line("IsA", "ro:a", "ro:b", surfaceText="x" * length) for length in (filler_length, filler_length + 1)
    )
    index = make_index(
        make_dump([*GOOD, within, beyond, *GOOD[:9], *other, within + "\r", beyond + "\r"], name),
        tmp_path,
        max_rejected=1,
    )
    assert index.manifest["edges"] == len(GOOD) + 2 + 9
    assert index.manifest["rejected"] == 2 + len(other)
    assert "\tlonger than" in index.folder.with_suffix(".rejects.tsv").read_text("utf-8")


def test_a_dump_of_one_endless_line_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrldata.conceptnet.index.scan_dump", lambda _: pytest.fail("Polars received the line"))
    path = tmp_path / "endless.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(20):
            stream.write(b"\t" * (1 << 20))
    with pytest.raises(InputError, match=r"endless\.csv\.gz, line 1: longer than 16 MiB"):
        make_index(path, tmp_path)


def test_a_reason_for_rejection_does_not_quote_megabytes(make_dump: Make, tmp_path: Path) -> None:
    start = "/a/x\t/r/IsA\t/c/ro/a\t/c/ro/b\t"
    long_weight = start + json.dumps({"dataset": "/d/x", "license": "y", "weight": "z" * 1_000_000})
    long_dataset = start + json.dumps({"dataset": "ă" * 2_000, "license": "y", "weight": 1.0}, ensure_ascii=False)
    index = make_index(make_dump([*GOOD, long_weight, long_dataset]), tmp_path, max_rejected=1)
    rows = index.folder.with_suffix(".rejects.tsv").read_text("utf-8").splitlines()
    assert [row.split("\t")[0] for row in rows[1:]] == ["1501", "1502"]
    assert max(map(len, rows)) < 1000


def test_damaged_gzip_is_named_when_lines_are_read_one_by_one(make_dump: Make, tmp_path: Path) -> None:
    content = bytearray(make_dump(GOOD).read_bytes())
    content[10] |= 0b110  # a block type that does not exist
    path = tmp_path / "damaged.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged\.csv\.gz: damaged gzip file"):
        dump_reader.separate_bad_lines(path, tmp_path / "clean.gz", tmp_path / "rejects")
