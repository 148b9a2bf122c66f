"""Web text: what is repaired, what goes and why, and what a build makes of it."""

import gzip
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from lrldata.glotcc import lines, near, personal
from lrldata.glotcc.build import make_rows
from lrldata.glotcc.clean import across, clean, rules
from lrldata.glotcc.protect import protect
from lrldata.glotcc.read import Shard, find_shards, read_shard
from lrldata.glotcc.repair import repair
from lrldata.langid import load_model
from lrldata.languages import find
from lrldata.ledger import WEB_REASONS

Run = Callable[..., subprocess.CompletedProcess[str]]
ROMANIAN = [
    "Satul nostru se află la marginea unei păduri mari de fag.",
    "Bunica povestea seara despre vremurile de demult, când nu erau drumuri.",
    "În fiecare primăvară, râul iese din matcă și udă livezile din vale.",
    "Copiii merg pe jos la școala din satul vecin, care are patru clase.",
    "Toamna se culeg merele, iar oamenii fac dulceață pentru iarnă.",
    "Pe deal a rămas o moară veche de lemn, pe care nimeni nu o mai folosește.",
]
ENGLISH = "The village council will meet next Thursday to talk about the new bridge over the river."


def documents(*texts: str, urls: list[str] | None = None) -> pl.DataFrame:
    named = {"doc": [f"d{number}" for number in range(len(texts))], "url": urls or [None] * len(texts), "text": texts}
    return pl.DataFrame(named, schema={"doc": pl.String, "url": pl.String, "text": pl.String})


def judged(*texts: str) -> dict[str, str | None]:
    found = across(clean(documents(*texts), find("ro"), load_model()), find("ro"))
    return dict(found.select("text", "reason").iter_rows())


@pytest.mark.parametrize(
    ("broken", "mended", "script"),
    [
        ("ÃŽn satul Ã®n care", "În satul în care", "Latn"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет", "Cyrl"),
        ("pa\u00adine\u00a0bun\u0103 \u0007\ufeffy", "paine bună y", "Latn"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd", "Latn"),
        ("cafe\u0301", "café", "Latn"),
        ("a &amp; b", "a & b", "Latn"),
        ("ﺑﺎﻻ ﺳﯧﻠﯩﻨﻰ", "بالا سېلىنى", "Arab"),
        ("a\u200bb \u200fc", "ab c", "Latn"),
        ("ก\u200bข", "ก\u200bข", "Thai"),
        ("می\u200cروم", "می\u200cروم", "Arab"),
    ],
)
def test_text_is_repaired_as_its_script_wants_it(broken: str, mended: str, script: str) -> None:
    assert repair(pl.Series([broken, "x"]), script).to_list() == [mended, "x"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (ROMANIAN[0], None),
        ("*** 12 ***", "no_letters"),
        ("https://example.org/a-page-with-a-long-name", "url"),
        ("function open(x) { return x; }", "code"),
        ('<div class="a">Text text text</div>', "code"),
        ("© 2019 Toate drepturile rezervate", "boilerplate"),
        ("Acasă | Despre noi | Contact | Hartă", "menu"),
        ("2003–04, 1999 (12), ed. 4, p. 233-245", "few_letters"),
        ("Vezi", "short_line"),
        ("Стельмащук Роман, композитор", "wrong_script"),
        ("Un articol lung despre cookies " * 8, None),
    ],
)
def test_each_rule_for_lines_has_its_reason(line: str, reason: str | None) -> None:
    assert lines.reasons(pl.Series([line, ROMANIAN[1]]), rules(), ("Latn",)).to_list() == [reason, None]


def test_every_reason_is_explained() -> None:
    source = "".join(
        (Path(lines.__file__).parent / name).read_text("utf-8") for name in ("lines.py", "clean.py", "build.py")
    )
    for reason in WEB_REASONS:
        assert f'"{reason}"' in source


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("scrieți la ion.pop@example.com azi", "scrieți la <email> azi"),
        ("serverul 192.168.0.1 și 2001:db8:0:0:0:0:2:1", "serverul <ip> și <ip>"),
        ("RO49 AAAA 1B31 0075 9384 0000, RO49AAAA1B31007593840000", "<iban>, <iban>"),
        ("sunați la +40 21 312 3456 sau 0040-21-3123456", "sunați la <phone> sau <phone>"),
        ("în 1989 și 2004, la 10.5.2004, pagina 123 456", "în 1989 și 2004, la 10.5.2004, pagina 123 456"),
    ],
)
def test_personal_data_is_replaced_and_years_are_not(text: str, shown: str) -> None:
    replaced, counts = personal.replace(pl.Series([text, "nimic"]))
    assert replaced.to_list() == [shown, "nimic"]
    assert sum(counts.values()) == shown.count("<")


