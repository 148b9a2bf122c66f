"""Files compressed with gzip, xz, bzip2 or zstd, as streams of their contents, in bounded memory. IO."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import pyarrow as pa

from lrldata.web.inputs import ending_of

_BLOCK = 1 << 18  # bytes that are read at a time
_MEMORY = 512 << 20  # bytes that a decompressor may use: xz needs up to 65 MB, a hostile file claims 4 GB


def unpacked(stream: BinaryIO, name: str) -> BinaryIO:
    """Return the decompressed contents of a file, from the current position of its stream.

    Reading from the result raises OSError, EOFError or lzma.LZMAError if the file is damaged or truncated.
    """
    ending = ending_of(name)
    contents: Any = stream
    if ending == ".gz":
        contents = gzip.GzipFile(fileobj=stream)
    elif ending == ".zst":
        contents = io.BufferedReader(cast("Any", pa.CompressedInputStream(stream, "zstd")))
    elif ending:
        make = bz2.BZ2Decompressor if ending == ".bz2" else lambda: lzma.LZMADecompressor(memlimit=_MEMORY)
        contents = io.BufferedReader(_Unpacked(stream, make), _BLOCK)
    return cast("BinaryIO", contents)


class _Unpacked(io.RawIOBase):
    """The contents of a file with one or several compressed streams, by a decompressor of the standard library."""

    def __init__(self, stream: BinaryIO, make: Callable[[], Any]) -> None:
        self._stream, self._make = stream, make
        self._decompressor = make()

    def readable(self) -> bool:
        """Return True: the stream can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into a buffer; return how many, 0 at the end."""
        while True:
            decompressor = self._decompressor
            block = b""
            if decompressor.eof:
                block = (decompressor.unused_data or self._stream.read(_BLOCK)).lstrip(b"\0")  # padding of xz
                if not block:
                    return 0
                decompressor = self._decompressor = self._make()
            elif decompressor.needs_input:
                block = self._stream.read(_BLOCK)
                if not block:
                    raise EOFError("it ends in the middle of the compressed data")
            if data := decompressor.decompress(block, len(buffer)):
                buffer[: len(data)] = data
                return len(data)
