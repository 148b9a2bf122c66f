"""Sentences from facts: template sets as data, one TOML file each, and the one function that fills them in."""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from lrldata.conceptnet.relations import relations
from lrldata.conceptnet.triples import in_scripts
from lrldata.errors import InputError, UsageError
from lrldata.language import Language, find, languages
from lrldata.manifest import fingerprint

PartOfSpeech = Literal["noun", "verb", "adjective", "adverb"]
Case = tuple[str, PartOfSpeech]  # (end, verb): where the end is a verb
LETTERS: Mapping[PartOfSpeech, str] = {"noun": "n", "verb": "v", "adjective": "as", "adverb": "r"}  # of nodes' URIs
SLOTS = re.compile(r"\{(start|end)\}")
BUILT_IN = ("english", "paper", "native")
_DOTTED = frozenset(("az", "azj", "azb", "tr", "crh", "gag", "tt"))  # in which i has its dot in both cases


class TemplateSet(BaseModel):
    """Sentences with the slots {start} and {end}, by relation, in one language.

    `reviewed_by` names who has checked them: all, or those of `reviewed_relations`. With `as_stored`, symmetric facts
    are neither turned round nor merged, as in the paper. With
    `capitalized`, a sentence begins with a capital letter, also where a term is first. Where `spaced_terms` is
    `foreign`, as in scripts without spaces, a term of another script gets a space on each side. `start_is` and `end_is`
    have other sentences for facts of which a term is of that part of speech, where ConceptNet's node says so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    language: str
    script: str | None = None
    description: str
    reviewed: bool
    reviewed_by: tuple[str, ...]
    as_stored: bool = False
    capitalized: bool = False
    spaced_terms: Literal["all", "foreign"] = "all"
    relations: Mapping[str, tuple[str, ...]]
    reviewed_relations: tuple[str, ...] = ()
    start_is: Mapping[PartOfSpeech, Mapping[str, tuple[str, ...]]] = {}
    end_is: Mapping[PartOfSpeech, Mapping[str, tuple[str, ...]]] = {}

    @property
    def variants(self) -> dict[Case, Mapping[str, tuple[str, ...]]]:
        """Return the sentences for parts of speech; what an end is counts before what the start is."""
        cases: dict[Case, Mapping[str, tuple[str, ...]]] = {}
        cases |= {("end", part): sentences for part, sentences in sorted(self.end_is.items())}
        cases |= {("start", part): sentences for part, sentences in sorted(self.start_is.items())}
        return cases


@dataclass(frozen=True)
class Phrasebook:
    """The sentences for one build: those of `chosen`, and of `fallback` where it has none for a relation."""

    chosen: TemplateSet
    fallback: TemplateSet | None = None

    @property
    def sentences(self) -> dict[str, tuple[str, ...]]:
        """Return the phrasings by relation."""
        return {**(self.fallback.relations if self.fallback else {}), **self.chosen.relations}

    @property
    def variants(self) -> dict[Case, Mapping[str, tuple[str, ...]]]:
        """Return the phrasings for parts of speech; of the fallback those for relations that are its own."""
        found = dict(self.chosen.variants)
        for case, sentences in (self.fallback.variants if self.fallback else {}).items():
            own = {relation: some for relation, some in sentences.items() if relation not in self.chosen.relations}
            found[case] = {**own, **found.get(case, {})}
        return {case: sentences for case, sentences in found.items() if sentences}

    @property
    def fallback_relations(self) -> list[str]:
        """Name the relations that are said in the fallback's language."""
        return sorted(set(self.sentences) - set(self.chosen.relations))

    def as_json(self) -> dict[str, object]:
        """Describe the phrasebook for a manifest."""
        return {
            "name": self.chosen.name,
            "language": self.chosen.language,
            "reviewed": self.chosen.reviewed,
            "reviewed_by": list(self.chosen.reviewed_by),
            "fallback_relations": self.fallback_relations,
            **(
                {"reviewed_relations": sorted(self.chosen.reviewed_relations)} if self.chosen.reviewed_relations else {}
            ),
            "sha256": fingerprint({"sentences": self.sentences, "as_stored": self.chosen.as_stored, **self._more()}),
        }

    def _more(self) -> dict[str, object]:
        """Return what else shapes the sentences, where it is not as everywhere."""
        chosen = self.chosen
        variants = {f"{slot} {part}": sentences for (slot, part), sentences in self.variants.items()}
        form = {"capitalized": chosen.capitalized, "spaced_terms": chosen.spaced_terms == "foreign"}
        return ({"variants": variants} if variants else {}) | {name: True for name, value in form.items() if value}


