"""Hints of a build whose input looks like something other than what was requested."""

from collections.abc import Mapping

from lrldata.language import Language, languages
from lrldata.ledger import Ledger, Tally
from lrldata.output import note
from lrldata.split import SPLITS
from lrldata.web.clean import rules
from lrldata.web.config import WebConfig

MANY = 0.2  # share of the lines from which on a note says why they are dropped
_BY_PAGES = ("document_", "repeated_line")  # prefixes of the reasons that come from rules for pages
LINES = "If every line is a sentence by itself, use --documents lines."


def note_kin(language: Language, ledger: Ledger) -> None:
    """Print a note if many lines may be in a language that shares the code of the requested one, such as Kurmanji."""
    lines = ledger.dropped.get("wrong_script", Tally()).rows
    kin = [row for row in languages() if row.conceptnet and row.conceptnet == language.conceptnet and row != language]
    if kin and lines > MANY * ledger.came_in.rows:
        others = " or ".join(f"{row.name} (--lang {row.code}) is written in {', '.join(row.scripts)}" for row in kin)
        note(f"{lines:,} of {ledger.came_in.rows:,} lines are not in {', '.join(language.scripts)}: {others}.")


def note_sentences(config: WebConfig, ledger: Ledger, rows: Mapping[str, int]) -> None:
    """Print a note if sentences seem to have been read as pages, or if splits are empty."""
    remarks = []
    short = ledger.dropped.get("document_short", Tally()).rows
    repeated = ledger.dropped.get("repeated_line", Tally()).rows
    for count, description in (
        (short, "are documents too short to be pages"),
        (repeated, "occur in many documents, like parts of pages"),
    ):
        if count > MANY * ledger.came_in.rows:
            remarks.append(f"{count:,} of {ledger.came_in.rows:,} lines {description}")
    if empty := [split for split in SPLITS if not rows.get(split)]:
        remarks.append(f"there are too few documents to fill {' and '.join(empty)}")
    if remarks and config.documents != "lines" and config.source == "web":
        note(f"{', and '.join(remarks)}. {LINES}")


def note_private(language: Language, count: int, rows: int) -> None:
    """Print a note of how many rows have characters that only one font can show, as old fonts for a language do."""
    if count:
        finding = f"{count:,} of {rows:,} rows have Unicode private-use characters, which only one font can show"
        note(f"{finding}. Convert the text to the standard letters of {language.name} first.")


def hint_on_nothing(config: WebConfig, ledger: Ledger) -> str:
    """Return a hint for a build that keeps no line, by the most frequent reason."""
    most = max(ledger.dropped, key=lambda reason: ledger.dropped[reason].rows, default="")
    if most == "document_long":
        longest = rules()["longest_document"]
        return (
            f"A document may have at most {longest:,} characters. Split it, and end each paragraph with a line break."
        )
    if most.startswith(_BY_PAGES) and most != "document_other_language" and config.source == "web":
        return "Use --unit documents or longer documents." if config.documents == "lines" else LINES
    return "Check the input and --lang; `lrldata explain` says for each line why it is dropped."
