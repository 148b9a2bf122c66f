"""Scripts that are asked for: which of a language's are kept, and whether a model knows the language in them. Pure."""

import re
from collections.abc import Iterable

from lrldata.errors import UsageError
from lrldata.langid import GLOTLID, LanguageModel, margins_of
from lrldata.language import COMPOSITE_SCRIPTS, Language, find, languages

_TAG = re.compile(r"[-_]([A-Za-z]{4})(?=[-_]|$)")
_SAME = 0.3  # the margin of languages that are told apart by spelling alone


def scripts_asked(language: Language, typed: str, asked: str | None) -> tuple[str, ...] | None:
    """Return the scripts in which a language is to be kept; None for all that it has.

    They are those of --scripts, or that of the tag in --lang (sr-Latn), where it is not the language's main one.
    Raises UsageError for one in which the language table does not have the language.
    """
    if asked is None:
        tags = (tag[1].title() for part in typed.split(",") if (tag := _TAG.search(part)) and _is(part, language))
        named = [tag for tag in tags if tag in language.scripts[1:]]
    else:
        each = [script.strip().title() for script in asked.split(",") if script.strip()]
        named = [script for name in each for script in COMPOSITE_SCRIPTS.get(name, (name,))]
        for script in named:
            if script not in language.scripts:
                known = ", ".join(language.scripts) or "none"
                raise UsageError(
                    f"--scripts: the language table has {language.name} ({language.code}) in {known}, not {script}.",
                    "Leave --scripts out, or name one that is there.",
                )
        if not named:
            raise UsageError("--scripts: names no script.", "Use codes as Latn or Cyrl,Latn (ISO 15924).")
    return tuple(script for script in language.scripts if script in named) or None


def _is(part: str, language: Language) -> bool:
    return find(part.strip()).code == language.code


def written_in(language: Language, scripts: tuple[str, ...] | None) -> Language:
    """Return a language that is written in these scripts alone."""
    return language.model_copy(update={"scripts": scripts}) if scripts else language


def kin_of(language: Language, scripts: tuple[str, ...] | None, labels: Iterable[str], model: str) -> frozenset[str]:
    """Return the languages for which a model takes the language in these scripts, as it was not trained on it in them.

    These are languages that differ from it in spelling alone, as Bosnian and Croatian do from Serbian in Latin
    letters. Raises UsageError where there is none: all text in that script would go as another language's.
    """
    known = [script for label in labels if (script := _script_of(label, language))]
    kin: set[str] = set()
    for script in scripts or ():
        if not known or script in known or "" in known:
            continue
        near = {code for code, margin in margins_of(language.code).items() if margin >= _SAME}
        here = {row.code for row in languages() if row.code in near and script in row.scripts}
        if not here:
            raise UsageError(
                f"--scripts: the model {model!r} that identifies languages knows {language.name} in "
                f"{', '.join(sorted(set(known)))} alone: text in {script} would go as that of another language.",
                "Name a model that knows it with --lid, or leave --scripts out.",
            )
        kin |= here
    return frozenset(kin)


def check_known(language: Language, model: LanguageModel, kin: Iterable[str] = ()) -> None:
    """Raise UsageError for a language that a model does not know: all its text would go as that of others."""
    if {language.code, *kin}.isdisjoint(model.languages.values()):
        others = "" if model.name == GLOTLID else "--lid glotlid knows more languages. "
        raise UsageError(
            f"--lid: the model {model.name!r} that identifies languages does not know {language.name} "
            f"({language.code}): all text in it would go as that of another language.",
            f"{others}With --lid none, all of your text is taken to be in {language.name}.",
        )


def _script_of(label: str, language: Language) -> str | None:
    """Return the script of a model's label for the language; empty where it names none, None for other languages."""
    code, _, script = label.replace("-", "_").partition("_")
    return script if code in (language.code, language.iso639_1, language.iso639_3) else None
