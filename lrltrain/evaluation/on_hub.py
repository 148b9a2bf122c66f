"""Evaluation datasets on the Hub, loaded in the configuration of a language. IO."""

from pathlib import Path
from typing import Any

from datasets import get_dataset_config_names, load_dataset

from lrldata.errors import InputError, LanguageError, first_line, is_of_machine
from lrldata.language import Language, find
from lrldata.web.inputs import type_of
from lrltrain.names import HUB_ID

_SHOWN = 8  # configurations listed in a message


def split_id(typed: str) -> tuple[str, str | None]:
    """Split ORG/NAME/CONFIGURATION into the id of a dataset and its configuration, which is None if there is none.

    Anything that looks like a local path or file is returned whole.
    """
    identifier, _, configuration = typed.rpartition("/")
    is_local = Path(identifier).parent.exists() or type_of(configuration) or configuration.endswith(".devtest")
    has_configuration = identifier.count("/") == 1 and HUB_ID.fullmatch(identifier) and not is_local
    return (identifier, configuration) if has_configuration else (typed, None)


def load_parts(typed: str, usual: str | None, language: Language, hint: str) -> tuple[Any, str | None]:
    """Load the splits of a dataset in the configuration that is part of the id, or else in its usual one.

    If that fails and the id has no configuration, the language's own is loaded: the only one, or the one named by a
    code or the name of the language. The configuration is returned with the splits. Raises InputError.
    """
    identifier, requested = split_id(typed)
    configuration = requested or usual
    try:
        return load_dataset(identifier, configuration), configuration
    except Exception as error:
        if is_of_machine(error):
            raise
        # If the Hub cannot be reached, asking again would take half a minute.
        available = _configurations(identifier) if isinstance(error, ValueError) else []
        suitable = None if requested else _of_language(available, language)
        if suitable is not None and suitable != configuration:
            return load_parts(identifier, suitable, language, hint)
        if available and configuration not in available:
            listed = ", ".join(available[:_SHOWN]) + (", ..." if len(available) > _SHOWN else "")
            missing = repr(requested) if requested else f"for {language.name} ({language.code})"
            hint = f"It has: {listed}. Append one to the id, as in {identifier}/{available[0]}."
            raise InputError(f"{identifier}: has no configuration {missing}.", hint) from error
        if identifier.count("/") == 1 and Path(identifier).parent.is_dir():
            hint = f"There is no local folder of this name either. {hint}"
        raise InputError(f"{identifier}: cannot be loaded from the Hub: {first_line(error, 200)}.", hint) from error


def _may_be_of(configuration: str, language: Language) -> bool:
    """Return whether a configuration may be one of this language: it is not named after another one."""
    try:
        return find(configuration).code == language.code
    except LanguageError:
        return True


def _configurations(identifier: str) -> list[str]:
    """Return the configurations of a dataset, or none if they cannot be listed."""
    try:
        return list(get_dataset_config_names(identifier))
    except Exception:  # noqa: BLE001 -- the first error is reported
        return []


def _of_language(available: list[str], language: Language) -> str | None:
    if len(available) == 1 and _may_be_of(available[0], language):
        return available[0]
    spelled = language.spellings() | ({language.wikiann} if language.wikiann else set())
    matches = [name for name in available if name.casefold().replace("-", "_") in spelled]
    return matches[0] if len(matches) == 1 else None
