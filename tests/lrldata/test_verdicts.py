"""Verdict files: appending, merging, reading back, and detecting changes."""

import json
from pathlib import Path

import pytest

from lrldata.dataset import VERDICTS
from lrldata.errors import InputError
from lrldata.manifest import DamagedError
from lrldata.paths import PathError
from lrldata.review.verdicts import (
    Verdict,
    append,
    as_json_lines,
    check_same,
    consensus,
    current_verdicts,
    line_id,
    now,
    read_all,
    read_file,
)

LINE, OTHER = line_id("Satul nostru."), line_id("Vezi mai mult")


def verdict(
    line: str = LINE, decision: str = "right", reviewer: str = "Ana", second: int = 0, note: str = ""
) -> Verdict:
    return Verdict(
        language="ro", source="web", version="1.0.0", line=line, decision=decision, reviewer=reviewer,
        time=f"2026-01-01T00:00:{second:02d}Z", note=note,
    )  # fmt: skip


def only_file(folder: Path) -> Path:
    (path,) = folder.joinpath(VERDICTS).iterdir()
    return path


def test_appended_verdicts_are_read_back_and_never_stored_twice(tmp_path: Path) -> None:
    verdicts = [verdict(), verdict(OTHER, "wrong", second=1)]
    assert append(tmp_path, verdicts[:1]) == 1
    before = only_file(tmp_path).read_bytes()
    assert append(tmp_path, verdicts) == 1
    assert only_file(tmp_path).read_bytes().startswith(before)
    assert [entry.identity for entry in read_all(tmp_path / VERDICTS)] == [entry.identity for entry in verdicts]


def test_windows_line_ends_lose_no_verdict(tmp_path: Path) -> None:
    append(tmp_path, [verdict(), verdict(OTHER, second=1)])
    path = only_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    append(tmp_path, [verdict(decision="wrong", second=2)])
    assert [entry.decision for entry in read_all(tmp_path / VERDICTS)] == ["right", "right", "wrong"]


def test_a_changed_verdict_counts_and_a_withdrawn_one_does_not(tmp_path: Path) -> None:
    append(tmp_path, [verdict(), verdict(OTHER, second=1), verdict(decision="wrong", second=2)])
    append(tmp_path, [verdict(OTHER, "none", second=3)])
    current = current_verdicts(read_all(tmp_path / VERDICTS))
    assert {line: by_reviewer["Ana"].decision for line, by_reviewer in current.items()} == {LINE: "wrong"}
    assert len(only_file(tmp_path).read_text().splitlines()) == 4


def test_the_majority_decides_and_a_tie_decides_nothing() -> None:
    verdicts = [verdict(), verdict(decision="wrong", reviewer="Ion"), verdict(OTHER, "unsure", "Ion"), verdict(OTHER)]
    assert consensus(verdicts) == {OTHER: "right"}
    assert consensus([*verdicts, verdict(decision="wrong", reviewer="Eva")])[LINE] == "wrong"


@pytest.mark.parametrize("change", ["drop", "edit", "swap"])
def test_a_changed_file_is_detected(tmp_path: Path, change: str) -> None:
    append(tmp_path, [verdict(second=number) for number in range(4)])
    path = only_file(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    if change == "drop":
        del lines[1]
    elif change == "edit":
        lines[1] = lines[1].replace('"right"', '"wrong"')
    else:
        lines[1], lines[2] = lines[2], lines[1]
    path.write_text("".join(lines))
    with pytest.raises(DamagedError, match=r"line [23]"):
        read_file(path)
    with pytest.raises(DamagedError):
        append(tmp_path, [verdict(second=9)])


def test_a_verdict_cut_off_by_a_kill_is_left_out_and_can_be_appended_again(tmp_path: Path) -> None:
    append(tmp_path, [verdict(), verdict(OTHER, second=1)])
    path = only_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    assert [entry.line for entry in read_file(path)] == [LINE]
    assert append(tmp_path, [verdict(OTHER, second=1)]) == 1
    assert [entry.line for entry in read_file(path)] == [LINE, OTHER]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "line 2: not a verdict"),
        ("[" * 5000, "line 2: not a verdict"),
        ("x" * 30_000, "longer than a verdict"),
        ('{"decision": "maybe"}', "line 2: not a verdict"),
    ],
)
def test_an_invalid_verdict_is_refused_with_its_line_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "given.jsonl"
    path.write_text(as_json_lines([verdict()]) + line + "\n")
    with pytest.raises(InputError, match=message):
        read_file(path)


def test_signs_that_nobody_can_see_are_removed_from_names_and_notes(tmp_path: Path) -> None:
    """They come with pasted text. A whole file must not be refused for them."""
    entry = verdict(reviewer="\u202bآنا\u202c\t B", note="vechi\tarhaic\u2066\n\u0007da")
    assert (entry.reviewer, entry.note) == ("آنا  B", "vechi arhaic\nda")
    path = tmp_path / "given.jsonl"
    path.write_text(as_json_lines([verdict()]).replace('"note": ""', '"note": "a\\tb"'))
    assert read_file(path)[0].note == "a b"
    for name in ("", "\u202e", "Ana\nB"):
        with pytest.raises(ValueError, match="reviewer"):
            verdict(reviewer=name)


def test_a_verdict_is_later_than_the_one_before_even_if_the_clock_was_set_back() -> None:
    before = "2999-12-31T23:59:59.999999Z"
    assert now(before) == "3000-01-01T00:00:00.000000Z"
    assert now("2026-01-01T00:00:00Z") > "2026-01-01"
    for impossible in ("2026-02-31T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        assert "2026-01-01" < now(impossible) < "9999"


def test_reviewer_names_do_not_lead_elsewhere(tmp_path: Path) -> None:
    append(tmp_path, [verdict(reviewer="../../Ana"), verdict(reviewer="Мария ../"), verdict(reviewer="..")])
    assert {path.parent for path in tmp_path.rglob("*.jsonl")} == {tmp_path / VERDICTS}
    assert {entry.reviewer for entry in read_all(tmp_path / VERDICTS)} == {"../../Ana", "Мария ../", ".."}


def test_a_link_in_place_of_a_file_is_not_written_through(tmp_path: Path) -> None:
    append(tmp_path, [verdict()])
    path, outside = only_file(tmp_path), tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    before = outside.read_bytes()
    with pytest.raises(PathError, match="a link, which is not followed"):
        append(tmp_path, [verdict(second=5)])
    assert outside.read_bytes() == before


def test_verdicts_on_another_dataset_are_refused() -> None:
    with pytest.raises(InputError, match="mt from web"):
        check_same([verdict().model_copy(update={"language": "mt"})], "ro", "web", "given.jsonl")


def test_saved_files_have_no_hash_of_the_previous_verdict() -> None:
    assert "after" not in json.loads(as_json_lines([verdict()]))
