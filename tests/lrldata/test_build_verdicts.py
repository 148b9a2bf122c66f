"""Builds with verdicts: lines are kept or dropped as speakers decided, counted in the ledger, and reproducible."""

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.conceptnet.plan import plan
from lrldata.dataset import VERDICTS, open_dataset
from lrldata.errors import UsageError
from lrldata.manifest import MANIFEST
from lrldata.progress import Progress
from lrldata.review.frame import frame_of
from lrldata.review.page import english as words
from lrldata.review.page import review_page
from lrldata.review.summary import summary_of
from lrldata.review.verdicts import Verdict, append, as_json_lines, read_all
from lrldata.review.wording import headline
from lrldata.web.build import build_web
from lrldata.web.config import load_web_config
from lrldata.workspace import Dataset

QUIET = Progress(quiet=True)
WORDS = (
    "bunica vecinul copiii pâinea apa casa drumul pădurea câinele cartea școala iarna vara plouă ninge merge cântă "
    "citește doarme vede aude spune face vine pleacă mâine astăzi ieri mereu acolo aici lângă sub peste prin fără"
)


def flags(root: Path, **options: Any) -> dict[str, Any]:
    return {"lang": "ro", "sample": True, "out": root / "ws", "cache": root / "cache", **options}


def build_glotcc(root: Path, **options: Any) -> Dataset:
    return build_web(load_web_config(None, flags(root, **{"source": "glotcc", **options})), QUIET)[0]


def texts(folder: Path) -> list[str]:
    return open_dataset(folder)[1].select("text").collect()["text"].to_list()


def verdicts_on(folder: Path, group: str, decision: str, limit: int) -> list[Verdict]:
    """Return verdicts with one decision on the first lines of a group."""
    frame = frame_of(folder)
    entries = [entry for entry in frame.lines if frame.strata[entry.stratum].group == group][:limit]
    return [verdict_on(folder, entry.line, decision) for entry in entries]


def verdict_on(folder: Path, line: str, decision: str) -> Verdict:
    frame = frame_of(folder)
    return Verdict(
        language=frame.language, source=frame.source, version=frame.version, line=line, decision=decision,
        reviewer="Ana", time="2026-01-01T00:00:00Z",
    )  # fmt: skip


def test_verdicts_keep_and_drop_lines_and_the_ledger_counts_them(tmp_path: Path) -> None:
    first = build_glotcc(tmp_path)
    before = texts(first.path)
    lines = {entry.line: entry.text for entry in frame_of(first.path).lines}
    wrong = verdicts_on(first.path, "kept", "wrong", 5)
    right = verdicts_on(first.path, "boilerplate", "right", 3) + verdicts_on(first.path, "inconsistent", "right", 2)
    append(first.path, [*wrong, *right])

    built = build_glotcc(tmp_path, verdicts=first.path / VERDICTS)
    after = texts(built.path)
    removed = {lines[verdict.line] for verdict in wrong}
    restored = {lines[verdict.line] for verdict in right}
    assert set(before) - set(after) == removed
    assert set(after) - set(before) == restored
    ledger = built.ledger
    assert ledger.dropped["judged_wrong"].rows >= len(removed), "each line and its copies"
    assert ledger.judged_right.rows == len(restored)
    assert first.ledger.dropped["boilerplate"].rows - ledger.dropped["boilerplate"].rows == 3
    assert ledger.came_in == first.ledger.came_in
    assert built.version == "1.1.0"
    assert (built.path / VERDICTS).is_dir(), "verdicts survive a rebuild"


def test_the_same_verdicts_give_the_same_bytes_with_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrldata.web.build._SMALL", 0)  # bytes for which a second process pays off
    first = build_glotcc(tmp_path)
    file = tmp_path / "verdicts.jsonl"
    judged = verdicts_on(first.path, "kept", "wrong", 4) + verdicts_on(first.path, "menu", "right", 2)
    file.write_text(as_json_lines(judged), encoding="utf-8")
    one, two = (
        build_glotcc(tmp_path / name, verdicts=file, workers=workers).path / MANIFEST
        for name, workers in (("a", 1), ("b", 2))
    )
    assert one.read_bytes() == two.read_bytes()
    file.write_text(as_json_lines(judged[::-1]), encoding="utf-8")
    assert build_glotcc(tmp_path / "a", verdicts=file).status == "unchanged"
    file.write_text(as_json_lines(judged[:-1]), encoding="utf-8")
    assert build_glotcc(tmp_path / "a", verdicts=file).status == "built"


