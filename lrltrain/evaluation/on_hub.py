"""Datasets of the Hub that are measured on, in the configuration of a language. IO."""

from pathlib import Path
from typing import Any

from datasets import get_dataset_config_names, load_dataset

from lrldata.errors import InputError, LanguageError, first_line
from lrldata.language import Language, find
from lrldata.web.inputs import type_of
from lrltrain.names import HUB_ID

_SHOWN = 8  # configurations that are named


def split_id(typed: str) -> tuple[str, str | None]:
    """Return the id of a dataset, and the configuration where one is named behind it: ORG/NAME/CONFIGURATION.

    What looks like a path here, or like a file, is no such thing.
    """
    identifier, _, configuration = typed.rpartition("/")
    here = Path(identifier).parent.exists() or type_of(configuration) or configuration.endswith(".devtest")
    named = identifier.count("/") == 1 and HUB_ID.fullmatch(identifier) and not here
    return (identifier, configuration) if named else (typed, None)


def load_parts(typed: str, usual: str | None, language: Language, hint: str) -> tuple[Any, str | None]:
    """Load the splits of a dataset: in the configuration that is named behind its id, else in the usual one.

    Where it has no usual one, in the language's own: that is the only one, or the one that is named by a code or the
    name of the language. Which one it was is returned beside it. Raises InputError.
    """
    identifier, named = split_id(typed)
    configuration = named or usual
    try:
        return load_dataset(identifier, configuration), configuration
    except Exception as error:
        # What cannot be reached is not asked again: that takes half a minute.
        held = _configurations(identifier) if isinstance(error, ValueError) else []
        own = None if named else _of_language(held, language)
        if own is not None and own != configuration:
            return load_parts(identifier, own, language, hint)
        if held and configuration not in held:
            shown = ", ".join(held[:_SHOWN]) + (", ..." if len(held) > _SHOWN else "")
            lacks = repr(named) if named else f"for {language.name} ({language.code})"
            hint = f"It has: {shown}. Name one behind the id, as {identifier}/{held[0]}."
            raise InputError(f"{identifier}: has no configuration {lacks}.", hint) from error
        if identifier.count("/") == 1 and Path(identifier).parent.is_dir():
            hint = f"There is no folder of this name here either. {hint}"
        raise InputError(f"{identifier}: cannot be loaded from the Hub: {first_line(error, 200)}", hint) from error


def _may_be_of(configuration: str, language: Language) -> bool:
    """Return whether a configuration is not named after another language."""
    try:
        return find(configuration).code == language.code
    except LanguageError:
        return True


def _configurations(identifier: str) -> list[str]:
    """Return the configurations of a dataset; none where it cannot be asked for them."""
    try:
        return list(get_dataset_config_names(identifier))
    except Exception:  # noqa: BLE001 -- what the first error said is told
        return []


def _of_language(held: list[str], language: Language) -> str | None:
    if len(held) == 1 and _may_be_of(held[0], language):
        return held[0]
    spelled = language.spellings() | ({language.wikiann} if language.wikiann else set())
    named = [each for each in held if each.casefold().replace("-", "_") in spelled]
    return named[0] if len(named) == 1 else None
