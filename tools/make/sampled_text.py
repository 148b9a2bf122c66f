"""Up to so many bytes of the running text of a language, always the same, in an order that mixes its files."""

from collections.abc import Iterator
from pathlib import Path

from xxhash import xxh3_64_intdigest

NOT_TEXT = {"thuyg20_latin.txt"}  # Arabic transcripts once more, in another script


def sampled(folder: Path, most: int) -> list[str]:
    """Return different lines of text/LANG_Script/*.txt, in the order of their hash, up to `most` bytes of UTF-8."""
    chosen: list[str] = []
    for line in sorted(set(_lines_in(folder)), key=lot):
        if (most := most - len(line.encode())) < 0:
            break
        chosen.append(line)
    return chosen


def lot(line: str) -> tuple[int, str]:
    """Return what lines are ordered by."""
    return xxh3_64_intdigest(line.encode()), line


def _lines_in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.txt")):
        if path.name not in NOT_TEXT:
            yield from (line.strip() for line in path.read_text("utf-8").split("\n") if line.strip())
