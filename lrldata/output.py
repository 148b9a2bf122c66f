"""The only module that prints and logs: data cannot control a terminal, and secrets stay hidden. IO.

Data (file names, rows, answers of servers, errors that quote them) may contain escape sequences, which a terminal would
obey, or brackets, which Rich would read as markup. Therefore commands print only through this module: control
characters are shown as escapes, nothing is markup, and addresses lose passwords and signatures.
"""

import json
import logging
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

SHORTEST_SECRET = 4  # characters
UNLIMITED = 10_000  # columns: a pipe has no width, so a table there is as wide as it needs to be
_CONTROLS = re.compile(  # C0 and C1 controls except tab and newline, direction overrides, lone surrogates
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}|(?<=Bearer )[\w.~+/=-]+")
# A Path made of an address has one slash left. A password may contain slashes; a number after the host is a port.
_LOGIN = r"[^\s/?#\"'<>@:\[]*:(?!\d+[/?#])(?:(?!:/)[^\s\"'<>@])*"
_USER = re.compile(rf"(?<=[A-Za-z0-9+.-])(:/{{1,2}})(?:[^\s/?#\"'<>]*@|{_LOGIN}@)")
_QUERY = re.compile(r"(?<=[A-Za-z0-9+.-])(:/{1,2}(?:(?!:/)[^\s?\"'<>])+)\?[^\s\"'<>)]+")
_SECRETS: list[str] = []
_NARROWEST = 8  # characters in a text column
LOGGER = logging.getLogger("lrldata")


def clean(text: str) -> str:
    r"""Return a text with control characters as escapes (``\x1b``), which makes them visible and harmless."""
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def redact(text: str, *secrets: str) -> str:
    """Return a text without secrets: those given, those of `keep_out`, Hub tokens, and secrets in addresses.

    An address loses its user and password, and its query, because a signed one lets whoever has it read or write.
    """
    for secret in filter(None, (*secrets, *_SECRETS)):
        text = text.replace(secret, "[token]")
    if ":/" not in text and "hf_" not in text and "Bearer" not in text:  # the usual case
        return text
    return _QUERY.sub(r"\1?[redacted]", _USER.sub(r"\1[redacted]@", _TOKEN.sub("[token]", text)))


