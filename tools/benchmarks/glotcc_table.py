"""Markdown tables of bench_glotcc.py's measurements, and the targets with their verdicts."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Times:
    """The durations of the same work in seconds, one per run."""

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
        """Return the times minus the median of the start-up times."""
        return Times(tuple(max(duration - start.median, 1e-9) for duration in self.seconds))

    def __add__(self, other: "Times") -> "Times":
        return Times(tuple(left + right for left, right in zip(self.seconds, other.seconds, strict=True)))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.best:.2f})"


@dataclass(frozen=True)
class Table:
    """A Markdown table that is printed row by row."""

    columns: Sequence[str]

    def begin(self) -> "Table":
        """Print the header and return the table."""
        print("|", " | ".join(self.columns), "|")
        print("|", " | ".join("---" if column == 0 else "---:" for column in range(len(self.columns))), "|", flush=True)
        return self

    def row(self, *cells: object) -> None:
        """Print a row; missing cells are empty."""
        padded = [*map(str, cells), *[""] * (len(self.columns) - len(cells))]
        print("|", " | ".join(padded), "|", flush=True)


@dataclass
class Targets:
    """The main figures, most with a target, for the table at the end."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def at_least(self, label: str, value: float, target: float, unit: str) -> None:
        """Add a figure that should be at least its target."""
        self.rows.append((label, _shown(value, unit), f">= {target:g}{unit}", _verdict(met=value >= target)))

    def at_most(self, label: str, value: float, target: float, unit: str) -> None:
        """Add a figure that should be at most its target."""
        self.rows.append((label, _shown(value, unit), f"<= {target:g}{unit}", _verdict(met=value <= target)))

    def note(self, label: str, value: float, unit: str) -> None:
        """Add a figure without a target."""
        self.rows.append((label, _shown(value, unit), "", ""))

    def show(self) -> None:
        """Print the figures as a table."""
        print("\n## Targets\n")
        table = Table(("figure", "measured", "target", "")).begin()
        for row in self.rows:
            table.row(*row)


def _verdict(*, met: bool) -> str:
    return "met" if met else "**missed**"


def _shown(value: float, unit: str) -> str:
    return f"{value:.2f}{unit}" if value < 100 else f"{value:,.0f}{unit}"