def test_a_restored_line_is_in_the_split_of_its_document(tmp_path: Path) -> None:
    words, rng = WORDS.split(), random.Random(4)
    (tmp_path / "pages").mkdir()
    for number in range(40):
        kept = f"{' '.join(rng.sample(words, 14)).capitalize()}."
        noise = f"Adaugă în coș {' '.join(rng.sample(words, 3))} acum"
        (tmp_path / "pages" / f"{number}.txt").write_text(f"{kept}\n{noise}\n", "utf-8")
    options = {"source": "web", "input": tmp_path / "pages", "sample": False, "lid": "none"}
    first = build_glotcc(tmp_path, **options)
    dropped = [entry for entry in frame_of(first.path).lines if entry.text.startswith("Adaugă")]
    assert len(dropped) > 10
    append(first.path, [verdict_on(first.path, entry.line, "right") for entry in dropped])
    built = build_glotcc(tmp_path, **options, verdicts=first.path / VERDICTS)
    rows = open_dataset(built.path)[1].collect()
    assert len(rows) >= 30 + len(dropped)
    assert rows.group_by("doc").agg(splits=pl.col("split").n_unique())["splits"].max() == 1


def test_restored_lines_of_a_dropped_document_share_a_split(tmp_path: Path) -> None:
    words, rng = WORDS.split(), random.Random(4)
    kept = "\n\n".join(f"{' '.join(rng.sample(words, 14)).capitalize()}." for _ in range(20))
    noise = "\n".join(f"Adaugă în coș {' '.join(rng.sample(words, 3))} acum" for _ in range(12))
    (tmp_path / "page.txt").write_text(f"{kept}\n\n{noise}\n", "utf-8")
    options = {"source": "web", "input": tmp_path / "page.txt", "sample": False, "lid": "none"}
    first = build_glotcc(tmp_path, **options)
    dropped = [entry for entry in frame_of(first.path).lines if entry.text.startswith("Adaugă")]
    append(first.path, [verdict_on(first.path, entry.line, "right") for entry in dropped])
    rows = open_dataset(build_glotcc(tmp_path, **options, verdicts=first.path / VERDICTS).path)[1]
    restored = rows.filter(pl.col("text").str.starts_with("Adaugă")).collect()
    assert len(restored) == 12
    assert restored["split"].n_unique() == 1


def test_the_names_of_files_do_not_move_a_restored_line(tmp_path: Path) -> None:
    words, rng = WORDS.split(), random.Random(4)
    pages = [
        {"text": f"{' '.join(rng.sample(words, 14)).capitalize()}.", "url": f"https://s{number}.ro/x"}
        for number in range(20)
    ]
    noise = "Adaugă în coș bunica pâinea acum"
    sites = ["https://one.ro/a", "https://two.ro/b", "https://abc.ro/b", "https://d4.ro/b"]
    places = []
    for names in ("abcd", "dcba", "badc"):
        root = tmp_path / names
        (root / "pages").mkdir(parents=True)
        (root / "pages" / "m.jsonl").write_text("\n".join(map(json.dumps, pages)), "utf-8")
        for name, site in zip(names, sites, strict=True):
            (root / "pages" / f"{name}.jsonl").write_text(json.dumps({"text": noise, "url": site}), "utf-8")
        options = {"source": "web", "input": root / "pages", "sample": False, "lid": "none"}
        first = build_glotcc(root, **options)
        dropped = [entry for entry in frame_of(first.path).lines if entry.text == noise]
        append(first.path, [verdict_on(first.path, entry.line, "right") for entry in dropped[:1]])
        rows = open_dataset(build_glotcc(root, **options, verdicts=first.path / VERDICTS).path)[1]
        places += rows.filter(pl.col("text") == noise).select("url", "split").collect().rows()
    assert len(places) == 3
    assert len(set(places)) == 1


def test_lines_that_differ_only_in_case_are_restored_once(tmp_path: Path) -> None:
    options = {"source": "web", "input": tmp_path / "page.txt", "sample": False, "lid": "none"}
    other = "Vecinul nostru a plantat ieri trei meri, doi peri și un cireș lângă gardul vechi."
    (tmp_path / "page.txt").write_text(f"Acasă sus\n\nACASĂ SUS\n\n{other}\n", "utf-8")
    first = build_glotcc(tmp_path, **options)
    dropped = [entry for entry in frame_of(first.path).lines if entry.text.lower() == "acasă sus"]
    assert len(dropped) == 2
    append(first.path, [verdict_on(first.path, entry.line, "right") for entry in dropped])
    built = build_glotcc(tmp_path, **options, verdicts=first.path / VERDICTS)
    assert sorted(texts(built.path)) == sorted(["ACASĂ SUS", other])
    assert built.ledger.judged_right.rows == 1


