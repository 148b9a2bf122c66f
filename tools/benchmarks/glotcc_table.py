"""Figures of bench_glotcc.py as Markdown tables, each with its target and whether it is met."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Times:
    """Seconds of the same work, one a run."""

    seconds: tuple[float, ...]

    @property
    def best(self) -> float:
        """Return the shortest time."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Return the median time."""
        return statistics.median(self.seconds)

    def less(self, start: "Times") -> "Times":
        """Return the times without the median of those of a start."""
        return Times(tuple(max(each - start.median, 1e-9) for each in self.seconds))

    def __add__(self, other: "Times") -> "Times":
        return Times(tuple(one + two for one, two in zip(self.seconds, other.seconds, strict=True)))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.best:.2f})"


@dataclass(frozen=True)
class Table:
    """A table that is printed line by line."""

    columns: Sequence[str]

    def begin(self) -> "Table":
        """Print the head."""
        print("|", " | ".join(self.columns), "|")
        print("|", " | ".join("---" if place == 0 else "---:" for place in range(len(self.columns))), "|", flush=True)
        return self

    def row(self, *cells: object) -> None:
        """Print a line; cells that lack are empty."""
        padded = [*map(str, cells), *[""] * (len(self.columns) - len(cells))]
        print("|", " | ".join(padded), "|", flush=True)


@dataclass
class Targets:
    """The figures that count, most with a target, for the table at the end."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def at_least(self, what: str, value: float, target: float, unit: str) -> None:
        """Note a figure that should not be below its target."""
        self.rows.append((what, _shown(value, unit), f">= {target:g}{unit}", _verdict(met=value >= target)))

    def at_most(self, what: str, value: float, target: float, unit: str) -> None:
        """Note a figure that should not be above its target."""
        self.rows.append((what, _shown(value, unit), f"<= {target:g}{unit}", _verdict(met=value <= target)))

    def note(self, what: str, value: float, unit: str) -> None:
        """Note a figure that has no target."""
        self.rows.append((what, _shown(value, unit), "", ""))

    def show(self) -> None:
        """Print them."""
        print("\n## Targets\n")
        table = Table(("figure", "measured", "target", "")).begin()
        for row in self.rows:
            table.row(*row)


def _verdict(*, met: bool) -> str:
    return "met" if met else "**missed**"


def _shown(value: float, unit: str) -> str:
    return f"{value:.2f}{unit}" if value < 100 else f"{value:,.0f}{unit}"
