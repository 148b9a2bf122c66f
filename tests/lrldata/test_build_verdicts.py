"""A build that honours what speakers said: kept or dropped as they say, accounted for, the same bytes each time."""

from pathlib import Path
from typing import Any

import pytest

from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.dataset import VERDICTS, open_dataset
from lrldata.errors import UsageError
from lrldata.manifest import MANIFEST
from lrldata.progress import Progress
from lrldata.review.frame import frame_of
from lrldata.review.summary import summary_of
from lrldata.review.verdicts import Verdict, append, as_json_lines
from lrldata.web.build import build_web
from lrldata.web.config import load_web_config
from lrldata.workspace import Dataset

QUIET = Progress(quiet=True)


def flags(root: Path, **more: Any) -> dict[str, Any]:
    return {"lang": "ro", "sample": True, "out": root / "ws", "cache": root / "cache", **more}


def web(root: Path, **more: Any) -> Dataset:
    return build_web(load_web_config(None, flags(root, source="glotcc", **more)), QUIET)[0]


def texts(folder: Path) -> list[str]:
    return open_dataset(folder)[1].select("text").collect()["text"].to_list()


def verdicts(folder: Path, group: str, decision: str, most: int) -> list[Verdict]:
    """Return verdicts on the first lines of a group."""
    frame = frame_of(folder)
    chosen = [each for each in frame.lines if frame.strata[each.stratum].group == group][:most]
    return [
        Verdict(
            language=frame.language, source=frame.source, version=frame.version, line=each.line, decision=decision,
            reviewer="Ana", time="2026-01-01T00:00:00Z",
        )
        for each in chosen
    ]  # fmt: skip


def test_lines_stay_or_go_as_speakers_say_and_the_ledger_has_it(tmp_path: Path) -> None:
    first = web(tmp_path)
    before = texts(first.path)
    lines = {each.line: each.text for each in frame_of(first.path).lines}
    wrong = verdicts(first.path, "kept", "wrong", 5)
    right = verdicts(first.path, "boilerplate", "right", 3) + verdicts(first.path, "inconsistent", "right", 2)
    append(first.path, [*wrong, *right])

    built = web(tmp_path, verdicts=first.path / VERDICTS)
    after = texts(built.path)
    gone = {lines[each.line] for each in wrong}
    saved = {lines[each.line] for each in right}
    assert set(before) - set(after) == gone
    assert set(after) - set(before) == saved
    ledger = built.ledger
    assert ledger.dropped["judged_wrong"].rows >= len(gone), "each line, and copies of it"
    assert ledger.judged_right.rows == len(saved)
    assert first.ledger.dropped["boilerplate"].rows - ledger.dropped["boilerplate"].rows == 3
    assert ledger.came_in == first.ledger.came_in
    assert built.version == "1.1.0"
    assert (built.path / VERDICTS).is_dir(), "what speakers said outlives a rebuild"


def test_the_same_verdicts_give_the_same_bytes_however_many_work(tmp_path: Path) -> None:
    first = web(tmp_path)
    file = tmp_path / "verdicts.jsonl"
    told = verdicts(first.path, "kept", "wrong", 4) + verdicts(first.path, "menu", "right", 2)
    file.write_text(as_json_lines(told), encoding="utf-8")
    one, two = (
        web(tmp_path / name, verdicts=file, workers=workers).path / MANIFEST for name, workers in (("a", 1), ("b", 2))
    )
    assert one.read_bytes() == two.read_bytes()
    file.write_text(as_json_lines(told[::-1]), encoding="utf-8")
    assert web(tmp_path / "a", verdicts=file).status == "unchanged"
    file.write_text(as_json_lines(told[:-1]), encoding="utf-8")
    assert web(tmp_path / "a", verdicts=file).status == "built"


def test_a_line_that_is_there_already_and_one_of_a_benchmark_stay_out(tmp_path: Path) -> None:
    first = web(tmp_path)
    right = verdicts(first.path, "kept", "right", 400)
    assert len(right) > 100
    append(first.path, right)
    built = web(tmp_path, verdicts=first.path)
    assert sorted(texts(built.path)) == sorted(texts(first.path))
    assert built.ledger.judged_right.rows == 0


def test_sentences_of_conceptnet_that_speakers_call_wrong_go(tmp_path: Path) -> None:
    first = build(load_config(None, flags(tmp_path)), QUIET)[0]
    before = texts(first.path)
    wrong = verdicts(first.path, "kept", "wrong", 3)
    append(first.path, wrong)
    lines = {each.line: each.text for each in frame_of(first.path).lines}
    built = build(load_config(None, flags(tmp_path, verdicts=first.path / VERDICTS)), QUIET)[0]
    assert set(before) - set(texts(built.path)) == {lines[each.line] for each in wrong}
    assert built.ledger.dropped["judged_wrong"].rows == 3


def test_what_was_judged_before_a_build_is_known_and_not_asked_again(tmp_path: Path) -> None:
    first = web(tmp_path)
    wrong, right = verdicts(first.path, "kept", "wrong", 5), verdicts(first.path, "kept", "right", 60)[5:]
    append(first.path, [*wrong, *right])
    built = web(tmp_path, verdicts=first.path / VERDICTS)
    frame = frame_of(built.path)
    judged = {each.line for each in [*wrong, *right]}
    assert not judged & {each.line for each in frame.lines}
    (known,) = [each for each in frame.strata if each.name == "judged before"]
    assert (known.size, known.right) == (len(right), len(right))
    assert sum(each.size for each in frame.strata if each.group == "kept") == built.ledger.kept.rows
    assert summary_of(built.path) is None, "of this version nothing was judged yet"


def test_verdicts_on_another_dataset_and_for_documents_are_refused(tmp_path: Path) -> None:
    first = web(tmp_path)
    file = tmp_path / "verdicts.jsonl"
    file.write_text(as_json_lines(verdicts(first.path, "kept", "wrong", 1)), encoding="utf-8")
    with pytest.raises(UsageError, match="has no verdict on ro from conceptnet"):
        build(load_config(None, flags(tmp_path, verdicts=file)), QUIET)
    with pytest.raises(UsageError, match="--unit documents"):
        web(tmp_path, verdicts=file, unit="documents")
    with pytest.raises(UsageError, match="no verdict file"):
        web(tmp_path, verdicts=tmp_path / "nothing")
