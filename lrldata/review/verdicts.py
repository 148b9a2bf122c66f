"""Verdict files: what speakers said about lines, appended to `verdicts/*.jsonl` in a dataset's folder. IO.

A verdict is a line of JSON, and is never removed or changed. Reviewers who change their mind, or take a verdict back
(decision `none`), add another one: the latest verdict of a reviewer on a line counts. Each verdict in a dataset's
folder has the hash of the one before it, so that changes to a file are detected.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from lrldata.card import UNSEEN
from lrldata.dataset import VERDICTS
from lrldata.errors import InputError, UsageError
from lrldata.folder import prevent_exchange
from lrldata.locks import lock
from lrldata.manifest import DamagedError
from lrldata.manifest_schema import Code
from lrldata.output import note
from lrldata.paths import inside, walk

LONGEST_NOTE, LONGEST_ALIAS = 2_000, 60  # characters
LONGEST_LINE, LARGEST = 20_000, 64_000_000  # bytes
UNDECIDED = "undecided"  # as many reviewers call the line right as wrong
Decision = Literal["right", "wrong", "unsure", "none"]
Line = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


def _visible(text: object) -> object:
    """Return text without signs that nobody can see, such as tabs and direction marks, which come with pasted text."""
    return (
        UNSEEN.sub(lambda sign: sign[0] if sign[0] == "\n" else " " * (sign[0] == "\t"), text)
        if isinstance(text, str)
        else text
    )


Alias = Annotated[
    str,
    BeforeValidator(_visible),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_ALIAS, pattern=r"^[^\n]*$"),
]
Note = Annotated[str, BeforeValidator(_visible), StringConstraints(max_length=LONGEST_NOTE)]


class Verdict(BaseModel):
    """What a reviewer said about a line, which `line` identifies by its content; `version` is the dataset's.

    `credit` says that the alias may be published. `after` is the hash of the verdict before it in its file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    format: Literal["lrl-verdict-1"] = "lrl-verdict-1"
    language: Code
    source: str = Field(pattern=r"^[\w.-]{1,100}$")
    version: str = Field(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")
    line: Line
    decision: Decision
    reviewer: Alias
    credit: bool = False
    time: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")
    note: Note = ""
    after: str | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """Return the values that identify a verdict, wherever it is stored."""
        return self.reviewer, self.line, self.time, self.decision, self.note


def line_id(text: str) -> str:
    """Return an identifier of a line's content: the first 128 bits of its SHA-256, in hexadecimal."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def now(after: str = "") -> str:
    """Return the current time in UTC, in the format of verdicts; at least a microsecond later than the time `after`.

    A clock that was set back must not put a correction before what it corrects.
    """
    time = datetime.now(UTC)
    with suppress(ValueError, OverflowError):  # no time of a calendar
        time = max(time, datetime.fromisoformat(after) + timedelta(microseconds=1)) if after else time
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_file(path: Path) -> list[Verdict]:
    """Read a verdict file. Raises InputError that names the line, or DamagedError if the file was changed later.

    A last line without a line end was being written when the program was killed: it was never confirmed, and is
    ignored.
    """
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: larger than a verdict file can be ({LARGEST:,} bytes).")
    return _parse(path.read_bytes(), path)


def _parse(data: bytes, path: Path) -> list[Verdict]:
    verdicts: list[Verdict] = []
    previous_hash = ""
    for number, line in enumerate(_whole_lines(data), 1):
        location = f"{path}: line {number:,}"
        if len(line) > LONGEST_LINE:
            raise InputError(f"{location}: longer than a verdict can be.")
        try:
            verdict = Verdict.model_validate_json(line)
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(map(str, fault["loc"]))
            problem = f"{key}: {fault['msg']}" if key else fault["msg"]
            raise InputError(
                f"{location}: not a verdict ({problem}).", "Use the file as `lrldata review` wrote it."
            ) from error
        if (
            verdict.after is not None or (verdicts and verdicts[0].after is not None)
        ) and verdict.after != previous_hash:
            raise DamagedError(
                f"{location}: does not follow the verdict before it: the file was changed after it was written.",
                "Restore it from a copy, or remove it and merge the reviewers' own files again.",
            )
        previous_hash = _hash(line)
        verdicts.append(verdict)
    return verdicts


def _whole_lines(data: bytes) -> list[bytes]:
    return data[: data.rfind(b"\n") + 1].splitlines()


def _hash(line: bytes) -> str:
    return sha256(line).hexdigest()[:32]


def read_all(place: Path) -> list[Verdict]:
    """Read the verdicts of a file, or of all .jsonl files below a folder; none if the folder does not exist."""
    if place.is_file():
        return read_file(place)
    return [verdict for path in walk(place) if path.suffix == ".jsonl" for verdict in read_file(path)]


def read_verdicts_at(place: Path) -> list[Verdict]:
    """Read the verdicts that an option names. Raises UsageError if there is nothing at this path."""
    if not place.exists():
        raise UsageError(
            f"{place}: no verdict file, and no folder of verdict files.", "`lrldata review FOLDER` makes one."
        )
    return read_all(place / VERDICTS if (place / VERDICTS).is_dir() else place)


def append(folder: Path, verdicts: Iterable[Verdict]) -> int:
    """Add verdicts to the files of their reviewers in a dataset's folder; they are on disk when this returns.

    Returns the number of verdicts added: those that are there already are not added again.
    """
    by_file: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_file.setdefault(_file_name(verdict.reviewer), []).append(verdict)
    with prevent_exchange([folder]):  # a rebuild must not replace the folder between opening and writing
        inside(folder, VERDICTS).mkdir(exist_ok=True)
        return sum(_append(inside(folder, f"{VERDICTS}/{name}"), group) for name, group in by_file.items())


def _append(path: Path, verdicts: Iterable[Verdict]) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b") as stream, os.fdopen(os.dup(descriptor), "rb") as lock_file:
        lock(lock_file.fileno(), path, wait=True)
        data = stream.read()
        existing = {verdict.identity for verdict in _parse(data, path)}
        lines = _whole_lines(data)
        end = data.rfind(b"\n") + 1
        if end < len(data):
            note(f"{path}: the last verdict was cut off while it was written, and is ignored.")
            stream.truncate(end)
        previous_hash = _hash(lines[-1]) if lines else ""
        added = []
        for verdict in verdicts:
            if verdict.identity not in existing:
                existing.add(verdict.identity)
                added.append(verdict.model_copy(update={"after": previous_hash}).model_dump_json().encode())
                previous_hash = _hash(added[-1])
        stream.seek(end)
        stream.write(b"".join(line + b"\n" for line in added))
        stream.flush()
        os.fsync(stream.fileno())
    return len(added)


def _file_name(alias: str) -> str:
    """Return the name of a reviewer's file. The hash separates aliases that would otherwise give the same name."""
    plain = re.sub(r"[^\w-]+", "-", alias)[:40].strip("-")
    return f"{plain or 'reviewer'}-{sha256(alias.encode()).hexdigest()[:6]}.jsonl"


def current_verdicts(verdicts: Iterable[Verdict]) -> dict[str, dict[str, Verdict]]:
    """Return the verdicts that count, by line and reviewer: the latest, except those taken back. Pure."""
    latest: dict[tuple[str, str], Verdict] = {}
    for verdict in sorted(
        verdicts, key=lambda verdict: verdict.time
    ):  # stable: of equal times, the later one in the file counts
        latest[verdict.line, verdict.reviewer] = verdict
    by_line: dict[str, dict[str, Verdict]] = {}
    for (line, reviewer), verdict in sorted(latest.items()):
        if verdict.decision != "none":
            by_line.setdefault(line, {})[reviewer] = verdict
    return by_line


def consensus(verdicts: Iterable[Verdict]) -> dict[str, str]:
    """Return `right` or `wrong` for the lines on which more reviewers say one than the other. Pure."""
    return dict(_consensus(current_verdicts(verdicts)))


def outcomes(verdicts: Iterable[Verdict]) -> dict[str, str]:
    """Return `right`, `wrong` or UNDECIDED for each line that has verdicts. Pure."""
    by_line = current_verdicts(verdicts)
    return dict.fromkeys(by_line, UNDECIDED) | dict(_consensus(by_line))


def _consensus(by_line: Mapping[str, Mapping[str, Verdict]]) -> Iterator[tuple[str, str]]:
    for line, by_reviewer in by_line.items():
        votes = Counter(verdict.decision for verdict in by_reviewer.values())
        if votes["right"] != votes["wrong"]:
            yield line, "right" if votes["right"] > votes["wrong"] else "wrong"


def check_same(verdicts: Iterable[Verdict], language: str, source: str, where: str) -> None:
    """Raise InputError if a verdict is for another dataset."""
    for verdict in verdicts:
        if (verdict.language, verdict.source) != (language, source):
            raise InputError(
                f"{where}: has verdicts on {verdict.language} from {verdict.source}, not on {language} from {source}.",
                "Use the file of this dataset.",
            )


def as_json_lines(verdicts: Iterable[Verdict]) -> str:
    """Return verdicts in the format of a separate file."""
    return "".join(json.dumps(verdict.model_dump(exclude={"after"}), ensure_ascii=False) + "\n" for verdict in verdicts)
