"""Shell completion of language codes and built-in names."""

from collections.abc import Callable


def complete_languages(typed: str) -> list[str]:
    """Return the codes that complete what was typed; after a comma, those of the next language."""
    from lrldata.language import languages

    previous, comma, prefix = typed.rpartition(",")
    codes = ["paper", "all", "every", *(language.code for language in languages())]
    return [f"{previous}{comma}{code}" for code in codes if code.startswith(prefix)]


def complete_from(*names: str) -> Callable[[str], list[str]]:
    """Return a completion function for these names, several of which may be separated by commas."""

    def complete(typed: str) -> list[str]:
        previous, comma, prefix = typed.rpartition(",")
        return [f"{previous}{comma}{name}" for name in names if name.startswith(prefix)]

    return complete
