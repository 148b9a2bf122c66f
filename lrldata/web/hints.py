"""What a build suggests where its input looks like something else than was asked for."""

from collections.abc import Mapping

from lrldata.language import Language, languages
from lrldata.ledger import Ledger, Tally
from lrldata.output import note
from lrldata.split import SPLITS
from lrldata.web.config import WebConfig

MANY = 0.2  # share of the lines from which on something is said of why they went
_BY_PAGES = ("document_", "repeated_line")  # what the reasons begin with for which lines go by rules for pages
LINES = "If every line is a sentence by itself, use --documents lines."


def note_kin(language: Language, ledger: Ledger) -> None:
    """Say where many lines are in the script of a language that is often asked for by the same code, as Kurmanji is."""
    lines = ledger.dropped.get("wrong_script", Tally()).rows
    kin = [row for row in languages() if row.conceptnet and row.conceptnet == language.conceptnet and row != language]
    if kin and lines > MANY * ledger.came_in.rows:
        others = " or ".join(f"{row.name} (--lang {row.code}) is written in {', '.join(row.scripts)}" for row in kin)
        note(f"note: {lines:,} of {ledger.came_in.rows:,} lines are not in {', '.join(language.scripts)}: {others}.")


def note_sentences(config: WebConfig, ledger: Ledger, rows: Mapping[str, int]) -> None:
    """Say where sentences seem to have been taken for pages, and where a split has nothing in it."""
    told = []
    short = ledger.dropped.get("document_short", Tally()).rows
    repeated = ledger.dropped.get("repeated_line", Tally()).rows
    for count, what in (
        (short, "are documents that are too short for a page"),
        (repeated, "are in many documents, as parts of pages are"),
    ):
        if count > MANY * ledger.came_in.rows:
            told.append(f"{count:,} of {ledger.came_in.rows:,} lines {what}")
    if empty := [split for split in SPLITS if not rows.get(split)]:
        told.append(f"the documents are too few for {' and '.join(empty)} to have any")
    if told and config.documents != "lines" and config.source == "web":
        note(f"note: {', and '.join(told)}. {LINES}")


def note_private(language: Language, count: int, rows: int) -> None:
    """Say of how many rows the letters mean something in one font alone, as those of old fonts for a language do."""
    if count:
        told = f"{count:,} of {rows:,} rows have letters that one font alone shows (of Unicode's private use)"
        note(f"note: {told}. Convert the text to the letters of {language.name} first.")


def hint_on_nothing(config: WebConfig, ledger: Ledger) -> str:
    """Return what may help where nothing is left, by what most lines went for."""
    most = max(ledger.dropped, key=lambda reason: ledger.dropped[reason].rows, default="")
    if most == "document_long":
        return "A document may have 1,000,000 characters: cut it into parts, and end each paragraph with a line end."
    if most.startswith(_BY_PAGES) and most != "document_other_language" and config.source == "web":
        return "Use --unit documents or longer documents." if config.documents == "lines" else LINES
    return "Check the input and --lang; `lrldata explain` says line by line why one goes."
