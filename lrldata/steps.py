"""The steps that a build would take, for `--dry-run`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A step of a build; `bytes` is None if the size is unknown."""

    action: str
    what: str
    bytes: int | None
    note: str = ""
