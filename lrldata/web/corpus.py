"""The documents of a language, all of them: judged part by part, compared, and chosen from. IO: parts."""

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
from lrldata.web.chunks import DropCodes, Part, whole
from lrldata.web.cross_dedup import CODES, Keys, duplicate_documents, duplicate_lines, repeated_lines
from lrldata.web.read import grouped, read_parts, read_small
from lrldata.web.shards import Columns, Shard

EVEN = 2  # times its share that the largest of as many files as there are tasks may have
SHARD_BYTES = 100_000_000  # of text in a file of the dataset


@dataclass(frozen=True)
class Chosen:
    """The fate of each line of each part, and of the documents that stay: part, doc, order, split, shard."""

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
    """Do the steps for lines to the files of these bundles; what is done already is not done again.

    Returns their parts, in the order of files, and which of these files were skipped, and why. Raises
    InputError for a file that cannot be read, unless `skip_bad`.
    """
    work.mkdir(parents=True, exist_ok=True)
    skipped: dict[str, str] = {}
    if by_files(bundles, pool.workers):
        each = ((task, bundle, columns, work, skip_bad) for bundle in bundles)
        for size, bad in pool.imap_unordered(_judge_bundle, each):
            advance(size)
            skipped |= bad
    else:
        state = _State(work, skipped)
        for name, size in pool.imap_unordered(_judge, state.pending(task, bundles, columns, skip_bad=skip_bad)):
            state.ended[name] += 1
            state.finish(name)
            advance(size)
    # Other folders there may be of a run before that put files together in another way.
    names = [each.name for each in bundles if not all(shard.name in skipped for shard in each.shards)]
    judged = (path for name in names for path in sorted((work / name).glob("*-*.json")))
    return [Part(path.with_suffix("")) for path in judged], skipped


def by_files(bundles: Sequence[Bundle], workers: int) -> bool:
    """Return whether each process reads files of its own: of enough files, of which none keeps one busy to the end."""
    sizes = [bundle.size for bundle in bundles]
    return workers > 1 and len(sizes) >= workers * AHEAD and max(sizes) * workers * AHEAD <= sum(sizes) * EVEN


def _judge_bundle(
    task: stages.Task, bundle: Bundle, columns: Columns, work: Path, skip_bad: bool
) -> tuple[int, dict[str, str]]:
    """Do the steps for lines to a bundle in this process; returns its bytes, and which files were skipped, and why."""
    sizes: list[int] = []
    _, skipped = judge_all(task, [bundle], columns, work, WorkerPool(1), sizes.append, skip_bad=skip_bad)
    return sum(sizes), skipped


@dataclass
class _State:
    """How far each bundle is, by its name: its parts begun and ended, and all of them once it is read."""

    work: Path
    skipped: dict[str, str]
    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    read: dict[str, int] = field(default_factory=dict)

    def pending(
        self, task: stages.Task, bundles: Sequence[Bundle], columns: Columns, *, skip_bad: bool
    ) -> Iterator[tuple[str, stages.Task, Part, pl.DataFrame]]:
        """Yield the parts that are not judged yet, as they are read."""
        for bundle in bundles:
            name, before = bundle.name, len(self.skipped)
            if self._is_done(name):
                continue
            if len(bundle.shards) > 1:  # another of its files may have been bad when it was begun
                remove_tree(self.work / name)
            self.work.joinpath(name).mkdir(parents=True, exist_ok=True)
            read = self._read(bundle, columns, skip_bad=skip_bad)
            yield from ((name, task, part, documents) for part, documents in self._parts(name, read))
            if len(self.skipped) == before:  # else it is read again by a run that goes on, to say so then too
                self.read[name] = self.begun[name]
                self.finish(name)

    def _read(self, bundle: Bundle, columns: Columns, *, skip_bad: bool) -> Iterator[pl.DataFrame]:
        """Yield the documents of a bundle; of several files, which are small, those of a bad one are left out whole."""

        def skip(shard: Shard, error: InputError) -> None:
            if not skip_bad:
                raise error
            self.skipped[shard.name] = error.message

        if len(bundle.shards) > 1:
            yield from grouped(list(read_small(bundle.shards, columns, skip)))
            return
        try:
            yield from read_parts(bundle.shards[0], columns)
        except InputError as error:
            skip(bundle.shards[0], error)

    def _parts(self, name: str, read: Iterator[pl.DataFrame]) -> Iterator[tuple[Part, pl.DataFrame]]:
        for place, documents in enumerate(read):
            part = Part(self.work / name / f"{name}-{place:05d}")
            self.begun[name] += 1
            if part.is_judged():
                self.ended[name] += 1
            else:
                yield part, documents

    def finish(self, name: str) -> None:
        """Note that a bundle is done, once it is read to its end and all its parts are."""
        if self.read.get(name) == self.ended[name]:
            whole(self._done(name), lambda path: path.write_text(str(self.read[name])))

    def _is_done(self, name: str) -> bool:
        """Return whether a bundle is done, and all the parts that it then had are there."""
        try:
            count = int(self._done(name).read_text())
        except (OSError, ValueError):
            return False
        return count == len(list((self.work / name).glob("*-*.json")))

    def _done(self, name: str) -> Path:
        return self.work / name / "done"


