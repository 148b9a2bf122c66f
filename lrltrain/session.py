"""Isolate our computations from the rest of a Python session: one call at a time, as in a process of their own."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import RLock
from traceback import clear_frames
from typing import Any

import torch

from lrltrain.memory import release_gpu_memory

# Loading a model in transformers uses process-wide settings, and torch has one random number generator.
_LOCK = RLock()


@contextmanager
def isolated_session() -> Iterator[None]:
    """Compute with torch's default settings, and restore the session's own settings and random state afterwards.

    The settings are the default dtype and device, `torch.no_grad`, `torch.inference_mode`, autocast, and the precision
    of matrix products. A call from another thread waits.
    """
    handled = sys.exception()  # the caller is still handling it
    with _LOCK, ExitStack() as cleanup:
        # Seeding here seeds all GPUs, even if the session has not used one yet.
        is_usable = torch.cuda.is_available() and not torch.cuda._is_in_bad_fork()  # noqa: SLF001 -- as in torch.random
        cleanup.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count()) if is_usable else ()))
        cleanup.enter_context(torch.inference_mode(mode=False))
        cleanup.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                cleanup.enter_context(torch.autocast(device, enabled=False))
        cleanup.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":  # only if needed, as it slows down every torch call
            cleanup.enter_context(torch.device("cpu"))
        cleanup.enter_context(matmul_precision("highest"))
        try:
            yield
        except BaseException as error:
            if torch.cuda.is_initialized():
                clear_error_frames(error, handled)
                release_gpu_memory()
            raise


def clear_error_frames(error: BaseException, handled: BaseException | None) -> None:
    """Clear the local variables in an error's traceback, which a notebook keeps alive with the error.

    Otherwise models and their tensors would stay in GPU memory, and a retry with a smaller batch would fail too. The
    error being `handled` before is left unchanged.
    """
    waiting, seen = [error], {id(handled)}
    while waiting:
        current = waiting.pop()
        if id(current) not in seen:
            seen.add(id(current))
            clear_frames(current.__traceback__)
            waiting += [related for related in (current.__cause__, current.__context__) if related is not None]


@contextmanager
def matmul_precision(value: str) -> Iterator[None]:
    """Set the precision of single-precision products by `torch.set_float32_matmul_precision`, then restore it.

    Torch has two interfaces for this setting, and one raises an error on reading what the other has set.
    """
    with ExitStack() as cleanup:
        for backend in (torch.backends.mkldnn, torch.backends.cuda):
            products: Any = getattr(backend, "matmul", None)
            if hasattr(products, "fp32_precision"):  # since torch 2.9
                cleanup.callback(setattr, products, "fp32_precision", products.fp32_precision)
        with suppress(RuntimeError):
            cleanup.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision(value)
        yield
