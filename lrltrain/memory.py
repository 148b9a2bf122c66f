"""The memory of a GPU, of which a process keeps what it has had."""

import gc
import sys


def release_gpu_memory() -> None:
    """Give back what this process keeps of a GPU's memory for what comes next: others may want it meanwhile.

    A model and what is hooked into it refer to each other, and are not gone before they are looked for.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
