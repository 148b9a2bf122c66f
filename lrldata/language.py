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
    """Corpus sizes that Gurgurov et al. (2025) publish for a language; MB are 10**6 bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    conceptnet_sentences: int
    conceptnet_mb: float
    glotcc_documents: int
    glotcc_mb: float
    joshi_class: int


class Language(BaseModel):
    """One language, with its code in each system that knows it (None where a system does not)."""

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
        """Return what the Hub's card lint takes: lower-case ISO 639-1, else 639-3."""
        code = self.hub or self.iso639_1 or self.iso639_3 or self.code.split("-")[0]
        return "mis" if "qaa" <= code <= "qtz" and len(code) == 3 else code  # of private use: a language without a code

    @property
    def sources(self) -> tuple[str, ...]:
        """Name the sources that hold text of the language."""
        return tuple(name for name in ("conceptnet", "glotcc") if getattr(self, name))

    def spellings(self) -> set[str]:
        """Return every code and name that means this language, folded."""
        typed = [self.code, self.name, self.native_name, self.iso639_1, self.iso639_3, self.iso639_2b]
        typed += [self.flores, self.sib200, self.glotcc, *self.aliases]
        return {_fold(spelling) for spelling in typed if spelling}


ADDED = "LRL_LANGUAGES"
_CODE = re.compile(r"[a-z]{2,3}(_[A-Z][a-z]{3})?")
_SUBTAG = re.compile(r"[a-z]{4}|[a-z]{2}|[0-9]{3}")  # a script or a region of a BCP 47 tag


def _fold(spelling: str) -> str:
    return normalize("NFC", spelling.strip()).casefold().replace("-", "_").replace(" ", "_")


def languages() -> tuple[Language, ...]:
    """Return all languages: the 30 of the paper first, in its order, then the others by code, then the user's own.

    Those are in the file that the variable LRL_LANGUAGES names, in the form of languages.toml. Raises LanguageError.
    """
    return _languages(*_own_table())


def _own_table() -> tuple[object, ...]:
    """Return what tells the user's own table of languages from another: a session may name or edit it late."""
    return state_of(_own_file()) if os.environ.get(ADDED) else ()


def _own_file() -> Path:
    return Path(os.environ[ADDED]).expanduser()


@cache
def _languages(*_own: object) -> tuple[Language, ...]:
    table: dict[str, dict[str, Any]] = tomllib.loads(files("lrldata").joinpath("languages.toml").read_text("utf-8"))
    known = [Language(code=code, **row) for code, row in table.items()]
    return (*known, *_added(_own_file(), known)) if os.environ.get(ADDED) else tuple(known)


def _added(file: Path, known: Sequence[Language]) -> list[Language]:
    """Read rows of a user's own. Raises LanguageError for what is no such file, or of a language that is known."""
    taken = {spelling: row for row in known for spelling in (_fold(row.code), _fold(row.iso639_3 or row.code))}
    try:
        table = tomllib.loads(file.read_text("utf-8-sig"))
        added = [Language(code=code, **row) for code, row in table.items()]
    except (OSError, ValueError, TypeError, ValidationError) as error:
        told = one_line(error, 200)
        raise LanguageError(f"{ADDED}: {file}: {told}.", "Its form is that of lrldata/languages.toml.") from error
    for row in added:
        if not _CODE.fullmatch(row.code):
            raise LanguageError(
                f"{ADDED}: {file}: [{row.code}]: no code of a language.", "Two or three letters are one."
            )
        if other := taken.get(_fold(row.code)) or taken.get(_fold(row.iso639_3 or row.code)):
            raise LanguageError(
                f"{ADDED}: {file}: [{row.code}]: is known, as {other.name} ({other.code}).", "Take it out."
            )
    return added


def _by_spelling() -> dict[str, Language]:
    return _spellings(*_own_table())


@cache
def _spellings(*_own: object) -> dict[str, Language]:
    found: dict[str, Language] = {}
    # A row for a second script (`kas_Deva`) shares its ISO code with the main row, which wins.
    for language in sorted(languages(), key=lambda language: "_" in language.code):
        for spelling in language.spellings():
            found.setdefault(spelling, language)
    return found


def find(typed: "str | Language") -> Language:
    """Find a language by any code or name: ro, ron, rum, ron_Latn, ron-Latn, ro-RO, Romanian, română.

    A script in the tag picks among rows of one code (`ku-Latn` is Northern Kurdish); a region is ignored.

    Raises LanguageError with the nearest names.
    """
    if isinstance(typed, Language):
        return typed
    if not isinstance(typed, str):
        raise LanguageError(f"{typed!r} is not a language.", "Give a code or a name, as ro.")
    table = _by_spelling()
    folded = _fold(typed)
    if folded in table:
        return table[folded]
    first, *rest = folded.split("_")
    main = table.get(first)
    script = next((part.title() for part in rest if len(part) == 4 and part.isalpha()), None)
    if main is not None and all(_SUBTAG.fullmatch(part) for part in rest):
        if script and (row := table.get(f"{first}_{_fold(script)}")):
            return row
        kin = [row for row in languages() if row is main or (main.conceptnet and row.conceptnet == main.conceptnet)]
        for row in kin:
            if script is None or not row.scripts or script in row.scripts:
                return main if script is None else row
        written = ", ".join(main.scripts)
        raise LanguageError(
            f"{main.name} ({main.code}) is not known in the script {script!r}, only in: {written}.",
            f"Use --lang {main.code}, with --scripts any to keep terms of every script.",
        )
    near = difflib.get_close_matches(folded, table, n=8, cutoff=0.6)
    names = list(dict.fromkeys(f"{table[spelling].name} ({table[spelling].code})" for spelling in near))[:5]
    hint = f"Nearest: {', '.join(names)}." if names else ""
    more = f"`lrldata langs` lists them all; {ADDED} names a file of others."
    raise LanguageError(f"Unknown language {typed!r}.", f"{hint} {more}".strip())


def find_recorded(row: Mapping[str, Any]) -> Language:
    """Return the language of a manifest: as the table has it, or, where it is not in the table, as the manifest has it.

    So an adapter or dataset in a language of somebody's own can be used by others.
    """
    try:
        return find(str(row["code"]))
    except LanguageError:
        known = {key: value for key, value in row.items() if key in Language.model_fields and key != "paper"}
        return Language(**({"hub": row["hub_code"]} if row.get("hub_code") else {}) | known)


def language_name(code: str) -> str:
    """Name a language in English; a code that is in no table stays a code."""
    try:
        return find(code).name
    except LanguageError:
        return code


def as_typed(given: "str | Language | Iterable[str | Language]") -> str:
    """Return languages, or one, as they would be typed: codes and names with commas between. Raises LanguageError."""
    if isinstance(given, str):
        return given
    several = [given] if isinstance(given, Language) or not isinstance(given, Iterable) else list(given)
    return ",".join(each if isinstance(each, str) else find(each).code for each in several)


def parse(typed: str) -> list[Language]:
    """Read a `--lang` value: codes or names separated by commas, `paper` (the 30), or `all` (all in ConceptNet).

    `every` is all that ConceptNet or GlotCC-V1 hold.
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
