"""Choose the precision of weights and computation, and name the device; warn if it computes slowly in it."""

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from lrldata.output import note
from lrltrain.config import Objective
from lrltrain.session import matmul_precision

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_SLOW = 1.2  # times the duration in single precision
_FAST = 1.5  # times the speed in single precision
_LARGE = 50_000_000  # parameters


def precision_of(requested: str) -> str:
    """Return the precision to compute in: `requested`, or with `auto` bf16 on a GPU that supports it, else fp32."""
    if requested != "auto":
        return requested
    supports_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if supports_bf16 else "fp32"


def bytes_per_value(requested: str) -> int:
    """Return the size of a number in the precision to compute in, in bytes."""
    return HALF.get(precision_of(requested), torch.float32).itemsize


def dtype_for(objective: Objective, precision: str) -> torch.dtype:
    """Return the type of weights for evaluation: half precision only for a decoder, which is large, if requested."""
    return HALF.get(precision, torch.float32) if objective == "clm" else torch.float32


@contextmanager
def tf32(*, on: bool) -> Iterator[None]:
    """Allow or forbid TF32 for a GPU's single-precision products, and restore the setting afterwards.

    Training uses TF32, whose 10 bits of mantissa exceed the 7 of bf16; evaluation results must not depend on it.
    """
    if not torch.cuda.is_available():
        yield
        return
    with matmul_precision("high" if on else "highest"):
        yield


@cache
def note_if_slow(requested: str) -> None:
    """Print a note, once per process, if half precision is requested on a processor that is slower in it."""
    half = HALF.get(precision_of(requested))
    if half is None or torch.cuda.is_available():
        return
    slowdown = half_precision_slowdown(half)
    if slowdown >= _SLOW:
        note(
            f"products in {requested} take {slowdown:.1f} times as long as in fp32 on this processor. "
            "Use --precision fp32."
        )


@cache
def note_if_fp32_is_slow(requested: str, parameters: int) -> None:
    """Print a note, once per process, if `auto` means fp32 although training in half precision would be faster.

    `parameters` is the size of the model: products are a small part of the time that small models take.
    """
    if requested != "auto" or precision_of(requested) != "fp32":
        return
    if torch.cuda.is_available():
        note(
            "this GPU does not support bf16, so training runs in fp32. --precision fp16 is usually faster and "
            "takes less memory."
        )
    elif parameters >= _LARGE and (speedup := 1 / half_precision_slowdown(torch.bfloat16)) >= _FAST:
        note(
            f"products in bf16 are {speedup:.1f} times as fast as in fp32 on this processor, so training is faster "
            "with --precision bf16."
        )


def half_precision_slowdown(half: torch.dtype) -> float:
    """Return how many times longer this processor takes for a product in half precision than in single precision."""
    return _seconds(half) / _seconds(torch.float32)


@cache
def _seconds(dtype: torch.dtype) -> float:
    """Return the time of a small matrix product in seconds, the minimum of 20 runs."""
    left, right = torch.ones(128, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    minimum = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        torch.nn.functional.linear(left, right)
        minimum = min(minimum, time.perf_counter() - start)
    return minimum


def device_name() -> str:
    """Return the name of the machine's processor, as shown on a card."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"
