"""Requested scripts: which scripts of a language are kept, and whether a model knows the language in them. Pure."""

import re
from collections.abc import Iterable

from lrldata.errors import UsageError
from lrldata.langid import GLOTLID, LanguageModel, margins_of
from lrldata.language import COMPOSITE_SCRIPTS, Language, find, languages

_TAG = re.compile(r"[-_]([A-Za-z]{4})(?=[-_]|$)")
_SAME = 0.3  # the margin of languages that differ only in spelling


def requested_scripts(language: Language, typed: str, option: str | None) -> tuple[str, ...] | None:
    """Return the scripts in which a language is kept; None for all its scripts.

    They come from --scripts, or from the tags in --lang (sr-Latn), unless one of these is the language's main script,
    which stands for the language. Raises UsageError for a script that the language table does not have for it.
    """
    if option is None:
        parts = typed.split(",")
        tags = [tag[1].title() for part in parts if (tag := _TAG.search(part)) and _names(part, language)]
        selected = [] if set(language.scripts[:1]) & set(tags) else tags
    else:
        names = [script.strip().title() for script in option.split(",") if script.strip()]
        selected = [script for name in names for script in COMPOSITE_SCRIPTS.get(name, (name,))]
        for script in selected:
            if script not in language.scripts:
                known = ", ".join(language.scripts) or "none"
                raise UsageError(
                    f"--scripts: the language table has {language.name} ({language.code}) in {known}, not {script}.",
                    "Leave out --scripts, or name a script that the language has.",
                )
        if not selected:
            raise UsageError("--scripts: names no script.", "Use codes such as Latn or Cyrl,Latn (ISO 15924).")
    return tuple(script for script in language.scripts if script in selected) or None


def _names(part: str, language: Language) -> bool:
    return find(part.strip()).code == language.code


def restrict_scripts(language: Language, scripts: tuple[str, ...] | None) -> Language:
    """Return a language, restricted to these scripts."""
    return language.model_copy(update={"scripts": scripts}) if scripts else language


def kin_of(language: Language, scripts: tuple[str, ...] | None, labels: Iterable[str], model: str) -> frozenset[str]:
    """Return the languages that a model mistakes the language for in these scripts, as it was not trained on them.

    These languages differ from it only in spelling, as Bosnian and Croatian differ from Serbian in Latin script. Raises
    UsageError if there are none: all text in the script would be dropped as that of another language.
    """
    labels = list(labels)
    known = [script for label in labels if (script := _script_of(label, language))]
    kin: set[str] = set()
    for script in scripts or ():
        if not known or script in known or "" in known:
            continue
        similar = {code for code, margin in margins_of(language.code).items() if margin >= _SAME}
        rows = [row for row in languages() if row.code in similar]
        candidates = {row.code for row in rows if any(_script_of(label, row) == script for label in labels)}
        if not candidates:
            raise UsageError(
                f"--scripts: the language identification model {model!r} knows {language.name} only in "
                f"{', '.join(sorted(set(known)))}: text in {script} would be dropped as that of another language.",
                "Name a model that knows it with --lid, or leave out --scripts.",
            )
        kin |= candidates
    return frozenset(kin)


def check_known(language: Language, model: LanguageModel, kin: Iterable[str] = ()) -> None:
    """Raise UsageError if a model does not know a language: all its text would be dropped as that of others."""
    if {language.code, *kin}.isdisjoint(model.languages.values()):
        others = "" if model.name == GLOTLID else "--lid glotlid knows more languages. "
        raise UsageError(
            f"--lid: the language identification model {model.name!r} does not know {language.name} "
            f"({language.code}): all text in it would be dropped as that of another language.",
            f"{others}With --lid none, all of your text is taken to be in {language.name}.",
        )


def _script_of(label: str, language: Language) -> str | None:
    """Return the script in a model's label for the language; empty if it names none, None for other languages."""
    code, _, script = label.replace("-", "_").partition("_")
    return script if code in (language.code, language.iso639_1, language.iso639_3) else None