def _folder() -> Traversable:
    return files("lrldata.conceptnet").joinpath("templates")


def read_templates(file: Traversable | Path, name: str) -> TemplateSet:
    """Read a template set. Raises InputError naming the file and the key that is wrong."""
    try:
        return TemplateSet(name=name, **tomllib.loads(file.read_text("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a TOML file: {error}.") from error
    except (ValidationError, TypeError) as error:
        where = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        key = ".".join(map(str, where["loc"]))
        raise InputError(
            f"{file}: {key}: {where['msg']}.", "`lrldata templates show english` shows the form."
        ) from error


@cache
def built_in(name: str) -> TemplateSet:
    """Return the set `english`, `paper` or `native/CODE`. Raises UsageError where there is none."""
    file = _folder().joinpath(f"{name}.toml")
    if not file.is_file():
        raise UsageError(f"No template set {name!r}.", f"There are: {', '.join(all_built_in())}.")
    return read_templates(file, name)


def all_built_in() -> list[str]:
    """Name every built-in set."""
    native = sorted(file.name.removesuffix(".toml") for file in _folder().joinpath("native").iterdir())
    return ["english", "paper", *(f"native/{code}" for code in native)]


def phrasebook(templates: str, language: Language) -> Phrasebook:
    """Return the sentences for a language: `english`, `paper`, `native`, or the path of a TOML file."""
    if templates.endswith(".toml"):
        if not Path(templates).is_file():
            raise UsageError(f"{templates}: no such template file.", f"Built in: {', '.join(BUILT_IN)}.")
        chosen = read_templates(Path(templates), Path(templates).stem)
        for problem in problems(chosen):
            raise InputError(f"{templates}: {problem}.", f"`lrldata templates check {templates}` lists all faults.")
        return Phrasebook(chosen, None if chosen.language == "en" else built_in("english"))
    if templates == "native":
        name = f"native/{language.code}"
        if name not in all_built_in():
            raise UsageError(
                f"No sentences in {language.name} ({language.code}) yet.",
                "Use --templates english, or write a file like lrldata/conceptnet/templates/native/ro.toml "
                "and name it with --templates.",
            )
        return Phrasebook(built_in(name), built_in("english"))
    if templates not in BUILT_IN:
        raise UsageError(f"No template set {templates!r}.", f"There are: {', '.join(BUILT_IN)}, or a file.toml.")
    return Phrasebook(built_in(templates))


def problems(templates: TemplateSet) -> Iterator[str]:
    """Yield what is wrong with a set: unknown relations, slots, Unicode form, letters of another script."""
    yield from (
        f"{each}: reviewed, and not there" for each in templates.reviewed_relations if each not in templates.relations
    )
    spoken = find(templates.language)
    scripts = (templates.script,) if templates.script else spoken.scripts
    everything = [templates.relations, *templates.variants.values()]
    for relation, sentences in (item for each in everything for item in each.items()):
        if relation not in templates.relations:
            yield f"{relation}: has sentences for a part of speech, and none for others"
        if relation not in relations():
            yield f"{relation}: no relation of ConceptNet 5.7"
        if not sentences:
            yield f"{relation}: no sentence"
        for sentence in sentences:
            if sorted(SLOTS.findall(sentence)) != ["end", "start"]:
                yield f"{relation}: {sentence!r} needs {{start}} and {{end}}, once each"
            if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in sentence):
                yield f"{relation}: {sentence!r} has a control character"
            if not unicodedata.is_normalized("NFC", sentence):
                yield f"{relation}: {sentence!r} is not in NFC"
            words = pl.DataFrame(
                {"word": re.findall(r"[^\W\d_]+", SLOTS.sub(" ", sentence))}, schema={"word": pl.String}
            )
            foreign = words.filter(~in_scripts(pl.col("word"), scripts))["word"].to_list()
            if foreign:
                yield f"{relation}: {', '.join(foreign)} is not in {'/'.join(scripts)}"


def missing(templates: TemplateSet) -> list[str]:
    """Name the relations of ConceptNet 5.7 that a set does not say."""
    return [relation for relation in relations() if relation not in templates.relations]


def expected_sets() -> list[str]:
    """Name the sets that must be there: English, the paper's, and one for each of its 30 languages."""
    return ["english", "paper", *(f"native/{language.code}" for language in languages() if language.paper)]


def say(
    facts: pl.DataFrame,
    sentences: Mapping[str, tuple[str, ...]],
    variants: Mapping[Case, Mapping[str, tuple[str, ...]]] | None = None,
) -> pl.DataFrame:
    """Add `text`: each fact in a sentence; the phrasing is chosen by `pair_hash`, so it never changes. Pure.

    Takes columns relation, start, end (terms) and pair_hash, with `variants` also start_node and end_node; relations
    without a sentence get null.
    """
    variants = variants or {}
    tables = {"": sentences, **{f"{slot} {part} ": some for (slot, part), some in variants.items()}}
    pieces = pl.DataFrame(
        [
            (f"{case}{relation}", variant, len(phrasings), *_cut(sentence))
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
        # The last digit of the hash chooses the split, so the phrasing is taken from the others.
        .with_columns(_variant=(pl.col("pair_hash") // 10) % pl.col("_variants"))
        .drop("_variants")
        .join(pieces.drop("_variants"), on=["_case", "_variant"], how="left", maintain_order="left")
        .with_columns(text=pl.concat_str(["_before", first, "_between", second, "_after"]))
        .drop("_case", "_variant", "_before", "_between", "_after", "_start_first")
    )


def _case(variants: Mapping[Case, Mapping[str, tuple[str, ...]]]) -> pl.Expr:
    """Return what a fact is looked up by: its relation, after `slot part` where a variant is for it."""
    case = pl.lit("")
    for (slot, part), sentences in reversed(list(variants.items())):  # the first is asked first
        # Few relations have variants, and to read nodes is slow.
        node = pl.when(pl.col("relation").is_in(list(sentences))).then(f"{slot}_node")
        is_part = node.str.contains(rf"^/c/[^/]+/[^/]+/[{LETTERS[part]}](?:/|$)")
        case = pl.when(is_part).then(pl.lit(f"{slot} {part} ")).otherwise(case)
    return pl.concat_str([case, "relation"])


def spaced(facts: pl.DataFrame, templates: TemplateSet) -> pl.DataFrame:
    """Return facts whose terms of another script have spaces around them, where the script has none. Pure."""
    if templates.spaced_terms == "all":
        return facts
    scripts = (templates.script,) if templates.script else find(templates.language).scripts
    return facts.with_columns(
        pl.when(in_scripts(pl.col(slot), scripts)).then(slot).otherwise(pl.concat_str([pl.lit(" "), slot, pl.lit(" ")]))
        .alias(slot)
        for slot in ("start", "end")
    )  # fmt: skip


def finished(text: pl.Expr, templates: TemplateSet) -> pl.Expr:
    """Return sentences as they are written: no spaces at their ends, with a capital letter where the set says so."""
    text = text.str.strip_chars(" ").str.replace_all("  ", " ") if templates.spaced_terms == "foreign" else text
    if not templates.capitalized:
        return text
    letter = text.str.head(1)
    if templates.language in _DOTTED:
        letter = letter.str.replace("i", "İ", literal=True)
    capital = letter.str.to_uppercase().str.replace_many(["Ǆ", "Ǉ", "Ǌ"], ["ǅ", "ǈ", "ǋ"])
    # A Georgian sentence has capitals throughout, or none.
    capital = pl.when(letter.str.contains(r"\p{Georgian}")).then(letter).otherwise(capital)
    return pl.concat_str([capital, text.str.slice(1)])


def put_into_words(facts: pl.DataFrame, book: Phrasebook) -> pl.DataFrame:
    """Add `text`, as `say` does, written as the set of the phrasebook wants it. Pure."""
    said = facts.pipe(spaced, book.chosen).pipe(say, book.sentences, book.variants)
    return said.with_columns(facts["start"], facts["end"], text=finished(pl.col("text"), book.chosen))


def _cut(sentence: str) -> tuple[str, str, str, bool]:
    before, slot, between, _, after = SLOTS.split(sentence)
    return before, between, after, slot == "start"
