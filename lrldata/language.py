"""Languages: one row each in languages.toml, found by any code or name that a person would type."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from unicodedata import normalize

from pydantic import BaseModel, ConfigDict, ValidationError

from lrldata.errors import LanguageError, one_line
from lrldata.paths import state_of

COMPOSITE_SCRIPTS = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani")}


class PaperSizes(BaseModel):
    """The corpus sizes that Gurgurov et al. (2025) report for a language; MB are 10**6 bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    conceptnet_sentences: int
    conceptnet_mb: float
    glotcc_documents: int
    glotcc_mb: float
    joshi_class: int


class Language(BaseModel):
    """A language with its code in each system (None if a system does not have it)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    name: str
    native_name: str | None = None
    conceptnet: str | None = None
    iso639_3: str | None = None
    iso639_1: str | None = None
    iso639_2b: str | None = None
    hub: str | None = None
    glotcc: str | None = None
    flores: str | None = None
    sib200: str | None = None
    wikiann: str | None = None
    sentiment: str | None = None
    scripts: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    note: str | None = None
    paper: PaperSizes | None = None

    @property
    def hub_code(self) -> str:
        """Return the code that the Hub's card validation accepts: lower-case ISO 639-1, otherwise 639-3."""
        code = self.hub or self.iso639_1 or self.iso639_3 or re.split("[-_]", self.code)[0]
        return "mis" if "qaa" <= code <= "qtz" and len(code) == 3 else code  # private use: no official code

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources with text in the language."""
        return tuple(name for name in ("conceptnet", "glotcc") if getattr(self, name))

    def spellings(self) -> set[str]:
        """Return every code and name of this language, case-folded."""
        names = [self.code, self.name, self.native_name, self.iso639_1, self.iso639_3, self.iso639_2b]
        names += [self.flores, self.sib200, self.glotcc, *self.aliases]
        return {_fold(spelling) for spelling in names if spelling}


ADDED = "LRL_LANGUAGES"
_CODE = re.compile(r"[a-z]{2,3}(_[A-Z][a-z]{3})?")
_SCRIPT = re.compile(r"[A-Z][a-z]{3}")
_SUBTAG = re.compile(r"[a-z]{4}|[a-z]{2}|[0-9]{3}")  # a script or a region of a BCP 47 tag


def _fold(spelling: str) -> str:
    return normalize("NFC", spelling.strip()).casefold().replace("-", "_").replace(" ", "_")


def languages() -> tuple[Language, ...]:
    """Return all languages: the paper's 30 in its order, then the others by code, then the user's own.

    The user's own are in the file that the variable LRL_LANGUAGES names, in the format of languages.toml. Raises
    LanguageError.
    """
    return _languages(*table_state())


def table_state() -> tuple[object, ...]:
    """Return a cache key for the user's own language table, which a session may name or edit later."""
    return state_of(_user_file()) if os.environ.get(ADDED) else ()


def is_added(language: Language) -> bool:
    """Return whether a language is one of the user's own."""
    return language.code not in _built_in()


def _user_file() -> Path:
    return Path(os.environ[ADDED]).expanduser()


@cache
def _built_in() -> dict[str, Language]:
    table: dict[str, dict[str, Any]] = tomllib.loads(files("lrldata").joinpath("languages.toml").read_text("utf-8"))
    return {code: Language(code=code, **row) for code, row in table.items()}


@cache
def _languages(*_state: object) -> tuple[Language, ...]:
    built_in = list(_built_in().values())
    return (*built_in, *(_read_user_file(_user_file(), built_in) if os.environ.get(ADDED) else ()))


def _read_user_file(file: Path, built_in: Sequence[Language]) -> list[Language]:
    """Read the user's own rows. Raises LanguageError for an invalid file or a language that is already known."""
    taken = {spelling: row for row in built_in for spelling in row.spellings()}
    try:
        table = tomllib.loads(file.read_text("utf-8-sig"))
        rows = [Language(code=code, **row) for code, row in table.items()]
    except (OSError, ValueError, TypeError, ValidationError) as error:
        reason = one_line(error, 200)
        raise LanguageError(f"{ADDED}: {file}: {reason}.", "Use the format of lrldata/languages.toml.") from error
    for row in rows:
        if not _CODE.fullmatch(row.code):
            raise LanguageError(
                f"{ADDED}: {file}: [{row.code}]: not a language code.", "Use two or three lower-case letters."
            )
        is_second_script = "_" in row.code  # shares its ISO code with the main row
        codes = [row.code] if is_second_script else [row.code, row.iso639_3 or row.code]
        if existing := next((taken[_fold(code)] for code in codes if _fold(code) in taken), None):
            raise LanguageError(
                f"{ADDED}: {file}: [{row.code}]: already known as {existing.name} ({existing.code}).", "Remove it."
            )
        if unknown := [script for script in row.scripts if not is_script(script)]:
            raise LanguageError(
                f"{ADDED}: {file}: [{row.code}]: unknown script {unknown[0]!r}.",
                "Use codes of ISO 15924 that Unicode has, such as Latn, or Hani for Chinese characters.",
            )
        taken |= {_fold(code): row for code in codes}
    return rows


