"""What readers of a dataset folder need to know of it: README.md from its manifest. Pure.

This is the least that `load_dataset` wants, and a pointer; the card for publication is rendered by hub_cards.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from lrldata.languages import Language

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


def in_yaml(metadata: Mapping[str, Any]) -> str:
    """Return metadata in YAML, in their order; codes that YAML takes for a boolean, as `no`, are quoted."""
    return str(yaml.dump(dict(metadata), Dumper=_DUMPER, allow_unicode=True, sort_keys=False, width=1000))


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
        f"---\n{head}---\n\n# {language.name} from {name}\n\n"
        + (_SAMPLE.format(_PUBLISHERS.get(name, name)) if manifest["sample"] else "")
        + f"{sum(manifest['rows'].values()):,} rows, made by `lrldata build`. `lrldata stats` shows what was kept and "
        "what was thrown away, `lrl card` renders the card for publication.\n"
    )
