"""Template sets: sentences with slots for the terms of a fact, stored as TOML files."""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from lrldata.conceptnet.relations import relations
from lrldata.conceptnet.triples import in_scripts
from lrldata.errors import InputError, LanguageError, UsageError
from lrldata.language import Language, find, is_script, languages
from lrldata.manifest import fingerprint

PartOfSpeech = Literal["noun", "verb", "adjective", "adverb"]
Case = tuple[str, PartOfSpeech]  # ("end", "verb"): the end of the fact is a verb
SLOTS = re.compile(r"\{(start|end)\}")
BUILT_IN = ("english", "paper", "native")


class TemplateSet(BaseModel):
    """Sentences with the slots {start} and {end}, by relation, in one language.

    `reviewed_by` names who has checked the sentences: all of them, or those of `reviewed_relations`. With `as_stored`,
    symmetric facts are neither turned nor merged, as in the paper. With `capitalized`, a sentence begins with a capital
    letter even if a term comes first. If `spaced_terms` is `foreign`, as in scripts without spaces, a term in another
    script gets a space on each side. `start_is` and `end_is` have the sentences for facts whose term has a certain part
    of speech, if ConceptNet's node states it.
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

    @field_validator("script")
    @classmethod
    def _check_script(cls, script: str | None) -> str | None:
        if script is not None and not is_script(script):
            raise ValueError(f"{script!r} is not a script; use a code of ISO 15924 such as Latn")
        return script

    @property
    def variants(self) -> dict[Case, Mapping[str, tuple[str, ...]]]:
        """Return the sentences for parts of speech. Those for the end take precedence over those for the start."""
        cases: dict[Case, Mapping[str, tuple[str, ...]]] = {}
        cases |= {("end", part): sentences for part, sentences in sorted(self.end_is.items())}
        cases |= {("start", part): sentences for part, sentences in sorted(self.start_is.items())}
        return cases


@dataclass(frozen=True)
class Phrasebook:
    """The sentences for one build: those of `chosen`, and those of `fallback` for relations that it lacks.

    `file` is the name of the file, if the set is not built in.
    """

    chosen: TemplateSet
    fallback: TemplateSet | None = None
    file: str | None = None

    @property
    def sentences(self) -> dict[str, tuple[str, ...]]:
        """Return the sentences by relation."""
        return {**(self.fallback.relations if self.fallback else {}), **self.chosen.relations}

    @property
    def variants(self) -> dict[Case, Mapping[str, tuple[str, ...]]]:
        """Return the sentences for parts of speech; the fallback's only for relations that `chosen` lacks."""
        cases = dict(self.chosen.variants)
        for case, sentences in (self.fallback.variants if self.fallback else {}).items():
            extra = {
                relation: phrasings
                for relation, phrasings in sentences.items()
                if relation not in self.chosen.relations
            }
            cases[case] = {**extra, **cases.get(case, {})}
        return {case: sentences for case, sentences in cases.items() if sentences}

    @property
    def fallback_relations(self) -> list[str]:
        """Return the names of the relations whose sentences come from the fallback."""
        return sorted(set(self.sentences) - set(self.chosen.relations))

    def as_json(self) -> dict[str, object]:
        """Return the phrasebook as a manifest records it."""
        return {
            "name": self.chosen.name,
            **({"file": self.file} if self.file else {}),
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
        """Return the other properties that shape the sentences, if they are not the defaults."""
        chosen = self.chosen
        variants = {f"{slot} {part}": sentences for (slot, part), sentences in self.variants.items()}
        form = {"capitalized": chosen.capitalized, "spaced_terms": chosen.spaced_terms == "foreign"}
        return ({"variants": variants} if variants else {}) | {name: True for name, value in form.items() if value}


def _folder() -> Traversable:
    return files("lrldata.conceptnet").joinpath("templates")


def read_templates(file: Traversable | Path, name: str) -> TemplateSet:
    """Read a template set. Raises InputError with the file and the key that is wrong."""
    hint = "`lrldata templates show english` shows the format."
    try:
        values = tomllib.loads(file.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a TOML file: {error}.") from error
    if "name" in values:
        raise InputError(f"{file}: unknown key 'name'; a set is named after its file.", hint)
    try:
        return TemplateSet.model_validate({"name": name, **values})
    except ValidationError as error:
        fault = error.errors()[0]
        key, message = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
        raise InputError(f"{file}: {key}: {message}.", hint) from error


@cache
def built_in(name: str) -> TemplateSet:
    """Return the set `english`, `paper` or `native/CODE`. Raises UsageError if there is no such set."""
    file = _folder().joinpath(f"{name}.toml")
    if not file.is_file():
        raise UsageError(f"No template set {name!r}.", f"Available: {', '.join(all_built_in())}.")
    return read_templates(file, name)


def all_built_in() -> list[str]:
    """Return the names of all built-in sets."""
    native = sorted(file.name.removesuffix(".toml") for file in _folder().joinpath("native").iterdir())
    return ["english", "paper", *(f"native/{code}" for code in native)]


def phrasebook(templates: str, language: Language) -> Phrasebook:
    """Return the sentences for a language: `english`, `paper`, `native`, or the path of a TOML file."""
    if templates.endswith(".toml"):
        if not Path(templates).is_file():
            raise UsageError(f"{templates}: no such template file.", f"Built in: {', '.join(BUILT_IN)}.")
        chosen = read_templates(Path(templates), Path(templates).stem)
        for problem in problems(chosen):
            raise InputError(f"{templates}: {problem}.", f"`lrldata templates check {templates}` lists all problems.")
        spoken = find(chosen.language)
        if spoken.code not in (language.code, "en"):
            message = f"{templates}: its sentences are in {spoken.name} ({spoken.code}), not in {language.name}."
            raise UsageError(
                message, f"Build {language.code} separately, with sentences in its language or in English."
            )
        chosen = chosen.model_copy(update={"language": spoken.code})
        return Phrasebook(chosen, None if spoken.code == "en" else built_in("english"), Path(templates).name)
    if templates == "native":
        name = f"native/{language.code}"
        if name not in all_built_in():
            raise UsageError(
                f"No sentences in {language.name} ({language.code}) yet.",
                "Write a file like lrldata/conceptnet/templates/native/ro.toml and pass it with --templates, or build "
                "with --templates english.",
            )
        return Phrasebook(built_in(name), built_in("english"))
    if templates not in BUILT_IN:
        raise UsageError(f"No template set {templates!r}.", f"Use {', '.join(BUILT_IN)}, or the path of a .toml file.")
    return Phrasebook(built_in(templates))


def problems(templates: TemplateSet) -> Iterator[str]:
    """Yield the problems of a set: unknown language or relations, wrong slots, text not in NFC or in another script."""
    try:
        spoken = find(templates.language)
    except LanguageError as error:
        yield f"language: {error.message.rstrip('.')}"
        return
    yield from (
        f"{name}: marked as reviewed, but it has no sentences"
        for name in templates.reviewed_relations
        if name not in templates.relations
    )
    scripts = (templates.script,) if templates.script else spoken.scripts
    tables = [templates.relations, *templates.variants.values()]
    for relation, sentences in (item for table in tables for item in table.items()):
        if relation not in templates.relations:
            yield f"{relation}: has sentences for a part of speech, but no default sentence"
        if relation not in relations():
            yield f"{relation}: not a relation of ConceptNet 5.7"
        if not sentences:
            yield f"{relation}: has no sentence"
        for sentence in sentences:
            yield from (f"{relation}: {problem}" for problem in _sentence_problems(sentence, scripts))


def _sentence_problems(sentence: str, scripts: Sequence[str]) -> Iterator[str]:
    if sorted(SLOTS.findall(sentence)) != ["end", "start"]:
        yield f"{sentence!r} must have {{start}} and {{end}} exactly once each"
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in sentence):
        yield f"{sentence!r} has a control character"
    if not unicodedata.is_normalized("NFC", sentence):
        yield f"{sentence!r} is not in NFC"
    words = pl.DataFrame({"word": re.findall(r"[^\W\d_]+", SLOTS.sub(" ", sentence))}, schema={"word": pl.String})
    foreign = words.filter(~in_scripts(pl.col("word"), scripts))["word"].to_list()
    if foreign:
        yield f"{', '.join(foreign)} is not in {'/'.join(scripts)}"


def missing(templates: TemplateSet) -> list[str]:
    """Return the relations of ConceptNet 5.7 for which a set has no sentence."""
    return [relation for relation in relations() if relation not in templates.relations]


def expected_sets() -> list[str]:
    """Return the names of the sets that must exist: English, the paper's, and one for each of its 30 languages."""
    return ["english", "paper", *(f"native/{language.code}" for language in languages() if language.paper)]
