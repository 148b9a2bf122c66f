"""A Python session that computes other things too: ours is done as in a process of its own, and one call at a time."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import RLock
from traceback import clear_frames
from typing import Any

import torch

from lrltrain.memory import release_gpu_memory

# transformers loads a model by settings of the whole process, and torch has one generator of random numbers.
_ALONE = RLock()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute as if nothing had been set in this session, and leave it as it was, its random numbers too.

    What is set aside: the default dtype and device, `torch.no_grad`, `torch.inference_mode`, autocast, and the
    precision of matrix products. A call from another thread waits.
    """
    handled = sys.exception()  # of the caller, who goes on with it
    with _ALONE, ExitStack() as aside:
        here = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
        aside.enter_context(torch.random.fork_rng(devices=here))
        aside.enter_context(torch.inference_mode(mode=False))
        aside.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                aside.enter_context(torch.autocast(device, enabled=False))
        aside.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":  # else without, as it would slow down every call of torch
            aside.enter_context(torch.device("cpu"))
        aside.enter_context(matmul_precision("highest"))
        try:
            yield
        except BaseException as error:
            if torch.cuda.is_initialized():
                let_go(error, handled)
                release_gpu_memory()
            raise


def let_go(error: BaseException, handled: BaseException | None) -> None:
    """Forget the variables of the functions through which an error came, which a notebook keeps with the error.

    Models and what belongs to them would else stay in a GPU's memory, and a call with a smaller batch fail too. What
    was being `handled` before is left as it is.
    """
    waiting, seen = [error], {id(handled)}
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            clear_frames(each.__traceback__)
            waiting += [other for other in (each.__cause__, each.__context__) if other is not None]


@contextmanager
def matmul_precision(wanted: str) -> Iterator[None]:
    """Multiply single precision as `torch.set_float32_matmul_precision` says, and then as before.

    Torch has two ways to set it, and refuses to say by the one what was set by the other.
    """
    with ExitStack() as after:
        for backend in (torch.backends.mkldnn, torch.backends.cuda):
            products: Any = getattr(backend, "matmul", None)
            if hasattr(products, "fp32_precision"):  # of torch 2.9
                after.callback(setattr, products, "fp32_precision", products.fp32_precision)
        with suppress(RuntimeError):
            after.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision(wanted)
        yield
