"""What a file is that was taken for UTF-8 text and is none: told by its first bytes, with what to do about it. Pure."""

import codecs
from collections.abc import Iterable
from itertools import chain

from lrldata.errors import InputError

_LOOKED_AT, _NOTHING = 8, b"\0"  # bytes
_WIDE = "Convert it, as with `iconv -f UTF-16 -t UTF-8`."
# First bytes of kinds of files that people have text in, what they are, and the way out.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a .zip archive, or a file of Word, Excel or LibreOffice", "Unpack it, or save its text as .txt."),
    (b"%PDF", "a PDF", "Take its text out, as with `pdftotext`."),
    (b"\x1f\x8b", "packed with gzip", "Unpack it, as with `gunzip`."),
    (b"BZh", "packed with bzip2", "Unpack it, as with `bunzip2`."),
    (b"\xfd7zXZ", "packed with xz", "Unpack it, as with `unxz`."),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard", "Unpack it, as with `unzstd`."),
    (b"PAR1", "a Parquet file", "Write its text to a .txt file, one sentence or paragraph a line."),
    (b"\xd0\xcf\x11\xe0", "a file of an old Word or Excel", "Save its text as .txt."),
    (codecs.BOM_UTF16_LE, "in UTF-16", _WIDE),
    (codecs.BOM_UTF16_BE, "in UTF-16", _WIDE),
)


def undecodable(place: object, lines: Iterable[bytes]) -> InputError:
    """Return the error of a file, by its lines, that is not UTF-8: what it is, or which line of it, and the way out."""
    rest = iter(lines)
    first = next(rest, b"")
    if found := known_kind(first):
        return InputError(f"{place}: is {found[0]}, not UTF-8 text.", found[1])
    number = next((number for number, line in enumerate(chain([first], rest), 1) if not _is_utf8(line)), 1)
    return InputError(f"{place}: line {number:,} is not UTF-8.", "Convert it, as with `iconv -f ENCODING -t UTF-8`.")


def known_kind(first: bytes) -> tuple[str, str] | None:
    """Return what a file is by its first line, and the way out; None where it is none of those that are known."""
    head = first[:_LOOKED_AT]
    for magic, what, hint in _KINDS:
        if head.startswith(magic):
            return what, hint
    if _NOTHING in head[:4]:
        order = "LE" if head[1:2] == _NOTHING else "BE"
        return "in UTF-16 without a mark of it", _WIDE.replace("UTF-16", f"UTF-16{order}")
    return None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
