"""The ledger: every row that came in was either kept or dropped for a named reason, and the sums match. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

# The reasons for dropping an edge, in the order in which they are checked; the first that applies counts.
EDGE_REASONS = {
    "external_url": "a link to a web page, not a fact",
    "language_only_at_end": "the edge does not start in the language (--edges)",
    "language_only_at_start": "the edge does not end in the language (--edges)",
    "empty_term": "a term without text",
    "control_character": "a term with a control character",
    "self_loop": "a term related to itself",
    "same_term_in_two_languages": "both ends are spelled the same, so the sentence would say nothing",
    "below_min_weight": "weight below --min-weight",
    "wrong_script": "a term in a script that is not the language's (--scripts)",
    "relation_unsaid": "no template for the relation",
    "stored_both_ways": "a symmetric fact that is also stored in the other direction",
    "exact_duplicate": "the same sentence, from another sense or source",
    "normalised_duplicate": "the same sentence except for case, spaces or Unicode form",
    "judged_wrong": "a sentence that speakers judged wrong (--verdicts)",
}
# The reasons for dropping a line of web text.
WEB_REASONS = {
    "no_text": "a document without text",
    "document_long": "a document too long to be a web page",
    "quality_warning": "a document that GlotCC itself flags for quality",
    "category": "a document in an excluded category of GlotCC",
    "inconsistent": "a document with little text in the language, according to GlotCC",
    "document_wrong_script": "a document mostly in another script, according to GlotCC",
    "contaminated": "a line that contains benchmark text",
    "no_letters": "a line without letters",
    "url": "a line that is entirely or mostly a web address",
    "code": "a line of code or markup",
    "markup": "a line of JSON, wiki markup or web-page markup",
    "boilerplate": "a page's notices about itself: cookies, copyright, logging in",
    "captcha": "a line that asks readers to prove that they are human",
    "shop": "a line from an online shop: goods, a price, a button",
    "spam": "a line with spam words: gambling, pills, bought followers",
    "adult": "a line with words from adult pages",
    "menu": "a line of items between separators, or of menu entries",
    "byline": "a line with an author's name and a time",
    "garbled": "a line with symbols inside words, as from a bad scan",
    "few_letters": "a line that is less than half letters",
    "short_line": "a line with few letters",
    "wrong_script": "a line in a script that is not the language's",
    "gibberish": "a line of random letters",
    "other_language": "a line in another language",
    "document_other_language": "a document mostly in another language",
    "repeated_line": "a line repeated in many documents: part of the site, not of their text",
    "document_short": "a document with little text left",
    "document_repetition": "a document that repeats itself",
    "document_words": "a document whose words are too short or too long for the language",
    "document_list": "a document of list items or cut-off lines, not of sentences",
    "document_duplicate": "a copy of another document, except for case and spaces",
    "near_duplicate": "a near-duplicate of a longer document",
    "exact_duplicate": "an exact copy of another line",
    "normalised_duplicate": "a copy of another line, except for case",
    "above_max_bytes": "beyond the requested size (--max-bytes)",
    "judged_wrong": "a line that speakers judged wrong (--verdicts)",
}


def unit_of(manifest: Mapping[str, Any]) -> str:
    """Return the unit that a dataset's ledger counts: edges, sentences or lines."""
    if manifest["source"] == "conceptnet":
        return "edges"
    return "sentences" if manifest.get("settings", {}).get("unit") == "sentences" else "lines"


def judged_unit_of(manifest: Mapping[str, Any]) -> str:
    """Return the unit of a dataset that speakers judge: sentences or lines."""
    return unit_of(manifest).replace("edges", "sentences")


def reasons_of(source: str) -> Mapping[str, str]:
    """Return the reasons for dropping rows of a source, in order, with a description of each."""
    return EDGE_REASONS if source == "conceptnet" else WEB_REASONS


@dataclass(frozen=True)
class Tally:
    """A number of rows, and their bytes in UTF-8 (for an edge, of its two URIs)."""

    rows: int = 0
    bytes: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.rows + other.rows, self.bytes + other.bytes)


@dataclass(frozen=True)
class Ledger:
    """The rows that came in, that were kept, and that were dropped for each reason.

    `unsaid` splits the reason `relation_unsaid` by relation. `repaired` counts the rows, kept or not, that each repair
    changed. `judged_right` counts kept rows that would have been dropped if speakers had not judged them right.
    """

    came_in: Tally
    kept: Tally
    dropped: Mapping[str, Tally]
    unsaid: Mapping[str, int]
    repaired: Mapping[str, int] = field(default_factory=dict)
    judged_right: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        if sum(self.dropped.values(), self.kept) != self.came_in:
            raise AssertionError(f"the ledger does not add up: {self}")
        if sum(self.unsaid.values()) != self.dropped.get("relation_unsaid", Tally()).rows:
            raise AssertionError(f"unsaid relations do not add up: {self}")
        if self.judged_right.rows > self.kept.rows:
            raise AssertionError(f"more lines were judged right than kept: {self}")

    @property
    def share_kept(self) -> float:
        """Return the share of rows that were kept; 0 if none came in."""
        return self.kept.rows / self.came_in.rows if self.came_in.rows else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the ledger as JSON-like values, with the reasons in order."""
        return {
            "in": vars(self.came_in),
            "kept": vars(self.kept),
            "dropped": {reason: vars(tally) for reason, tally in self.dropped.items()},
            "unsaid_relations": dict(self.unsaid),
            **({"repaired": dict(self.repaired)} if self.repaired else {}),
            **({"judged_right": vars(self.judged_right)} if self.judged_right.rows else {}),
        }


def from_json(value: Mapping[str, Any]) -> Ledger:
    """Read a ledger from a manifest and check its sums."""
    dropped = {reason: Tally(**tally) for reason, tally in value["dropped"].items()}
    unsaid, repaired = dict(value.get("unsaid_relations", {})), dict(value.get("repaired", {}))
    right = Tally(**value.get("judged_right", {}))
    return Ledger(Tally(**value["in"]), Tally(**value["kept"]), dropped, unsaid, repaired, right)


def build_ledger(
    came_in: Tally, judged: pl.DataFrame, source: str = "conceptnet", repaired: Mapping[str, int] | None = None
) -> Ledger:
    """Build the ledger from a frame of all rows with columns `reason` (null: kept), `bytes` and `relation`.

    The reasons are those of the source. `came_in` is counted before the rows are judged, so that a row that gets lost
    on the way is noticed.
    """
    sums = judged.group_by("reason").agg(rows=pl.len(), bytes=pl.col("bytes").sum())
    tallies = {reason: Tally(rows, size) for reason, rows, size in sums.iter_rows()}
    unsaid = judged.filter(pl.col("reason") == "relation_unsaid").group_by("relation").len().sort("relation")
    dropped = {reason: tallies[reason] for reason in reasons_of(source) if reason in tallies}
    return Ledger(came_in, tallies.get(None, Tally()), dropped, dict(unsaid.iter_rows()), repaired or {})
