"""The training costs of adapters: parameters, tokens and time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lrltrain.reporting.formatting import MINUS
from lrltrain.reporting.material import Adapter, WorkspaceContents

HEADS = ("base model", "method", "adapters", "parameters", "share of base model", "tokens", "minutes")


@dataclass(frozen=True)
class Cost:
    """The adapters of one method, source and size on a base model: their number, and the mean cost of one.

    `tokens` counts the tokens read in training, with repetitions. `seconds` is summed over all processes, and is None
    if unknown; adapters that were trained as a group each have their share.
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
        """Return the numbers as shown in a table."""
        minutes = MINUS if self.seconds is None else f"{self.seconds / 60:,.1f}"
        counts = f"{self.adapters:,}", f"{self.parameters:,}", f"{self.share:.2%}".replace("%", " %")
        return [*counts, f"{self.tokens:,.0f}", minutes]


def costs(material: WorkspaceContents) -> list[Cost]:
    """Return the costs of the adapters of a workspace, by base model, method, source and size."""
    adapters_by_key: dict[tuple[str, str, str, int], list[Adapter]] = {}
    for adapter in material.adapters:
        manifest = adapter.manifest
        key = adapter.base, str(manifest["method"]), adapter.source, int(manifest["trained"]["parameters"])
        adapters_by_key.setdefault(key, []).append(adapter)
    return [_cost(*key, adapters) for key, adapters in sorted(adapters_by_key.items())]


def _cost(base: str, method: str, source: str, parameters: int, adapters: Sequence[Adapter]) -> Cost:
    trained = [adapter.manifest["trained"] for adapter in adapters]
    seconds = [value for value in map(seconds_of, adapters) if value is not None]
    return Cost(
        base,
        method,
        source,
        len(adapters),
        parameters,
        parameters / max(1, int(trained[0]["parameters_of_base"])),
        fmean(float(value["tokens"]) for value in trained),
        fmean(seconds) if len(seconds) == len(adapters) else None,
    )


def seconds_of(adapter: Adapter) -> float | None:
    """Return the training time of an adapter in seconds, summed over all processes; None if unknown."""
    seconds, processes = adapter.run.get("seconds"), adapter.run.get("processes", 1)
    is_known = isinstance(seconds, int | float) and isinstance(processes, int)
    return seconds * processes if is_known else None
