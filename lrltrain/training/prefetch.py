"""Prepare the next items in a thread while a GPU computes."""

import threading
from collections.abc import Iterator
from queue import Queue
from typing import TypeVar

import torch

AHEAD = 4  # number of items
Item = TypeVar("Item")


def prefetched(items: Iterator[Item], device: torch.device) -> Iterator[Item]:
    """Yield items. For a GPU, a thread prepares them in advance; its exceptions are raised here."""
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
        except BaseException as error:  # noqa: BLE001 -- raised again in the calling thread
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
        thread.join()  # adds at most one more item; what the thread refers to must not outlive the caller
