"""Commands in processes of their own, forked from one that has the libraries loaded: importing them takes seconds.

Beside our commands a script of somebody else's can be run, who has the libraries alone.
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
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn, Self

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
FIXED = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}  # libraries read them as they are loaded


class Warm:
    """A process that forks itself for each run of a command, in the surroundings in which it was begun.

    What a run has imported, the next one has already: torch and transformers import hundreds of modules as they are
    first used. What libraries read from the environment as they are imported is of the beginning: the Hub's address,
    its cache.
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
        """Run the command and wait for it, as subprocess.run does, and by that where it is not to be forked."""
        if not forked:
            command = [sys.executable, "-m", f"{self.program}.cli", *arguments]
            return subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=300
            )
        with TemporaryDirectory() as folder:
            files = [os.path.join(folder, name) for name in ("stdout", "stderr", "imported")]  # noqa: PTH118 -- sent
            self._fork(arguments, cwd, environment, files)
            code = self._line()
            told = [Path(stream).read_text("utf-8") for stream in files[:2]]
        return subprocess.CompletedProcess([self.program, *arguments], code, *told)

    @contextmanager
    def killed(self, arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> Iterator[Callable[[], bool]]:
        """Run the command meanwhile, and kill it afterwards; what is given tells whether it runs still."""
        process = self._fork(arguments, cwd, environment, [os.devnull] * 3)
        try:
            yield Path(f"/proc/{process}").exists
        finally:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            self._line()

    def _fork(self, arguments: list[str], cwd: Path, environment: Mapping[str, str], files: list[str]) -> int:
        assert self._process.stdin is not None
        asked = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment), "files": files}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def serve(program: str) -> None:
    """Fork a process for each line of standard input, and print its number, and its exit code in the end."""
    for name in LOADED[program]:
        if find_spec(name.partition(".")[0]):  # the data half is tested without transformers too
            importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        gc.collect()
        gc.freeze()  # a child that looked for cycles in what it has from here would copy all of it
        process = os.fork()
        if process == 0:
            become(program, **asked)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        learn(Path(asked["files"][-1]))
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(program: str, arguments: list[str], cwd: str, environment: Mapping[str, str], files: list[str]) -> NoReturn:
    """Be the command, and end as it does, without taking down the libraries: that takes a second."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    *streams, imported = files
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    before, code = frozenset(sys.modules), 1
    try:
        perform(program, arguments, cwd)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if code and code != ending.code:
            print(ending.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 -- as Python does
        traceback.print_exc()
    finally:
        say_imported(Path(imported), before)
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 -- waits for threads, as Python does
        atexit._run_exitfuncs()  # noqa: SLF001 -- there is no other way
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def perform(program: str, arguments: list[str], cwd: str) -> None:
    """Do what the command does."""
    if program == "script":
        sys.argv, sys.path[0] = ["-c", *arguments[1:]], cwd
        exec(arguments[0], {"__name__": "__main__"})  # noqa: S102 -- as `python -c` does
        return
    sys.argv = [program, *arguments]
    importlib.import_module(f"{program}.cli.app").main()  # quick, as its parts are there


def say_imported(to: Path, before: frozenset[str]) -> None:
    """Write down what has been imported since, in that order."""
    to.write_text("\n".join(name for name in sys.modules if name not in before), "utf-8")


def learn(imported: Path) -> None:
    """Import what a run has imported, before the next one is forked: modules of packages that are here already.

    Others stay out: a script without lrl is not to find it, and `adapters` changes transformers as it is imported. What
    forgets to import a submodule may find it here.
    """
    for name in imported.read_text("utf-8").split() if imported.is_file() else ():
        if name.partition(".")[0] in sys.modules:
            with suppress(Exception):  # the one that needs it says so
                importlib.import_module(name)


if __name__ == "__main__":
    serve(sys.argv[1])
