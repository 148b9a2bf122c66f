"""The exceptions of lrldata. Each message says what is wrong, where, and what to do about it.

LrlError                 any error that the user can act on; exit code 1
├── UsageError           an invalid command, option or settings file; exit code 2
│   └── LanguageError    an unknown language
├── InputError           unreadable data: a damaged dump, or a web page instead of the dump
│   ├── NoDataError      no data for a language: no input, or no line that was kept
│   └── IncompleteError  some of several languages could not be built
├── DownloadError        a network failure, or a damaged download
├── StorageError         a full or read-only disk, or a folder with unexpected content
├── ModelError           a base model or adapter that cannot be loaded or adapted
├── TrainingError        failed training, e.g. a loss that is not a number
├── EndpointError        a language model on a server that refuses or cannot be reached
└── PublishError         a Hub that refuses or cannot be reached, or conflicting changes to a card
"""

import errno
import os
from collections.abc import Sequence
from typing import Any


class LrlError(Exception):
    """A failure with a one-line message and, in `hint`, what the user can do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class UsageError(LrlError):
    """The command line or the settings file is invalid."""

    exit_code = 2


class LanguageError(UsageError):
    """The language is unknown."""


class InputError(LrlError):
    """The input is damaged or of the wrong kind."""


class NoDataError(InputError):
    """There is no data for a language: no input, or no line that was kept. Other languages may have some."""


class IncompleteError(InputError):
    """Some of the languages could not be built; `built` holds the datasets of the others."""

    def __init__(self, message: str, hint: str = "", built: Sequence[Any] = ()) -> None:
        super().__init__(message, hint)
        self.built = list(built)


class DownloadError(LrlError):
    """A download failed."""


class StorageError(LrlError):
    """A file or folder cannot be read or written."""


class BusyError(StorageError):
    """Another process is writing to the same place, or seems to."""


class ModelError(LrlError):
    """A base model or an adapter cannot be used."""


class TrainingError(LrlError):
    """Training failed."""


class DivergedError(TrainingError):
    """The loss of adapters was not finite; `messages` has one for each. All others are finished."""

    def __init__(self, messages: Sequence[str], hint: str) -> None:
        super().__init__(" ".join(messages), hint)
        self.messages = list(messages)

    def __reduce__(self) -> tuple[Any, ...]:
        return DivergedError, (self.messages, self.hint)


class EndpointError(LrlError):
    """A server with a language model refuses or does not answer."""


class PublishError(LrlError):
    """Something could not be published."""


ROOM = "Free some disk space, or use another disk: set --out and --cache (where available), HF_HOME or TMPDIR."


def is_full(error: BaseException) -> bool:
    """Return whether an error of any library means that the disk or the user's quota is full."""
    return any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT))


def is_too_large(error: BaseException) -> bool:
    """Return whether an error of any library means that a file is larger than a limit allows."""
    return os.strerror(errno.EFBIG) in str(error)


def is_short_of_memory(error: BaseException) -> bool:
    """Return whether memory or processes ran out, including when starting a thread or loading a library."""
    message = str(error)
    has_no_thread = isinstance(error, RuntimeError) and "can't start new thread" in message
    has_no_process = (is_panic(error) or isinstance(error, BlockingIOError)) and os.strerror(errno.EAGAIN) in message
    failed_load = isinstance(error, ImportError) and (
        "failed to map segment" in message or "Cannot allocate memory" in message
    )
    is_refused = getattr(error, "errno", None) == errno.ENOMEM
    return has_no_thread or has_no_process or failed_load or is_refused or is_failed_allocation(error)


def is_failed_allocation(error: BaseException) -> bool:
    """Return whether Python, or torch on a CPU, could not allocate memory."""
    is_of_torch = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return is_of_torch or isinstance(error, MemoryError)


def is_of_machine(error: BaseException) -> bool:
    """Return whether this machine is at fault, not what was read: no memory, no room, or no permission."""
    return is_full(error) or is_short_of_memory(error) or isinstance(error, PermissionError)


def first_line(error: BaseException, longest: int | None = None) -> str:
    """Return the first line of another library's error, cut to `longest` characters; its type name if it is empty.

    A final period is removed.
    """
    return str(error).strip().split("\n")[0][:longest].rstrip(" .") or type(error).__name__


def is_panic(error: BaseException) -> bool:
    """Return whether a Rust library panicked, which raises an error that is not an Exception."""
    return type(error).__name__ == "PanicException"


def one_line(error: BaseException, longest: int | None = None) -> str:
    """Return another library's error on one line, cut to `longest` characters; its type name if it is empty.

    A final period is removed.
    """
    return " ".join(str(error).split())[:longest].rstrip(" .") or type(error).__name__
