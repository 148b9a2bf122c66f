"""What a shell completes: codes of languages, and the names of what is built in."""

from collections.abc import Callable


def complete_languages(typed: str) -> list[str]:
    """Return codes that go on with what was typed; after a comma, the next one."""
    from lrldata.language import languages

    before, comma, begun = typed.rpartition(",")
    codes = ["paper", "all", "every", *(language.code for language in languages())]
    return [f"{before}{comma}{code}" for code in codes if code.startswith(begun)]


def complete_from(*names: str) -> Callable[[str], list[str]]:
    """Return a completion by these names, several between commas."""

    def complete(typed: str) -> list[str]:
        before, comma, begun = typed.rpartition(",")
        return [f"{before}{comma}{name}" for name in names if name.startswith(begun)]

    return complete
