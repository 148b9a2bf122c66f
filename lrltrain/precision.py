"""The precision in which a model is held and computes, and whether this machine is quick in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from lrldata.output import note
from lrltrain.config import Objective
from lrltrain.session import matmul_precision

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_SLOW = 2.0  # times single precision


def precision_of(wanted: str) -> str:
    """Return the precision to compute in: what is asked for, or with `auto` bf16 on a GPU that has it, else fp32."""
    if wanted != "auto":
        return wanted
    has_it = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_it else "fp32"


def dtype_for(objective: Objective, precision: str) -> torch.dtype:
    """Return how to hold weights to measure: of a decoder, which is large, in half precision where it computes so."""
    return HALF.get(precision, torch.float32) if objective == "clm" else torch.float32


@contextmanager
def tf32(*, on: bool) -> Iterator[None]:
    """Let a GPU multiply single precision as TF32, or not, and leave that as it was for what a process does next.

    Training does, as 10 bits of mantissa are more than the 7 of bf16; what is measured is not to depend on it.
    """
    if not torch.cuda.is_available():
        yield
        return
    with matmul_precision("high" if on else "highest"):
        yield


@cache
def note_if_slow(wanted: str) -> None:
    """Say so, once in a process, where half precision is asked for on a processor that is slower in it."""
    half = HALF.get(precision_of(wanted))
    if half is None or torch.cuda.is_available():
        return
    times = against_single(half)
    if times >= _SLOW:
        note(f"note: this processor multiplies {wanted} {times:.0f} times slower than fp32. Use --precision fp32.")


def against_single(half: torch.dtype) -> float:
    """Return how many times as long as in single precision this processor takes for a product in half precision."""
    return _seconds(half) / _seconds(torch.float32)


@cache
def _seconds(dtype: torch.dtype) -> float:
    """Return the seconds of a small product of matrices, the least of three."""
    one, other = torch.ones(128, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    least = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        torch.nn.functional.linear(one, other)
        least = min(least, time.perf_counter() - began)
    return least
