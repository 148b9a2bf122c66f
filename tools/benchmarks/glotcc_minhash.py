"""MinHash part of bench_glotcc.py: recall and speed of our implementation and of datasketch."""

import itertools
import sys
import tempfile
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from glotcc_inputs import pages, size_of, with_near_duplicates, write_shards
from glotcc_peers import BANDS, ROWS, SHINGLE, SIMILAR, shingles_of
from glotcc_process import run
from glotcc_table import Table, Targets, Times

from lrldata.language import Language

PEERS = Path(__file__).with_name("glotcc_peers.py")
CONTENDERS = {"near": "lrldata", "datasketch": "datasketch", "datasketch-xxh32": "datasketch with xxh32"}
EACH = 120  # near-duplicates inserted per similarity
CLEARLY = 0.6  # a pair in one cluster with a lower similarity is clearly wrong
BLOCK = 256  # number of documents compared with all others at a time
Pair = tuple[int, int]


def compare(data: Path, languages: Sequence[Language], megabytes: float, runs: int, targets: Targets) -> None:
    """Print time, recall and false pairs of all implementations."""
    documents = [page for language in languages for page in pages(data, language, megabytes * 1e6 / len(languages))]
    texts, inserted = with_near_duplicates(documents, EACH, seed=1)
    exact = similar_pairs(texts, CLEARLY)
    similar = {pair for pair, similarity in exact.items() if similarity >= SIMILAR}
    documents_to_write = [{"text": text} for text in texts]
    times: dict[str, list[float]] = defaultdict(list)
    joined: dict[str, set[Pair]] = {}
    with tempfile.TemporaryDirectory() as folder:
        (file,) = write_shards(documents_to_write, Path(folder) / "in", shards=1).iterdir()
        for _, name in itertools.product(range(runs), CONTENDERS):
            out = Path(folder) / f"{name}.npy"
            times[name].append(run([sys.executable, str(PEERS), name, str(file), str(out)]).output["seconds"])
            joined[name] = _pairs(np.load(out))
    size = size_of(documents_to_write) / 1e6
    natural = len(similar - inserted.keys())
    print(f"\n## Near-duplicates\n\n{len(texts):,} documents, {size:.1f} MB, one core, shingles of {SHINGLE} words;")
    print(
        f"{BANDS * ROWS} permutations in {BANDS} bands of {ROWS}; candidates verified by signature ({SIMILAR} or more)."
    )
    print(f"{len(inserted)} pairs were inserted, by target Jaccard similarity of shingles (exact mean in brackets);")
    print(f"the real pages contain {natural} more pairs with a similarity of at least {SIMILAR}.\n")
    table = Table(("", "pairs", *CONTENDERS.values())).begin()
    timings = [Times(tuple(times[name])) for name in CONTENDERS]
    table.row("seconds, median (best)", "", *timings)
    table.row("MB/s", "", *(f"{size / timing.median:.1f}" for timing in timings))
    for name, pairs in _groups(inserted, exact, similar).items():
        table.row(f"recall, {name}", len(pairs), *(f"{_recall(joined[key], pairs):.3f}" for key in CONTENDERS))
    table.row(f"false pairs, below {SIMILAR}", "", *(len(joined[key] - similar) for key in CONTENDERS))
    table.row(f"false pairs, below {CLEARLY}", "", *(len(joined[key] - exact.keys()) for key in CONTENDERS))
    ours, theirs, _ = (_recall(joined[key], similar) for key in CONTENDERS)
    targets.at_least("MinHash: recall, lrldata - datasketch", ours - theirs, -0.01, "")
    targets.at_least("MinHash: time of datasketch / lrldata", timings[1].median / timings[0].median, 6, " x")
    targets.note("MinHash: time of datasketch with xxh32 / lrldata", timings[2].median / timings[0].median, " x")


def _groups(
    planted: Mapping[Pair, float], exact: Mapping[Pair, float], similar: Collection[Pair]
) -> dict[str, list[Pair]]:
    """Return the groups of pairs whose recall is shown: inserted pairs by target similarity, and all similar pairs."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair, target in sorted(planted.items(), key=lambda item: item[1]):
        groups[f"inserted at {target}"].append(pair)
    for name, pairs in list(groups.items()):
        groups[f"{name} ({np.mean([exact.get(pair, 0.0) for pair in pairs]):.2f})"] = groups.pop(name)
    return groups | {f"all with at least {SIMILAR}": list(similar)}


def _recall(joined: Collection[Pair], pairs: Collection[Pair]) -> float:
    return sum(pair in joined for pair in pairs) / max(1, len(pairs))


def _pairs(first: npt.NDArray[np.int64]) -> set[Pair]:
    """Return all pairs of documents in the same cluster, given the first document of each document's cluster."""
    members: dict[int, list[int]] = defaultdict(list)
    for number, cluster in enumerate(first.tolist()):
        members[cluster].append(number)
    return {pair for cluster in members.values() for pair in itertools.combinations(cluster, 2)}


def similar_pairs(texts: Sequence[str], least: float) -> dict[Pair, float]:
    """Return all pairs of texts with a Jaccard similarity of shingles of at least `least`, with the exact value."""
    from scipy.sparse import csr_array

    numbers: dict[str, int] = {}
    shingle_numbers = [
        sorted({numbers.setdefault(shingle, len(numbers)) for shingle in shingles_of(text)}) for text in texts
    ]
    sizes = np.array([len(document) for document in shingle_numbers])
    indices = (np.concatenate(shingle_numbers), np.concatenate([[0], np.cumsum(sizes)]))
    matrix = csr_array((np.ones(len(indices[0]), dtype=np.int32), *indices), shape=(len(texts), len(numbers)))
    transposed = matrix.T.tocsr()
    similar: dict[Pair, float] = {}
    for start in range(0, len(texts), BLOCK):
        common = (matrix[start : start + BLOCK] @ transposed).tocoo()
        left, right = common.coords[0] + start, common.coords[1]
        similarity = common.data / (sizes[left] + sizes[right] - common.data)
        selected = (left < right) & (similarity >= least)
        rows = zip(left[selected].tolist(), right[selected].tolist(), similarity[selected].tolist(), strict=True)
        similar |= {(first, second): value for first, second, value in rows}
    return similar
