"""Run commands in processes forked from one that has already loaded the libraries: importing them takes seconds.

Besides our commands, it can run a script of a user who has only the libraries.
"""

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn, Self

LOADED = {
    "lrldata": ("lrldata.conceptnet.build", "lrldata.web.build", "lrldata.web.explain"),
    "lrltrain": (
        "lrltrain.fitting.fit",
        "lrltrain.evaluation.score_text",
        "lrltrain.evaluation.score_tasks",
        "lrltrain.reporting.report",
        "datasets",
    ),
    "hub_cards": ("hub_cards.api", "hub_cards.publish.publish", "hub_cards.cards.pictures", "vl_convert"),
    "script": ("datasets", "huggingface_hub.hf_api", "transformers.modeling_utils"),
}
JOBS_HERE = "JOBS_HERE"  # if this variable is set, a study runs its jobs in its own process, where torch is loaded
FIXED = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}  # libraries read these at import


class InThisProcess(Executor):
    """An executor that runs each call at once, in this process."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Run the call, and return a future with its result or its error."""
        future: Future[Any] = Future()
        handler = signal.getsignal(signal.SIGINT)  # a job replaces it
        try:
            future.set_result(call(*arguments, **keywords))
        except Exception as error:  # noqa: BLE001 -- as other executors do
            future.set_exception(error)
        finally:
            signal.signal(signal.SIGINT, handler)
        return future


class Warm:
    """A process that forks itself for each run of a command.

    Modules that one run imports are already loaded in the next: torch and transformers import hundreds of modules on
    first use. Values that libraries read from the environment at import, such as the Hub's address and its cache, come
    from the environment in which this process was started.
    """

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self.program, self.environment = program, environment

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, self.program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self, arguments: list[str], cwd: Path, environment: Mapping[str, str], *, forked: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the command and wait for it, like subprocess.run; if `forked` is False, use subprocess.run itself."""
        if not forked:
            command = [sys.executable, "-m", f"{self.program}.cli", *arguments]
            return subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=300
            )
        with TemporaryDirectory() as folder:
            files = [os.path.join(folder, name) for name in ("stdout", "stderr", "imported")]  # noqa: PTH118 -- sent as text
            self._fork(arguments, cwd, environment, files)
            code = self._read_number()
            outputs = [Path(stream).read_text("utf-8") for stream in files[:2]]
        return subprocess.CompletedProcess([self.program, *arguments], code, *outputs)

    @contextmanager
    def killed(self, arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> Iterator[Callable[[], bool]]:
        """Run the command during the block, then kill it; yield a function that tells whether it is still running."""
        process = self._fork(arguments, cwd, environment, [os.devnull] * 3)
        try:
            yield partial(_is_running, process)
        finally:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            self._read_number()

    def _fork(self, arguments: list[str], cwd: Path, environment: Mapping[str, str], files: list[str]) -> int:
        assert self._process.stdin is not None
        request = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment), "files": files}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read_number()

    def _read_number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    return True


def serve(program: str) -> None:
    """Fork a process for each line of standard input; print its process id, and finally its exit code."""
    for name in LOADED[program]:
        if find_spec(name.partition(".")[0]):  # the data packages are also tested without transformers
            importlib.import_module(name)
    if program == "hub_cards":
        prepare_pushes()
    for line in sys.stdin:
        request = json.loads(line)
        gc.collect()
        gc.freeze()  # otherwise, garbage collection in a child would copy all of the inherited memory
        process = os.fork()
        if process == 0:
            become(program, **request)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        learn(Path(request["files"][-1]))
        print(os.waitstatus_to_exitcode(status), flush=True)


def prepare_pushes() -> None:
    """Do once what each push would do again, and replace the picture of a ledger, which takes most of a push's time.

    The pictures still differ if the ledgers differ. Tests that run commands unforked draw real ones.
    """
    repository = importlib.import_module("hub_cards.publish.repository")
    repository.draw_ledger = lambda ledger, source: b"\x89PNG\r\n\x1a\n" + json.dumps([source, ledger]).encode()
    importlib.import_module("lrldata.language").find("ro")
    importlib.import_module("lrldata.manifest").SCHEMAS["dataset"].model_rebuild(force=True)
    with suppress(ValueError):  # there are no values to render, but the template is compiled
        importlib.import_module("hub_cards.cards.render").sections("dataset_card")


def become(program: str, arguments: list[str], cwd: str, environment: Mapping[str, str], files: list[str]) -> NoReturn:
    """Become the command, and exit as it does, but without unloading the libraries, which takes a second."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    *streams, imported = files
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    already_imported, code = frozenset(sys.modules), 1
    try:
        perform(program, arguments, cwd)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if code and code != error.code:
            print(error.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 -- as Python does
        traceback.print_exc()
    finally:
        say_imported(Path(imported), already_imported)
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 -- waits for threads, as Python does
        atexit._run_exitfuncs()  # noqa: SLF001 -- there is no public function
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def perform(program: str, arguments: list[str], cwd: str) -> None:
    """Run the command, or the script, in this process."""
    if program == "script":
        sys.argv, sys.path[0] = ["-c", *arguments[1:]], cwd
        exec(arguments[0], {"__name__": "__main__"})  # noqa: S102 -- as `python -c` does
        return
    sys.argv = [program, *arguments]
    if os.environ.pop(JOBS_HERE, ""):
        importlib.import_module("lrltrain.grid.local").process_of = lambda *_: InThisProcess()
    importlib.import_module(f"{program}.cli.app").main()  # quick, because its modules are loaded


def say_imported(to: Path, before: frozenset[str]) -> None:
    """Write the names of the modules that are not in `before` to a file, in the order in which they were imported."""
    to.write_text("\n".join(name for name in sys.modules if name not in before), "utf-8")


def learn(imported: Path) -> None:
    """Import the modules that a run imported, before the next one is forked, if their packages are already loaded.

    Other packages stay out: a script without lrl must not find it, and `adapters` changes transformers when it is
    imported. As a side effect, code that forgets to import a submodule may find it loaded.
    """
    for name in imported.read_text("utf-8").split() if imported.is_file() else ():
        if name.partition(".")[0] in sys.modules:
            with suppress(Exception):  # the run that needs the module reports the error
                importlib.import_module(name)


if __name__ == "__main__":
    serve(sys.argv[1])
