"""MinHash for bench_glotcc.py: which pairs of near-duplicates ours and datasketch's find, and how fast."""

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
CONTENDERS = {"near": "ours", "datasketch": "datasketch", "datasketch-xxh32": "datasketch with xxh32 for SHA-1"}
EACH = 120  # near-duplicates planted of each similarity
CLEARLY = 0.6  # a pair that was joined below this similarity is wrong by any reading
BLOCK = 256  # documents that are compared with all others at a time
Pair = tuple[int, int]


def compare(data: Path, languages: Sequence[Language], megabytes: float, runs: int, targets: Targets) -> None:
    """Print time, recall and false pairs of both."""
    documents = [page for language in languages for page in pages(data, language, megabytes * 1e6 / len(languages))]
    texts, planted = with_near_duplicates(documents, EACH, seed=1)
    exact = similar_pairs(texts, CLEARLY)
    alike = {pair for pair, similarity in exact.items() if similarity >= SIMILAR}
    named = [{"text": text} for text in texts]
    times: dict[str, list[float]] = defaultdict(list)
    joined: dict[str, set[Pair]] = {}
    with tempfile.TemporaryDirectory() as folder:
        (file,) = write_shards(named, Path(folder) / "in", shards=1).iterdir()
        for _, name in itertools.product(range(runs), CONTENDERS):
            out = Path(folder) / f"{name}.npy"
            times[name].append(run([sys.executable, str(PEERS), name, str(file), str(out)]).output["seconds"])
            joined[name] = _pairs(np.load(out))
    size = size_of(named) / 1e6
    more = len(alike - planted.keys())
    print(f"\n## Near-duplicates\n\n{len(texts):,} documents, {size:.1f} MB, one core, shingles of {SHINGLE} words;")
    print(
        f"{BANDS * ROWS} permutations in {BANDS} bands of {ROWS}, candidates verified by signatures from {SIMILAR} on."
    )
    print(f"Planted are {len(planted)} pairs, at a similarity (Jaccard, of shingles; the exact mean in brackets);")
    print(f"the real pages have {more} more from {SIMILAR} on.\n")
    table = Table(("", "pairs", *CONTENDERS.values())).begin()
    timed = [Times(tuple(times[name])) for name in CONTENDERS]
    table.row("seconds, median (best)", "", *timed)
    table.row("MB/s", "", *(f"{size / each.median:.1f}" for each in timed))
    for name, pairs in _groups(planted, exact, alike).items():
        table.row(f"recall, {name}", len(pairs), *(f"{_recall(joined[each], pairs):.3f}" for each in CONTENDERS))
    table.row(f"joined though below {SIMILAR}", "", *(len(joined[each] - alike) for each in CONTENDERS))
    table.row(f"joined though below {CLEARLY}", "", *(len(joined[each] - exact.keys()) for each in CONTENDERS))
    ours, theirs, _ = (_recall(joined[each], alike) for each in CONTENDERS)
    targets.at_least("MinHash: recall, ours less datasketch's", ours - theirs, -0.01, "")
    targets.at_least("MinHash: time of datasketch / ours", timed[1].median / timed[0].median, 6, " x")
    targets.note("MinHash: time of datasketch with xxh32 / ours", timed[2].median / timed[0].median, " x")


def _groups(
    planted: Mapping[Pair, float], exact: Mapping[Pair, float], alike: Collection[Pair]
) -> dict[str, list[Pair]]:
    """Return the pairs of which the recall is shown: planted ones by what was wanted, and all that are alike."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair, wanted in sorted(planted.items(), key=lambda item: item[1]):
        groups[f"planted at {wanted}"].append(pair)
    for name, pairs in list(groups.items()):
        groups[f"{name} ({np.mean([exact.get(pair, 0.0) for pair in pairs]):.2f})"] = groups.pop(name)
    return groups | {f"all from {SIMILAR} on": list(alike)}


def _recall(joined: Collection[Pair], pairs: Collection[Pair]) -> float:
    return sum(pair in joined for pair in pairs) / max(1, len(pairs))


def _pairs(first: npt.NDArray[np.int64]) -> set[Pair]:
    """Return all pairs of documents that are in one cluster, given the first document of each one's."""
    members: dict[int, list[int]] = defaultdict(list)
    for number, cluster in enumerate(first.tolist()):
        members[cluster].append(number)
    return {pair for cluster in members.values() for pair in itertools.combinations(cluster, 2)}


def similar_pairs(texts: Sequence[str], least: float) -> dict[Pair, float]:
    """Return all pairs of texts from a similarity on, with their exact Jaccard similarity of shingles."""
    from scipy.sparse import csr_array

    numbers: dict[str, int] = {}
    held = [sorted({numbers.setdefault(each, len(numbers)) for each in shingles_of(text)}) for text in texts]
    sizes = np.array([len(each) for each in held])
    where = (np.concatenate(held), np.concatenate([[0], np.cumsum(sizes)]))
    matrix = csr_array((np.ones(len(where[0]), dtype=np.int32), *where), shape=(len(texts), len(numbers)))
    turned = matrix.T.tocsr()
    found: dict[Pair, float] = {}
    for begin in range(0, len(texts), BLOCK):
        common = (matrix[begin : begin + BLOCK] @ turned).tocoo()
        left, right = common.coords[0] + begin, common.coords[1]
        similarity = common.data / (sizes[left] + sizes[right] - common.data)
        chosen = (left < right) & (similarity >= least)
        rows = zip(left[chosen].tolist(), right[chosen].tolist(), similarity[chosen].tolist(), strict=True)
        found |= {(one, two): value for one, two, value in rows}
    return found