def test_right_verdicts_on_kept_lines_change_nothing(tmp_path: Path) -> None:
    first = build_glotcc(tmp_path)
    right = verdicts_on(first.path, "kept", "right", 400)
    assert len(right) > 100
    append(first.path, right)
    built = build_glotcc(tmp_path, verdicts=first.path)
    assert sorted(texts(built.path)) == sorted(texts(first.path))
    assert built.ledger.judged_right.rows == 0


def test_conceptnet_sentences_judged_wrong_are_dropped(tmp_path: Path) -> None:
    first = build(load_config(None, flags(tmp_path)), QUIET)[0]
    before = texts(first.path)
    wrong = verdicts_on(first.path, "kept", "wrong", 3)
    append(first.path, wrong)
    lines = {entry.line: entry.text for entry in frame_of(first.path).lines}
    built = build(load_config(None, flags(tmp_path, verdicts=first.path / VERDICTS)), QUIET)[0]
    assert set(before) - set(texts(built.path)) == {lines[verdict.line] for verdict in wrong}
    assert built.ledger.dropped["judged_wrong"].rows == 3


def test_speakers_are_asked_about_the_words_if_the_sentences_are_in_another_language(tmp_path: Path) -> None:
    english = build(load_config(None, flags(tmp_path)), QUIET)[0].path
    native = build(load_config(None, flags(tmp_path / "native", templates="native")), QUIET)[0].path
    append(english, verdicts_on(english, "kept", "right", 5))
    append(native, verdicts_on(native, "kept", "right", 5))
    asked, said = [], []
    for folder in (english, native):
        asked.append(review_page(frame_of(folder), words(), "Romanian"))
        summary = summary_of(folder)
        assert summary is not None
        said.append(headline(summary, "Romanian", "sentences"))
    assert "Are the Romanian words right, and can the sentence be understood?" in asked[0]
    assert "Is this sentence right in Romanian?" in asked[1]
    assert said[0].startswith("5 of 5 sampled kept sentences are understandable, with correct words in Romanian;")
    assert said[1].startswith("5 of 5 sampled kept sentences are good Romanian;")


def test_a_plan_refuses_a_language_that_conceptnet_lacks_as_a_build_does(tmp_path: Path) -> None:
    config = load_config(None, flags(tmp_path, lang="ace"))
    for step in (plan, lambda config: build(config, QUIET)):
        with pytest.raises(UsageError, match="has no Acehnese"):
            step(config)


def test_lines_judged_before_a_build_are_counted_and_not_reviewed_again(tmp_path: Path) -> None:
    first = build_glotcc(tmp_path)
    wrong, right = verdicts_on(first.path, "kept", "wrong", 5), verdicts_on(first.path, "kept", "right", 60)[5:]
    append(first.path, [*wrong, *right])
    built = build_glotcc(tmp_path, verdicts=first.path / VERDICTS)
    frame = frame_of(built.path)
    judged = {verdict.line for verdict in [*wrong, *right]}
    assert not judged & {entry.line for entry in frame.lines}
    (judged_before,) = [stratum for stratum in frame.strata if stratum.name == "judged before"]
    assert (judged_before.size, judged_before.right) == (len(right), len(right))
    assert sum(stratum.size for stratum in frame.strata if stratum.group == "kept") == built.ledger.kept.rows
    assert summary_of(built.path) is None, "this version has no verdicts yet"


def test_earlier_verdicts_are_no_sample_of_the_new_version(tmp_path: Path) -> None:
    """Reviewers tied on the remaining lines, or the build left only those that they called right."""
    first = build_glotcc(tmp_path)
    right, wrong = verdicts_on(first.path, "kept", "right", 40), verdicts_on(first.path, "kept", "wrong", 40)
    other = [verdict.model_copy(update={"reviewer": "Ben"}) for verdict in right[:20]]
    ties, decided, elsewhere = [*wrong[:20], *other], [*wrong[20:30], *right[30:]], tmp_path / "verdicts.jsonl"
    elsewhere.write_text(as_json_lines([*ties, *decided]), encoding="utf-8")
    built = build_glotcc(tmp_path / "new", verdicts=elsewhere)
    frame = frame_of(built.path)
    assert not {verdict.line for verdict in [*ties, *decided]} & {entry.line for entry in frame.lines}
    strata = {stratum.name: (stratum.size, stratum.right) for stratum in frame.strata if stratum.group == "kept"}
    assert strata["judged before"] == (10, 10)
    assert strata["undecided before"] == (20, None)
    assert sum(size for size, _ in strata.values()) == built.ledger.kept.rows
    append(built.path, verdicts_on(built.path, "kept", "right", 30))
    summary = summary_of(built.path)
    assert summary is not None
    assert (summary["lines"], summary["verdicts"], summary["reviewers"]) == (30, 30, 1)
    assert build_glotcc(tmp_path / "new", verdicts=elsewhere).status == "unchanged"
    written = "".join(path.read_text("utf-8") for path in (built.path / VERDICTS).glob("judged.json"))
    assert ties[0].line in written
    assert "Ben" not in written, "a remote workspace may be public"


