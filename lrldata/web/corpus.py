"""All documents of a language: judged part by part, compared, and selected. IO: reads and writes parts."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.engine import AHEAD, WorkerPool
from lrldata.errors import InputError
from lrldata.paths import remove_tree
from lrldata.split import by_pair, content_hash
from lrldata.web import stages
from lrldata.web.bundles import Bundle
from lrldata.web.chunks import DropCodes, Part, save_array, write_atomically
from lrldata.web.cross_dedup import CODES, Keys, duplicate_documents, duplicate_lines, repeated_lines
from lrldata.web.read import grouped, read_parts, read_small
from lrldata.web.shards import Columns, Shard

EVEN = 2  # the largest file may have at most this many times an even share of the bytes
SHARD_BYTES = 100_000_000  # of text per file of the dataset


@dataclass(frozen=True)
class Selection:
    """The drop code of each line of each part, and the places of the kept documents: part, doc, order, split, shard."""

    drop_codes: list[DropCodes]
    places: pl.DataFrame


def judge_all(
    task: stages.Task,
    bundles: Sequence[Bundle],
    columns: Columns,
    work: Path,
    pool: WorkerPool,
    advance: Callable[[int], None],
    *,
    skip_bad: bool,
) -> tuple[list[Part], dict[str, str]]:
    """Run the line-level steps on the files of these bundles; finished work is not repeated.

    Returns the parts, in file order, and the skipped files, each with the reason. Raises InputError for a file that
    cannot be read, unless `skip_bad`.
    """
    work.mkdir(parents=True, exist_ok=True)
    skipped: dict[str, str] = {}
    if by_files(bundles, pool.workers):
        jobs = ((task, bundle, columns, work, skip_bad) for bundle in bundles)
        for size, bad in pool.imap_unordered(_judge_bundle, jobs):
            advance(size)
            skipped |= bad
    else:
        state = _State(work, skipped)
        for name, size in pool.imap_unordered(_judge, state.pending(task, bundles, columns, skip_bad=skip_bad)):
            state.ended[name] += 1
            state.finish(name)
            advance(size)
    # There may be other folders, from an earlier run that bundled the files differently.
    names = [bundle.name for bundle in bundles if not all(shard.name in skipped for shard in bundle.shards)]
    judged = (path for name in names for path in sorted((work / name).glob("*-*.json")))
    return [Part(path.with_suffix("")) for path in judged], skipped


def by_files(bundles: Sequence[Bundle], workers: int) -> bool:
    """Return whether each process reads whole files: there must be many, none of which keeps one busy to the end."""
    sizes = [bundle.size for bundle in bundles]
    return workers > 1 and len(sizes) >= workers * AHEAD and max(sizes) * workers * AHEAD <= sum(sizes) * EVEN


def _judge_bundle(
    task: stages.Task, bundle: Bundle, columns: Columns, work: Path, skip_bad: bool
) -> tuple[int, dict[str, str]]:
    """Run the line-level steps on a bundle in this process; return its bytes and the skipped files, with reasons."""
    sizes: list[int] = []
    _, skipped = judge_all(task, [bundle], columns, work, WorkerPool(1), sizes.append, skip_bad=skip_bad)
    return sum(sizes), skipped


@dataclass
class _State:
    """The progress of each bundle, by name: parts begun, parts ended, and the number of all parts once it is read."""

    work: Path
    skipped: dict[str, str]
    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    read: dict[str, int] = field(default_factory=dict)

    def pending(
        self, task: stages.Task, bundles: Sequence[Bundle], columns: Columns, *, skip_bad: bool
    ) -> Iterator[tuple[str, stages.Task, Part, pl.DataFrame]]:
        """Read the bundles, and yield the parts that are not judged yet."""
        for bundle in bundles:
            name, before = bundle.name, len(self.skipped)
            if self._is_done(name):
                continue
            if len(bundle.shards) > 1:  # an earlier run may have skipped other files of it
                remove_tree(self.work / name)
            self.work.joinpath(name).mkdir(parents=True, exist_ok=True)
            frames = self._read(bundle, columns, skip_bad=skip_bad)
            yield from ((name, task, part, documents) for part, documents in self._parts(name, frames))
            if len(self.skipped) == before:  # otherwise a resumed run reads it again, to report the skipped files
                self.read[name] = self.begun[name]
                self.finish(name)

    def _read(self, bundle: Bundle, columns: Columns, *, skip_bad: bool) -> Iterator[pl.DataFrame]:
        """Yield the documents of a bundle; if it has several (small) files, a bad file is left out entirely."""

        def skip(shard: Shard, error: InputError) -> None:
            if not skip_bad:
                raise error
            self.skipped[shard.name] = error.message.removeprefix(f"{shard.place}: ")

        if len(bundle.shards) > 1:
            yield from grouped(list(read_small(bundle.shards, columns, skip)))
            return
        try:
            yield from read_parts(bundle.shards[0], columns)
        except InputError as error:
            skip(bundle.shards[0], error)

    def _parts(self, name: str, frames: Iterator[pl.DataFrame]) -> Iterator[tuple[Part, pl.DataFrame]]:
        for index, documents in enumerate(frames):
            part = Part(self.work / name / f"{name}-{index:05d}")
            self.begun[name] += 1
            if part.is_judged():
                self.ended[name] += 1
            else:
                yield part, documents

    def finish(self, name: str) -> None:
        """Mark a bundle as done once it is read to its end and all its parts are judged."""
        if self.read.get(name) == self.ended[name]:
            write_atomically(self._done(name), lambda path: path.write_text(str(self.read[name])))

    def _is_done(self, name: str) -> bool:
        """Return whether a bundle is marked as done and still has all its parts."""
        try:
            count = int(self._done(name).read_text())
        except (OSError, ValueError):
            return False
        return count == len(list((self.work / name).glob("*-*.json")))

    def _done(self, name: str) -> Path:
        return self.work / name / "done"


def _judge(name: str, task: stages.Task, part: Part, documents: pl.DataFrame) -> tuple[str, int]:
    return name, stages.judge(task, part, documents)


def choose(
    task: stages.Task, parts: Sequence[Part], work: Path, pool: WorkerPool, *, most: int, memory: int
) -> Selection:
    """Compare the documents of all parts; decide which lines are kept, at most `most` bytes, and in which split.

    The comparison of lines takes `memory` bytes, or somewhat more.
    """
    repeated = work / "repeated.npy"
    if not repeated.is_file():
        # If every line is a sentence, a repeated line is a duplicate, and not a part of many pages.
        hashes = np.zeros(0, np.uint64) if task.sentences else repeated_lines(parts, memory, work)
        write_atomically(repeated, partial(save_array, array=hashes))
    pending = ((task, part, repeated) for part in parts if not part.is_described())
    for _ in pool.imap_unordered(stages.describe, pending):
        pass
    if not parts:
        return Selection(
            [], pl.DataFrame(schema={"part": pl.UInt32, "doc": pl.UInt32, "split": pl.String, "shard": pl.Int64})
        )
    drop_codes = [part.array("drop_codes") for part in parts]
    described = _read_all(parts, "described")
    _drop(parts, drop_codes, described, duplicate_documents(parts, described))
    document_codes = [codes.copy() for codes in drop_codes]
    duplicate_lines(parts, drop_codes, _orders(parts, described), memory, work)
    jobs = ((number, task, part, drop_codes[number], document_codes[number]) for number, part in enumerate(parts))
    for number, reassessed in pool.imap_unordered(_reassess, jobs):
        drop_codes[number] = reassessed
    documents = _read_all(parts, "settled")
    codes = duplicate_documents(parts, documents, "settled-")
    _drop(parts, drop_codes, documents, codes)
    kept, excess = _place(documents.filter(pl.Series(codes == 0)), most)
    _drop(parts, drop_codes, excess, np.full(len(excess), CODES["above_max_bytes"], dtype=np.uint8))
    return Selection(drop_codes, kept)


def _read_all(parts: Sequence[Part], kind: str) -> pl.DataFrame:
    return pl.concat([part.read(kind).with_columns(part=pl.lit(n, pl.UInt32)) for n, part in enumerate(parts)])


def _drop(parts: Sequence[Part], drop_codes: Sequence[DropCodes], documents: pl.DataFrame, codes: DropCodes) -> None:
    """Give the remaining lines of dropped documents the drop codes of their documents."""
    for (number,), dropped in documents.with_columns(code=pl.Series(codes)).filter(pl.col("code") > 0).group_by("part"):
        part_codes = drop_codes[int(str(number))]
        code = _by_doc(parts[int(str(number))], dropped["doc"], dropped["code"].to_numpy())
        np.copyto(part_codes, code, where=part_codes == 0)


def _orders(parts: Sequence[Part], documents: pl.DataFrame) -> Iterator[Keys]:
    """Yield the order of each line's document, for each part."""
    by_part = {
        int(str(number)): frame for (number,), frame in documents.select("part", "doc", "order").group_by("part")
    }
    empty = documents.clear()
    for number, part in enumerate(parts):
        frame = by_part.get(number, empty)
        yield _by_doc(part, frame["doc"], frame["order"].to_numpy())


