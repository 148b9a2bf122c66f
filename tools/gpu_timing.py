"""The lines that the GPU check trains on, its timing, and the rows of its table. For gpu_check.py."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

LINES, LENGTH, ROUNDS = 16, 48, 20


def lengths_of(seed: int) -> Any:
    """Return the tokens of each of LINES lines of an adapter: LENGTH on average, as different as those of web text."""
    return np.random.default_rng(seed).integers(LENGTH // 3, 2 * LENGTH - LENGTH // 3 + 1, LINES)


def median(run: Callable[[], None], device: torch.device, rounds: int = ROUNDS) -> float:
    """Return the median time of a call in seconds, after three warm-up calls."""
    for _ in range(3):
        run()
    durations = []
    for _ in range(rounds if device.type == "cuda" else 3):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def print_header() -> None:
    """Print the header of the table of steps."""
    print("| model | method | K | precision | ms per step | ms per step and adapter | floor | GB |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |", flush=True)


def print_row(
    name: str, method: str, count: int, precision: str, seconds: float, floor: float | None, memory: float | None
) -> dict[str, Any]:
    """Print a row and return it."""
    limit = "" if floor is None else f"{floor / count * 1e3:.2f}"
    print(
        f"| {name} | {method} | {count} | {precision} | {seconds * 1e3:.2f} | {seconds / count * 1e3:.2f} | {limit} "
        f"| {'' if memory is None else f'{memory:.1f}'} |",
        flush=True,
    )
    row = {"model": name, "method": method, "k": count, "precision": precision, "ms_a_step": seconds * 1e3}
    return row | {"ms_an_adapter": seconds / count * 1e3, "floor_ms": floor and floor / count * 1e3, "gb": memory}
