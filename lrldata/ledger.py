"""The ledger: every row that came in was either kept or dropped for a named reason, and the sums match. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

# The reasons for which an edge may be dropped, in the order in which they are looked for: the first one counts.
EDGE_REASONS = {
    "external_url": "a link to a page, not a fact",
    "language_only_at_end": "the edge does not start in the language (--edges)",
    "language_only_at_start": "the edge does not end in the language (--edges)",
    "empty_term": "a term without text",
    "control_character": "a term with a control character",
    "self_loop": "a term joined to itself",
    "same_term_in_two_languages": "both ends read the same: nothing is said",
    "below_min_weight": "weight below --min-weight",
    "wrong_script": "a term in a script that is not the language's (--scripts)",
    "relation_unsaid": "no template for the relation",
    "stored_both_ways": "a symmetric fact that is also stored the other way round",
    "exact_duplicate": "the same sentence, from another sense or source",
    "normalised_duplicate": "the same sentence but for case, spaces or Unicode form",
    "judged_wrong": "a sentence that speakers called wrong (--verdicts)",
}
# The same for a line of web text.
WEB_REASONS = {
    "no_text": "a document without text",
    "document_long": "a document too long to be a page",
    "quality_warning": "a document that GlotCC itself flags",
    "category": "a document of a kind that is left out, as GlotCC files it",
    "inconsistent": "a document of which little is in the language, as GlotCC found",
    "document_wrong_script": "a document that is mostly in another script, as GlotCC found",
    "contaminated": "a line that has text of a benchmark",
    "no_letters": "a line without a letter",
    "url": "a line that is an address, or mostly",
    "code": "a line of code or markup",
    "markup": "a line of JSON, or of a wiki's or a page's markup",
    "boilerplate": "what a page says of itself: cookies, copyright, logging in",
    "captcha": "a line that asks readers to prove that they are human",
    "shop": "a line of a shop: goods, a price, a button",
    "spam": "a line of words of gambling, pills and bought followers",
    "adult": "a line of words of adult pages",
    "menu": "a line of items between separators, or of entries of menus",
    "byline": "a line of a name and a time",
    "garbled": "a line with symbols inside its words, as of a bad scan",
    "few_letters": "a line of which less than half is letters",
    "short_line": "a line of few letters",
    "wrong_script": "a line in a script that is not the language's",
    "gibberish": "a line of random letters",
    "other_language": "a line in another language",
    "document_other_language": "a document that is mostly in another language",
    "repeated_line": "a line that many documents have: a part of the pages, not of their text",
    "document_short": "a document of which little was left",
    "document_repetition": "a document that says the same again and again",
    "document_words": "a document of words too short or too long for the language",
    "document_list": "a document of items or of beginnings, not of sentences",
    "document_duplicate": "a repeat of another document, but for case and spaces",
    "near_duplicate": "a document that is nearly the same as a longer one",
    "exact_duplicate": "the same line again",
    "normalised_duplicate": "the same line but for case",
    "above_max_bytes": "beyond the most that was asked for (--max-bytes)",
    "judged_wrong": "a line that speakers called wrong (--verdicts)",
}


def unit_of(manifest: Mapping[str, Any]) -> str:
    """Return what the ledger of a dataset counts: edges, sentences or lines."""
    if manifest["source"] == "conceptnet":
        return "edges"
    return "sentences" if manifest.get("settings", {}).get("unit") == "sentences" else "lines"


def judged_unit_of(manifest: Mapping[str, Any]) -> str:
    """Return what speakers judge of a dataset: sentences or lines."""
    return unit_of(manifest).replace("edges", "sentences")


def reasons_of(source: str) -> Mapping[str, str]:
    """Return the reasons for which rows of a source may be dropped, in their order, each in words."""
    return EDGE_REASONS if source == "conceptnet" else WEB_REASONS


@dataclass(frozen=True)
class Tally:
    """Rows, and their bytes in UTF-8 (of an edge: of its two URIs)."""

    rows: int = 0
    bytes: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.rows + other.rows, self.bytes + other.bytes)


@dataclass(frozen=True)
class Ledger:
    """What came in, what was kept, and what was dropped for each reason.

    `unsaid` splits the reason `relation_unsaid` by relation; `repaired` says how many rows were changed, kept or not,
    by what was repaired. Of what was kept `judged_right` would have gone, had speakers not said that it is right.
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
        """Return the share of the rows that was kept; 0 when none came in."""
        return self.kept.rows / self.came_in.rows if self.came_in.rows else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the ledger as JSON-like values, reasons in their order."""
        return {
            "in": vars(self.came_in),
            "kept": vars(self.kept),
            "dropped": {reason: vars(tally) for reason, tally in self.dropped.items()},
            "unsaid_relations": dict(self.unsaid),
            **({"repaired": dict(self.repaired)} if self.repaired else {}),
            **({"judged_right": vars(self.judged_right)} if self.judged_right.rows else {}),
        }


def from_json(value: Mapping[str, Any]) -> Ledger:
    """Read a ledger back from a manifest; the sums are checked."""
    dropped = {reason: Tally(**tally) for reason, tally in value["dropped"].items()}
    unsaid, repaired = dict(value.get("unsaid_relations", {})), dict(value.get("repaired", {}))
    right = Tally(**value.get("judged_right", {}))
    return Ledger(Tally(**value["in"]), Tally(**value["kept"]), dropped, unsaid, repaired, right)


def build_ledger(
    came_in: Tally, judged: pl.DataFrame, source: str = "conceptnet", repaired: Mapping[str, int] | None = None
) -> Ledger:
    """Make the ledger of a frame of all rows with columns `reason` (null: kept), `bytes` and `relation`.

    The reasons are those of the source. `came_in` is counted before the rows were judged, so that a row lost on the way
    is found out.
    """
    sums = judged.group_by("reason").agg(rows=pl.len(), bytes=pl.col("bytes").sum())
    tallies = {reason: Tally(rows, size) for reason, rows, size in sums.iter_rows()}
    unsaid = judged.filter(pl.col("reason") == "relation_unsaid").group_by("relation").len().sort("relation")
    dropped = {reason: tallies[reason] for reason in reasons_of(source) if reason in tallies}
    return Ledger(came_in, tallies.get(None, Tally()), dropped, dict(unsaid.iter_rows()), repaired or {})
