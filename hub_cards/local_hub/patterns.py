"""Decide which files are large by .gitattributes, and which are ignored by .gitignore. Pure.

Both can come with a request, so matching takes at most time proportional to the length of the pattern times that of the
path.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from hub_cards.local_hub.answers import refused

_SUFFIXES = """7z arrow bin bz2 ckpt ftz gz h5 joblib lz4 mlmodel model msgpack npy npz onnx ot parquet pb pickle
pkl pt pth rar safetensors tar tflite tgz wasm xz zip zst mp3 flac wav ogg jpg jpeg png gif webp mp4""".split()
DEFAULT_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _SUFFIXES)
_LINES, _LENGTH = 1_000, 256  # lines that are not blank or comments, and characters per line
# Maximum of pattern characters times path characters in one request (two seconds at worst, as measured), and the cost
# of starting a match, in characters.
_EFFORT, _BEGIN = 1_000_000_000, 20
_PIECE = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|[^*?\[]+|\[")
_FOLDERS = r"(?:[^/]++/)*?"


@lru_cache(maxsize=4 * _LINES)
def _expression(pattern: str) -> re.Pattern[str]:
    """Return an expression that matches paths as git does: only `**` crosses slashes; no slash means any depth.

    The first match of a part between two stars is as good as any other, because the next star matches whatever is left.
    So the parts are atomic groups, which the expression does not try to match again elsewhere.
    """
    names = pattern.strip("/").split("/")
    groups: list[list[str]] = [[]]
    for name in names if "/" in pattern.rstrip("/") else ["**", *names]:
        if name == "**":
            groups.append([])
        else:
            groups[-1].append(_name(name))
    first, *middle = groups
    if not middle:
        return re.compile("/".join(first))
    last = middle.pop()
    body = "".join(f"{name}/" for name in first)
    body += "".join(f"(?>{_FOLDERS}{''.join(f'{name}/' for name in group)})" for group in middle if group)
    return re.compile(body + (_FOLDERS + "/".join(last) if last else ".+"), re.DOTALL)


def _name(pattern: str) -> str:
    """Return the regular expression for one name in a path."""
    parts = [""]
    for piece in _PIECE.findall(pattern):
        if piece.startswith("*"):
            parts.append("")
        else:
            parts[-1] += "[^/]" if piece == "?" else _set(piece) if piece[:1] + piece[-1:] == "[]" else re.escape(piece)
    first, *rest = parts
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + f"[^/]*{last}"


def _set(piece: str) -> str:
    """Return the regular expression for `[a-z]` or `[!a-z]`; a range that ends before it begins is empty."""
    text = piece[1:-1]
    excluded = text[:1] in ("!", "^")
    matches = re.findall(r"(.)-(.)|(.)", text.removeprefix(text[0]) if excluded else text, re.DOTALL)
    ranges = [(low or one, high or one) for low, high, one in matches]
    members = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    if excluded:
        return f"[^/{members}]"
    return f"(?!/)[{members}]" if members else "(?!)"


@lru_cache(maxsize=16)
def _lines(text: str) -> tuple[str, ...]:
    """Return the lines that are not blank or comments. Raises 413 if there are too many or one is too long."""
    lines = tuple(line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#"))
    if len(lines) > _LINES or any(len(line) > _LENGTH for line in lines):
        raise refused(413, f"A .gitattributes or .gitignore may have at most {_LINES} lines of {_LENGTH} characters")
    return lines


def check_effort(paths: Iterable[str], attributes: str, ignore: str) -> None:
    """Raise 413 if matching the paths would take too long."""
    attributes_length = _length(line.split()[0] for line in _lines(attributes))
    ignore_length = _length(_lines(ignore))
    effort = sum(attributes_length * _length([path]) + ignore_length * _length(_prefixes(path)) for path in paths)
    if effort > _EFFORT:
        raise refused(413, "There are too many patterns for this many files: send fewer files at a time")


def _length(texts: Iterable[str]) -> int:
    return sum(len(text) + _BEGIN for text in texts)


def is_large(path: str, attributes: str) -> bool:
    """Return whether the last line of a .gitattributes that sets the path's filter sets it to `lfs`."""
    large = False
    for line in _lines(attributes):
        pattern, *words = line.split()
        filters = [word for word in words if word.lstrip("-!").split("=")[0] == "filter"]
        if filters and _expression(pattern).fullmatch(path):
            large = filters[-1] == "filter=lfs"
    return large


def _prefixes(path: str) -> list[str]:
    """Return the folders above a path, the outermost first, followed by the path."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def is_ignored(path: str, ignore: str) -> bool:
    """Return whether a .gitignore excludes the path, either directly or through a folder above it."""
    return any(_matches_ignore(prefix, ignore, is_folder=prefix != path) for prefix in _prefixes(path))


def _matches_ignore(path: str, ignore: str, *, is_folder: bool) -> bool:
    ignored = False
    for line in _lines(ignore):
        pattern = line.removeprefix("!")
        if (is_folder or not pattern.endswith("/")) and _expression(pattern).fullmatch(path):
            ignored = not line.startswith("!")
    return ignored
