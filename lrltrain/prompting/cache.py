"""Answers of an endpoint on disk, so that none is paid for twice: a line of JSON each, there before it is used. IO."""

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
FAILED = {"error", "abort"}  # why an answer ended that is none
MOST_TOKENS = 10**9  # of one call; an endpoint that counts more counts nothing


@dataclass(frozen=True)
class Answer:
    """What a model said, and the tokens that it read and wrote, where the endpoint counts them.

    `finish` is the endpoint's word for why it ended; `none` where there was no answer in what came. Texts are valid
    Unicode, and counts are from 0 to MOST_TOKENS.
    """

    text: str
    finish: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


def key_of(url: str, request: Mapping[str, Any], draw: int | None = None) -> str:
    """Return what an answer is known by: where was asked, and all that was asked, the model's name included.

    `draw` tells apart answers that are drawn again for the same request.
    """
    return fingerprint({"url": url, "request": dict(request)} | ({} if draw is None else {"draw": draw}))


class AnswerFile:
    """The answers in one file, which is open and locked; `Mapping`-like for reading."""

    def __init__(self, path: Path, descriptor: int, answers: dict[str, Answer]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._answers = answers

    def get(self, key: str) -> Answer | None:
        """Return a kept answer."""
        return self._answers.get(key)

    def keep(self, key: str, answer: Answer) -> None:
        """Write an answer; when this returns, it outlives the process and the machine's power."""
        line = _line(key, answer)
        while line:
            line = line[os.write(self._descriptor, line) :]
        os.fsync(self._descriptor)
        self._answers[key] = answer


@contextmanager
def open_answers(path: Path) -> Iterator[AnswerFile]:
    """Open a file of answers to read and add to. Raises StorageError if another process has it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = Lock(path.with_name(f".{path.name}.lock"))
    except BlockingIOError as error:
        raise StorageError(
            f"{path}: another process asks the same model about the same test set.",
            "Wait until it is done: its answers are then read from there.",
        ) from error
    with held:
        answers = read_answers(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _end_last_line(descriptor)
            yield AnswerFile(path, descriptor, answers)
        finally:
            os.close(descriptor)


def read_answers(path: Path) -> dict[str, Answer]:
    """Return the answers of a file, none if there is no file; lines that were cut or altered are left out."""
    answers: dict[str, Answer] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return answers
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            key, answer = _read(line)
            if answer.finish not in FAILED:  # which older versions kept
                answers[key] = answer
    return answers


def is_count(value: object) -> bool:
    """Return whether a value counts the tokens of a call."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def _line(key: str, answer: Answer) -> bytes:
    """Write an entry with a hash of itself, by which one that was altered later is known."""
    entry = {"key": key, **asdict(answer)}
    return json.dumps(entry | {"hash": fingerprint(entry)[:HASH]}, ensure_ascii=True).encode() + b"\n"


def _read(line: bytes) -> tuple[str, Answer]:
    """Read an entry. Raises ValueError, or RecursionError, for what is not one."""
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError("not an object")  # noqa: TRY004 -- of the file, not of a call
    kept = {name: value for name, value in entry.items() if name != "hash"}
    counts = [kept.get(name) for name in ("prompt_tokens", "completion_tokens")]
    json.dumps(kept, ensure_ascii=False).encode()  # half of a surrogate pair is no text: UnicodeEncodeError
    own = fingerprint(kept)[:HASH]
    if (
        kept.keys() != {"key", *Answer.__dataclass_fields__}
        or not (isinstance(kept["key"], str) and isinstance(kept["text"], str))
        or not (kept["finish"] is None or isinstance(kept["finish"], str))
        or not all(count is None or is_count(count) for count in counts)
        or entry.get("hash", own) != own  # files of older versions have no hashes
    ):
        raise ValueError("not an entry")
    return kept.pop("key"), Answer(**kept)


def _end_last_line(descriptor: int) -> None:
    """Keep what comes next apart from a line that was cut."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
        os.fsync(descriptor)
