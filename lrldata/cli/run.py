"""What the commands share: how their errors are told, and how their results are printed."""

import codecs
import errno
import io
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from lrldata import __version__
from lrldata.errors import LrlError, is_full, is_panic, one_line
from lrldata.forks import allow_forked
from lrldata.output import guard, say, say_json, say_traceback, show, tell
from lrldata.threads import limit_threads

INTERRUPTED = 130  # as the shell counts an interrupt
DEBUG_HELP = "Show the traceback of an error."
_REFUSED = {errno.EACCES, errno.ENOTDIR, errno.EPERM, errno.EROFS}
_FORESEEN = (LrlError, OSError, MemoryError)


def new_app(program: str, what: str) -> typer.Typer:
    """Return a command line without commands yet, with the options that all have: --version and --debug."""
    app = typer.Typer(help=what, no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def _options(
        version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
        debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
    ) -> None:
        if version:
            say(f"{program} {__version__}")
            raise typer.Exit
        _ = debug  # read from the arguments by `run`, so that it holds for usage errors too

    return app


def show_or_dump(as_json: bool, value: Any, *drawn: RenderableType) -> None:
    """Print a result: as JSON, an object or of several a list, or drawn for people."""
    if as_json:
        say_json(value)
        return
    for each in drawn:
        show(each)


def run(app: typer.Typer, program: str) -> None:
    """Run a command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    _begin_in_utf8()
    guard()
    allow_forked()
    limit_threads()
    os.environ["PYTHONSAFEPATH"] = "1"  # processes that libraries start find no modules in the current folder either
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter should not end the program
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(args=arguments, prog_name=program)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            _fail("stopped. Finished work is kept; run the same command again to resume.", INTERRUPTED)
        raise
    except BrokenPipeError:  # the reader of standard output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except BaseException as error:  # whatever it is, it is told in one line
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if debug:
            say_traceback(error)
        if not _is_foreseen(error):
            sys.exit(_fail(f"{type(error).__name__}: {error}. This is a bug; run with --debug and report it.", 1))
        sys.exit(_fail(_describe(error), error.exit_code if isinstance(error, LrlError) else 1))


def _begin_in_utf8() -> None:
    """Begin again in UTF-8 mode where the locale has ASCII alone: libraries take the names of files to be UTF-8."""
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii":
        written = {"PYTHONIOENCODING": getattr(sys.stdout, "encoding", None) or "ascii"} | os.environ
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], written)  # noqa: S606


def _is_foreseen(error: BaseException) -> bool:
    """Return whether an error is no bug of ours: one that we raise, the system's, or one of Polars, if that is loaded."""
    polars = sys.modules.get("polars")
    if is_full(error) or _is_homeless(error) or _is_short_of_memory(error):
        return True
    return isinstance(error, _FORESEEN) or (polars is not None and isinstance(error, polars.exceptions.PolarsError))


def _is_short_of_memory(error: BaseException) -> bool:
    """Return whether there was no memory, also not for a thread, or for a library to be loaded into."""
    told = str(error)
    if isinstance(error, RuntimeError) and "can't start new thread" in told:
        return True
    unloaded = isinstance(error, ImportError) and ("failed to map segment" in told or "Cannot allocate memory" in told)
    return isinstance(error, MemoryError) or unloaded or getattr(error, "errno", None) == errno.ENOMEM


def _is_homeless(error: BaseException) -> bool:
    """Return whether a user has no home directory, as in a container that runs as a number."""
    return isinstance(error, RuntimeError) and "home directory" in str(error)


def _describe(error: BaseException) -> str:
    if _is_short_of_memory(error):
        return (
            "out of memory. Close other programs, use fewer --workers or a smaller batch, "
            "or raise the limits (`ulimit -v`, `ulimit -u`)."
        )
    if is_full(error):
        return (
            f"no space left on the disk of --out or --cache, or in your quota ({one_line(error, 200)}). "
            "Make room or name another folder."
        )
    if _is_homeless(error):
        return f"{one_line(error, 200).rstrip('.')}. Set HOME; --cache names where dumps and indexes are kept."
    if os.strerror(errno.EMFILE) in str(error):
        return "too many open files for this process. Raise the limit, as with `ulimit -n 4096`, and run it again."
    if isinstance(error, OSError) and error.filename:
        where = f"{error.filename}: {(error.strerror or str(error)).lower()}."
        elsewhere = "; --out and --cache name other folders to write to" if error.errno in _REFUSED else ""
        return f"{where} Check the path and the rights to it{elsewhere}."
    return str(error) if isinstance(error, LrlError) else one_line(error)


def _fail(message: str, code: int) -> int:
    tell(f"error: {message}")
    return code
