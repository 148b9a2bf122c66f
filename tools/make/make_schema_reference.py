"""Generate docs/reference/{settings,manifests,reasons}.md from the models and tables in the code.

    python tools/make/make_schema_reference.py [--check]

With --check, nothing is written, and the exit code is 1 if a page is outdated.
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

These are the keys of a settings file (`--config FILE.toml`) and the keyword arguments of the [Python API](api.md). In
the API, only `push` and `run_grid` have `dry_run`, no function has `export_lm_eval`, and the first argument of `fit`
replaces `lang` and `dataset`. In a file, `learning-rate` and `learning_rate` are the same key. Options on the command
line override the file, the file overrides a preset, and a preset overrides the defaults. An unknown key is an error. In
the file of a study, the tables `[build.SOURCE]`, `[[fit]]`, `[eval]` and `[push]` accept the settings of their commands
too.
Without `data`, `lrltrain.evaluate` measures an adapter that `fit` returned on the test split of its dataset.

The keys `lang`, `source`, `method` and `seed` of `lrltrain fit` accept several values, in a file and on the command
line, as a list or separated by commas; every combination is trained. In Python, pass `fit` a list of datasets or
languages.
"""
MANIFESTS_PAGE = """# Manifests

Each artifact's folder has a `manifest.json`, which is written last. `kind` names its schema, one of those below. A
manifest can have more keys: those of a newer version, and those that are only for people. `sha256` is the hash of the
manifest itself (all keys except `sha256` and `run`, as canonical JSON); other artifacts and cards refer to the artifact
by it. File hashes are SHA-256 in lower-case hexadecimal, and sizes are in bytes.
"""
REASONS_PAGE = """# Reasons in the ledger

Every input row is either kept or dropped for exactly one of these reasons: the first in this order that applies. The
ledger of a manifest counts rows and bytes per reason, and the counts always add up. `lrldata stats FOLDER` shows it.
"""


def main() -> None:
    """Write or check the pages."""
    pages = {
        "reference/settings.md": SETTINGS_PAGE + "".join(_settings(name, *entry) for name, entry in SETTINGS.items()),
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
    for name, property_schema in schema["properties"].items():
        option = options.get(name.replace("_", "-"))
        help_text = option.help if option and option.help else ""
        rows.append(
            [code(name), _type(property_schema, schema), _default(model, name, property_schema, option), help_text]
        )
    help_text = "" if command else f"{' '.join((model.__doc__ or '').split())}\n\n"
    return f"\n## {title}\n\n{help_text}{table(('key', 'type', 'default', ''), rows)}\n"


def _options(command: str) -> Iterator[tuple[str, Any]]:
    """Yield the options of a command by their long names, without the leading hyphens."""
    program = command.partition(" ")[0]
    for path, described in commands(program, get_command(PROGRAMS[program])) if program else ():
        if path == command:
            yield from ((option.opts[0].removeprefix("--"), option) for option in described.params)


def _default(model: type[BaseModel], name: str, property_schema: Mapping[str, Any], option: Any) -> str:
    if model.model_fields[name].is_required():
        return "required"
    described_default = option.show_default if option and isinstance(option.show_default, str) else ""
    default = property_schema.get("default")
    if default in (None, [], {}) or ";" in described_default:  # the command describes a default with conditions
        return described_default
    return code(json.dumps(default).strip('"'))


def _manifest(kind: str, model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    parts = [f"\n## {kind}\n", _fields(schema | {"description": ""}, schema)]
    for name, definition in schema.get("$defs", {}).items():
        parts += [f"\n### {kind}: {name.lstrip('_')}\n", _fields(definition, schema)]
    return "\n".join(parts) + "\n"


def _fields(definition: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    required = definition.get("required", [])
    description = " ".join(definition.get("description", "").split())
    rows = [
        [code(name), _type(property_schema, schema, nullable=True), "yes" if name in required else ""]
        for name, property_schema in definition["properties"].items()
    ]
    return (f"{description}\n\n" if description else "") + table(("key", "type", "required"), rows)


def _type(schema_part: Mapping[str, Any], schema: Mapping[str, Any], *, nullable: bool = False) -> str:
    """Describe a type of a JSON schema with its limits; with `nullable`, mention that it may be null."""
    if "$ref" in schema_part:
        name = schema_part["$ref"].rpartition("/")[2]
        target = schema["$defs"][name]
        return name.lstrip("_") if "properties" in target else _type(target, schema)
    if "anyOf" in schema_part:
        options = [_type(option, schema) for option in schema_part["anyOf"] if option.get("type") != "null"]
        may_be_null = nullable and len(options) < len(schema_part["anyOf"])
        return " or ".join([*options, "null"] if may_be_null else options)
    if values := schema_part.get("enum", [schema_part["const"]] if "const" in schema_part else []):
        return ("one of " if len(values) > 1 else "") + ", ".join(code(str(value)) for value in values)
    return _plain_type(schema_part, schema)


def _plain_type(schema_part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    kind = schema_part.get("type", "any value")
    if kind == "array":
        return f"list of {_type(schema_part.get('items', {}), schema)}"
    if kind == "object":
        values = schema_part.get("additionalProperties")
        return f"table of {_type(values, schema)}" if isinstance(values, dict) and values else "table"
    words = {"string": "path" if schema_part.get("format") == "path" else "text", "boolean": "true or false"}
    return words.get(kind, kind) + _limits(schema_part)


def _limits(schema_part: Mapping[str, Any]) -> str:
    phrases = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{words} {schema_part[key]}" for key, words in phrases.items() if key in schema_part]
    limits += [f"matching `{schema_part['pattern']}`"] if "pattern" in schema_part else []
    return f" ({', '.join(limits)})" if limits else ""


if __name__ == "__main__":
    main()
