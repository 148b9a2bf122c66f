"""Keep tokens and signed addresses out of what is shown, logged and written."""

import logging
import re
import sys
import traceback
from types import TracebackType

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}|(?<=Bearer )\S+")
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>)]+")


def redact(text: str, *secrets: str) -> str:
    """Return the text without these secrets, without what looks like a token of the Hub, and without queries of URLs.

    A signed URL lets whoever has it read or write, and has its signature in the query.
    """
    for secret in filter(None, secrets):
        text = text.replace(secret, "[token]")
    return _QUERY.sub(r"\1?[redacted]", _TOKEN.sub("[token]", text))


def keep_out(*secrets: str) -> None:
    """Redact every log record and every traceback of this process from now on."""
    make = logging.getLogRecordFactory()

    def redacted(*arguments: object, **named: object) -> logging.LogRecord:
        record = make(*arguments, **named)
        record.msg, record.args = redact(record.getMessage(), *secrets), ()
        return record

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(redact("".join(traceback.format_exception(kind, error, trace)), *secrets), end="", file=sys.stderr)

    logging.setLogRecordFactory(redacted)
    sys.excepthook = hook