def is_script(code: str) -> bool:
    """Return whether Unicode has a script of this code (ISO 15924), written like Latn."""
    import polars as pl  # noqa: PLC0415 -- its regular expressions know the scripts; only this function needs it

    if not _SCRIPT.fullmatch(code):
        return False
    try:
        pl.Series([""]).str.contains(rf"\p{{sc={code}}}")
    except pl.exceptions.ComputeError:
        return False
    return True


def _by_spelling() -> dict[str, Language]:
    return _spellings(*table_state())


@cache
def _spellings(*_state: object) -> dict[str, Language]:
    by_spelling: dict[str, Language] = {}
    # A row for a second script (`kas_Deva`) shares its ISO code with the main row, which takes precedence.
    for language in sorted(languages(), key=lambda language: "_" in language.code):
        for spelling in language.spellings():
            by_spelling.setdefault(spelling, language)
    return by_spelling


def find(typed: "str | Language") -> Language:
    """Find a language by any code or name: ro, ron, rum, ron_Latn, ron-Latn, ro-RO, Romanian, română.

    A script in the tag selects among the rows of one code (`ku-Latn` is Northern Kurdish); a region is ignored.

    Raises LanguageError with the nearest matches.
    """
    if isinstance(typed, Language):
        return typed
    if not isinstance(typed, str):
        raise LanguageError(f"{typed!r} is not a language.", "Give a code or a name, e.g. ro.")
    table = _by_spelling()
    folded = _fold(typed)
    if folded in table:
        return table[folded]
    first, *rest = folded.split("_")
    main = table.get(first)
    script = next((part.title() for part in rest if len(part) == 4 and part.isalpha()), None)
    if main is not None and all(_SUBTAG.fullmatch(part) for part in rest):
        in_script = [f"{spelling}_{_fold(script)}" for spelling in (first, *sorted(main.spellings()))] if script else []
        if row := next(filter(None, map(table.get, in_script)), None):
            return row
        relatives = [
            row for row in languages() if row is main or (main.conceptnet and row.conceptnet == main.conceptnet)
        ]
        for row in sorted(relatives, key=lambda row: row is not main):
            if script is None or not row.scripts or {*COMPOSITE_SCRIPTS.get(script, (script,))} <= {*row.scripts}:
                return main if script is None else row
        scripts = ", ".join(main.scripts)
        raise LanguageError(
            f"{main.name} ({main.code}) is not known in the script {script!r}, only in: {scripts}.",
            f"Use --lang {main.code}, with --scripts any to keep terms of every script.",
        )
    matches = difflib.get_close_matches(folded, table, n=8, cutoff=0.6)
    names = list(dict.fromkeys(f"{table[spelling].name} ({table[spelling].code})" for spelling in matches))[:5]
    hint = f"Nearest: {', '.join(names)}." if names else ""
    advice = f"`lrldata langs` lists all languages; {ADDED} can name a file with others."
    raise LanguageError(f"Unknown language {typed!r}.", f"{hint} {advice}".strip())


def find_recorded(row: Mapping[str, Any]) -> Language:
    """Return the language of a manifest: the row of the table, or the manifest's own values if the table lacks it.

    This lets others use an adapter or dataset in a language that somebody has added.
    """
    try:
        return find(str(row["code"]))
    except LanguageError:
        fields = {key: value for key, value in row.items() if key in Language.model_fields and key != "paper"}
        return Language(**({"hub": row["hub_code"]} if row.get("hub_code") else {}) | fields)


def language_name(code: str) -> str:
    """Return the English name of a language; a code that is in no table is returned unchanged."""
    try:
        return find(code).name
    except LanguageError:
        return code


def as_typed(value: "str | Language | Iterable[str | Language]") -> str:
    """Return one or more languages as a user would type them: separated by commas. Raises LanguageError."""
    if isinstance(value, str):
        return value
    members = [value] if isinstance(value, Language) or not isinstance(value, Iterable) else list(value)
    return ",".join(member if isinstance(member, str) else find(member).code for member in members)


def parse(typed: str) -> list[Language]:
    """Parse a `--lang` value: codes or names separated by commas, `paper` (its 30), or `all` (all in ConceptNet).

    `every` means all languages in the table that are in ConceptNet or GlotCC-V1.
    """
    chosen: dict[str, Language] = {}
    for part in filter(None, (piece.strip() for piece in typed.split(","))):
        if part == "paper":
            rows = [language for language in languages() if language.paper]
        elif part == "all":
            rows = [language for language in languages() if language.conceptnet == language.code]
        elif part == "every":
            rows = [language for language in languages() if language.sources]
        else:
            rows = [find(part)]
        chosen |= {language.code: language for language in rows}
    if not chosen:
        raise LanguageError("No language given.", "Use --lang ro, --lang ro,mt,ug or --lang paper.")
    return list(chosen.values())
