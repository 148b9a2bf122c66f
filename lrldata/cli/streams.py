"""Standard streams that are closed, as after `>&-`, or that end before the program, as when a terminal goes away."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

_GONE = {errno.EIO, errno.EPIPE}
_replaced: list[TextIO] = []  # kept, because such a stream closes its file when nothing refers to it


def open_streams() -> None:
    """Replace output streams that are closed, and make standard error one that may end.

    A file that is opened later would otherwise take the number of a closed stream, and get what is printed there. A
    closed standard input stays None, so that whatever reads it can say so.
    """
    for number in range(3):
        with suppress(OSError):
            _fill(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    if type(sys.stderr) is io.TextIOWrapper:
        _replaced.append(sys.stderr)
        sys.stderr = _Messages(
            sys.stderr.buffer,
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=sys.stderr.line_buffering,
            write_through=sys.stderr.write_through,
        )
        setattr(sys, "__stderr__", sys.stderr)  # noqa: B010 -- type checkers call it final


def _fill(number: int) -> None:
    """Open /dev/null under a number if that is free, also for processes that this one starts."""
    try:
        os.fstat(number)
    except OSError:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor == number:
            os.set_inheritable(number, True)
        else:
            os.dup2(descriptor, number)
            os.close(descriptor)


class _Messages(io.TextIOWrapper):
    """A stream of messages; if the terminal or the program that reads it is gone, they are dropped.

    A job that was started in the background, and ignores the hang-up, must not end because nobody reads its progress.
    """

    def write(self, text: str) -> int:
        """Write a text."""
        try:
            return super().write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        try:
            super().flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        if error.errno not in _GONE:
            raise error
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)