def redacted(value: Any) -> Any:
    """Return JSON-like values with every text redacted and valid UTF-8, which file names may not be."""
    if isinstance(value, str):
        return redact(value).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {redacted(key): redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value


def keep_out(*secrets: str) -> None:
    """Also redact these secrets in everything that this process prints and logs from now on."""
    _SECRETS.extend(filter(None, secrets))


def keep_out_of(address: str) -> None:
    """Redact the password and query of an address in every form in which libraries quote them."""
    try:
        parts = urlsplit(address)
        login = re.match(_LOGIN + "@", address.partition("://")[2])
        with_slashes = login[0].partition(":")[2][:-1] if login else ""  # urlsplit reads it as a path
        secrets = [parts.password or with_slashes, parts.query]
    except ValueError:
        return
    # Shorter secrets would be removed from ordinary words.
    keep_out(*(form for secret in secrets for form in {secret, unquote(secret)} if len(form) >= SHORTEST_SECRET))


def guard() -> None:
    """Apply the same rules to log records and tracebacks of this process, including those of libraries.

    Commands and the processes that they start call this; from then on, notes are printed.
    """
    print_notes()
    make_record = logging.getLogRecordFactory()
    if getattr(make_record, "__name__", "") == "guarded":  # already in place
        return

    def guarded(*arguments: object, **keywords: object) -> logging.LogRecord:
        record = make_record(*arguments, **keywords)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 -- logging reports arguments that do not fit their format
            return record
        record.msg, record.args = shown(message), ()
        return record

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(shown("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)

    logging.setLogRecordFactory(guarded)
    sys.excepthook = hook


def shown(text: str) -> str:
    """Return a text as it may be printed: without secrets and control characters."""
    return clean(redact(text))


def say(text: str) -> None:
    """Print a line of a result on standard output."""
    print(shown(text))


WORDED: ContextVar[Callable[[str], str]] = ContextVar(
    "worded", default=str
)  # rewords notes for functions of the Python API


def note(text: str) -> None:
    """Log a note with the logger `lrldata`; commands print it on standard error."""
    LOGGER.info("%s", shown(WORDED.get()(text)))


def warn(text: str) -> None:
    """Log a warning with the logger `lrldata`; commands print it on standard error."""
    LOGGER.warning("%s", shown(WORDED.get()(text)))


def tell(text: str) -> None:
    """Print lines on standard error, where they do not mix with results."""
    print(shown(text), file=sys.stderr)


class _OnStandardError(logging.Handler):
    """A log handler that prints notes and warnings on standard error, for commands."""

    def emit(self, record: logging.LogRecord) -> None:
        word = "note" if record.levelno == logging.INFO else record.levelname.lower()
        print(f"{word}: {shown(record.getMessage())}", file=sys.stderr)


def print_notes() -> None:
    """Print this process's notes and warnings on standard error, as commands do."""
    if not any(isinstance(handler, _OnStandardError) for handler in LOGGER.handlers):
        LOGGER.addHandler(_OnStandardError())
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def say_traceback(error: BaseException) -> None:
    """Print a traceback on standard error."""
    tell("".join(traceback.format_exception(error)).rstrip("\n"))


def size(count: int | None) -> str:
    """Format a number of bytes for people; empty if it is unknown."""
    if count is None:
        return ""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def percentage(share: float) -> str:
    """Format a share for people, with more digits if it is small; a share that is not zero never looks like zero."""
    if 0 < share < 0.0001:
        return "<0.01%"
    return f"{share:.1%}" if share >= 0.001 or share == 0 else f"{share:.2%}"


def styled(text: str, style: str) -> Text:
    """Return a text in a Rich style, e.g. `bold`."""
    return Text(shown(text), style)


class Screen(Console):
    """A Rich console on which no text is markup, a link or an emoji code, and control characters are shown."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        columns = os.environ.get("COLUMNS", "")
        if not self.is_terminal and not columns:
            self.width = UNLIMITED
        elif columns.isdigit() and not int(columns):  # some batch systems set 0, and Rich would print nothing
            self.width = 80 if self.is_terminal else UNLIMITED

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a string to text before it is laid out."""
        return super().render_str(shown(text), **{**options, "markup": False, "emoji": False, "highlight": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Lay out a renderable; text that other renderables produce is cleaned here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)


def show(renderable: RenderableType, *, stderr: bool = False) -> None:
    """Print a table, or anything else that Rich renders."""
    screen = Screen(stderr=stderr)
    needed = max((_least_width(part) for part in getattr(renderable, "renderables", [renderable])), default=0)
    if isinstance(renderable, str) or needed <= screen.width:
        screen.print(renderable, soft_wrap=isinstance(renderable, str))
    else:
        screen.print(renderable, width=needed, crop=False)  # the terminal wraps it, as it does other long lines


def _least_width(renderable: RenderableType) -> int:
    """Return the width that a table needs to keep its numbers whole and every column visible; 0 for anything else."""
    width = 0
    for column in getattr(renderable, "columns", ()):
        widest = max((cell_len(str(cell)) for cell in column.cells), default=0)
        if column.justify == "right" or column.no_wrap:
            column.min_width = max(widest, *(cell_len(word) for word in str(column.header).split() or [""]))
        else:
            column.min_width = min(widest, _NARROWEST)
        width += column.min_width + 3
    return width


def say_json(value: object) -> None:
    """Print a value as one JSON object, in ASCII if standard output cannot encode all letters."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "").replace("_", "")
    print(json.dumps(_finite(redacted(value)), ensure_ascii=not encoding.startswith("utf"), allow_nan=False))


def _finite(value: Any) -> Any:
    """Return JSON-like values with numbers that are not finite, which JSON cannot express, as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
