"""How a grid is run: none of it shapes what it makes."""

from dataclasses import dataclass
from enum import StrEnum


class EngineName(StrEnum):
    """Where jobs run."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class Options:
    """What `lrltrain grid` is told beside the recipe."""

    engine: EngineName = EngineName.LOCAL
    workers: int | None = None
    address: str | None = None
    jobs_per_gpu: int | None = None
    retries: int = 1
    verify: bool = False
    only: tuple[str, ...] = ()
