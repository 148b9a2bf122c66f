"""The exceptions of lrldata. Each message says what is wrong, where, and what to do about it.

LrlError                 anything that a user can act upon; exit code 1
├── UsageError           a command, option or settings file that cannot be meant; exit code 2
│   └── LanguageError    a language that is not known
├── InputError           data that cannot be read: a damaged dump, a page that is not the dump
│   ├── NothingError     there is nothing of a language: no input, or no line is left
│   └── IncompleteError  some of several languages could not be built
├── DownloadError        the network, or what came over it
├── StorageError         a disk that is full or read-only, a folder that is not what it should be
├── ModelError           a base model or adapter that cannot be loaded or adapted
├── TrainingError        training that went wrong, as a loss that is not a number
├── EndpointError        a language model on a server that refuses, or cannot be reached
└── PublishError         a Hub that refuses, or cannot be reached, or a card that two have changed
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
    """The command line or the settings file is wrong."""

    exit_code = 2


class LanguageError(UsageError):
    """The language is not in the table."""


class InputError(LrlError):
    """The input is not what it should be."""


class NothingError(InputError):
    """There is nothing of a language: no input, or no line of it is left. Others may have some."""


class IncompleteError(InputError):
    """Some of the languages could not be built; `built` has the datasets of the others."""

    def __init__(self, message: str, hint: str, built: Sequence[Any]) -> None:
        super().__init__(message, hint)
        self.built = list(built)


class DownloadError(LrlError):
    """A download failed."""


class StorageError(LrlError):
    """A file or folder cannot be read or written."""


class ModelError(LrlError):
    """A base model or an adapter cannot be used."""


class TrainingError(LrlError):
    """Training went wrong."""


class EndpointError(LrlError):
    """A server with a language model does not answer."""


class PublishError(LrlError):
    """Something could not be published."""


def is_full(error: BaseException) -> bool:
    """Return whether there was no room to write, whatever library says so: on the disk, or in the user's quota."""
    return any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))


def first_line(error: BaseException, longest: int | None = None) -> str:
    """Return the first line of what another library's error says, shortened; its kind where it says nothing."""
    return str(error).strip().split("\n")[0][:longest] or type(error).__name__


def is_panic(error: BaseException) -> bool:
    """Return whether a library in Rust gave up: what it raises then is an error, but no Exception."""
    return type(error).__name__ == "PanicException"


def one_line(error: BaseException, longest: int | None = None) -> str:
    """Return what another library's error says, on one line of so many characters; its kind where it says nothing."""
    return " ".join(str(error).split())[:longest] or type(error).__name__
