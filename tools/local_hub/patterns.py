"""Which files are large ones by .gitattributes, and which are ignored by .gitignore. Pure."""

import re
from functools import lru_cache

_SUFFIXES = """7z arrow bin bz2 ckpt ftz gz h5 joblib lz4 mlmodel model msgpack npy npz onnx ot parquet pb pickle
pkl pt pth rar safetensors tar tflite tgz wasm xz zip zst mp3 flac wav ogg jpg jpeg png gif webp mp4""".split()
DEFAULT_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _SUFFIXES)


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    """Return what matches a path as git does: `*` stops at a slash, `**` does not; no slash means any depth."""
    anchored = "/" in pattern.rstrip("/")
    pieces = re.split(r"(\*\*/|/\*\*|\*|\?|\[[^\]]+\])", pattern.strip("/"))
    wild = {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(wild.get(piece, piece if piece.startswith("[") else re.escape(piece)) for piece in pieces)
    return re.compile(("" if anchored else "(?:.*/)?") + body)


def is_large(path: str, attributes: str) -> bool:
    """Return whether the last line of a .gitattributes that speaks of the path's filter says `lfs`."""
    large = False
    for line in attributes.splitlines():
        pattern, *words = line.split() or [""]
        if pattern and not pattern.startswith("#") and _expression(pattern).fullmatch(path):
            for word in words:
                if word.lstrip("-!").split("=")[0] == "filter":
                    large = word == "filter=lfs"
    return large


def is_ignored(path: str, ignore: str) -> bool:
    """Return whether a .gitignore leaves the path out: by itself, or because of a folder above it."""
    parts = path.split("/")
    return any(
        _says_ignored("/".join(parts[:depth]), ignore, is_folder=depth < len(parts))
        for depth in range(1, len(parts) + 1)
    )


def _says_ignored(path: str, ignore: str, *, is_folder: bool) -> bool:
    ignored = False
    for raw in ignore.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        if (is_folder or not pattern.endswith("/")) and _expression(pattern).fullmatch(path):
            ignored = not line.startswith("!")
    return ignored