def _judge(name: str, task: stages.Task, part: Part, documents: pl.DataFrame) -> tuple[str, int]:
    return name, stages.judge(task, part, documents)


def choose(task: stages.Task, parts: Sequence[Part], work: Path, pool: WorkerPool, *, most: int, memory: int) -> Chosen:
    """Compare the documents of all parts and say what stays of them, at most `most` bytes, and in which split.

    To compare lines it takes `memory` bytes, or somewhat more.
    """
    repeated = work / "repeated.npy"
    if not repeated.is_file():
        # A sentence that was recorded or written down more than once is the same again, and no part of a page.
        found = np.zeros(0, np.uint64) if task.sentences else repeated_lines(parts, memory)
        whole(repeated, partial(_save, array=found))
    pending = ((task, part, repeated) for part in parts if not part.is_described())
    for _ in pool.imap_unordered(stages.describe, pending):
        pass
    if not parts:
        return Chosen([], pl.DataFrame(schema={"part": pl.UInt32, "split": pl.String, "shard": pl.Int64}))
    before = [part.array("drop_codes") for part in parts]
    drop_codes = [each.copy() for each in before]
    described = _all(parts, "described")
    _drop(parts, drop_codes, described, duplicate_documents(parts, described))
    of_documents = [each.copy() for each in drop_codes]
    duplicate_lines(parts, drop_codes, _orders(parts, described), memory)
    touched = ((number, task, part, drop_codes[number], of_documents[number]) for number, part in enumerate(parts))
    for number, reassessed in pool.imap_unordered(_reassess, touched):
        drop_codes[number] = reassessed
    documents = _all(parts, "settled")
    gone = duplicate_documents(parts, documents, "settled-")
    _drop(parts, drop_codes, documents, gone)
    kept, beyond = _place(documents.filter(pl.Series(gone == 0)), most)
    _drop(parts, drop_codes, beyond, np.full(len(beyond), CODES["above_max_bytes"], dtype=np.uint8))
    return Chosen(drop_codes, kept)


def _all(parts: Sequence[Part], kind: str) -> pl.DataFrame:
    return pl.concat([part.read(kind).with_columns(part=pl.lit(n, pl.UInt32)) for n, part in enumerate(parts)])


def _drop(parts: Sequence[Part], drop_codes: Sequence[DropCodes], documents: pl.DataFrame, codes: DropCodes) -> None:
    """Give the lines of documents that are left the drop_codes of their documents."""
    for (number,), some in documents.with_columns(code=pl.Series(codes)).filter(pl.col("code") > 0).group_by("part"):
        here = drop_codes[int(str(number))]
        code = _by_doc(parts[int(str(number))], some["doc"], some["code"].to_numpy())
        np.copyto(here, code, where=here == 0)


def _orders(parts: Sequence[Part], documents: pl.DataFrame) -> list[Keys]:
    """Return for each line of each part the order of its document."""
    found = {int(str(number)): some for (number,), some in documents.group_by("part")}
    empty = documents.clear()
    return [
        _by_doc(part, found.get(number, empty)["doc"], found.get(number, empty)["order"].to_numpy())
        for number, part in enumerate(parts)
    ]


def _by_doc(part: Part, docs: pl.Series, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Spread a value for each document over the lines of a part; 0 for those of others."""
    lines = part.read("lines", "doc")["doc"].to_numpy()
    table = np.zeros(int(lines.max(initial=0)) + 1, dtype=values.dtype)
    table[docs.to_numpy()] = values
    return np.asarray(table[lines])


def _save(path: Path, array: Keys) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


def _reassess(
    number: int, task: stages.Task, part: Part, drop_codes: DropCodes, before: DropCodes
) -> tuple[int, DropCodes]:
    return number, stages.reassess_documents(task, part, drop_codes, before)


def _place(documents: pl.DataFrame, most: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Put documents into splits and shards in the order of their content's hash; return also those beyond `most` bytes.

    All documents of a site are in one split, but for a site that has many; of these a document goes by its address, so
    that it is in the same split in each version of a dataset, whatever lines of it stay. Of an address that many
    documents have, as that of a book, they go by their text.
    """
    ordered = documents.sort("order", "part", "doc")
    within = ordered.select(pl.col("bytes").cum_sum() <= most)["bytes"]
    kept = ordered.filter(within)
    many = pl.len().over("site") > stages.LARGE_SITE * len(kept)
    nowhere, unnamed = (pl.col(name) == content_hash(pl.Series([""]))[0] for name in ("site", "tie"))
    shared = pl.len().over("tie") > stages.LARGE_SITE * len(kept)
    alone = pl.when(unnamed | shared).then("order").otherwise("tie")
    placed = kept.with_columns(split=by_pair(pl.when(nowhere | many).then(alone).otherwise("site")))
    shard = (pl.col("bytes").cum_sum().over("split") - pl.col("bytes")) // SHARD_BYTES
    columns = ("part", "doc", "order", "split", "shard")
    return placed.with_columns(shard=shard.cast(pl.Int64)).select(columns), ordered.filter(~within)
