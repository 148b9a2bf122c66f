"""Release GPU memory, which torch keeps after use, and explain errors of memory running out."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lrldata.errors import ModelError

SMALLER = "Lower --batch-tokens, use --precision bf16, or use a smaller model."


def release_gpu_memory() -> None:
    """Return the GPU memory that this process caches for later use, so that other processes can use it.

    A model and its hooks refer to each other, so they are freed only by the garbage collector.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


@contextmanager
def within_memory(hint: str) -> Iterator[None]:
    """Turn out-of-memory errors into a ModelError with `hint`, which says what the user can do."""
    import torch  # noqa: PLC0415 -- slow to import; callers have imported it already

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError("the GPU ran out of memory for this model and batch.", hint) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # the message of torch's CPU allocator
            raise
        raise ModelError("there is not enough memory for this model and batch.", hint) from error
