"""Check weights in the Hub's cache against their hash, which is the name of the cached file. IO."""

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
    """Delete damaged weights of a model from the Hub's cache, so that they are downloaded again.

    Each model is checked once per process. Files not named by their SHA-256, such as small ones, are not checked.
    """
    config = try_to_load_from_cache(repository, "config.json", revision=commit)
    if not isinstance(config, str):
        return
    for path in sorted(Path(config).parent.iterdir()):
        if path.suffix in _WEIGHTS and path.is_file():
            blob = path.resolve()
            if _SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
                note(f"{repository}: {path.name} is damaged in the Hub's cache; downloading it again.")
                blob.unlink()
                path.unlink()
