"""Keep tokens and signed addresses out of what is shown, logged and written."""

import logging
import re
import sys
import traceback
from types import TracebackType

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}|(?<=Bearer )\S+")
_KNOWN: list[str] = []
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>)]+")


def redact(text: str, *secrets: str) -> str:
    """Return the text without these secrets and those of `keep_out`, without tokens of the Hub and queries of URLs.

    A signed URL lets whoever has it read or write, and has its signature in the query.
    """
    for secret in filter(None, (*secrets, *_KNOWN)):
        text = text.replace(secret, "[token]")
    return _QUERY.sub(r"\1?[redacted]", _TOKEN.sub("[token]", text))


def keep_out(*secrets: str) -> None:
    """Redact every log record, every traceback and every answer that is quoted, in this process from now on."""
    _KNOWN.extend(filter(None, secrets))
    make = logging.getLogRecordFactory()

    def redacted(*arguments: object, **named: object) -> logging.LogRecord:
        record = make(*arguments, **named)
        record.msg, record.args = redact(record.getMessage(), *secrets), ()
        return record

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(redact("".join(traceback.format_exception(kind, error, trace)), *secrets), end="", file=sys.stderr)

    logging.setLogRecordFactory(redacted)
    sys.excepthook = hook
