"""What readers of a dataset folder need to know of it: README.md from its manifest. Pure.

This is the least that `load_dataset` wants, and a pointer; the card for publication is rendered by hub_cards.
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
_SAMPLE = "**This is a sample.** What is in it was written for trying out `lrldata` and is not {} data.\n\n"
_PUBLISHERS = {"conceptnet": "ConceptNet", "glotcc": "GlotCC"}
_BREAK = re.compile(r"[\t-\r\x1c-\x1e\x85\u2028\u2029]")
# Control characters, ends of lines, what turns the direction of the text around it, and halves of surrogate pairs.
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# An underscore between letters means nothing to Markdown, and is in many names.
_SPECIAL = re.compile(r"((?<=[^\W_])_+(?=[^\W_]))|[\\`*_{}\[\]#|~$]")


class Markdown(str):
    """Text that is Markdown already, and is not to be escaped again."""

    __slots__ = ()


def visible(text: str) -> str:
    """Return text in one line, without characters that cannot be seen."""
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", _BREAK.sub(" ", text))


def inline(value: object) -> Markdown:
    """Return a name, or other text within a line, so that Markdown, and HTML in it, takes none of it for its own."""
    escaped = html.escape(visible(str(value)), quote=False)
    return Markdown(_SPECIAL.sub(lambda found: found[1] or f"\\{found[0]}", escaped))


def in_yaml(metadata: Mapping[str, Any]) -> str:
    """Return metadata in YAML, in their order; codes that YAML takes for a boolean, as `no`, are quoted."""
    try:
        return str(yaml.dump(dict(metadata), Dumper=_DUMPER, allow_unicode=True, sort_keys=False, width=1000))
    except UnicodeEncodeError:
        return in_yaml(_whole(metadata))


def _whole(value: Any) -> Any:
    """Return JSON-like values in which no text has half a surrogate pair, as the name of a file may."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_whole(key): _whole(part) for key, part in value.items()}
    return list(map(_whole, value)) if isinstance(value, list | tuple) else value


def size_category(rows: int) -> str:
    """Return the Hub's size category for a number of rows."""
    return next((name for limit, name in _SIZES if rows < limit), "1B<n<10B")


def configuration(manifest: Mapping[str, Any], name: str, folder: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a dataset's entry in a card's `configs`, less its name, and the one in `dataset_info`.

    `folder` is where its files lie in the repository, with a slash at its end. A split without rows is left out, as
    readers refuse one.
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
    """Write README.md of a dataset folder."""
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
        + f"{sum(manifest['rows'].values()):,} rows, made by `lrldata build`. `lrldata stats` shows what was kept and "
        "what was dropped, `lrl card` renders the card for publication.\n"
    )