def _by_doc(part: Part, docs: pl.Series, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Spread one value per document over the lines of a part; 0 for the lines of other documents."""
    lines = part.read("lines", "doc")["doc"].to_numpy()
    table = np.zeros(int(lines.max(initial=0)) + 1, dtype=values.dtype)
    table[docs.to_numpy()] = values
    return np.asarray(table[lines])


def _reassess(
    number: int, task: stages.Task, part: Part, drop_codes: DropCodes, before: DropCodes
) -> tuple[int, DropCodes]:
    return number, stages.reassess_documents(task, part, drop_codes, before)


def _place(documents: pl.DataFrame, most: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Assign documents, ordered by content hash, to splits and shards; also return those beyond `most` bytes.

    All documents of a site are in one split, unless the site is large: then the split of a document depends on its
    address, so that it is the same in each version of a dataset, whichever of its lines are kept. If many documents
    share an address, as those of a book do, the split depends on their text.
    """
    ordered = documents.sort("order", "part", "doc")
    within = ordered.select(pl.col("bytes").cum_sum() <= most)["bytes"]
    kept = ordered.filter(within)
    large_site = pl.len().over("site") > stages.LARGE_SITE * len(kept)
    no_site, no_address = (pl.col(name) == content_hash(pl.Series([""]))[0] for name in ("site", "tie"))
    shared_address = pl.len().over("tie") > stages.LARGE_SITE * len(kept)
    document_key = pl.when(no_address | shared_address).then("order").otherwise("tie")
    placed = kept.with_columns(split=by_pair(pl.when(no_site | large_site).then(document_key).otherwise("site")))
    shard = (pl.col("bytes").cum_sum().over("split") - pl.col("bytes")) // SHARD_BYTES
    columns = ("part", "doc", "order", "split", "shard")
    return placed.with_columns(shard=shard.cast(pl.Int64)).select(columns), ordered.filter(~within)
