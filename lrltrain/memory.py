"""Release GPU memory, which torch keeps after use, and explain errors of memory running out."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lrldata.errors import ModelError, is_failed_allocation

SMALLER = "Lower --batch-tokens, use --precision bf16, or use a smaller model."


def release_gpu_memory() -> None:
    """Return the GPU memory that this process caches for later use, so that other processes can use it.

    A model and its hooks refer to each other, so they are freed only by the garbage collector.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, on a GPU or a CPU. Call it after torch has been imported."""
    return _is_of_gpu(error) or is_failed_allocation(error)


@contextmanager
def within_memory(hint: str) -> Iterator[None]:
    """Turn out-of-memory errors into a ModelError with `hint`, which says what the user can do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        problem = "the GPU ran out of memory" if _is_of_gpu(error) else "there is not enough memory"
        raise ModelError(f"{problem} for this model and batch.", hint) from error


def _is_of_gpu(error: BaseException) -> bool:
    return isinstance(error, sys.modules["torch"].OutOfMemoryError)
