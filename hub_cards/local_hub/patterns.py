"""Which files are large ones by .gitattributes, and which are ignored by .gitignore. Pure.

Both may come with a request, so no pattern may take more than time in proportion to its length times the path's.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from hub_cards.local_hub.answers import refused

_SUFFIXES = """7z arrow bin bz2 ckpt ftz gz h5 joblib lz4 mlmodel model msgpack npy npz onnx ot parquet pb pickle
pkl pt pth rar safetensors tar tflite tgz wasm xz zip zst mp3 flac wav ogg jpg jpeg png gif webp mp4""".split()
DEFAULT_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _SUFFIXES)
_LINES, _LENGTH = 1_000, 256  # lines that say something, and characters of each
# Characters of patterns times characters of paths in one request: two seconds at worst, as measured. To begin a match
# takes as long as some characters more.
_EFFORT, _BEGIN = 1_000_000_000, 20
_PIECE = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|[^*?\[]+|\[")
_FOLDERS = r"(?:[^/]++/)*?"


@lru_cache(maxsize=4 * _LINES)
def _expression(pattern: str) -> re.Pattern[str]:
    """Return what matches a path as git does: `*` stops at a slash, `**` does not; no slash means any depth.

    The first place at which a part between two stars fits is as good as any other, as a star takes whatever is left.
    So the parts are atomic groups: what has fitted is not tried again elsewhere.
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
    """Return the regular expression of one name of a path."""
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
    """Return the regular expression of `[a-z]` or `[!a-z]`; a range that ends before it begins holds nothing."""
    text = piece[1:-1]
    excluded = text[:1] in ("!", "^")
    found = re.findall(r"(.)-(.)|(.)", text.removeprefix(text[0]) if excluded else text, re.DOTALL)
    ranges = [(low or one, high or one) for low, high, one in found]
    inside = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    if excluded:
        return f"[^/{inside}]"
    return f"(?!/)[{inside}]" if inside else "(?!)"


@lru_cache(maxsize=16)
def _lines(text: str) -> tuple[str, ...]:
    """Return the lines that say something. Raises 413 for more of them, or longer ones, than are taken."""
    lines = tuple(line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#"))
    if len(lines) > _LINES or any(len(line) > _LENGTH for line in lines):
        raise refused(413, f"A .gitattributes or .gitignore has at most {_LINES} lines of {_LENGTH} characters here")
    return lines


def check_effort(paths: Iterable[str], attributes: str, ignore: str) -> None:
    """Raise 413 where it would take too long to match the paths."""
    of_attributes = _length(line.split()[0] for line in _lines(attributes))
    of_ignore = _length(_lines(ignore))
    effort = sum(of_attributes * _length([path]) + of_ignore * _length(_above(path)) for path in paths)
    if effort > _EFFORT:
        raise refused(413, "There are too many patterns for so many files: send fewer files at a time")


def _length(texts: Iterable[str]) -> int:
    return sum(len(text) + _BEGIN for text in texts)


def is_large(path: str, attributes: str) -> bool:
    """Return whether the last line of a .gitattributes that speaks of the path's filter says `lfs`."""
    large = False
    for line in _lines(attributes):
        pattern, *words = line.split()
        filters = [word for word in words if word.lstrip("-!").split("=")[0] == "filter"]
        if filters and _expression(pattern).fullmatch(path):
            large = filters[-1] == "filter=lfs"
    return large


def _above(path: str) -> list[str]:
    """Return the folders above a path, the outermost first, and the path."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def is_ignored(path: str, ignore: str) -> bool:
    """Return whether a .gitignore leaves the path out: by itself, or because of a folder above it."""
    return any(_says_ignored(each, ignore, is_folder=each != path) for each in _above(path))


def _says_ignored(path: str, ignore: str, *, is_folder: bool) -> bool:
    ignored = False
    for line in _lines(ignore):
        pattern = line.removeprefix("!")
        if (is_folder or not pattern.endswith("/")) and _expression(pattern).fullmatch(path):
            ignored = not line.startswith("!")
    return ignored
