"""What adapters took: parameters, tokens, time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lrltrain.reporting.formatting import MINUS
from lrltrain.reporting.material import Adapter, Material

HEADS = ("base model", "method", "adapters", "parameters", "of the base model", "tokens", "minutes")


@dataclass(frozen=True)
class Cost:
    """The adapters of one method, source and size on a base model: how many, and the mean of what one took.

    `tokens` counts those that were read in training, with repetitions. `seconds` is over all processes, None where it
    is not known; of adapters that were trained as a group, each has its share.
    """

    base: str
    method: str
    source: str
    adapters: int
    parameters: int
    share: float
    tokens: float
    seconds: float | None

    def numbers(self) -> list[str]:
        """Return the numbers as a table has them."""
        minutes = MINUS if self.seconds is None else f"{self.seconds / 60:,.1f}"
        counts = f"{self.adapters:,}", f"{self.parameters:,}", f"{self.share:.2%}".replace("%", " %")
        return [*counts, f"{self.tokens:,.0f}", minutes]


def costs(material: Material) -> list[Cost]:
    """Return what the adapters of a workspace took, by base model, method, source and size."""
    held: dict[tuple[str, str, str, int], list[Adapter]] = {}
    for adapter in material.adapters:
        manifest = adapter.manifest
        key = adapter.base, str(manifest["method"]), adapter.source, int(manifest["trained"]["parameters"])
        held.setdefault(key, []).append(adapter)
    return [_cost(*key, several) for key, several in sorted(held.items())]


def _cost(base: str, method: str, source: str, parameters: int, adapters: Sequence[Adapter]) -> Cost:
    trained = [adapter.manifest["trained"] for adapter in adapters]
    seconds = [each for each in map(seconds_of, adapters) if each is not None]
    return Cost(
        base,
        method,
        source,
        len(adapters),
        parameters,
        parameters / max(1, int(trained[0]["parameters_of_base"])),
        fmean(float(each["tokens"]) for each in trained),
        fmean(seconds) if len(seconds) == len(adapters) else None,
    )


def seconds_of(adapter: Adapter) -> float | None:
    """Return how long an adapter was trained, on all processes together; None where it is not known."""
    seconds, processes = adapter.run.get("seconds"), adapter.run.get("processes", 1)
    known = isinstance(seconds, int | float) and isinstance(processes, int)
    return seconds * processes if known else None