def test_near_duplicates_are_found_and_others_are_not() -> None:
    draw = random.Random(7)
    words = [f"{first}{second}" for first in "bcdfglmnprst" for second in ("ara", "ele", "iru", "osa", "utu")]
    texts = [" ".join(draw.choices(words, k=200)) for _ in range(50)]
    nearly = []
    for text in texts:
        changed = text.split()
        changed[draw.randrange(200)] = "altul"
        nearly.append(" ".join(changed))
    for spaced in (True, False):
        found = near.clusters(near.signatures(pl.Series(texts + nearly), spaced=spaced))
        assert (found[:50] == np.arange(50)).all()
        assert (found[50:] == np.arange(50)).mean() >= 0.97


def test_short_and_empty_texts_have_signatures() -> None:
    assert near.signatures(pl.Series(["", "unu", "unu", "unu doi trei patru cinci"]), spaced=True).shape == (4, 112)


def test_a_line_in_another_language_goes_and_a_document_in_another_goes_whole() -> None:
    mixed = "\n".join((*ROMANIAN[:3], ENGLISH))
    found = judged(mixed, f"{ENGLISH}\nThis page is about the old bridges of the county and who built them.")
    assert [found[line] for line in ROMANIAN[:3]] == [None] * 3
    assert found[ENGLISH] in ("other_language", "document_other_language")
    assert found["This page is about the old bridges of the county and who built them."] == "document_other_language"


def test_what_documents_have_in_common_goes() -> None:
    shared = "Asociația sătenilor din valea de sus vă urează bun venit"
    pages = [f"{shared}\n{line}" for line in ROMANIAN]
    found = judged(*pages)
    assert found[shared] == "repeated_line"
    assert [found[line] for line in ROMANIAN] == [None] * 6 or all(
        found[line] in (None, "document_short") for line in ROMANIAN
    )


THAI = [
    "แมวตัวนี้นอนอยู่บนโต๊ะไม้เก่าในบ้านหลังเล็กของเราทุกวัน",
    "วันนี้ฝนตกหนักมากจนเราไม่สามารถออกไปข้างนอกได้เลย",
]


@pytest.mark.parametrize(("code", "words"), [("ro", ROMANIAN), ("th", THAI)])
def test_text_of_a_benchmark_is_found_whole_and_in_parts(code: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "bench.tsv").write_text(f"1\t{words[0]}\n", encoding="utf-8")
    known = protect([tmp_path / "bench.tsv"], spaced=code == "ro")
    shouted, within = words[0].upper().replace(" ", "  "), f"{words[1]} {words[0]}"
    assert known.found_in(pl.Series([words[0], shouted, within, words[1], "", "1"])).tolist() == [
        True, True, True, False, False, True,
    ]  # fmt: skip
    found = clean(documents("\n".join(words)), find(code), load_model(), known)
    assert found["reason"][0] == "contaminated"


def frame() -> pl.DataFrame:
    draw = random.Random(3)
    texts = ["\n".join([*draw.sample(ROMANIAN, 4), ENGLISH, "Acasă | Despre | Contact | Hartă"]) for _ in range(12)]
    return documents(*texts, urls=[f"https://s{number % 5}.example.org/{number}" for number in range(12)])


