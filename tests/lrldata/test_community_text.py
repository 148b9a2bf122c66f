"""Text from language communities: recorded sentences, tables without column names, scripts, unsuitable files."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from lrldata.errors import InputError, UsageError
from lrldata.language import find
from lrldata.web.explain import as_documents, explain
from lrldata.web.inputs import describe_left_out, find_files
from lrldata.web.repair import repair
from lrldata.web.tables import read_csv

Run = Callable[..., subprocess.CompletedProcess[str]]
MALTESE = [
    f"Il-bniedem numru {number} mar il-belt biex jixtri ħobż frisk u jiltaqa' mal-ħbieb tiegħu fis-suq il-qadim."
    for number in ("wieħed", "tnejn", "tlieta", "erbgħa", "ħamsa", "sitta", "sebgħa", "tmienja", "disgħa", "għaxra")
]
SHORT = [f"Il-bniedem numru {number} mar il-belt biex jixtri ħobż." for number in ("wieħed", "tnejn", "tlieta")]
BUILD = ("build", "--lang", "mt", "--source", "web", "--json")


def texts(folder: Path) -> list[str]:
    shards = sorted(folder.rglob("*.parquet"))
    return sorted(pl.concat([pl.read_parquet(shard) for shard in shards])["text"].to_list())


def test_a_sentence_recorded_several_times_is_kept_once(lrldata: Run, tmp_path: Path) -> None:
    rows = [f"{speaker}\t{text}" for number, text in enumerate(MALTESE) for speaker in range(1 + number)]
    (tmp_path / "validated.tsv").write_text("client_id\tsentence\n" + "\n".join(rows) + "\n", "utf-8")
    options = ("--input", "validated.tsv", "--text-column", "sentence", "--documents", "lines")
    result = lrldata(*BUILD, *options)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert texts(tmp_path / summary["path"]) == sorted(MALTESE)
    manifest = json.loads((tmp_path / summary["path"] / "manifest.json").read_text("utf-8"))
    assert manifest["settings"]["rules"]["without"] == ["document_short", "document_words", "repeated_line"]


def test_when_nothing_is_left_the_hint_depends_on_the_reason(lrldata: Run, tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n\n".join(SHORT), "utf-8")
    (tmp_path / "english.txt").write_text("This is an English sentence about bread and friends.\n" * 2, "utf-8")
    too_short = lrldata(*BUILD, "--input", "blank.txt")
    assert too_short.returncode == 1
    assert "document_short" in too_short.stderr
    assert "If every line is a sentence by itself, use --documents lines." in too_short.stderr
    other_language = lrldata(*BUILD, "--input", "english.txt")
    assert "Check the input and --lang; `lrldata explain` says" in other_language.stderr


def test_explain_divides_a_text_as_a_build_would(lrldata: Run, tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n\n".join(SHORT), "utf-8")

    def reasons(*flags: str) -> set[str | None]:
        result = lrldata("explain", "blank.txt", "--lang", "mt", "--json", *flags)
        assert result.returncode == 0, result.stderr
        return {line["reason"] for line in json.loads(result.stdout)["lines"]}

    assert reasons() == {"document_short"}
    assert reasons("--documents", "lines") == {None}
    assert reasons("--documents", "page", "--lid", "none") == {None}
    refrain = "\n\n".join(f"{MALTESE[0]}\n{text}" for text in MALTESE[1:7])
    lines = explain(refrain, find("mt"), documents="paragraphs")
    assert {line.reason for line in lines if line.text == MALTESE[0]} == {"repeated_line"}
    with pytest.raises(UsageError, match=r"--documents pages: not known.*page, paragraphs or lines"):
        as_documents("pages")


@pytest.mark.parametrize("order", [0, 1])
def test_explain_keeps_the_copy_of_a_line_that_a_build_keeps(order: int, lrldata: Run, tmp_path: Path) -> None:
    """Of two copies in kept documents, the order of hashes decides; a copy in a dropped document does not count."""
    repeated, *others = (
        "Pînă când mirele e cu ei nu pot posti.",
        "Aceasta este o propoziție mai lungă despre viața oamenilor din satele de munte ale României.",
        "Oamenii de acolo lucrează pământul și cresc animale, iar copiii merg la școală în fiecare zi.",
        "Iarna este lungă și grea, dar vara vin mulți turiști care vor să vadă munții și pădurile.",
    )
    documents = [[repeated, *others], [repeated.replace("mirele", "Mirele"), *(line.upper() for line in others[::-1])]]
    documents = [[repeated.upper()], documents[order], documents[1 - order]]
    text = "\n\n".join("\n".join(lines) for lines in documents)
    (tmp_path / "a.txt").write_text(text, "utf-8")
    options = ("--lang", "ro", "--source", "web", "--input", "a.txt", "--lid", "none", "--out", "ws")
    assert lrldata("build", *options).returncode == 0
    lines = explain(text, find("ro"), "none", documents="paragraphs")
    kept = [line.text for line in lines if line.reason is None]
    assert sorted(kept) == texts(tmp_path / "ws")
    assert len(kept) == 4
    assert lines[0].reason == "document_short"


def test_explain_refuses_a_language_that_the_model_does_not_know() -> None:
    with pytest.raises(UsageError, match="does not know Cornish"):
        explain("Dydh da", find("kw"))
    assert explain("Dydh da, fatla genes hedhyw?", find("kw"), "none")[0].language is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("هیچ\u200cیک از می\u200cشود", "هیچ\u200cیک از می\u200cشود"),
        ("د\u200cا بیا\u200c", "دا بیا"),
        ("पुर\u094d\u200dयाइएको", "पुर\u094d\u200dयाइएको"),
        ("a\u200cb a\u200db", "ab ab"),
        ("ខ្ញុំ\u200bស្រលាញ់\u200bភាសា", "ខ្ញុំ\u200bស្រលាញ់\u200bភាសា"),
        ("un\u200bu", "unu"),
    ],
)
@pytest.mark.parametrize("script", ["Latn", "Arab", "Khmr", "Deva", None])
def test_joiners_and_zero_width_spaces_are_kept_depending_on_adjacent_letters(
    text: str, expected: str, script: str | None
) -> None:
    assert repair(pl.Series([text]), script, "xx")[0] == expected


def test_non_joiners_are_removed_from_uyghur() -> None:
    assert repair(pl.Series(["ھېچ\u200cبىر"]), "Arab", "ug")[0] == "ھېچبىر"


def rows_of(content: str, column: str | None = None) -> list[dict[str, str]]:
    lines = content.splitlines(keepends=True)
    return [row.values for row in read_csv(lambda: lines, 1 << 20, tabs=True, text_column=column)]


def test_quotation_marks_that_only_happen_to_pair_across_rows_are_text() -> None:
    dialogue = (
        'id\ttext\n1\t"Where are you going?\n2\tTo town," she said.\n3\t"Wait!"\n4\t"He said ""no"""\n5\t"a" or "b"\n'
    )
    assert [row["text"] for row in rows_of(dialogue)] == [
        '"Where are you going?', 'To town," she said.', "Wait!", 'He said "no"', '"a" or "b"',
    ]  # fmt: skip
    assert rows_of('id\ttext\n1\t"two\nlines"\n') == [{"id": "1", "text": "two\nlines"}]
    assert rows_of('text\n"First\nsecond"\nplain\n') == [{"text": "First\nsecond"}, {"text": "plain"}]


