"""The reference that scores are compared with: the base model alone, or a chosen method or model. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lrldata.errors import UsageError
from lrltrain.evaluation.record import FROM, NONE, WITH
from lrltrain.names import base_name
from lrltrain.reporting.tables import ALONE, Row

T = TypeVar("T")


@dataclass(frozen=True)
class Reference:
    """A name as in tables: of a method (`lora`, `lora, glotcc`), a model (`gpt-4`), or both (`gpt-4: prompt-0`).

    A method is compared with other methods of the same base model and, unless the name has a source, of the same source
    if both have one. A model is compared with all others.
    """

    name: str = NONE

    def is_in(self, row: Row) -> bool:
        """Return whether a row belongs to the reference, and is therefore not compared."""
        return self._is_method(row) or self._is_model(row)

    def fits(self, row: Row, other: Row) -> bool:
        """Return whether `row` may be compared with `other`, ignoring variants, which `choose` selects from.

        A row that learned the task in another language is compared with one that learned it in the same language.
        """
        if row.language != other.language or self.is_in(row):
            return False
        if self.name == NONE and WITH in row.method:  # compare with the same prompt without the adapter
            return row.base == other.base and other.method == row.method.partition(WITH)[0]
        if self._is_model(other):
            return True
        same_text = "," in self.name or None in (row.source, other.source) or row.source == other.source
        return (
            self._is_method(other) and row.base == other.base and same_text and _learned_in(row) == _learned_in(other)
        )

    def choose(self, row: Row, fitting: Sequence[T], row_of: Callable[[T], Row], seeds: Callable[[T], int]) -> T | None:
        """Return which of several candidates a row is compared with; None if the choice is ambiguous.

        Candidates of the same source are preferred, then those of the same variant, then those without a variant. Of
        the rest, the one with the most seeds is chosen.
        """
        same_source = [candidate for candidate in fitting if row_of(candidate).source == row.source]
        candidates = same_source or list(fitting)
        for variant in (row.variant, ""):
            exact = [candidate for candidate in candidates if row_of(candidate).variant == variant]
            candidates = exact or candidates
            if exact:
                break
        kinds = {(row_of(candidate).source, row_of(candidate).variant) for candidate in candidates}
        return max(candidates, key=seeds) if len(kinds) == 1 or (candidates and self == BASE_MODEL) else None

    def check(self, rows: Iterable[Row]) -> None:
        """Raise UsageError if the reference is not in the table, or means several models or methods of a model."""
        distinct = set(rows)
        matching = [row for row in distinct if self.is_in(row)]
        if self.name == NONE:
            return
        if not matching:
            methods = sorted({_method(row) for row in distinct})
            models = sorted({base_name(row.base) for row in distinct})
            raise UsageError(
                f"{self.name}: no method or model with this name has scores to compare with.",
                f"The methods are {', '.join(methods)}, and the models are {', '.join(models)}.",
            )
        bases = sorted({row.base for row in matching if not self._is_method(row)})
        if len(bases) > 1:
            raise UsageError(f"{self.name}: several models have this name.", f"Choose one: {', '.join(bases)}.")
        methods_of_model = sorted(
            {f"{base_name(row.base)}: {row.method}" for row in matching if not self._is_method(row)}
        )
        if len(methods_of_model) > 1:
            raise UsageError(
                f"{self.name}: has scores of several methods.", f"Choose one: {', '.join(map(repr, methods_of_model))}."
            )

    def __str__(self) -> str:
        """Return the name of the reference for the text of a report."""
        return ALONE if self.name == NONE else self.name

    def _is_method(self, row: Row) -> bool:
        return _without_spaces(self.name) in (_method(row), _without_spaces(f"{_method(row)},{row.source}"))

    def _is_model(self, row: Row) -> bool:
        suffixes = ("", f":{row.method}", f":{row.method},{row.source}")
        return _without_spaces(self.name) in {
            _without_spaces(f"{name}{suffix}") for name in (row.base, base_name(row.base)) for suffix in suffixes
        }


BASE_MODEL = Reference()  # without an adapter


def _without_spaces(name: str) -> str:
    return "".join(name.split())


def _method(row: Row) -> str:
    return row.method.partition(FROM)[0]


def _learned_in(row: Row) -> str:
    return row.method.partition(FROM)[2]
