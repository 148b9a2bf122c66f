"""A reproducible sample of a language's running text, in an order that mixes its files."""

from collections.abc import Iterator
from pathlib import Path

from xxhash import xxh3_64_intdigest

NOT_TEXT = {"thuyg20_latin.txt"}  # the Arabic-script transcripts again, in Latin script


def sampled(folder: Path, most: int) -> list[str]:
    """Return distinct lines of text/LANG_Script/*.txt in the order of their hashes, up to `most` bytes of UTF-8."""
    chosen: list[str] = []
    for line in sorted(set(_lines_in(folder)), key=lot):
        if (most := most - len(line.encode())) < 0:
            break
        chosen.append(line)
    return chosen


def lot(line: str) -> tuple[int, str]:
    """Return the sort key of a line: its hash, then the line itself."""
    return xxh3_64_intdigest(line.encode()), line


def _lines_in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.txt")):
        if path.name not in NOT_TEXT:
            yield from (line.strip() for line in path.read_text("utf-8").split("\n") if line.strip())
