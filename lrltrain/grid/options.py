"""Options of how a grid runs; none of them changes what it makes."""

from dataclasses import dataclass
from enum import StrEnum


class EngineName(StrEnum):
    """Where jobs run."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class Options:
    """The options of `lrltrain grid`, apart from the study file."""

    engine: EngineName = EngineName.LOCAL
    workers: int | None = None
    address: str | None = None
    jobs_per_gpu: int | None = None
    retries: int = 1
    verify: bool = False
    only: tuple[str, ...] = ()
