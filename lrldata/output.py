"""The one door for what is printed and logged: data cannot steer a terminal, and secrets stay in. IO.

Text of data (file names, rows, answers of servers, errors that quote them) may hold escape sequences, which a terminal
would obey, or brackets, which Rich would take for markup. So commands print through this module alone: control
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
UNLIMITED = 10_000  # columns: a pipe has no width, and a table there is as wide as it needs to be
_STEERS = re.compile(  # C0 and C1 controls but tab and newline, overrides of direction, halves of surrogate pairs
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}|(?<=Bearer )[\w.~+/=-]+")
# Of a path that was an address one slash is left. A password may have slashes; a number behind the host is its port.
_LOGIN = r"[^\s/?#\"'<>@:\[]*:(?!\d+[/?#])(?:(?!:/)[^\s\"'<>@])*"
_USER = re.compile(rf"(?<=[A-Za-z0-9+.-])(:/{{1,2}})(?:[^\s/?#\"'<>]*@|{_LOGIN}@)")
_QUERY = re.compile(r"(?<=[A-Za-z0-9+.-])(:/{1,2}(?:(?!:/)[^\s?\"'<>])+)\?[^\s\"'<>)]+")
_SECRETS: list[str] = []
_NARROWEST = 8  # characters of a column of words
LOGGER = logging.getLogger("lrldata")
_LEVELS = {"note": logging.INFO, "warning": logging.WARNING}


def clean(text: str) -> str:
    r"""Return a text with control characters as escapes (``\x1b``), which shows them and lets them do nothing."""
    return _STEERS.sub(lambda found: ascii(found[0])[1:-1], text)


def redact(text: str, *secrets: str) -> str:
    """Return a text without secrets: these, those of `keep_out`, tokens of the Hub, and what is secret in addresses.

    An address loses its user and password, and its query: a signed one lets whoever has it read or write.
    """
    for secret in filter(None, (*secrets, *_SECRETS)):
        text = text.replace(secret, "[token]")
    if ":/" not in text and "hf_" not in text and "Bearer" not in text:  # as nearly always
        return text
    return _QUERY.sub(r"\1?[redacted]", _USER.sub(r"\1[redacted]@", _TOKEN.sub("[token]", text)))


def redacted(value: Any) -> Any:
    """Return JSON-like values with every text in them redacted, and valid: names of files may be no UTF-8."""
    if isinstance(value, str):
        return redact(value).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {redacted(key): redacted(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(each) for each in value]
    return value


def keep_out(*secrets: str) -> None:
    """Redact these too, in all that this process prints and logs from now on."""
    _SECRETS.extend(filter(None, secrets))


def keep_out_of(address: str) -> None:
    """Redact password and query of an address in whatever form libraries quote them."""
    try:
        parts = urlsplit(address)
        login = re.match(_LOGIN + "@", address.partition("://")[2])
        slashed = login[0].partition(":")[2][:-1] if login else ""  # which urlsplit takes for a path
        secrets = [parts.password or slashed, parts.query]
    except ValueError:
        return
    # What is shorter would be taken out of ordinary words.
    keep_out(*(form for each in secrets for form in {each, unquote(each)} if len(form) >= SHORTEST_SECRET))


def guard() -> None:
    """Let log records and tracebacks of this process, the libraries' too, through the same door.

    Commands call it, and processes that they start: notes are printed from then on.
    """
    print_notes()
    make = logging.getLogRecordFactory()
    if getattr(make, "__name__", "") == "guarded":  # it is in place
        return

    def guarded(*arguments: object, **named: object) -> logging.LogRecord:
        record = make(*arguments, **named)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 -- arguments that do not fit their format are logging's to report
            return record
        record.msg, record.args = shown(message), ()
        return record

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(shown("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)

    logging.setLogRecordFactory(guarded)
    sys.excepthook = hook


def shown(text: str) -> str:
    """Return a text as it may be printed: without secrets and without control characters."""
    return clean(redact(text))


def say(text: str) -> None:
    """Print a line of a result on standard output."""
    print(shown(text))


WORDED: ContextVar[Callable[[str], str]] = ContextVar("worded", default=str)  # notes as a function has them


def note(text: str) -> None:
    """Log a note, or a warning: by the logger `lrldata`, whose lines commands print on standard error."""
    text = WORDED.get()(text)
    prefix, _, message = text.partition(": ")
    level = _LEVELS.get(prefix)
    LOGGER.log(level or logging.INFO, "%s", shown(message if level else text))


def tell(text: str) -> None:
    """Print lines on standard error, where they do not mix with results."""
    print(shown(text), file=sys.stderr)


class _OnStandardError(logging.Handler):
    """What commands do with notes and warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        word = next((word for word, level in _LEVELS.items() if level == record.levelno), record.levelname.lower())
        print(f"{word}: {shown(record.getMessage())}", file=sys.stderr)


def print_notes() -> None:
    """Print notes and warnings of this process on standard error, as commands do."""
    if not any(isinstance(handler, _OnStandardError) for handler in LOGGER.handlers):
        LOGGER.addHandler(_OnStandardError())
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def say_traceback(error: BaseException) -> None:
    """Print a traceback on standard error."""
    tell("".join(traceback.format_exception(error)).rstrip("\n"))


def size(count: int | None) -> str:
    """Write a number of bytes for people; empty when it is not known."""
    if count is None:
        return ""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def styled(text: str, style: str) -> Text:
    """Return a text in a style of Rich's, as `bold`."""
    return Text(shown(text), style)


class Screen(Console):
    """A console of Rich's for which no text is markup, a link, or an emoji code, and control characters are shown."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        if not self.is_terminal and not os.environ.get("COLUMNS"):
            self.width = UNLIMITED

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text of a string, before it is laid out."""
        return super().render_str(shown(text), **{**options, "markup": False, "emoji": False, "highlight": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Lay something out; texts that others made are cleaned here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)


def show(drawn: RenderableType, *, stderr: bool = False) -> None:
    """Print a table, or whatever else Rich draws."""
    screen = Screen(stderr=stderr)
    needed = max((_least_width(each) for each in getattr(drawn, "renderables", [drawn])), default=0)
    if isinstance(drawn, str) or needed <= screen.width:
        screen.print(drawn, soft_wrap=isinstance(drawn, str))
    else:
        screen.print(drawn, width=needed, crop=False)  # broken by the terminal, as other long lines are


def _least_width(drawn: RenderableType) -> int:
    """Return how wide a table has to be for no number in it to be cut apart, and no column to vanish; 0 of others."""
    width = 0
    for column in getattr(drawn, "columns", ()):
        widest = max((cell_len(str(cell)) for cell in column.cells), default=0)
        if column.justify == "right" or column.no_wrap:
            column.min_width = max(widest, *(cell_len(word) for word in str(column.header).split() or [""]))
        else:
            column.min_width = min(widest, _NARROWEST)
        width += column.min_width + 3
    return width


def say_json(value: object) -> None:
    """Print a value as one JSON object, in ASCII where standard output cannot take all letters."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "").replace("_", "")
    print(json.dumps(_finite(redacted(value)), ensure_ascii=not encoding.startswith("utf"), allow_nan=False))


def _finite(value: Any) -> Any:
    """Return JSON-like values in which a number that is not finite, for which JSON has no word, is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
