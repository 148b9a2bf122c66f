"""What the commands share: how they report errors and print results."""

import codecs
import errno
import io
import os
import signal
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from lrldata import __version__
from lrldata.cli.streams import open_streams
from lrldata.errors import ROOM, LrlError, is_full, is_panic, is_short_of_memory, is_too_large, one_line
from lrldata.forks import allow_forked
from lrldata.imports import INTERRUPTED
from lrldata.output import guard, say, say_json, say_traceback, show, tell
from lrldata.threads import allow_open_files, limit_threads

DEBUG_HELP = "Show the traceback of an error."
_REFUSED = {errno.EACCES, errno.ENOTDIR, errno.EPERM, errno.EROFS}
_FORESEEN = (LrlError, OSError, MemoryError)
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_received: list[int] = []  # signals of _ENDING
_STOPPED = "stopped. Finished work is kept; run the same command again to resume."


def new_app(program: str, what: str) -> typer.Typer:
    """Return a command line without commands, with the options that all programs have: --version and --debug."""
    app = typer.Typer(help=what, no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def _options(
        version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
        debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
    ) -> None:
        if version:
            say(f"{program} {__version__}")
            raise typer.Exit
        _ = debug  # `run` reads it from the arguments, so that it applies to usage errors too

    return app


def show_or_dump(as_json: bool, value: Any, *renderables: RenderableType) -> None:
    """Print a result: `value` as one JSON object, or the `renderables`, tables and texts, for people."""
    if as_json:
        say_json(value)
        return
    for renderable in renderables:
        show(renderable)


def run(app: typer.Typer, program: str) -> None:
    """Run a command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    open_streams()
    _restart_in_utf8()
    guard()
    sys.unraisablehook = _stop
    _interrupt_at_end_signals()
    allow_forked()
    limit_threads()
    allow_open_files()
    os.environ["PYTHONSAFEPATH"] = "1"  # libraries' processes must not import from the current folder either
    for stream in (sys.stdout, sys.stderr):  # a letter that the terminal cannot show must not end the program
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(args=arguments, prog_name=program)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            sys.unraisablehook = lambda _: os._exit(INTERRUPTED)  # interrupted again while Python exits
            with suppress(OSError):
                _fail(_STOPPED, INTERRUPTED)
            sys.exit(128 + _received[0] if _received else INTERRUPTED)
        raise
    except BrokenPipeError:  # the reader of standard output is gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except BaseException as error:  # every error is reported in one line
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if debug:
            say_traceback(error)
        if not _is_foreseen(error):
            sys.exit(_fail(f"{type(error).__name__}: {error}. This is a bug; run with --debug and report it.", 1))
        if isinstance(error, LrlError):
            sys.exit(_fail(str(error), error.exit_code))
        sys.exit(_fail(_describe(error), 1))


def _interrupt_at_end_signals() -> None:
    """Let SIGTERM and SIGHUP interrupt the program as Ctrl-C does, so that it removes its temporary files.

    A signal that is ignored, as SIGHUP is after nohup, remains so. Processes of torchrun wait for each other in C++
    code, which Python cannot interrupt, so they keep the default.
    """
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL and os.environ.get("WORLD_SIZE", "1") == "1":
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the program at once
    _received.append(number)
    raise KeyboardInterrupt


def _stop(unraisable: "sys.UnraisableHookArgs") -> None:
    """End the process if it was interrupted where Python cannot raise an error, as in a callback from a library.

    Otherwise the interruption would be lost, and what the library was doing would be half done.
    """
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        try:
            _fail(_STOPPED, INTERRUPTED)  # may raise an error: Ctrl-C also ends the reader of a pipe
        finally:
            os._exit(INTERRUPTED)
    sys.__unraisablehook__(unraisable)


def _restart_in_utf8() -> None:
    """Restart in UTF-8 mode if the locale has another encoding, because libraries expect file names in UTF-8."""
    if codecs.lookup(sys.getfilesystemencoding()).name != "utf-8":
        environment = {"PYTHONIOENCODING": getattr(sys.stdout, "encoding", None) or "ascii"} | os.environ
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)  # noqa: S606


def _is_foreseen(error: BaseException) -> bool:
    """Return whether an error is not a bug of ours: one that we raise, the system's, or one of Polars, if loaded."""
    polars = sys.modules.get("polars")
    if is_full(error) or is_too_large(error) or _lacks_home(error) or is_short_of_memory(error):
        return True
    return isinstance(error, _FORESEEN) or (polars is not None and isinstance(error, polars.exceptions.PolarsError))


def _lacks_home(error: BaseException) -> bool:
    """Return whether the user has no home directory, as in a container that runs under a numeric user id."""
    return isinstance(error, RuntimeError) and "home directory" in str(error)


def _describe(error: BaseException) -> str:
    if is_short_of_memory(error):
        return (
            "out of memory. Close other programs, use fewer --workers or a smaller batch, "
            "or raise the limits (`ulimit -v`, `ulimit -u`)."
        )
    if is_full(error) or is_too_large(error):
        problem, hint = (
            ("no space left on a disk, or in your quota", ROOM)
            if is_full(error)
            else ("a file is larger than a limit or the file system allows", "Raise the limit (`ulimit -f`).")
        )
        return f"{problem} ({one_line(error, 200)}). {hint}"
    if _lacks_home(error):
        return f"{one_line(error, 200)}. Set HOME; --cache sets the folder for downloads and intermediate files."
    if os.strerror(errno.EMFILE) in str(error):
        return "too many open files for this process. Raise the limit, e.g. with `ulimit -n 4096`, and try again."
    if isinstance(error, OSError) and error.filename:
        problem = f"{error.filename}: {(error.strerror or str(error)).lower()}."
        alternative = "; --out and --cache set other folders to write to" if error.errno in _REFUSED else ""
        return f"{problem} Check the path and its permissions{alternative}."
    return one_line(error)


def _fail(message: str, code: int) -> int:
    tell(f"error: {message}")
    return code
