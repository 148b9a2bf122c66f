"""The ledger as a funnel: the steps in order, what each one dropped, and what was left after it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lrldata.ledger import Ledger, Tally, reasons_of

# The steps of cleaning web text, by cost, each with its reasons (ledger.WEB_REASONS).
STEPS: Mapping[str, tuple[str, ...]] = {
    "Reading": (
        "no_text",
        "document_long",
        "quality_warning",
        "category",
        "inconsistent",
        "document_wrong_script",
    ),
    "Benchmark text": ("contaminated",),
    "Rules for lines": (
        "no_letters",
        "url",
        "code",
        "markup",
        "boilerplate",
        "captcha",
        "shop",
        "spam",
        "adult",
        "menu",
        "byline",
        "garbled",
        "few_letters",
        "short_line",
        "wrong_script",
        "gibberish",
    ),
    "Language": ("other_language", "document_other_language"),
    "Lines of pages": ("repeated_line",),
    "Documents": ("document_short", "document_repetition", "document_words", "document_list"),
    "Duplicates": (
        "document_duplicate",
        "near_duplicate",
        "exact_duplicate",
        "normalised_duplicate",
    ),
    "Size": ("above_max_bytes",),
    "Speakers": ("judged_wrong",),
}
# The steps for ConceptNet, with their reasons (ledger.EDGE_REASONS).
EDGE_STEPS: Mapping[str, tuple[str, ...]] = {
    "Links": ("external_url",),
    "Ends of the edge": ("language_only_at_end", "language_only_at_start"),
    "Terms": ("empty_term", "control_character", "self_loop", "same_term_in_two_languages"),
    "Weight and script": ("below_min_weight", "wrong_script"),
    "Sentences": ("relation_unsaid",),
    "Duplicates": ("stored_both_ways", "exact_duplicate", "normalised_duplicate"),
    "Speakers": ("judged_wrong",),
}
SPEAKERS = "Speakers"  # a step that is left out if it dropped nothing, because few datasets were reviewed
OTHER = "Other"  # for reasons that belong to no step


@dataclass(frozen=True)
class Drop:
    """What was dropped for one reason, and what was left after it."""

    reason: str
    words: str
    gone: Tally
    left: Tally


@dataclass(frozen=True)
class Step:
    """What was dropped in one step, and what was left after it."""

    name: str
    drops: tuple[Drop, ...]
    gone: Tally
    left: Tally


def steps_of(source: str) -> Mapping[str, tuple[str, ...]]:
    """Return the steps of a source, each with its reasons."""
    return EDGE_STEPS if source == "conceptnet" else STEPS


def step_of(reason: str, source: str) -> str:
    """Return the name of the step that a reason belongs to."""
    return next((name for name, reasons in steps_of(source).items() if reason in reasons), OTHER)


def words_of(reason: str, source: str) -> str:
    """Describe a reason in words, or by its name if it is unknown, as one of another version."""
    return reasons_of(source).get(reason, reason.replace("_", " "))


def funnel(ledger: Ledger, source: str) -> list[Step]:
    """Return the steps of a source in order; what is left after the last one is what was kept.

    A step without reasons is left out. A step whose reasons applied to nothing is included, with nothing dropped.
    """
    return list(_steps(ledger, source))


def _steps(ledger: Ledger, source: str) -> Iterator[Step]:
    steps = dict(steps_of(source))
    listed = {reason for reasons in steps.values() for reason in reasons}
    steps[OTHER] = tuple(reason for reason in ledger.dropped if reason not in listed)
    left = ledger.came_in
    for name, reasons in steps.items():
        before, drops = left, []
        for reason in reasons:
            if reason in ledger.dropped:
                gone = ledger.dropped[reason]
                left = _less(left, gone)
                drops.append(Drop(reason, words_of(reason, source), gone, left))
        if drops or (reasons and name != SPEAKERS):
            yield Step(name, tuple(drops), _less(before, left), left)


def _less(tally: Tally, gone: Tally) -> Tally:
    return Tally(tally.rows - gone.rows, tally.bytes - gone.bytes)
