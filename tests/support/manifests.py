"""Manifests that tests change: sealed again, so that what is looked at is not the hash."""

import json
from pathlib import Path
from typing import Any

from lrldata.manifest import MANIFEST, file_entry, sealed, write_json


def change(folder: Path, **values: Any) -> dict[str, Any]:
    """Give keys of a manifest other values (None takes one out), describe the files as they are, and seal it."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8")) | values
    manifest = {key: value for key, value in manifest.items() if value is not None or key not in values}
    if "outputs" not in values:
        manifest["outputs"] = [file_entry(folder / entry["path"], folder) for entry in manifest["outputs"]]
    made = sealed(manifest)
    write_json(folder / MANIFEST, made)
    return made


def unseal(folder: Path) -> None:
    """Take the hash out of a manifest, as older versions wrote it."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    write_json(folder / MANIFEST, {key: value for key, value in manifest.items() if key != "sha256"})
