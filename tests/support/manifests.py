"""Edit manifests and seal them again, so that a test reaches the checks behind the hash."""

import json
from pathlib import Path
from typing import Any

from lrldata.manifest import MANIFEST, file_entry, sealed, write_json


def change(folder: Path, **values: Any) -> dict[str, Any]:
    """Set keys of a manifest (None removes a key), describe its files as they are now, and seal it."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8")) | values
    manifest = {key: value for key, value in manifest.items() if value is not None or key not in values}
    if "outputs" not in values:
        manifest["outputs"] = [file_entry(folder / entry["path"], folder) for entry in manifest["outputs"]]
    resealed = sealed(manifest)
    write_json(folder / MANIFEST, resealed)
    return resealed


def unseal(folder: Path) -> None:
    """Remove the hash from a manifest: older versions wrote none."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    write_json(folder / MANIFEST, {key: value for key, value in manifest.items() if key != "sha256"})
