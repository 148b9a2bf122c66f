"""Make docs/reference/{settings,manifests,reasons}.md from the models and tables of the code.

    python tools/make/make_schema_reference.py [--check]

With --check nothing is written, and the exit code is 1 where a page is not as the code is.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from generated import code, table, write_pages
from make_cli_reference import PROGRAMS, commands
from pydantic import BaseModel
from typer.main import get_command

from hub_cards.config import PushConfig
from lrldata.conceptnet.config import BuildConfig
from lrldata.ledger import EDGE_REASONS, WEB_REASONS
from lrldata.manifest_schema import SCHEMAS
from lrldata.web.config import WebConfig
from lrltrain.config import EvalConfig, FitConfig
from lrltrain.grid.config import Evals, Fits, GridConfig
from lrltrain.prompting.config import PromptConfig

COMMAND = "python tools/make/make_schema_reference.py"
SETTINGS: Mapping[str, tuple[str, type[BaseModel]]] = {
    "lrldata build, from ConceptNet": ("lrldata build", BuildConfig),
    "lrldata build, from web text": ("lrldata build", WebConfig),
    "lrltrain fit": ("lrltrain fit", FitConfig),
    "lrltrain eval": ("lrltrain eval", EvalConfig),
    "lrltrain prompt": ("lrltrain prompt", PromptConfig),
    "lrl push-hub": ("lrl push-hub", PushConfig),
    "lrltrain grid": ("", GridConfig),
    "lrltrain grid, a table of fits": ("", Fits),
    "lrltrain grid, the table of scores": ("", Evals),
}
SETTINGS_PAGE = """# Settings

These are the keys of a settings file (`--config FILE.toml`), and the keyword arguments of the [Python API](api.md), of
which only `push` has `dry_run` and none has `export_lm_eval`; the first argument of `fit` is what `lang` and `dataset`
say. In a file, `learning-rate` and `learning_rate` are the same key. Options on the command
line override the file, the file overrides a preset, and a preset the defaults. An unknown key is an error. In
the file of a study, a table `[build.SOURCE]`, `[[fit]]`, `[eval]` or `[push]` takes the settings of its command too.

The keys `lang`, `source`, `method` and `seed` of `lrltrain fit` may name several, in a file and on the command line, as
a list or a text with commas: each is combined with each. In Python, give `fit` a list of datasets or languages.
"""
MANIFESTS_PAGE = """# Manifests

`manifest.json` is in each artifact's folder, and is written last. `kind` says which of these it is. More keys may
stand there: those of a newer version, and those that only people read. `sha256` is the hash of the manifest itself,
of all keys but `sha256` and `run`, in canonical JSON; other artifacts and cards name the artifact by it. Hashes of
files are SHA-256 in lower-case hexadecimal, sizes are bytes.
"""
REASONS_PAGE = """# Reasons in the ledger

Every row that comes in is kept, or dropped for exactly one of these reasons: the first one in this order that fits.
The ledger of a manifest counts rows and bytes for each, and its sums always match. `lrldata stats FOLDER` shows it.
"""


def main() -> None:
    """Write the pages, or compare them."""
    pages = {
        "reference/settings.md": SETTINGS_PAGE + "".join(_settings(name, *each) for name, each in SETTINGS.items()),
        "reference/manifests.md": MANIFESTS_PAGE + "".join(_manifest(kind, model) for kind, model in SCHEMAS.items()),
        "reference/reasons.md": REASONS_PAGE + _reasons("ConceptNet", EDGE_REASONS) + _reasons("Web text", WEB_REASONS),
    }
    write_pages(pages, COMMAND)


def _reasons(source: str, reasons: Mapping[str, str]) -> str:
    return f"\n## {source}\n\n{table(('reason', 'meaning'), ([code(key), text] for key, text in reasons.items()))}\n"


def _settings(title: str, command: str, model: type[BaseModel]) -> str:
    options = dict(_options(command))
    schema = model.model_json_schema()
    rows = []
    for name, each in schema["properties"].items():
        option = options.get(name.replace("_", "-"))
        told = option.help if option and option.help else ""
        rows.append([code(name), _type(each, schema), _default(model, name, each, option), told])
    told = "" if command else f"{' '.join((model.__doc__ or '').split())}\n\n"
    return f"\n## {title}\n\n{told}{table(('key', 'type', 'default', ''), rows)}\n"


def _options(command: str) -> Iterator[tuple[str, Any]]:
    """Yield the options of a command, by their long names without the hyphens in front."""
    program = command.partition(" ")[0]
    for path, each in commands(program, get_command(PROGRAMS[program])) if program else ():
        if path == command:
            yield from ((option.opts[0].removeprefix("--"), option) for option in each.params)


def _default(model: type[BaseModel], name: str, each: Mapping[str, Any], option: Any) -> str:
    if model.model_fields[name].is_required():
        return "required"
    told = option.show_default if option and isinstance(option.show_default, str) else ""
    default = each.get("default")
    if default in (None, [], {}) or ";" in told:  # of one that depends on others the command says how
        return told
    return code(json.dumps(default).strip('"'))


def _manifest(kind: str, model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    parts = [f"\n## {kind}\n", _fields(schema | {"description": ""}, schema)]
    for name, definition in schema.get("$defs", {}).items():
        parts += [f"\n### {kind}: {name.lstrip('_')}\n", _fields(definition, schema)]
    return "\n".join(parts) + "\n"


def _fields(definition: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    required = definition.get("required", [])
    told = " ".join(definition.get("description", "").split())
    rows = [
        [code(name), _type(each, schema, nullable=True), "yes" if name in required else ""]
        for name, each in definition["properties"].items()
    ]
    return (f"{told}\n\n" if told else "") + table(("key", "type", "required"), rows)


def _type(each: Mapping[str, Any], schema: Mapping[str, Any], *, nullable: bool = False) -> str:
    """Return a type of a JSON schema in words, with its limits; that it may be null where that is to be told."""
    if "$ref" in each:
        name = each["$ref"].rpartition("/")[2]
        target = schema["$defs"][name]
        return name.lstrip("_") if "properties" in target else _type(target, schema)
    if "anyOf" in each:
        options = [_type(option, schema) for option in each["anyOf"] if option.get("type") != "null"]
        empty = nullable and len(options) < len(each["anyOf"])
        return " or ".join([*options, "null"] if empty else options)
    if values := each.get("enum", [each["const"]] if "const" in each else []):
        return ("one of " if len(values) > 1 else "") + ", ".join(code(str(value)) for value in values)
    return _plain_type(each, schema)


def _plain_type(each: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    kind = each.get("type", "any value")
    if kind == "array":
        return f"list of {_type(each.get('items', {}), schema)}"
    if kind == "object":
        values = each.get("additionalProperties")
        return f"table of {_type(values, schema)}" if isinstance(values, dict) and values else "table"
    words = {"string": "path" if each.get("format") == "path" else "text", "boolean": "true or false"}
    return words.get(kind, kind) + _limits(each)


def _limits(each: Mapping[str, Any]) -> str:
    said = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{words} {each[key]}" for key, words in said.items() if key in each]
    limits += [f"matching `{each['pattern']}`"] if "pattern" in each else []
    return f" ({', '.join(limits)})" if limits else ""


if __name__ == "__main__":
    main()
