"""Generate docs/reference/cli.md from the commands.

    python tools/make/make_cli_reference.py [--check]

With --check, nothing is written, and the exit code is 1 if the page is outdated.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from generated import code, table, write_pages
from typer.main import get_command

from hub_cards.cli.app import app as lrl
from lrldata.cli.app import app as lrldata
from lrltrain.cli.app import app as lrltrain

COMMAND = "python tools/make/make_cli_reference.py"
PROGRAMS = {"lrldata": lrldata, "lrltrain": lrltrain, "lrl": lrl}
INTRODUCTION = """# Commands

Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted. `PROGRAM --install-completion` sets up completion in your
shell, `PROGRAM --version` prints the version, and `PROGRAM --debug COMMAND ...` shows the traceback of an error. An
option without a default is off or optional. A file for `--config FILE.toml` has the same names as keys:
[Settings](settings.md).
"""


def main() -> None:
    """Write or check the page."""
    sections = [INTRODUCTION]
    for program, app in PROGRAMS.items():
        group = get_command(app)
        sections.append(f"## {program}\n\n{group.help}")
        sections += [_section(path, command) for path, command in commands(program, group)]
    write_pages({"reference/cli.md": "\n\n".join(sections)}, COMMAND)


def commands(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    """Yield each command with its full name, including the commands of nested groups."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _section(path: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [
        parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and "--help" not in parameter.opts
    ]
    required = [f"{parameter.opts[0]} {_value(parameter)}" for parameter in options if parameter.required]
    usage = " ".join(
        [path, *required, "[OPTIONS]" if len(required) < len(options) else "", *map(_placeholder, arguments)]
    )
    parts = [f"### {path}", inspect.cleandoc(command.help), f"    {' '.join(usage.split())}"]
    rows = [
        [_placeholder(parameter), "" if parameter.required else _default(parameter), parameter.help or ""]
        for parameter in arguments
    ]
    rows += [[_spelling(parameter), _default(parameter), parameter.help or ""] for parameter in options]
    return "\n\n".join([*parts, table(("option", "default", ""), ([code(row[0]), *row[1:]] for row in rows))])


def _placeholder(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _spelling(option: Any) -> str:
    spelled = ", ".join(option.opts) + "".join(f" / {name}" for name in option.secondary_opts)
    return spelled if option.is_flag else f"{spelled} {_value(option)}"


def _value(option: Any) -> str:
    """Return the placeholder for an option's value: its metavar, else a word for its type."""
    words = {int: "N", float: "X", Path: "PATH"}
    annotation = option.type_descriptor.annotation
    type_word = next((word for type_, word in words.items() if type_ in (annotation, *get_args(annotation))), "TEXT")
    return option.metavar or type_word


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if isinstance(option.show_default, str):
        return str(option.show_default)
    flag = getattr(option, "is_flag", False)
    return "" if option.default is None or flag or callable(option.default) else code(str(option.default))


if __name__ == "__main__":
    main()
