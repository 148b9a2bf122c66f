"""The memory of a GPU, of which a process keeps what it has had."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lrldata.errors import ModelError

SMALLER = "Lower --batch-tokens, use --precision bf16, or a smaller model."


def release_gpu_memory() -> None:
    """Give back what this process keeps of a GPU's memory for what comes next: others may want it meanwhile.

    A model and what is hooked into it refer to each other, and are not gone before they are looked for.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


@contextmanager
def within_memory(hint: str) -> Iterator[None]:
    """Say that memory ran out, and what the user can do. Raises ModelError."""
    import torch  # noqa: PLC0415 -- of those who compute, who have it

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError("the GPU has no memory for this model and batch.", hint) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # of torch's allocator on a CPU
            raise
        raise ModelError("there is no memory for this model and batch.", hint) from error