def test_cleaning_what_was_cleaned_takes_nothing_out() -> None:
    language, model = find("ro"), load_model()
    once = across(clean(frame(), language, model), language).filter(pl.col("reason").is_null())
    again = once.group_by("doc", maintain_order=True).agg(pl.col("url").first(), pl.col("text").str.join("\n"))
    twice = across(clean(again.select("doc", "url", "text"), language, model), language)
    assert twice["text"].to_list() == once["text"].to_list()
    assert set(twice["reason"]) - {"document_short"} <= {None}


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(12)), st.integers(1, 11))
def test_rows_do_not_depend_on_order_or_on_where_shards_end(order: list[int], cut: int) -> None:
    language, model, whole = find("ro"), load_model(), frame()
    shuffled = whole[list(order)]
    parts = pl.concat([clean(shuffled[:cut], language, model), clean(shuffled[cut:], language, model)])
    rows = [make_rows(each, language, 10**9) for each in (clean(whole, language, model), parts)]
    one, other = (each[0].select(sorted(each[0].columns)).sort("text", "doc") for each in rows)
    assert set(one["text"]) == set(other["text"])
    assert rows[0][1].came_in == rows[1][1].came_in


def test_the_most_bytes_are_kept_by_content_and_documents_stay_whole() -> None:
    language, pages = find("ro"), documents(*(f"{line} {line[:-1]} iarăși." for line in ROMANIAN))
    everything, ledger, _ = make_rows(clean(pages, language, load_model()), language, 10**9)
    assert len(everything) == len(ROMANIAN)
    size = int(everything["text"].str.len_bytes().sum())
    some, ledger, _ = make_rows(clean(pages, language, load_model()), language, size // 2)
    assert 0 < int(some["text"].str.len_bytes().sum()) <= size // 2
    assert ledger.dropped["above_max_bytes"].rows == len(everything) - len(some)
    assert some["text"].to_list() == everything["text"].to_list()[: len(some)]


def test_documents_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    rows = pl.DataFrame({"content": ["unu\ndoi", None, "trei"], "warc-target-uri": ["u", "v", "w"]})
    rows.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"text": "patru", "url": "x"}\n{"text": "cinci"}\n', encoding="utf-8")
    (tmp_path / "c.txt").write_text("șase\nșapte\n\nopt\n", encoding="utf-8")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress("nouă\n".encode()))
    shards = find_shards(tmp_path, None)
    assert [shard.name for shard in shards] == ["a.parquet", "b.jsonl", "c.txt", "d.txt.gz"]
    read = pl.concat([read_shard(shard, None, None) for shard in shards])
    assert [text.strip() for text in read["text"]] == [
        "unu\ndoi",
        "trei",
        "patru",
        "cinci",
        "șase\nșapte",
        "opt",
        "nouă",
    ]
    assert read["doc"].is_unique().all()
    assert read["url"].to_list()[:3] == ["u", "w", "x"]


def test_of_a_copy_of_glotcc_the_language_s_own_files_are_read(tmp_path: Path) -> None:
    for name in ("mlt-Latn", "ron-Latn"):
        (tmp_path / "v1.0" / name).mkdir(parents=True)
        pl.DataFrame({"content": ["x"]}).write_parquet(tmp_path / "v1.0" / name / f"{name}_0.parquet")
    assert [shard.path.name for shard in find_shards(tmp_path, "mlt-Latn")] == ["mlt-Latn_0.parquet"]


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    path = tmp_path / "pages.jsonl"
    texts = frame().select("text", "url").rows(named=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in texts), encoding="utf-8")
    return path


