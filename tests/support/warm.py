"""Commands in processes of their own, forked from one that has the libraries loaded: importing them takes seconds.

Beside our commands a script of somebody else's can be run, who has the libraries alone.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

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

    What libraries read from the environment as they are imported is of the beginning: the Hub's address, its cache.
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
            streams = [os.path.join(folder, name) for name in ("stdout", "stderr")]  # noqa: PTH118 -- they are sent
            self._fork(arguments, cwd, environment, streams)
            code = self._line()
            told = [Path(stream).read_text("utf-8") for stream in streams]
        return subprocess.CompletedProcess([self.program, *arguments], code, *told)

    @contextmanager
    def killed(self, arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> Iterator[Callable[[], bool]]:
        """Run the command meanwhile, and kill it afterwards; what is given tells whether it runs still."""
        process = self._fork(arguments, cwd, environment, [os.devnull, os.devnull])
        try:
            yield Path(f"/proc/{process}").exists
        finally:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            self._line()

    def _fork(self, arguments: list[str], cwd: Path, environment: Mapping[str, str], streams: list[str]) -> int:
        assert self._process.stdin is not None
        asked = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment), "streams": streams}
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
        process = os.fork()
        if process == 0:
            become(program, **json.loads(line))
            return
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(program: str, arguments: list[str], cwd: str, environment: Mapping[str, str], streams: list[str]) -> None:
    """Be the command."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    if program == "script":
        sys.argv, sys.path[0] = ["-c", *arguments[1:]], cwd
        exec(arguments[0], {"__name__": "__main__"})  # noqa: S102 -- as `python -c` does
        return
    sys.argv = [program, *arguments]
    importlib.import_module(f"{program}.cli.app").main()  # quick, as its parts are there


if __name__ == "__main__":
    serve(sys.argv[1])