@pytest.mark.parametrize(
    ("content", "requested", "column", "expected"),
    [
        ("0\t1\nHello\tBonġu\n", "1", "1", ["Bonġu"]),  # as pandas writes unnamed columns
        ("id\t2021\n1\tBonġu\n", "2021", "2021", ["Bonġu"]),
        ("id\tsentence\n1\tBonġu\n", "2", "2", ["Bonġu"]),
        ("Kif int?\tx\nBonġu\ty\n", "1", "1", ["Kif int?", "Bonġu"]),
    ],
)
def test_a_number_is_a_column_name_first_and_otherwise_a_position(
    content: str, requested: str, column: str, expected: list[str]
) -> None:
    assert [row[column] for row in rows_of(content, requested)] == expected


def test_columns_without_names_are_numbered(lrldata: Run, tmp_path: Path) -> None:
    assert rows_of("1\tmlt\tBonġu\n2\tmlt\tSaħħa\n", "3")[0] == {"1": "1", "2": "mlt", "3": "Bonġu"}
    (tmp_path / "tatoeba.tsv").write_text("\n".join(f"{n}\tmlt\t{text}" for n, text in enumerate(MALTESE)), "utf-8")
    refused = lrldata(*BUILD, "--input", "tatoeba.tsv", "--documents", "lines")
    assert "use --text-column." in refused.stderr
    assert "line of text and not a header, give the number of the column" in refused.stderr
    result = lrldata(*BUILD, "--input", "tatoeba.tsv", "--documents", "lines", "--text-column", 3)
    assert texts(tmp_path / json.loads(result.stdout)["path"]) == sorted(MALTESE)


