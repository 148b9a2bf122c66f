"""The README.md of a dataset folder, rendered from its manifest. Pure.

It has only what `load_dataset` needs and a pointer; hub_cards renders the card for publication.
"""

import html
import re
from collections.abc import Mapping
from typing import Any

import yaml

from lrldata.language import Language

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_HUB_TYPES = {
    "String": "string",
    "Float64": "float64",
    "Float32": "float32",
    "Int64": "int64",
    "Int32": "int32",
    "UInt32": "uint32",
    "Boolean": "bool",
}
_SAMPLE = "**This is a sample.** Its rows were written for trying out `lrldata` and are not {} data.\n\n"
_PUBLISHERS = {"conceptnet": "ConceptNet", "glotcc": "GlotCC"}
_BREAK = re.compile(r"[\t-\r\x1c-\x1e\x85\u2028\u2029]")
# Control characters, line ends, characters that change the direction of text, and lone surrogates.
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# An underscore between letters means nothing to Markdown and is common in names, so it is not escaped.
_SPECIAL = re.compile(r"((?<=[^\W_])_+(?=[^\W_]))|[\\`*_{}\[\]#|~$]")


class Markdown(str):
    """Text that is already Markdown and must not be escaped again."""

    __slots__ = ()


def visible(text: str) -> str:
    """Return text on one line, with invisible characters replaced."""
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", _BREAK.sub(" ", text))


def inline(value: object) -> Markdown:
    """Escape a name or other text within a line, so that it is read as neither Markdown nor HTML."""
    escaped = html.escape(visible(str(value)), quote=False)
    return Markdown(_SPECIAL.sub(lambda match: match[1] or f"\\{match[0]}", escaped))


def in_yaml(metadata: Mapping[str, Any]) -> str:
    """Return metadata as YAML, in their order; codes that YAML would read as booleans, such as `no`, are quoted."""
    try:
        return str(yaml.dump(dict(metadata), Dumper=_DUMPER, allow_unicode=True, sort_keys=False, width=1000))
    except UnicodeEncodeError:
        return in_yaml(_without_surrogates(metadata))


def _without_surrogates(value: Any) -> Any:
    """Return JSON-like values with lone surrogates, which a file name may contain, replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(part) for key, part in value.items()}
    return list(map(_without_surrogates, value)) if isinstance(value, list | tuple) else value


def size_category(rows: int) -> str:
    """Return the Hub's size category for a number of rows."""
    return next((name for limit, name in _SIZES if rows < limit), "1B<n<10B")


def configuration(manifest: Mapping[str, Any], name: str, folder: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a dataset's entry in a card's `configs`, without its name, and its entry in `dataset_info`.

    `folder` is the folder of its files in the repository, with a trailing slash. Splits without rows are left out,
    because readers refuse them.
    """
    filled = {split: count for split, count in manifest["rows"].items() if count}
    shards = [entry for entry in manifest["outputs"] if entry["path"].startswith("data/")]
    files = [{"split": split, "path": f"{folder}data/{split}-*"} for split in filled]
    info = {
        "config_name": name,
        "features": [{"name": column, "dtype": _HUB_TYPES[dtype]} for column, dtype in manifest["columns"].items()],
        "splits": [
            {"name": split, "num_bytes": manifest["num_bytes"][split], "num_examples": count}
            for split, count in filled.items()
        ],
        "download_size": sum(entry["bytes"] for entry in shards),
        "dataset_size": sum(manifest["num_bytes"].values()),
    }
    return {"data_files": files}, info


def folder_card(manifest: Mapping[str, Any], language: Language) -> str:
    """Return the README.md of a dataset folder."""
    name = manifest["source"]
    entry, info = configuration(manifest, name)
    metadata = {
        "language": [language.hub_code],
        "configs": [{"config_name": name, "default": True, **entry}],
        "dataset_info": info,
    }
    head = in_yaml(metadata)
    return (
        f"---\n{head}---\n\n# {inline(language.name)} from {inline(name)}\n\n"
        + (_SAMPLE.format(_PUBLISHERS.get(name) or inline(name)) if manifest["sample"] else "")
        + f"{sum(manifest['rows'].values()):,} rows, built by `lrldata build`. `lrldata stats` shows what was kept and "
        "what was dropped; `lrl card` renders the card for publication.\n"
    )
