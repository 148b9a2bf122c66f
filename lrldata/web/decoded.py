"""The bytes of a file as text: its lines, or blocks of text. IO: reads a stream."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from lrldata.encoding import known_kind
from lrldata.errors import InputError
from lrldata.web.fields import HINT
from lrldata.web.plain import LINE
from lrldata.web.shards import Shard

LONGEST_LINE = 32 << 20  # bytes; parsing a line of JSON takes up to thirty times as many
_LEAVE_OUT = "Or leave it out with --skip-bad."
_BLOCK = 1 << 20  # bytes of JSON that are decoded at a time


def lines_of(shard: Shard, stream: BinaryIO) -> Iterator[str]:
    r"""Yield the lines of a file with their line ends: \n, \r\n or \r.

    Raises InputError for a line that is too long or not UTF-8.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"{shard.place}: line {number:,} is longer than {LONGEST_LINE >> 20} MiB.", HINT)
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
            if kind := known_kind(line):
                raise InputError(f"{shard.place}: is {kind[0]}, not UTF-8 text.", f"{kind[1]} {_LEAVE_OUT}")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            reason = f"line {number:,} is not UTF-8 at byte {error.start + 1}"
            hint = f"Convert it, e.g. with `iconv -f ENCODING -t UTF-8`. {_LEAVE_OUT}"
            raise InputError(f"{shard.place}: cannot be read ({reason}).", hint) from error
        if "\r" not in text:
            yield text
            continue
        pieces = LINE.findall(text)
        number += len(pieces) - 1
        yield from pieces


def blocks_of(stream: BinaryIO) -> Iterator[str]:
    """Yield the text of a file, one block at a time."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    while block := stream.read(_BLOCK):
        yield decoder.decode(block) or " "  # an empty block would mean the end; a space is harmless in JSON
    yield decoder.decode(b"", final=True)
