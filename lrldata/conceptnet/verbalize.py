"""Turn facts into sentences with the phrasings of a phrasebook. Pure."""

from collections.abc import Mapping

import polars as pl

from lrldata.conceptnet.template_sets import SLOTS, Case, PartOfSpeech, Phrasebook, TemplateSet
from lrldata.conceptnet.triples import in_scripts
from lrldata.language import find

_LETTERS: Mapping[PartOfSpeech, str] = {"noun": "n", "verb": "v", "adjective": "as", "adverb": "r"}  # in node URIs
_DOTTED = frozenset(("az", "azj", "azb", "tr", "crh", "gag", "tt"))  # languages whose capital i keeps its dot


def choose_template(
    facts: pl.DataFrame,
    sentences: Mapping[str, tuple[str, ...]],
    variants: Mapping[Case, Mapping[str, tuple[str, ...]]] | None = None,
) -> pl.DataFrame:
    """Add `text`, each fact as a sentence. `pair_hash` chooses the phrasing, so it never changes. Pure.

    Takes the columns relation, start, end (terms) and pair_hash, and with `variants` also start_node, end_node and
    turned (whether the terms have changed places; the nodes never do).
    Relations without a sentence get null.
    """
    variants = variants or {}
    tables = {"": sentences, **{f"{slot} {part} ": by_relation for (slot, part), by_relation in variants.items()}}
    pieces = pl.DataFrame(
        [
            (f"{case}{relation}", variant, len(phrasings), *_split_at_slots(sentence))
            for case, table in tables.items()
            for relation, phrasings in table.items()
            for variant, sentence in enumerate(phrasings)
        ],
        schema={
            "_case": pl.String, "_variant": pl.UInt64, "_variants": pl.UInt64,
            "_before": pl.String, "_between": pl.String, "_after": pl.String, "_start_first": pl.Boolean,
        },
        orient="row",
    )  # fmt: skip
    counts = pieces.group_by("_case").agg(pl.col("_variants").first())
    first = pl.when("_start_first").then("start").otherwise("end")
    second = pl.when("_start_first").then("end").otherwise("start")
    return (
        facts.with_columns(_case=_case(variants))
        .join(counts, on="_case", how="left", maintain_order="left")
        # The last digit of the hash chooses the split, so the others choose the phrasing.
        .with_columns(_variant=(pl.col("pair_hash") // 10) % pl.col("_variants"))
        .drop("_variants")
        .join(pieces.drop("_variants"), on=["_case", "_variant"], how="left", maintain_order="left")
        .with_columns(text=pl.concat_str(["_before", first, "_between", second, "_after"]))
        .drop("_case", "_variant", "_before", "_between", "_after", "_start_first")
    )


def _case(variants: Mapping[Case, Mapping[str, tuple[str, ...]]]) -> pl.Expr:
    """Return the key of a fact's sentences: its relation, after `slot part ` if there is a variant for it."""
    case = pl.lit("")
    for (slot, part), sentences in reversed(list(variants.items())):  # so that the first one takes precedence
        # Few relations have variants, and matching nodes is slow.
        other = "end" if slot == "start" else "start"
        of_slot = pl.when("turned").then(f"{other}_node").otherwise(f"{slot}_node")
        node = pl.when(pl.col("relation").is_in(list(sentences))).then(of_slot)
        is_part = node.str.contains(rf"^/c/[^/]+/[^/]+/[{_LETTERS[part]}](?:/|$)")
        case = pl.when(is_part).then(pl.lit(f"{slot} {part} ")).otherwise(case)
    return pl.concat_str([case, "relation"])


def spaced(facts: pl.DataFrame, templates: TemplateSet) -> pl.DataFrame:
    """Put spaces around terms in another script if the set's script has none. Pure."""
    if templates.spaced_terms == "all":
        return facts
    scripts = (templates.script,) if templates.script else find(templates.language).scripts
    return facts.with_columns(
        pl.when(in_scripts(pl.col(slot), scripts)).then(slot).otherwise(pl.concat_str([pl.lit(" "), slot, pl.lit(" ")]))
        .alias(slot)
        for slot in ("start", "end")
    )  # fmt: skip


def finished(text: pl.Expr, templates: TemplateSet) -> pl.Expr:
    """Return sentences in written form: no spaces at the ends, and a capital letter if the set requires one."""
    text = text.str.strip_chars(" ").str.replace_all("  ", " ") if templates.spaced_terms == "foreign" else text
    if not templates.capitalized:
        return text
    letter = text.str.head(1)
    if templates.language in _DOTTED:
        letter = letter.str.replace("i", "İ", literal=True)
    capital = letter.str.to_uppercase().str.replace_many(["Ǆ", "Ǉ", "Ǌ"], ["ǅ", "ǈ", "ǋ"])
    # Georgian does not capitalize the first letter only: all of a sentence is in capitals, or none of it.
    capital = pl.when(letter.str.contains(r"\p{Georgian}")).then(letter).otherwise(capital)
    return pl.concat_str([capital, text.str.slice(1)])


def verbalize(facts: pl.DataFrame, book: Phrasebook) -> pl.DataFrame:
    """Add `text` as `choose_template` does, with the spaces and capitals of the phrasebook's set. Pure."""
    worded = facts.pipe(spaced, book.chosen).pipe(choose_template, book.sentences, book.variants)
    return worded.with_columns(facts["start"], facts["end"], text=finished(pl.col("text"), book.chosen))


def _split_at_slots(sentence: str) -> tuple[str, str, str, bool]:
    before, slot, between, _, after = SLOTS.split(sentence)
    return before, between, after, slot == "start"
