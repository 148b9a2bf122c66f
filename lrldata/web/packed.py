"""Files that are packed with gzip, xz, bzip2 or zstd, as streams of what is in them: in bounded memory. IO."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import pyarrow as pa

from lrldata.web.inputs import ending_of

_BLOCK = 1 << 18  # bytes that are read at once
_MEMORY = 512 << 20  # bytes that a decompressor may take: xz at its highest level takes 65 MB, a hostile file says 4 GB


def unpacked(stream: BinaryIO, name: str) -> BinaryIO:
    """Return what is in a file from where it stands.

    Raises, as it is read, OSError, EOFError or lzma.LZMAError for one that is damaged, or ends too early.
    """
    packed = ending_of(name)
    made: Any = stream
    if packed == ".gz":
        made = gzip.GzipFile(fileobj=stream)
    elif packed == ".zst":
        made = io.BufferedReader(cast("Any", pa.CompressedInputStream(stream, "zstd")))
    elif packed:
        make = bz2.BZ2Decompressor if packed == ".bz2" else lambda: lzma.LZMADecompressor(memlimit=_MEMORY)
        made = io.BufferedReader(_Unpacked(stream, make), _BLOCK)
    return cast("BinaryIO", made)


class _Unpacked(io.RawIOBase):
    """What is in a file of one or several streams of a decompressor of the standard library."""

    def __init__(self, stream: BinaryIO, make: Callable[[], Any]) -> None:
        self._stream, self._make = stream, make
        self._decompressor = make()

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; none at the end."""
        while True:
            here = self._decompressor
            block = b""
            if here.eof:
                block = (here.unused_data or self._stream.read(_BLOCK)).lstrip(b"\0")  # with which xz may be filled up
                if not block:
                    return 0
                here = self._decompressor = self._make()
            elif here.needs_input:
                block = self._stream.read(_BLOCK)
                if not block:
                    raise EOFError("it ends in the middle of what is packed")
            if found := here.decompress(block, len(buffer)):
                buffer[: len(found)] = found
                return len(found)
