"""What scores are compared with: the base model alone, or a method or model that the reader names. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lrldata.errors import UsageError
from lrltrain.names import base_name
from lrltrain.reporting.tables import ALONE, NONE, WITH, Row

T = TypeVar("T")
FROM = "-from-"  # in the method of what learned the task in another language


@dataclass(frozen=True)
class Reference:
    """A name as tables have it: of a method (`lora`, `lora, glotcc`), a model (`gpt-4`), or both (`gpt-4: prompt-0`).

    A method is compared with others of the same base model, and of the same source of text where both have one, unless
    the name has a source; a model with all others.
    """

    name: str = NONE

    def is_in(self, row: Row) -> bool:
        """Return whether a row is of it, and is therefore compared with nothing."""
        return self._is_method(row) or self._is_model(row)

    def fits(self, row: Row, other: Row) -> bool:
        """Return whether a row is compared with another one, as far as rows tell; variants are left to choose from.

        Of what was learned in another language, it is with what learned there too.
        """
        if row.language != other.language or self.is_in(row):
            return False
        if self.name == NONE and WITH in row.method:  # the same prompts without the adapter
            return row.base == other.base and other.method == row.method.partition(WITH)[0]
        if self._is_model(other):
            return True
        same_text = "," in self.name or None in (row.source, other.source) or row.source == other.source
        return (
            self._is_method(other) and row.base == other.base and same_text and _learned_in(row) == _learned_in(other)
        )

    def choose(self, row: Row, fitting: Sequence[T], row_of: Callable[[T], Row], seeds: Callable[[T], int]) -> T | None:
        """Return what a row is compared with, of several that fit: None where it could be one or the other.

        Of its own text, then of its own variant or else the usual one; of these the one with most seeds.
        """
        own = [each for each in fitting if row_of(each).source == row.source]
        held = own or list(fitting)
        for variant in (row.variant, ""):
            exact = [each for each in held if row_of(each).variant == variant]
            held = exact or held
            if exact:
                break
        alike = {(row_of(each).source, row_of(each).variant) for each in held}
        return max(held, key=seeds) if len(alike) == 1 or (held and self == BASE_MODEL) else None

    def check(self, rows: Iterable[Row]) -> None:
        """Raise UsageError unless it is in the table, and of one method there if it names a model."""
        every = set(rows)
        matching = [row for row in every if self.is_in(row)]
        if self.name == NONE:
            return
        if not matching:
            methods = sorted({_method(row) for row in every})
            models = sorted({base_name(row.base) for row in every})
            raise UsageError(
                f"{self.name}: no scores of such a method or model to compare with.",
                f"There are {', '.join(methods)}, and of models {', '.join(models)}.",
            )
        bases = sorted({row.base for row in matching if not self._is_method(row)})
        if len(bases) > 1:
            raise UsageError(f"{self.name}: several models have this name.", f"Name one: {', '.join(bases)}.")
        several = sorted({f"{base_name(row.base)}: {row.method}" for row in matching if not self._is_method(row)})
        if len(several) > 1:
            raise UsageError(
                f"{self.name}: has scores of several methods.", f"Name one: {', '.join(map(repr, several))}."
            )

    def __str__(self) -> str:
        """Return what a change is against, for the text of a report."""
        return ALONE if self.name == NONE else self.name

    def _is_method(self, row: Row) -> bool:
        return _plain(self.name) in (_method(row), _plain(f"{_method(row)},{row.source}"))

    def _is_model(self, row: Row) -> bool:
        ways = ("", f":{row.method}", f":{row.method},{row.source}")
        return _plain(self.name) in {_plain(f"{name}{way}") for name in (row.base, base_name(row.base)) for way in ways}


BASE_MODEL = Reference()  # alone, without an adapter


def _plain(name: str) -> str:
    return "".join(name.split())


def _method(row: Row) -> str:
    return row.method.partition(FROM)[0]


def _learned_in(row: Row) -> str:
    return row.method.partition(FROM)[2]
