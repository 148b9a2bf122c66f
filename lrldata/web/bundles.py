"""Bundles of small files that are read together, because each part of a corpus has a fixed cost. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrldata.web.inputs import OFFICE, is_packed, type_of
from lrldata.web.plain import PART
from lrldata.web.shards import Shard

SMALL = PART // 4  # bytes; files up to this size are read together with others


@dataclass(frozen=True)
class Bundle:
    """One file, or several small ones that are read together; `number` is the index of the first, from 0."""

    number: int
    shards: tuple[Shard, ...]

    @property
    def name(self) -> str:
        """Return a unique name, which also differs for bundles with the same first file but more or fewer files."""
        return f"{self.number:05d}" + (f"+{len(self.shards)}" if len(self.shards) > 1 else "")

    @property
    def size(self) -> int:
        """Return its size in bytes."""
        return sum(shard.size for shard in self.shards)


def make_bundles(shards: Sequence[Shard]) -> list[Bundle]:
    """Group consecutive small files into bundles of up to the size of a part.

    A compressed file, a Parquet file or an office document such as .docx holds an unknown amount of text, so each is a
    bundle of its own.
    """
    bundles: list[Bundle] = []
    room = 0
    for number, shard in enumerate(shards):
        packed = is_packed(shard.name) or type_of(shard.name) in {"parquet", *OFFICE}
        small = shard.size <= SMALL and not packed
        if small and shard.size <= room and room:  # `room` is 0 at first, and the first file may be empty
            last = bundles.pop()
            bundles.append(Bundle(last.number, (*last.shards, shard)))
            room -= shard.size
        else:
            bundles.append(Bundle(number, (shard,)))
            room = PART - shard.size if small else 0
    return bundles