def test_a_json_array_of_texts_is_read(lrldata: Run, tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(MALTESE), "utf-8")
    result = lrldata(*BUILD, "--input", "texts.json", "--documents", "lines")
    assert result.returncode == 0, result.stderr
    assert texts(tmp_path / json.loads(result.stdout)["path"]) == sorted(MALTESE)


def test_unsupported_files_are_listed_with_ways_to_convert_them(tmp_path: Path) -> None:
    for name in ("text.txt", "a.doc", "b.pdf", "c.zip", "README"):
        (tmp_path / name).write_text("x")
    (message,) = describe_left_out(find_files(tmp_path).left_out())
    assert message.startswith("left out, unsupported file type: 4 (README, a.doc, b.pdf, ...): ")
    assert "pdftotext; unpack archives" not in message.split(": ")[1]
    assert all(hint in message for hint in ("save documents as .docx", "pdftotext", "unpack archives"))


def test_an_unknown_language_gets_a_hint_about_custom_languages(lrldata: Run) -> None:
    assert "LRL_LANGUAGES can name a file with others" in lrldata("langs", "tlyx").stderr


def test_a_table_in_a_text_file_is_refused_with_both_remedies(tmp_path: Path, lrldata: Run) -> None:
    (tmp_path / "list.txt").write_text("".join(f"{n}\t{text}\n" for n, text in enumerate(MALTESE)), "utf-8")
    message = lrldata(*BUILD, "--input", "list.txt").stderr
    assert "is a table: every line has 1 tab." in message
    assert "cut -f2 list.txt > text.txt" in message
    assert "--text-column 2" in message
    with pytest.raises(InputError, match="is a table"):
        explain((tmp_path / "list.txt").read_text("utf-8"), find("mt"), documents="paragraphs")


def test_private_use_characters_of_an_old_font_are_reported(lrldata: Run, tmp_path: Path) -> None:
    font_texts = [text.replace("ħ", "\uf0e7") if number < 3 else text for number, text in enumerate(MALTESE)]
    (tmp_path / "font.txt").write_text("\n".join(font_texts), "utf-8")
    result = lrldata(*BUILD, "--input", "font.txt", "--documents", "lines", "--lid", "none")
    assert "3 of 10 rows have Unicode private-use characters" in result.stderr
    (tmp_path / "plain.txt").write_text("\n".join(MALTESE), "utf-8")
    assert "one font" not in lrldata(*BUILD, "--input", "plain.txt", "--documents", "lines", "--lid", "none").stderr


def test_explain_refuses_a_text_without_lines_and_a_table(lrldata: Run, tmp_path: Path) -> None:
    (tmp_path / "controls.txt").write_text("\x01\x02\n", "utf-8")
    assert lrldata("explain", "controls.txt", "--lang", "mt").stderr.startswith("error: The text is empty.")
    (tmp_path / "list.txt").write_text("".join(f"{n}\t{text}\n" for n, text in enumerate(MALTESE)), "utf-8")
    assert "error: list.txt: is a table" in lrldata("explain", "list.txt", "--lang", "mt").stderr


def test_text_indented_with_tabs_is_not_a_table(lrldata: Run, tmp_path: Path) -> None:
    (tmp_path / "tabs.txt").write_text("".join(f"\t{text}\n" for text in MALTESE), "utf-8")
    result = lrldata(*BUILD, "--input", "tabs.txt", "--documents", "lines")
    assert result.returncode == 0, result.stderr
