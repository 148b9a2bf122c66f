"""Progress on standard error: bars with rate and time left on a terminal or in a notebook, none elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from lrldata.output import Screen, shown

if TYPE_CHECKING:  # slow to import, and not always needed
    import polars as pl

_TEXT = TextColumn("{task.description}", markup=False)


def _is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; programs without one may have None or another object in its place."""
    return bool(getattr(stream, "isatty", bool)())


def _is_notebook() -> bool:
    """Return whether this is a Jupyter kernel in which Rich can draw bars."""
    return "ipykernel" in sys.modules and find_spec("ipywidgets") is not None


@dataclass(frozen=True)
class Progress:
    """Progress bars on a terminal, and in a notebook that has ipywidgets, unless `quiet` is set."""

    quiet: bool = False

    @property
    def shown(self) -> bool:
        """Return whether bars are drawn."""
        return not self.quiet and (_is_terminal(sys.stderr) or _is_notebook())

    def _bars(self, *columns: Any) -> Bars:
        return Bars(*columns, console=Screen(stderr=True), disable=not self.shown, transient=True)

    def log(self, line: str) -> None:
        """Write a line if no bar is drawn, e.g. into the log of a batch system, unless `quiet` is set."""
        if not self.quiet and not self.shown:
            Screen(stderr=True).print(shown(line), soft_wrap=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show a spinner and the elapsed time, for a step of unknown length."""
        with self._bars(SpinnerColumn(), _TEXT, TimeElapsedColumn()) as bars:
            bars.add_task(shown(what), total=None)
            yield

    @contextmanager
    def rows(self, what: str, about: int) -> Iterator["Callable[[pl.LazyFrame], pl.LazyFrame]"]:
        """Yield a function that makes a lazy frame report the rows streaming through it, out of `about` this many."""
        if not self.shown:
            yield lambda frame: frame
            return
        rate = TextColumn("{task.fields[rate]}", markup=False)
        with self._bars(_TEXT, BarColumn(), rate, TimeRemainingColumn()) as bars:
            task = bars.add_task(shown(what), total=about, rate="")

            def advance(batch: "pl.DataFrame") -> "pl.DataFrame":
                bars.advance(task, len(batch))
                speed = bars.tasks[task].speed
                bars.update(task, rate=f"{bars.tasks[task].completed:,.0f} rows, {speed or 0:,.0f}/s")
                return batch

            yield lambda frame: frame.map_batches(advance, streamable=True, validate_output_schema=False)

    @contextmanager
    def items(self, what: str, total: int) -> Iterator[Callable[[str], None]]:
        """Yield a function to call with the name of each of `total` items when it begins."""
        with self._bars(_TEXT, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bars:
            task = bars.add_task(shown(what), total=total)
            begun = False

            def begin(name: str) -> None:
                nonlocal begun
                bars.update(task, description=shown(f"{what} {name}"), advance=1 if begun else 0)
                begun = True

            yield begin

    @contextmanager
    def bytes(self, what: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes the number of bytes received since the last call."""
        columns = (
            _TEXT,
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with self._bars(*columns) as bars:
            task = bars.add_task(shown(what), total=total, completed=done)
            yield lambda count: bars.advance(task, count)

    @contextmanager
    def steps(self, what: str, total: int | None) -> Iterator[tuple[Callable[[int, str], None], Callable[[str], None]]]:
        """Yield two functions: one takes the number of steps done and a rate, the other a line to keep on the screen.

        If no bar is drawn, the lines are still written, for the log of a batch system, unless `quiet` is set.
        """
        columns = (
            _TEXT,
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
        )
        with self._bars(*columns, TimeRemainingColumn()) as bars:
            task = bars.add_task(shown(what), total=total, rate="")

            def say(line: str) -> None:
                if not self.quiet:
                    bars.console.print(line, soft_wrap=True)

            yield lambda done, rate: bars.update(task, completed=done, rate=rate), say
