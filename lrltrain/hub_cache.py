"""Weights in the Hub's cache, checked against their hash, which is their name there. IO."""

import re
from functools import cache
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from lrldata.manifest import sha256_of
from lrldata.output import note

_SHA256 = re.compile(r"[0-9a-f]{64}")
_WEIGHTS = (".safetensors", ".bin")


@cache
def drop_damaged(repository: str, commit: str) -> None:
    """Take out of the cache the weights of a model that are not what was fetched, so that they are fetched again.

    They are read once in a run. Those without a hash in their name, as small ones are, are left as they are.
    """
    found = try_to_load_from_cache(repository, "config.json", revision=commit)
    if not isinstance(found, str):
        return
    for path in sorted(Path(found).parent.iterdir()):
        if path.suffix in _WEIGHTS and path.is_file():
            blob = path.resolve()
            if _SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
                note(f"note: {repository}: {path.name} is damaged in the Hub's cache; it is fetched again.")
                blob.unlink()
                path.unlink()
