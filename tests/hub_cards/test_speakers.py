"""The speakers' verdicts on the card of a dataset: numbers, and the names of those who allow it."""

from pathlib import Path

from hub_cards.publish.local import render
from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.progress import Progress
from lrldata.review.frame import frame_of
from lrldata.review.verdicts import Verdict, append, now


def card_of(folder: Path, out: Path) -> str:
    render(folder, "my-org", out)
    return out.joinpath("README.md").read_text("utf-8")


def test_the_card_reports_the_speakers_verdicts_and_names_those_who_allow_it(tmp_path: Path) -> None:
    flags = {"lang": "ro", "sample": True, "out": tmp_path / "ws", "cache": tmp_path / "cache"}
    folder = build(load_config(None, flags), Progress(quiet=True))[0].path
    assert "What speakers say" not in card_of(folder, tmp_path / "before")
    lines = frame_of(folder).lines[:60]
    for reviewer, credit in (("Ana *B*", True), ("Ion", False)):
        append(
            folder,
            [
                Verdict(
                    language="ro", source="conceptnet", version="1.0.0", line=entry.line, credit=credit,
                    decision="wrong" if number % 10 == 0 else "right", reviewer=reviewer, time=now(),
                )
                for number, entry in enumerate(lines)
            ],
        )  # fmt: skip
    card = card_of(folder, tmp_path / "after")
    assert "## What speakers say" in card
    assert "54 of 60 sampled kept sentences are understandable, with correct words in Romanian" in card
    assert r"by 2 speakers (Ana \*B\* and others)" in card
    assert "On 60 shared lines Krippendorff's alpha is 1.00" in card
    assert "Ion" not in card
    assert "\n\nThe speakers judged" in card  # a separate paragraph, not part of the list


def test_lines_that_a_speaker_is_unsure_about_are_not_shared(tmp_path: Path) -> None:
    flags = {"lang": "ro", "sample": True, "out": tmp_path / "ws", "cache": tmp_path / "cache"}
    folder = build(load_config(None, flags), Progress(quiet=True))[0].path
    for reviewer, decision in (("Ana", "right"), ("Ion", "unsure")):
        verdicts = [
            Verdict(
                language="ro", source="conceptnet", version="1.0.0", line=entry.line, credit=False,
                decision="right" if number < 2 else decision, reviewer=reviewer, time=now(),
            )
            for number, entry in enumerate(frame_of(folder).lines[:30])
        ]  # fmt: skip
        append(folder, verdicts)
    assert "On 2 shared lines the speakers gave the same verdict throughout." in card_of(folder, tmp_path / "card")