def test_a_build_makes_a_dataset_folder_and_does_nothing_the_second_time(
    lrldata: Run, pages: Path, tmp_path: Path
) -> None:
    command = ("build", "--lang", "ro", "--source", "web", "--input", pages, "--out", tmp_path / "ws", "--json")
    made = json.loads(lrldata(*command).stdout)
    assert made["status"] == "built"
    kept, dropped = made["ledger"]["kept"]["rows"], made["ledger"]["dropped"]
    assert kept + sum(tally["rows"] for tally in dropped.values()) == made["ledger"]["in"]["rows"] == 72
    assert sum(made["rows"].values()) == kept > 0
    assert json.loads(lrldata(*command).stdout)["status"] == "unchanged"
    files = {path.name: path.read_bytes() for path in (tmp_path / "ws").rglob("*.parquet")}
    again = [each if each != tmp_path / "ws" else tmp_path / "ws2" for each in command]
    assert lrldata(*again, POLARS_MAX_THREADS="1", PYTHONHASHSEED="1").returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "ws2").rglob("*.parquet")} == files
    shown = lrldata("stats", tmp_path / "ws" / "datasets" / "ro" / "web")
    assert "lines of all documents" in shown.stdout


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--source", "web"], 2, "--input is missing"),
        (["--source", "web", "--input", "gone"], 1, "no such file"),
        (["--source", "web", "--input", "PAGES", "--templates", "paper"], 2, "--templates: not for --source web"),
        (["--source", "web", "--input", "PAGES", "--text-column", "body"], 1, "has no column 'body'"),
        (["--source", "web", "--input", "PAGES", "--protect", "gone.txt"], 1, "gone.txt: cannot be read"),
        (["--source", "web", "--input", "PAGES", "--lid", "gone.bin"], 1, "gone.bin"),
        (["--input", "PAGES"], 2, "input"),
    ],
)
def test_bad_usage_is_named(options: list[str], code: int, words: str, lrldata: Run, pages: Path) -> None:
    done = lrldata("build", "--lang", "ro", *(str(pages) if each == "PAGES" else each for each in options))
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("content", [b"PAR1garbage", b"{not json", b"\xff\xfe\x00text"])
def test_a_file_that_cannot_be_read_is_named(content: bytes, lrldata: Run, tmp_path: Path) -> None:
    ending = {b"P": "parquet", b"{": "jsonl"}.get(content[:1], "txt")
    (tmp_path / "in").mkdir()
    bad = tmp_path / "in" / f"bad.{ending}"
    bad.write_bytes(content)
    done = lrldata("build", "--lang", "ro", "--source", "web", "--input", bad.parent)
    assert done.returncode == 1
    assert f"bad.{ending}: cannot be read" in done.stderr


@pytest.mark.parametrize(("code", "name"), [("mt", "mlt_Latn"), ("ug", "uig_Arab")])
def test_pages_of_wikipedia_are_cleaned_and_accounted_for(code: str, name: str, shared: Path) -> None:
    shard = Shard(shared / "pages" / f"{name}.wikipedia.jsonl", name)
    language = find(code)
    rows, ledger, _ = make_rows(clean(read_shard(shard, None, None)[:400], language, load_model()), language, 10**9)
    assert ledger.kept.rows == len(rows)
    assert ledger.kept.bytes / ledger.came_in.bytes > 0.7
    texts = rows["text"].to_list()
    assert sum(found.labels[:1] == (code,) for found in load_model().predict(texts[:300])) > 240


def test_a_text_is_explained_line_by_line(lrldata: Run) -> None:
    text = f"{ROMANIAN[0]}\\n{ROMANIAN[1]}\\n{ENGLISH}\\nAcasă | Despre noi | Contact | Hartă"
    told = json.loads(lrldata("explain", text, "--lang", "ro", "--json").stdout)["lines"]
    assert [line["reason"] for line in told] == [None, None, "other_language", "menu"]
    assert [line["language"] for line in told[:3]] == ["ro", "ro", "en"]
    shown = lrldata("explain", text, "--lang", "ro").stdout
    assert "a line in another language" in shown
