"""Identify files that are not UTF-8 text by their first bytes, with advice on how to convert them. Pure."""

import codecs
from collections.abc import Iterable
from itertools import chain

from lrldata.errors import InputError

_HEAD_BYTES, _NUL = 8, b"\0"
_CONVERT_UTF16 = "Convert it, e.g. with `iconv -f UTF-16 -t UTF-8`."
# The first bytes of file formats that often hold text, a description of each, and a hint.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a .zip archive, or a Word, Excel or LibreOffice file", "Unpack it, or save its text as .txt."),
    (b"%PDF", "a PDF", "Extract its text, e.g. with `pdftotext`."),
    (b"\x1f\x8b", "compressed with gzip", "Decompress it, e.g. with `gunzip`."),
    (b"BZh", "compressed with bzip2", "Decompress it, e.g. with `bunzip2`."),
    (b"\xfd7zXZ", "compressed with xz", "Decompress it, e.g. with `unxz`."),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "Decompress it, e.g. with `unzstd`."),
    (b"PAR1", "a Parquet file", "Write its text to a .txt file, one sentence or paragraph per line."),
    (b"\xd0\xcf\x11\xe0", "an old or password-protected Word or Excel file", "Save its text as .txt."),
    (codecs.BOM_UTF16_LE, "in UTF-16", _CONVERT_UTF16),
    (codecs.BOM_UTF16_BE, "in UTF-16", _CONVERT_UTF16),
)


def undecodable(place: object, lines: Iterable[bytes]) -> InputError:
    """Return the error for a file that is not UTF-8, from its lines: its format or its first bad line, and a hint."""
    rest = iter(lines)
    first = next(rest, b"")
    if kind := known_kind(first):
        return InputError(f"{place}: the file is {kind[0]}, not UTF-8 text.", kind[1])
    number = next((number for number, line in enumerate(chain([first], rest), 1) if not _is_utf8(line)), 1)
    return InputError(f"{place}: line {number:,} is not UTF-8.", "Convert it, e.g. with `iconv -f ENCODING -t UTF-8`.")


def known_kind(first: bytes) -> tuple[str, str] | None:
    """Return what a file is, by its first line, and a hint; None if its format is not in the table."""
    head = first[:_HEAD_BYTES]
    for magic, description, hint in _KINDS:
        if head.startswith(magic):
            return description, hint
    if _NUL in head[:4]:
        byte_order = "LE" if head[1:2] == _NUL else "BE"
        return "in UTF-16 without a byte order mark", _CONVERT_UTF16.replace("UTF-16", f"UTF-16{byte_order}")
    return None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
