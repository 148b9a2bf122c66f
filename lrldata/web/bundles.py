"""Which files are read together: small ones, as each part of a corpus costs as much, whatever it holds. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrldata.web.inputs import OFFICE, is_packed, type_of
from lrldata.web.plain import PART
from lrldata.web.shards import Shard

SMALL = PART // 4  # bytes of a file up to which it is read together with others


@dataclass(frozen=True)
class Bundle:
    """Files that are read one after the other, as small ones are; `number` is that of the first, from 0."""

    number: int
    shards: tuple[Shard, ...]

    @property
    def name(self) -> str:
        """Return a name that no other bundle has, nor one that begins with the same file and has more or fewer."""
        return f"{self.number:05d}" + (f"+{len(self.shards)}" if len(self.shards) > 1 else "")

    @property
    def size(self) -> int:
        """Return how many bytes it has."""
        return sum(shard.size for shard in self.shards)


def bundled(shards: Sequence[Shard]) -> list[Bundle]:
    """Put small files that follow one another together, up to the text of a part.

    Of a packed file, Parquet, and documents as .docx it is not known how much text it has; each is by itself.
    """
    bundles: list[Bundle] = []
    room = 0
    for number, shard in enumerate(shards):
        packed = is_packed(shard.name) or type_of(shard.name) in {"parquet", *OFFICE}
        small = shard.size <= SMALL and not packed
        if small and shard.size <= room and room:  # an empty file may be the first
            last = bundles.pop()
            bundles.append(Bundle(last.number, (*last.shards, shard)))
            room -= shard.size
        else:
            bundles.append(Bundle(number, (shard,)))
            room = PART - shard.size if small else 0
    return bundles
