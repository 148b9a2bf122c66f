"""Answers of an endpoint on disk, so that none is paid for twice: a line of JSON each, there before it is used. IO."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lrldata.errors import StorageError
from lrldata.manifest import fingerprint


@dataclass(frozen=True)
class Answer:
    """What a model said, and the tokens that it read and wrote, where the endpoint counts them.

    `finish` is the endpoint's word for why it ended; `none` where there was no answer in what came.
    """

    text: str
    finish: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


def key_of(url: str, request: Mapping[str, Any]) -> str:
    """Return what an answer is known by: where was asked, and all that was asked, the model's name included."""
    return fingerprint({"url": url, "request": dict(request)})


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
        line = json.dumps({"key": key, **asdict(answer)}, ensure_ascii=True).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]
        os.fsync(self._descriptor)
        self._answers[key] = answer


@contextmanager
def open_answers(path: Path) -> Iterator[AnswerFile]:
    """Open a file of answers to read and add to. Raises StorageError if another process has it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            answers = read_answers(path)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                _end_last_line(descriptor)
                yield AnswerFile(path, descriptor, answers)
            finally:
                os.close(descriptor)
    except Timeout as error:
        raise StorageError(
            f"{path}: another process asks the same model about the same test set.",
            "Wait until it is done: its answers are then read from there.",
        ) from error


def read_answers(path: Path) -> dict[str, Answer]:
    """Return the answers of a file, none if there is no file; a line that was cut when the process died is left out."""
    answers: dict[str, Answer] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return answers
    for line in lines:
        try:
            entry = json.loads(line)
            key = entry.pop("key")
            answers[key] = Answer(**entry)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return answers


def _end_last_line(descriptor: int) -> None:
    """Keep what comes next apart from a line that was cut."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
        os.fsync(descriptor)