def test_a_build_with_verdicts_writes_nothing_into_an_unchanged_dataset(tmp_path: Path) -> None:
    first = build_glotcc(tmp_path)
    append(first.path, verdicts_on(first.path, "kept", "wrong", 3))
    built = build_glotcc(tmp_path, verdicts=first.path / VERDICTS)
    before = {path: path.stat().st_mtime_ns for path in (built.path / VERDICTS).rglob("*")}
    assert build_glotcc(tmp_path, verdicts=first.path / VERDICTS).status == "unchanged"
    assert {path: path.stat().st_mtime_ns for path in (built.path / VERDICTS).rglob("*")} == before


def test_verdicts_on_another_dataset_or_for_documents_are_refused(tmp_path: Path) -> None:
    first = build_glotcc(tmp_path)
    file = tmp_path / "verdicts.jsonl"
    file.write_text(as_json_lines(verdicts_on(first.path, "kept", "wrong", 1)), encoding="utf-8")
    with pytest.raises(UsageError, match="has no verdict on ro from conceptnet"):
        build(load_config(None, flags(tmp_path, verdicts=file)), QUIET)
    with pytest.raises(UsageError, match="--unit documents"):
        build_glotcc(tmp_path, verdicts=file, unit="documents")
    with pytest.raises(UsageError, match="no verdict file"):
        build_glotcc(tmp_path, verdicts=tmp_path / "nothing")


def test_verdicts_on_an_earlier_version_are_no_sample_of_a_later_one(tmp_path: Path) -> None:
    """Lines that were added since could not be among them."""
    first = build_glotcc(tmp_path, max_bytes=15_000)
    append(first.path, verdicts_on(first.path, "kept", "right", 50))
    assert (summary_of(first.path) or {})["kept"]["judged"] == 50
    second = build_glotcc(tmp_path)
    assert second.version != first.version
    judged = {entry.line for entry in read_all(first.path / VERDICTS)}
    assert judged.isdisjoint(entry.line for entry in frame_of(second.path).lines)
    assert summary_of(second.path) is None, "nobody has judged a line of this version"
    added = verdicts_on(second.path, "kept", "wrong", 1_000)
    append(second.path, added)
    summary = summary_of(second.path)
    assert summary
    assert summary["kept"]["judged"] == len(added)
    rows, known = sum(second.rows.values()), len(judged)
    assert summary["kept"]["share"] == pytest.approx(known / rows, abs=0.02)


def test_numbers_stay_when_verdicts_only_confirm_the_data_or_the_frame_is_made_again(tmp_path: Path) -> None:
    dataset = build_glotcc(tmp_path)
    append(dataset.path, verdicts_on(dataset.path, "kept", "right", 30))
    before = summary_of(dataset.path)
    again = build_glotcc(tmp_path, verdicts=dataset.path / VERDICTS)
    frame_of(again.path)
    assert (again.version, summary_of(again.path)) == (dataset.version, before)
    for path in (dataset.path / VERDICTS).glob("frame-*.json"):
        path.unlink()
    frame_of(dataset.path)
    assert summary_of(dataset.path) == before


def test_verdicts_that_are_merged_after_the_rebuild_do_not_count_for_the_new_version(tmp_path: Path) -> None:
    first = build_glotcc(tmp_path, max_bytes=15_000)
    earlier = verdicts_on(first.path, "kept", "right", 50)
    second = build_glotcc(tmp_path)
    frame_of(second.path)
    append(second.path, earlier)  # as `lrldata review --merge` does with a page that was sent before
    assert summary_of(second.path) is None


def test_whole_documents_cannot_be_judged_as_lines(tmp_path: Path) -> None:
    dataset = build_glotcc(tmp_path, unit="documents")
    with pytest.raises(UsageError, match="its rows are whole documents"):
        frame_of(dataset.path)


def test_a_kill_while_a_frame_is_written_does_not_stop_later_builds(tmp_path: Path) -> None:
    dataset = build_glotcc(tmp_path, max_bytes=15_000)
    frame_of(dataset.path)
    (dataset.path / VERDICTS / ".frame-1.0.0-abcdef01.json.4711.partial").write_text("{")
    assert build_glotcc(tmp_path).status == "built"
