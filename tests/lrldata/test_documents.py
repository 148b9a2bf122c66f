"""Text files in common formats: .docx, web pages, subtitles, Bibles; also numbered and wrapped lines."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from lrldata import build
from lrldata.errors import InputError
from lrldata.language import find, languages
from lrldata.manifest_schema import Code
from lrldata.web.characters import SENTENCE_MARKS, scale_of
from lrldata.web.document_filters import ENDED
from lrldata.web.inputs import find_files
from lrldata.web.page import lines_of_html
from lrldata.web.phrases import SENTENCE_END
from lrldata.web.read import Columns, find_shards, read_parts
from lrldata.web.repair import main_script
from lrldata.web.sentences import cut
from lrldata.web.shapes import Shape, ends_sentence, shape_of
from lrldata.web.usfm import lines_of_usfm

FIRST = "Il-bniedem mar il-belt biex jixtri ħobż frisk."
BEGIN, REST = FIRST[:22], FIRST[23:]  # without the space between them
SECOND = "Wara ltaqa' mal-ħbieb tiegħu fis-suq il-qadim."
W, T = "http://schemas.openxmlformats.org/wordprocessingml/2006/main", "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"


def write_zip(file: Path, parts: dict[str, str]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return file


def docx(folder: Path) -> Path:
    text = (
        f'<w:document xmlns:w="{W}" xmlns:mc="{MC}"><w:body>'
        f"<w:p><w:r><w:t>{FIRST[:10]}</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        f"<w:r><w:t>{FIRST[10:]}</w:t></w:r></w:p>"
        f"<w:tbl><w:tr><w:tc><w:p><w:r><w:t>{SECOND}</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
        f"<w:p><mc:AlternateContent><mc:Choice/><mc:Fallback><w:p><w:r><w:t>{FIRST}</w:t></w:r></w:p></mc:Fallback>"
        "</mc:AlternateContent></w:p></w:body></w:document>"
    )
    relations = (
        '<Relationships><Relationship Type="http://x/officeDocument" Target="/word/document2.xml"/></Relationships>'
    )
    return write_zip(folder / "a.docx", {"_rels/.rels": relations, "word/document2.xml": text})


def strict_docx(folder: Path) -> Path:
    file = docx(folder)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    return write_zip(
        file,
        {name: text.replace(W, "http://purl.oclc.org/ooxml/wordprocessingml/main") for name, text in parts.items()},
    )


def aspx_page(folder: Path) -> Path:
    text = f"<head><title>x</title><body><form><div>{FIRST}</div><p>{SECOND}<select><option>mt</select></form></body>"
    (folder / "a.html").write_text(text, "utf-8")
    return folder / "a.html"


def page_without_body(folder: Path) -> Path:
    (folder / "a.html").write_text(f"<head><title>x</title><p>{FIRST}<p>{SECOND}", "utf-8")
    return folder / "a.html"


def aligned_usfm(folder: Path) -> Path:
    text = (
        '\\id TIT\n\\c 1\n\\p\n\\v 1 \\zaln-s |x-strong="G1" x-occurrence="1"\\*\\w Il-bniedem|x-occurrence="1"\\w*'
        "\\zaln-e\\* mar il-belt~biex jixtri ħobż // frisk.\n\\ts\\*\n\\p\n\\v 2 " + SECOND
    )
    (folder / "a.usfm").write_text(text, "utf-8")
    return folder / "a.usfm"


def usfm_with_open_notes(folder: Path) -> Path:
    text = f"\\c 1\n\\p\n\\v 1 {BEGIN}\\f + \\ft never closed\n\\v 2 {REST}\\x - \\xt 1\n1\\x*\n\\p\n\\v 3 {SECOND}"
    text += "\\f + \\ft a\\f*\n"
    (folder / "a.usfm").write_text(text, "utf-8")
    return folder / "a.usfm"


def srt_with_capitals(folder: Path) -> Path:
    cues = [FIRST, "NOTE is a word here.", "STYLE too."]
    text = "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{cue}\n\n" for n, cue in enumerate(cues))
    (folder / "a.srt").write_text(text, "utf-8")
    return folder / "a.srt"


def rolling_vtt(folder: Path) -> Path:
    cues = [" \n" + BEGIN, f"{BEGIN}\n{REST}", f"{REST}\n{SECOND}"]
    text = "WEBVTT\n\n" + "\n\n".join(f"00:0{n}.000 --> 00:0{n}.900\n{cue}" for n, cue in enumerate(cues))
    (folder / "a.vtt").write_text(text, "utf-8")
    return folder / "a.vtt"


def odt(folder: Path) -> Path:
    text = (
        f'<o:document-content xmlns:o="{OFFICE}" xmlns:text="{T}"><o:body><text:tracked-changes><text:p>gone</text:p>'
        f"</text:tracked-changes><text:h>{BEGIN}<text:s/>{REST}</text:h><text:p>{SECOND[:9]}<text:note>"
        f"<text:p>a note</text:p></text:note><o:annotation><text:p>me</text:p></o:annotation>{SECOND[9:]}</text:p>"
        "</o:body></o:document-content>"
    )
    return write_zip(folder / "a.odt", {"content.xml": text})


def page(*texts: str) -> str:
    return (
        f"<html><head><title>x</title></head><body><nav>Home</nav>{''.join(texts)}<script>x = 1</script></body></html>"
    )


def epub(folder: Path) -> Path:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="b" href="t/b%20b.xhtml"/>'
        '<item id="a" href="t/a.xhtml"/></manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    parts = {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="o/book.opf"/></rootfiles></container>',
        "o/book.opf": package,
        "o/t/b b.xhtml": page(f"<p>{SECOND}</p>"),
        "o/t/a.xhtml": page(f"<p>{FIRST.replace(' ', '&#32;', 1)}</p>"),
    }
    return write_zip(folder / "a.epub", parts)


def text_file(name: str, text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(text, "utf-8")
        return folder / name

    write.__name__ = name
    return write


HTML = page(f"<p>{BEGIN}\n  <b>{REST}</b><br/>{SECOND}</p><form><button>Send</button></form>")
SRT = (
    f"\ufeff1\n00:00:01,000 --> 00:00:02,500\n<i>{BEGIN}</i>\n\n2\n00:00:02,500 --> 00:00:04,000\n"
    f"{{\\an8}}{REST}\n\n3\n00:00:05,000 --> 00:00:06,000\n{SECOND}\n"
)
VTT = (
    "WEBVTT\n\nNOTE by me\n\nlabel\n00:01.000 --> 00:02.000 align:start\n"
    f"<v Ann>{FIRST}</v>\n\n00:03.000 --> 00:04.000\n{SECOND}\n"
)
USFM = (
    "\\id GEN Malti\n\\h Ġenesi\n\\mt1 Il-Ktieb\n\\c 1\n\\s Il-bidu\n\\p\n"
    "\\v 1 Il-bniedem mar\n\\v 2-3 il-belt\\f + \\ft a note\\f* "
    f'biex jixtri \\wd ħobż\\wd* \\w frisk|lemma="frisk"\\w*.\n\\c 2\n\\q1\n'
    f"\\v 1 {SECOND[:4]}\n\\q2 {SECOND[5:]}\n"
)


@pytest.mark.parametrize(
    "write_file",
    [
        docx,
        strict_docx,
        aspx_page,
        page_without_body,
        aligned_usfm,
        rolling_vtt,
        usfm_with_open_notes,
        odt,
        epub,
        text_file("a.html", HTML),
        text_file("a.srt", SRT),
        text_file("a.vtt", VTT),
        text_file("a.usfm", USFM.replace("\\c 2\n\\q1", "\\c 2\n\\p\n\\q1")),
    ],
    ids=lambda write_file: write_file.__name__,
)
def test_documents_are_read_by_paragraph(write_file: Callable[[Path], Path], tmp_path: Path) -> None:
    assert lines_in(write_file(tmp_path)) == [FIRST, SECOND]


def lines_in(file: Path) -> list[str]:
    (shard,) = find_shards(file, None)
    texts = [text for part in read_parts(shard, Columns(lines=True)) for text in part["text"]]
    return [text.strip() for text in texts if text.strip()]


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("<datalist><option value=a><option value=b></datalist><p>text</p>", ["text"]),
        ("<select><option>mt<option>en</select><p>text</p>", ["text"]),
        ("<p>one <style>a {}</style>two <svg><title>x</title></svg>three</p>", ["one two three"]),
        ("<p>word<sup class=reference><a href=#n>[1]</a></sup>, m<sup>2</sup></p>", ["word, m2"]),
        ('<p>word<a epub:type="noteref" href="n.xhtml">1</a> and<a href="#b"><sup>2</sup></a> m</p>', ["word and m"]),
        ('<p>te<span epub:type="pagebreak"><span>3</span></span>xt<span role="doc-pagebreak">4</span>.</p>', ["text."]),
        ("<p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp>字<rt>ji</ruby>です</p>", ["漢字です"]),
        ("<p>He <del>gone</del><ins>came</ins>.</p><p>a<del>open</p><p>b</p>", ["He came.", "a", "b"]),
        ("<pre>one\ntwo\n\nthree</pre>four\nfive<p>six\nseven</p>", ["one", "two", "three", "four five", "six seven"]),
        ("<p><a href=#x>5 km<sup>2</sup></a>, <a>1<sup>o</sup> lugar</a></p>", ["5 km2, 1o lugar"]),
        ("<aside>x<p>y</aside>text<footer>z</footer>", ["text"]),
    ],
)
def test_a_page_keeps_its_text_without_marks_and_readings(html: str, lines: list[str]) -> None:
    assert list(lines_of_html([f"<html><body>{html}</body></html>"])) == lines


@pytest.mark.parametrize(
    ("usfm", "lines"),
    [
        ("\\s1 Head\n\\lim1 kept\n\\po more\n\\lf end", ["kept", "more", "end"]),
        ("\\is Head\n\\imi kept\n\\ipq quoted\n\\iq1 in\n\\iq2 verse", ["kept", "quoted in verse"]),
        ("\\p\n\\v 1 \\rb 何|なに\\rb*も\\rb 無|な\\rb*い", ["何も無い"]),
        ("\\p\n\\v 1 सृष्टि की | पृथ्वी \\nd यहोवा\\nd* का |\n\\v 2 और", ["सृष्टि की | पृथ्वी यहोवा का | और"]),
        ('\\p\n\\v 1 \\w word|lemma="a"\n x-b="c"\\w* next', ["word next"]),
        ("\\tr \\tc1 Judah \\tcr2 four \\tc3-4 Nahshon", ["Judah four Nahshon"]),
        ("\\qa Aleph\n\\q1\n\\v 1 Happy\n\\qa Beth\n\\q1\n\\v 9 How", ["Happy", "How"]),
        ("\\p\n\\v 1 him. \\cat History\\cat*\n\\v 2 he\\fm 3\\fm* said", ["him. he said"]),
        ("\\ip intro\n\\ipr (50.24)", ["intro"]),
        ('\\p\n\\v 1 \\zaln-s | x-strong="H1"\n\\w In|x="1"\\w*\n\\zaln-e\\* it', ["In it"]),
    ],
)
def test_verses_are_whole_and_without_what_is_not_text(usfm: str, lines: list[str]) -> None:
    assert list(lines_of_usfm(f"\\id GEN\n\\c 1\n{usfm}\n".splitlines(keepends=True))) == lines


def word_file(folder: Path, *paragraphs: str) -> Path:
    body = "".join(f"<w:p>{paragraph}</w:p>" for paragraph in paragraphs)
    parts = {
        "_rels/.rels": "<a/>",
        "word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
    }
    return write_zip(folder / "a.docx", parts)


def run(text: str, mark: str = "") -> str:
    return f"<w:r><w:rPr>{mark}</w:rPr><w:t>{text}</w:t></w:r>"


def test_words_in_word_are_whole_and_hidden_text_is_left_out(tmp_path: Path) -> None:
    drop = '<w:pPr><w:framePr w:dropCap="drop" w:lines="3"/></w:pPr>'
    file = word_file(
        tmp_path,
        drop + run("I"),
        run("l-bniedem mar."),
        run("Se")
        + run("hidden", "<w:vanish/>")
        + run("wwa", '<w:vanish w:val="0"/>')
        + "<w:r><w:ptab/></w:r>"
        + run("x."),
        '<w:r><w:sym w:font="SILDoulosIPA" w:char="F0E9"/></w:r>'
        + run("a")
        + '<w:r><w:sym w:font="Wingdings" w:char="F0E0"/></w:r>',
        f"<w:r><w:ruby><w:rt>{run('kan')}</w:rt><w:rubyBase>{run('漢')}</w:rubyBase></w:ruby></w:r>" + run("字"),
    )
    assert lines_in(file) == ["Il-bniedem mar.", "Sewwa x.", "\uf0e9a", "漢字"]


def test_alternative_text_of_pictures_is_left_out(tmp_path: Path) -> None:
    svg = "urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0"
    text = (
        f'<o:document-content xmlns:o="{OFFICE}" xmlns:text="{T}" xmlns:svg="{svg}"><o:body><text:p>Before'
        "<frame><svg:title>A</svg:title><svg:desc>cat</svg:desc></frame> after <text:ruby><text:ruby-base>漢"
        "</text:ruby-base><text:ruby-text>kan</text:ruby-text></text:ruby>.</text:p></o:body></o:document-content>"
    )
    assert lines_in(write_zip(tmp_path / "a.odt", {"content.xml": text})) == ["Before after 漢."]


def repacked(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


def test_old_and_differently_encoded_books_are_read(tmp_path: Path) -> None:
    def change(parts: dict[str, bytes]) -> None:
        parts["o/book.opf"] = parts["o/book.opf"].replace(b"http://www.idpf.org/2007/opf", b"http://openebook.org/")
        parts["o/t/a.xhtml"] = parts["o/t/a.xhtml"].decode().encode("utf-16")
        chapter = '<?xml version="1.0" encoding="windows-1251"?><p>Добър ден.</p>'
        parts["o/t/b b.xhtml"] = chapter.encode("windows-1251")

    assert lines_in(repacked(epub(tmp_path), change)) == [FIRST, "Добър ден."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("META-INF/encryption.xml", b'<e><r URI="o/t/a.xhtml"/></e>', r"t/a\.xhtml is encrypted \(DRM\)"),
        ("o/t/a.xhtml", b"<p>\xff\xfa</p>", r"t/a\.xhtml is not text in utf-8"),
        ("o/book.opf", b"<package/>", "its package lists no chapters"),
    ],
)
def test_a_book_that_cannot_be_read_is_an_error_with_the_cause(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    file = repacked(epub(tmp_path), lambda parts: parts.update({name: content}))
    with pytest.raises(InputError, match=message):
        lines_in(file)


def test_a_protected_word_file_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(InputError, match=r"not a valid \.docx file: it is an old or password-protected"):
        lines_in(tmp_path / "a.docx")
    (tmp_path / "a.docx").write_bytes(docx(tmp_path).read_bytes()[:300])
    with pytest.raises(InputError, match=r"not a valid \.docx file: File is not a zip file"):
        lines_in(tmp_path / "a.docx")


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.srt", "1\n00:00:01,000-->00:00:02, 500\nOne.\n\n2\n0:00:03.0 -> 0:00:04.0\nTwo.\n", ["One.", "Two."]),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,500\nHalf\n\nand half.\n", ["Half and half."]),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,500\nHi\n2\n00:00:03,000 --> 00:00:04,500\nto 7\n8\n", ["Hi to 7 8"]),
        (
            "a.vtt",
            "WEBVTT\n\n00:01.000 --> 00:02.000\nOne.\n\nNOTE me\n\n00:03.000 --> 00:04.000\nTwo.\n",
            ["One.", "Two."],
        ),
    ],
)
def test_subtitles_in_the_forms_that_programs_write_are_read(
    name: str, text: str, lines: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert lines_in(tmp_path / name) == lines


def test_subtitles_without_times_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("Only text.\n", "utf-8")
    with pytest.raises(InputError, match="has no times"):
        lines_in(tmp_path / "a.srt")


def test_tables_as_excel_and_hand_editing_leave_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\r\nid;text\r\n1;Bonġu, kollha\r\n", "utf-8")
    assert lines_in(tmp_path / "a.csv") == ["Bonġu, kollha"]
    rows = 'id\ttext\tnote\n1\t"Mur hemm.\n2\tTieni\n3\tejja hawn"\n'
    (tmp_path / "a.tsv").write_text(rows, "utf-8")
    assert lines_in(tmp_path / "a.tsv") == ['"Mur hemm.', "Tieni", 'ejja hawn"']


def test_a_file_without_text_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.txt").write_text("\n".join(f"{text} {number}" for text in SENTENCES), "utf-8")
    word_file(tmp_path / "in", "<w:r><w:drawing/></w:r>").rename(tmp_path / "in" / "scan.docx")
    dataset = build("mt", source="web", input=tmp_path / "in", out=tmp_path, cache=tmp_path, documents="lines")
    manifest = json.loads((dataset.path / "manifest.json").read_text("utf-8"))
    assert manifest["skipped"] == {"scan.docx": "it holds no text"}


@pytest.mark.parametrize("out", ["lrl-workspace", "."])
def test_what_a_build_writes_into_its_input_is_not_input(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        Path(f"{number}.txt").write_text("\n".join(f"{text} {number}" for text in SENTENCES), "utf-8")

    def build_here(out: str) -> tuple[str, list[str]]:
        dataset = build("mt", source="web", input=".", out=out, cache="cache", documents="lines")
        manifest = json.loads((dataset.path / "manifest.json").read_text("utf-8"))
        return dataset.status, [entry["name"] for entry in manifest["inputs"]]

    files = ["0.txt", "1.txt", "2.txt"]
    assert build_here("earlier") == ("built", files)
    assert build_here(out) == ("built", files)
    assert build_here(out) == ("unchanged", files)
    (tmp_path / "cards").mkdir()
    Path("cards/3.txt").write_text("\n".join(f"{text} 3" for text in SENTENCES), "utf-8")
    assert build_here("earlier")[1] == (files if out == "." else [*files, "cards/3.txt"]), "the workspace has cards"


def test_what_looks_like_a_workspace_may_be_text(tmp_path: Path) -> None:
    home = tmp_path / "in" / "datasets" / "a" / "b"
    home.mkdir(parents=True)
    (home / "manifest.json").write_text('{"text": "one"}\n{"text": "two"}\n', "utf-8")
    (tmp_path / "in" / "loop").symlink_to("loop")
    inputs = find_files(tmp_path / "in")
    assert [name for name, _ in inputs.files] == ["datasets/a/b/manifest.json"]
    assert inputs.counts == {"broken_link": 1}


def test_cues_that_begin_like_webvtt_blocks_are_text(tmp_path: Path) -> None:
    assert lines_in(srt_with_capitals(tmp_path)) == [FIRST, "NOTE is a word here.", "STYLE too."]


@pytest.mark.parametrize("name", ["a.docx", "a.odt", "a.epub"])
@pytest.mark.parametrize(
    "content",
    [
        b"no archive",
        {"x": "y"},
        {"_rels/.rels": "<a/>", "word/document.xml": "<a", "content.xml": "<a", "META-INF/container.xml": "<a"},
        dict.fromkeys(
            ("word/document.xml", "content.xml", "META-INF/container.xml"),
            '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
        ),
    ],
)
def test_an_invalid_document_is_an_error_that_names_the_file(
    name: str, content: bytes | dict[str, str], tmp_path: Path
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        write_zip(tmp_path / name, content)
    (shard,) = find_shards(tmp_path / name, None)
    with pytest.raises(InputError, match=rf"{name}.* cannot be read \(not a valid {name[1:]} file"):
        list(read_parts(shard, Columns()))


SENTENCES = [
    f"Il-bniedem numru {number} mar il-belt biex jixtri ħobż frisk u jiltaqa' mal-ħbieb tiegħu fis-suq il-qadim."
    for number in ("wieħed", "tnejn", "tlieta", "erbgħa", "ħamsa", "sitta", "sebgħa", "tmienja")
]


@pytest.mark.parametrize(
    "prefix",
    ["{0} ", "{0}. ", "({0}) ", "[{0}] ", "GEN 1:{0} ", "[1:{0}] ", "1 Kor. 3.{0} ", "Ġenesi 3:{0}  ", "3:{0} "],
)
def test_numbers_and_verse_references_before_all_lines_are_removed(prefix: str, tmp_path: Path) -> None:
    lines = [prefix.format(number) + text for number, text in enumerate(SENTENCES, 1)]
    (tmp_path / "a.txt").write_text("\n".join(lines), "utf-8")
    (shard,) = find_shards(tmp_path / "a.txt", None)
    (part,) = read_parts(shard, Columns(lines=True))
    assert [text.strip() for text in part["text"]] == SENTENCES
    (tmp_path / "a.txt").write_text("\n".join([*SENTENCES, *lines[:3]]), "utf-8")
    (part,) = read_parts(shard, Columns(lines=True))
    assert [text.strip() for text in part["text"]] == [*SENTENCES, *lines[:3]], "only some lines begin with a number"
    unnumbered = "Fis-sena 2011 il-liġi għaddiet fit-12:30 mill-Parlament."
    numbered = [prefix.format(number) + text for number, text in enumerate(SENTENCES * 2, 1)]
    (tmp_path / "a.txt").write_text("\n".join([*numbered, unnumbered]), "utf-8")
    (part,) = read_parts(shard, Columns(lines=True))
    assert [text.strip() for text in part["text"]] == [*SENTENCES * 2, unnumbered], "numbers inside a line are kept"


@pytest.mark.parametrize(
    "lines",
    [
        [f"{year} bdiet il-gwerra l-kbira" for year in (1914, 1939, 1950, 1967, 1973, 1982, 1991)],
        [f"{year} kienet sena ta' gwerra" for year in range(1939, 1950)],
        [f"{hour}:30 Quddiesa fil-parroċċa" for hour in (6, 8, 9, 11, 17, 19)],
        [f"{grams} gramma dqiq u ftit melħ" for grams in (500, 250, 100, 2, 3, 40)],
    ],
)
def test_years_times_and_amounts_before_lines_are_text(lines: list[str]) -> None:
    assert not shape_of([f"{line}\n" for line in lines]).numbered


def test_lines_wrapped_at_a_fixed_width_are_joined(tmp_path: Path) -> None:
    from textwrap import wrap  # noqa: PLC0415

    paragraphs = [" ".join(SENTENCES[start : start + 3]) for start in range(0, 8, 2)]
    wrapped = ["\n".join(wrap(paragraph, 60, break_on_hyphens=False)) for paragraph in paragraphs]
    (tmp_path / "a.txt").write_text("\n\n".join(wrapped), "utf-8")
    (shard,) = find_shards(tmp_path / "a.txt", None)
    (part,) = read_parts(shard, Columns())
    assert [text.strip() for text in part["text"]] == paragraphs
    without_empty_lines = "\n".join(wrapped)  # without empty lines, a short line ends a paragraph
    (tmp_path / "a.txt").write_text(without_empty_lines, "utf-8")
    (part,) = read_parts(shard, Columns())
    assert [line.strip() for line in part["text"][0].strip().split("\n")] == paragraphs


@pytest.mark.parametrize(
    "lines",
    [SENTENCES, ["Roses are red,", "violets are blue,"] * 5, [f"Shoes in size {n}, 30 euro" for n in range(40, 60)]],
)
def test_lists_and_poems_keep_their_lines(lines: list[str]) -> None:
    assert shape_of([f"{line}\n" for line in lines]).width == 0


def test_a_book_on_one_line_is_cut_between_sentences(tmp_path: Path) -> None:
    book = [text.replace("numru", f"numru {number:,}") for number in range(200) for text in SENTENCES]
    (tmp_path / "a.txt").write_text(" ".join(book), "utf-8")
    (shard,) = find_shards(tmp_path / "a.txt", None)
    lines = [line for part in read_parts(shard, Columns()) for text in part["text"] for line in text.split("\n")]
    assert max(map(len, lines)) < 3_000
    assert " ".join(line for line in lines if line) == " ".join(book)


def test_a_chat_with_messages_of_several_lines_is_recognized(tmp_path: Path) -> None:
    lines = [f"\u200e[12/03/2021, 14:0{n % 10}:11] Maria: Bonġu\nu lejl tajjeb\nkollha" for n in range(9)]
    (tmp_path / "a.txt").write_text("\n".join(lines), "utf-8")
    (shard,) = find_shards(tmp_path / "a.txt", None)
    with pytest.raises(InputError, match="holds messages with times and names"):
        list(read_parts(shard, Columns()))


def test_wrapped_lines_of_scripts_without_spaces_are_joined_without_spaces() -> None:
    shape = Shape(width=12)
    assert shape.joined(["新鲜的水果和蔬菜每天都", "有。"]) == "新鲜的水果和蔬菜每天都有。"
    assert shape.joined(["འདུག་པའི་དོན་དུ་", "སྙིང་།"]) == "འདུག་པའི་དོན་དུ་སྙིང་།"
    assert shape.joined(["one two three", "four"]) == "one two three four"


def test_a_toolbox_dictionary_is_not_a_bible(tmp_path: Path) -> None:
    (tmp_path / "a.sfm").write_text("\\_sh v3.0 400 MDF\n\\lx ħobż\n\\ps n\n\\ge bread\n", "utf-8")
    (shard,) = find_shards(tmp_path / "a.sfm", None)
    with pytest.raises(InputError, match="it is a Toolbox dictionary"):
        list(read_parts(shard, Columns()))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2/2/23, 2:01 PM - Maria Borg: Bonġu kollha", "holds messages with times and names"),
        ("[02.02.2023, 14:01:33] Maria: Bonġu kollha", "holds messages with times and names"),
        ("Bonġu kollha ||| Good morning all", r"holds pairs of texts \(\|\|\|\)"),
        (r"{\rtf1\ansi Bonġu}", "is RTF"),
        (r"\id GEN", "is USFM. Rename it to .usfm"),
    ],
)
def test_files_with_more_than_text_in_each_line_are_refused(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{line}\n" * 6, "utf-8")
    (shard,) = find_shards(tmp_path / "a.txt", None)
    with pytest.raises(InputError, match=f"a.txt: {message}.*--skip-bad"):
        list(read_parts(shard, Columns()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Bonġu kollha".encode("utf-16-le"), "in UTF-16 without a byte order mark.*iconv -f UTF-16LE"),
        ("Bonġu kollha".encode("utf-16-be"), "in UTF-16 without a byte order mark.*iconv -f UTF-16BE"),
        ("Bonġu kollha".encode("utf-16"), "in UTF-16, not UTF-8 text. Convert it"),
        (b"PK\x03\x04...", "a .zip archive, or a Word"),
        (b"%PDF-1.7", "a PDF, not UTF-8 text. .*pdftotext"),
    ],
)
def test_the_actual_type_of_a_txt_file_is_reported(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    (shard,) = find_shards(tmp_path / "a.txt", None)
    with pytest.raises(InputError, match=f"a.txt: is {message}.*--skip-bad"):
        list(read_parts(shard, Columns()))


def test_a_folder_may_hold_both_texts_and_tables(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("\n\n".join(SENTENCES[:4]), "utf-8")
    (folder / "b.csv").write_text("id,phrase\n" + "".join(f"1,{text}\n" for text in SENTENCES[4:]), "utf-8")
    options = {"source": "web", "documents": "lines", "out": tmp_path / "ws", "lid": "none"}
    dataset = build("mt", input=folder, text_column="phrase", **options)
    assert sum(dataset.rows.values()) == len(SENTENCES)
    with pytest.raises(InputError, match="has no table"):
        build("mt", input=folder / "a.txt", text_column="phrase", **options)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Brzezinski je bil v 60. letih. Nato je odšel.", ["Brzezinski je bil v 60. letih.", "Nato je odšel."]),
        ("ის წავიდა. მერე მოვიდა. ბოლო.", ["ის წავიდა.", "მერე მოვიდა.", "ბოლო."]),
        ("Մեկ։ Երկու։", ["Մեկ։", "Երկու։"]),
        ("ᱢᱤᱫ᱾ ᱵᱟᱨ᱾", ["ᱢᱤᱫ᱾", "ᱵᱟᱨ᱾"]),
        ("လူတိုင်းသည်၊ လွတ်လပ်သည်။ဒုတိယ။", ["လူတိုင်းသည်၊ လွတ်လပ်သည်။", "ဒုတိယ။"]),
        ("Ja? nein! doch. Gut.", ["Ja?", "nein!", "doch.", "Gut."]),
        ("他走了。她来了！", ["他走了。", "她来了！"]),
    ],
)
def test_sentences_end_at_the_marks_of_their_script(text: str, sentences: list[str]) -> None:
    result = cut(pl.Series([text]), None, "da")[0]
    assert [sentence for sentence in result.split("\n") if sentence] == sentences


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("sk", "Písal P. J. Šafárik. / Je to dielo sv. Františka z r. 1840. / Koniec."),
        ("da", "Mødet er kl. 22:08 i morgen. / Lyndon B. Johnson kom ca. 1 time for sent. / »Ja!« sagde han."),
        ("mt", "Iltaqa ma' Dr. Ehud Ur. / St. Joseph rebaħ 1-0. / Tajjeb."),
        ("ne", "डा. एहूद आए । / उनी गए।"),
        ("si", "එය ගුරුවරයෙක් ය. / ඒ. ජේ. පෙරේරා ආවේ ය. / හරි."),
        ("th", "เวลา 20.30 น. ตามเวลาท้องถิ่น กว้าง 5 มม. และสูง 24 มม. นั้น"),
        ("lv", "“Kas tas?” jautāja Anna. / „Nezinu.“ / Viņš aizgāja plkst. 12.00 mājās."),
        ("bg", "„Не знам.“ / Той мълчи. / Роден е през 1990. / Живее на ул. Шипка."),
        ("sl", "»Ne grem.« / Potem je šel. / V 60. letih je bilo tako."),
        ("mr", "तो पुण्यात राहत आहे. / 1990 मध्ये त्याचा जन्म झाला."),
        ("si", "ඔහුට ළමයි ඇත. / 2012 වසරේ එය විය. / එය ප.ව. 10:00 ට ය."),
        ("az", "O, müəllim idi. / 1990-cı ildə doğulub."),
        ("uz", "U shifokor edi. / 2010-yilda keldi."),
        ("ro", "Tractul de ejecție al VS. / Arterele coronare. / Vezi art. 5 din lege."),
        ("th", "เธออยู่ที่ Des Moines, Iowa. / และเขาอยู่ที่นั่น"),
        ("el", "Πού πάμε; / Δεν ξέρω. / Ο κ. Παπαδόπουλος ήρθε."),
        ("ro", "E anul 1990. / Dl. Ionescu (str. Florilor nr. 5) a plecat... / Da."),
    ],
)
def test_initials_abbreviations_and_quoted_speech_do_not_end_a_sentence(code: str, text: str) -> None:
    sentences = text.split(" / ")
    assert cut(pl.Series([" ".join(sentences)]), main_script(find(code)), code)[0].split("\n") == sentences


def test_every_language_code_is_valid_in_a_manifest() -> None:
    from pydantic import TypeAdapter  # noqa: PLC0415

    adapter = TypeAdapter(Code)
    assert [adapter.validate_python(language.code) for language in languages()]


def test_lines_may_be_shorter_in_scripts_with_few_letters_per_word(tmp_path: Path) -> None:
    scales = {code: scale_of(find(code).scripts) for code in ("yue", "zh_Hant", "ja", "ko", "ii", "chr", "mt")}
    assert scales == {"yue": 0.32, "zh_Hant": 0.32, "ja": 0.46, "ko": 0.41, "ii": 0.41, "chr": 0.6, "mt": 1.0}
    sentences = ["我今日去咗街市買餸", "佢琴日冇返學", "你食咗飯未呀", "我哋聽日一齊去睇戲"]
    (tmp_path / "a.txt").write_text("\n".join(sentences), "utf-8")
    dataset = build(
        "zh_Hant", source="web", input=tmp_path / "a.txt", documents="lines", lid="none", out=tmp_path / "ws"
    )
    assert sum(dataset.rows.values()) == len(sentences)
    assert json.loads((dataset.path / "manifest.json").read_text("utf-8"))["language"]["code"] == "zh_Hant"


@pytest.mark.parametrize("end", list(SENTENCE_MARKS))
def test_all_rules_agree_on_the_ends_of_sentences(end: str) -> None:
    line = f"abc def{end}"
    assert ends_sentence(line)
    assert all(pl.Series([line]).str.contains(pattern).item() for pattern in (ENDED, SENTENCE_END))
