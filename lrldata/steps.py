"""What a build would do, a step at a time, for `--dry-run`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One thing that a build would do; `bytes` is None where the size is not known."""

    action: str
    what: str
    bytes: int | None
    note: str = ""
