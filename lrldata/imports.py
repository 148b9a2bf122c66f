"""Import libraries that are large or may be missing."""

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

INTERRUPTED = 130  # the exit code of an interrupted program in a shell


@contextmanager
def many_imports(extra: str | None = None) -> Iterator[None]:
    """Switch off garbage collection during large imports, which makes them a third faster.

    In a process of our own, later collections also skip all objects that exist by then, because those stay. Functions
    of the Python API name an `extra`, which prevents that, because the session belongs to the user, and delays an
    interrupt until the imports are done. If a library is missing, the error names the extra that provides it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        if extra is None:
            yield
        else:
            with _interrupted_later():
                yield
    except ModuleNotFoundError as error:
        if extra is None:
            raise
        package = (error.name or "a library").partition(".")[0]
        message = f"This needs {package}. In a checkout of lrl, use `pip install '.[{extra}]'`."
        raise ModuleNotFoundError(message, name=error.name) from error
    finally:
        if extra is None:
            gc.freeze()
        if enabled:
            gc.enable()


def run_program(package: str) -> None:
    """Import the command line of a package and run it. Ctrl-C while it is imported ends it without a traceback."""
    try:
        with many_imports():
            app = import_module(f"{package}.cli.app")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    app.main()


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Delay a keyboard interrupt: within an import it would leave a library that fails for the rest of the session."""
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield
        return
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if interrupts:
            signal.raise_signal(signal.SIGINT)


def imported(name: str, module: str, extra: str) -> Any:
    """Return a name of a package's API from its module, which may need the libraries of an extra."""
    with many_imports(extra):
        return getattr(import_module(module), name)
