"""Tokenized text on disk: tokenized once, packed into blocks, and memory-mapped for training.

The tokens of a corpus are stored in one flat file. A block fills a row of a batch; several short blocks of `line`
batching may share one. With `packed` batching, a block holds several whole lines that do not attend to each other; with
`joined` they do; with `line`, a block is one line, truncated to the maximum length. The cache folder is named by a hash
of text, tokenizer and settings, so several adapters can share it.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrldata.cached import is_cached, xxh3_of
from lrldata.errors import InputError, StorageError
from lrldata.folder import lock, replaced
from lrldata.manifest import DamagedError, fingerprint, read_beside, sealed, write_json
from lrldata.output import note
from lrldata.paths import inside, remove_tree, walk
from lrltrain.config import Batching
from lrltrain.text import Text
from lrltrain.tokens import encode, special_tokens_around

TWO_BYTES = 1 << 16  # if all token ids are below this, each takes two bytes
WINDOW = 8_192  # number of pieces packed together
COUNTS = "counts.json"


@dataclass(frozen=True)
class Counts:
    """The size of a tokenized split. `tokens` includes special tokens, not padding; `cut` counts the lines cut."""

    lines: int = 0
    pieces: int = 0
    blocks: int = 0
    tokens: int = 0
    unknown: int = 0
    cut: int = 0

    @property
    def unknown_share(self) -> float:
        """Return the share of tokens, special ones included, that are unknown to the vocabulary."""
        return self.unknown / max(1, self.tokens)

    def padding(self, length: int) -> float:
        """Return the share of padding if every block is padded to `length` tokens."""
        return 1 - self.tokens / max(1, self.blocks * length)


@dataclass(frozen=True)
class Corpus:
    """A tokenized split, memory-mapped from disk.

    `tokens` is flat. `offsets` (pieces + 1) are the bounds of the pieces in `tokens`, and `starts` (blocks + 1) are the
    bounds of the blocks in the pieces.
    """

    tokens: NDArray[Any]
    offsets: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: Counts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def block(self, index: int) -> list[NDArray[np.int64]]:
        """Return the pieces of a block, each an array of token ids."""
        bounds = self.offsets[self.starts[index] : self.starts[index + 1] + 1].tolist()
        tokens = self.tokens[bounds[0] : bounds[-1]].astype(np.int64)
        return [tokens[low - bounds[0] : high - bounds[0]] for low, high in pairwise(bounds)]


def tokenize(
    text: Text,
    split: str,
    tokenizer: Any,
    *,
    batching: Batching,
    max_length: int,
    cache: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> Corpus:
    """Tokenize and pack a split, or open it from the cache. Memory does not grow with the text.

    `advance` is called with the number of lines read so far. Raises InputError if the split has no line.
    """
    keys = ("kind", "name", "content") if "content" in text.provenance else text.provenance
    recipe = {
        "text": {key: text.provenance[key] for key in keys},
        "split": split,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "batching": batching,
        "max_length": max_length,
        "format": 5,  # raise it if text is read, tokenized or packed differently
    }
    folder = cache / "tokens" / fingerprint(recipe)[:32]
    with lock(folder, to_read=True):
        if (corpus := _open_cached(folder)) is not None:
            return corpus
        remove_tree(folder)
        with replaced(folder, _is_removable, "tokens") as partial:
            counts = _write(text, split, tokenizer, batching, max_length, partial, advance)
            if not counts.blocks:
                raise InputError(
                    f"{text.name}: no line of text for {split}.", "Add more text: a few hundred lines at least."
                )
            files = {path.name: xxh3_of(path) for path in walk(partial)}
            write_json(partial / COUNTS, sealed({"counts": asdict(counts), "files": files}))
        corpus = _open_cached(folder)
    if corpus is None:
        raise StorageError(f"{folder}: the files differ from what was just written.", "Check the disk.")
    return corpus


def _is_removable(_name: str) -> bool:
    return True  # a cache folder is named by a hash, so everything in it is ours


def _open_cached(folder: Path) -> Corpus | None:
    """Open an earlier result; return None if there is none, or if it is damaged."""
    try:
        record = read_beside(folder, COUNTS)
        if record is None:
            return None
        counts, files = Counts(**record["counts"]), dict(record["files"])
        changed = [name for name, digest in files.items() if not is_cached(inside(folder, name), digest)]
        if changed:
            note(f"{folder}: {', '.join(changed)} changed since it was written. The text is tokenized again.")
            return None
        (tokens,) = (name for name in files if name.startswith("tokens."))
        dtypes = {tokens: np.dtype(tokens.removeprefix("tokens.")), "offsets.int64": np.int64, "starts.int64": np.int64}
        # Plain arrays over the mapped files: a slice of a np.memmap takes five times as long.
        mapped = [np.asarray(np.memmap(folder / name, dtype, "r")) for name, dtype in dtypes.items()]
        return Corpus(mapped[0], mapped[1], mapped[2], counts)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        note(f"{folder}: cannot be read ({error.strerror}). The text is tokenized again.")
        return None
    except (DamagedError, ValueError, TypeError, KeyError):
        note(f"{folder}: damaged since it was written. The text is tokenized again.")
        return None


def _write(
    text: Text,
    split: str,
    tokenizer: Any,
    batching: Batching,
    longest: int,
    folder: Path,
    advance: Callable[[int], None],
) -> Counts:
    dtype = "uint16" if max(tokenizer.get_vocab().values()) < TWO_BYTES else "uint32"  # ids may have gaps
    lines = pieces = blocks = tokens = unknown = cut = 0
    unk = -1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    special_tokens = special_tokens_around(tokenizer)
    unknown_at_ends = [*special_tokens[0], *special_tokens[1]].count(unk)  # some tokenizers use the unknown token here
    with (
        (folder / f"tokens.{dtype}").open("wb") as flat,
        (folder / "offsets.int64").open("wb") as offsets,
        (folder / "starts.int64").open("wb") as starts,
    ):
        offsets.write(np.int64(0).tobytes())
        starts.write(np.int64(0).tobytes())

        def flush(window: list[list[int]]) -> None:
            nonlocal pieces, blocks, tokens, unknown
            groups = (
                [[row] for row in range(len(window))] if batching == "line" else pack(list(map(len, window)), longest)
            )
            for group in groups:
                for row in group:
                    array = np.asarray(window[row], dtype)
                    flat.write(array.tobytes())
                    tokens += len(array)
                    unknown += int((array == unk).sum()) - unknown_at_ends if unk >= 0 else 0
                    offsets.write(np.int64(tokens).tobytes())
                pieces += len(group)
                starts.write(np.int64(pieces).tobytes())
            blocks += len(groups)

        window: list[list[int]] = []
        for batch in text.lines(split):
            lines += len(batch)
            advance(lines)
            encoded = encode(tokenizer, batch, add_special_tokens=False, return_attention_mask=False, verbose=False)
            for ids in encoded["input_ids"]:
                parts = list(_cut(ids, *special_tokens, longest))
                cut += len(parts) > 1
                window.extend(parts[:1] if batching == "line" else parts)
            while len(window) >= WINDOW:
                flush(window[:WINDOW])
                window = window[WINDOW:]
        flush(window)
    return Counts(lines, pieces, blocks, tokens, unknown, cut)


def _cut(ids: Sequence[int], before: Sequence[int], after: Sequence[int], longest: int) -> Iterator[list[int]]:
    """Split a line into pieces of at most `longest` tokens, special tokens at both ends included."""
    room = longest - len(before) - len(after)
    for start in range(0, len(ids), room):
        yield [*before, *ids[start : start + room], *after]


def pack(lengths: Iterable[int], capacity: int) -> list[list[int]]:
    """Pack pieces into blocks of at most `capacity` tokens by best fit, longest piece first. Pure.

    Returns the numbers of the pieces in each block. The bits of an integer mark the amounts of free room for which
    there is a block, so the best fit is found in one step.
    """
    sizes = list(lengths)
    blocks: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    occupied = 0
    for piece in sorted(range(len(sizes)), key=lambda piece: (-sizes[piece], piece)):
        size = sizes[piece]
        fitting = occupied >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            block = with_room[room].pop()
            if not with_room[room]:
                occupied &= ~(1 << room)
            blocks[block].append(piece)
        else:
            room, block = capacity, len(blocks)
            blocks.append([piece])
        left = room - size
        with_room[left].append(block)
        occupied |= 1 << left
    return blocks


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Return the SHA-256 of everything that determines a fast tokenizer's output."""
    return fingerprint(tokenizer.backend_tokenizer.to_str())
