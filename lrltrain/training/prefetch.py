"""What is needed next, made while a GPU computes."""

import threading
from collections.abc import Iterator
from queue import Queue
from typing import TypeVar

import torch

AHEAD = 4  # steps
Item = TypeVar("Item")


def prefetched(items: Iterator[Item], device: torch.device) -> Iterator[Item]:
    """Yield items, which for a GPU a thread makes in advance; what it raises is raised here."""
    if device.type != "cuda":
        yield from items
        return
    queue: Queue[tuple[Item | None, BaseException | None]] = Queue(AHEAD)
    stopped = threading.Event()

    def work() -> None:
        try:
            for item in items:
                queue.put((item, None))
                if stopped.is_set():
                    return
            queue.put((None, None))
        except BaseException as error:  # noqa: BLE001 -- it is raised again where it can be seen
            queue.put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
        while not queue.empty():
            queue.get_nowait()
        thread.join()  # which puts one more at most; what it holds, as the model, is to be gone with the caller
