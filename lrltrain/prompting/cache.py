"""The answers of an endpoint on disk, one JSON line each, written before use so that none is paid for twice. IO."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lrldata.errors import StorageError
from lrldata.locks import Lock
from lrldata.manifest import fingerprint

HASH = 16  # hexadecimal digits
FAILED = {"error", "abort"}  # finish reasons of failed answers, which are not kept
EMPTY = {"none"}  # of responses without an answer, which are kept for this run only
MOST_TOKENS = 10**9  # per call; a higher count is ignored


@dataclass(frozen=True)
class Answer:
    """A model's answer, and the numbers of tokens read and written if the endpoint reports them.

    `finish` is the endpoint's finish reason, or `none` if the response had no answer. Texts are valid Unicode, and
    counts are from 0 to MOST_TOKENS.
    """

    text: str
    finish: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


def key_of(url: str, request: Mapping[str, Any], draw: int | None = None) -> str:
    """Return the cache key of an answer: a hash of the URL and the whole request, including the model's name.

    `draw` distinguishes repeated samples for the same request.
    """
    return fingerprint({"url": url, "request": dict(request)} | ({} if draw is None else {"draw": draw}))


class AnswerFile:
    """The answers in one open and locked file."""

    def __init__(self, path: Path, descriptor: int, answers: dict[str, Answer]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._answers = answers

    def get(self, key: str) -> Answer | None:
        """Return the stored answer, or None."""
        return self._answers.get(key)

    def keep(self, key: str, answer: Answer) -> None:
        """Write an answer. Once this returns, the answer survives a crash or a power failure."""
        line = _line(key, answer)
        while line:
            line = line[os.write(self._descriptor, line) :]
        os.fsync(self._descriptor)
        self._answers[key] = answer


@contextmanager
def open_answers(path: Path) -> Iterator[AnswerFile]:
    """Open a file of answers for reading and appending. Raises StorageError if another process has it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file_lock = Lock(path.with_name(f".{path.name}.lock"))
    except BlockingIOError as error:
        raise StorageError(
            f"{path}: another process is querying the same model about the same test set.",
            "Wait until it is done. Its answers are then reused.",
        ) from error
    with file_lock:
        answers = read_answers(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _end_last_line(descriptor)
            yield AnswerFile(path, descriptor, answers)
        finally:
            os.close(descriptor)


def read_answers(path: Path) -> dict[str, Answer]:
    """Return the answers in a file, or none if there is no file. Truncated and altered lines are ignored."""
    answers: dict[str, Answer] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return answers
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            key, answer = _read(line)
            if answer.finish not in FAILED | EMPTY:  # older versions stored failed ones
                answers[key] = answer
    return answers


def is_count(value: object) -> bool:
    """Return whether a value is a valid token count of one call."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def _line(key: str, answer: Answer) -> bytes:
    """Serialize an entry with its own hash, which reveals later changes."""
    entry = {"key": key, **asdict(answer)}
    return json.dumps(entry | {"hash": fingerprint(entry)[:HASH]}, ensure_ascii=True).encode() + b"\n"


def _read(line: bytes) -> tuple[str, Answer]:
    """Parse an entry. Raises ValueError or RecursionError if it is invalid."""
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError("not an object")  # noqa: TRY004 -- about the file, not a call
    values = {name: value for name, value in entry.items() if name != "hash"}
    counts = [values.get(name) for name in ("prompt_tokens", "completion_tokens")]
    json.dumps(values, ensure_ascii=False).encode()  # a lone surrogate raises UnicodeEncodeError
    expected = fingerprint(values)[:HASH]
    if (
        values.keys() != {"key", *Answer.__dataclass_fields__}
        or not (isinstance(values["key"], str) and isinstance(values["text"], str))
        or not (values["finish"] is None or isinstance(values["finish"], str))
        or not all(count is None or is_count(count) for count in counts)
        or entry.get("hash", expected) != expected  # entries of older versions have no hash
    ):
        raise ValueError("not an entry")
    return values.pop("key"), Answer(**values)


def _end_last_line(descriptor: int) -> None:
    """End a truncated last line, so that the next entry starts on its own line."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
        os.fsync(descriptor)
