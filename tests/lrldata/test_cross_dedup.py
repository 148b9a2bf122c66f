"""The comparison of lines between all documents of a corpus."""

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lrldata.langid import LanguageModel, load_model
from lrldata.web import stages
from lrldata.web.buckets import buckets
from lrldata.web.chunks import Part, write_atomically
from lrldata.web.cross_dedup import CODES, duplicate_lines, repeated_lines
from lrldata.web.inputs import find_files
from lrldata.web.shards import LARGE, shards_of


def test_lines_are_compared_in_buckets_and_each_part_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lines are repeated or duplicate, however little memory a bucket may take."""
    rng = np.random.default_rng(3)
    shared = rng.integers(0, 2**63, 100, dtype=np.uint64)
    parts, codes, orders = [], [], []
    for number in range(4):
        part = Part(tmp_path / f"part-{number}")
        folded = shared[rng.integers(0, len(shared), 300)]
        doc = np.sort(rng.integers(0, 90, 300)).astype(np.uint32)
        part.write_frame(
            "lines",
            pl.DataFrame({"doc": doc, "folded": folded, "exact": folded + (rng.random(300) < 0.1).astype(np.uint64)}),
        )
        part.write_summary({"left": 300})
        parts.append(part)
        codes.append((rng.random(300) < 0.05).astype(np.uint8))
        orders.append(rng.integers(0, 2**63, 90, dtype=np.uint64)[doc])
    reads = Counter[str]()
    original = Part.read

    def read(part: Part, kind: str, *columns: str) -> pl.DataFrame:
        reads[part.stem.name] += 1
        return original(part, kind, *columns)

    monkeypatch.setattr(Part, "read", read)
    results = []
    for memory in (10**9, 40_000, 4_000):
        reads.clear()
        repeated = repeated_lines(parts, memory, tmp_path)
        marked = [part_codes.copy() for part_codes in codes]
        duplicate_lines(parts, marked, iter(orders), memory, tmp_path)
        results.append((repeated.tolist(), [part_codes.tolist() for part_codes in marked]))
        assert reads == dict.fromkeys([part.stem.name for part in parts], 2)
    assert results[1:] == results[:1] * 2
    assert 5 < len(results[0][0]) < 100
    assert {CODES["exact_duplicate"], CODES["normalised_duplicate"]} <= {
        code for part in results[0][1] for code in part
    }
    assert not list(tmp_path.glob("buckets-*"))


def test_a_failed_write_leaves_no_partial_file(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_atomically(tmp_path / "part", write)
    assert not list(tmp_path.iterdir())


def test_a_model_is_loaded_once_for_all_languages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loads = []

    def load(name: str, cache: Path) -> LanguageModel:
        loads.append(name)
        return load_model(name, cache)

    monkeypatch.setattr(stages, "load_model", load)
    copy = tmp_path / "copy.ftz"
    copy.write_bytes(Path(str(files("lrldata.langid"))).joinpath("compact.ftz").read_bytes())
    models = {
        id(stages.context_of(stages.Task(code, str(copy), tmp_path, (), False, "lines")).model)
        for code in ("ro", "mt", "ug", "ro")
    }
    assert (len(loads), len(models)) == (1, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_an_error_and_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`numpy.ndarray.tofile` would ignore it."""
    frame = pl.DataFrame({"folded": np.arange(100, dtype=np.uint64)})
    original = Path.open

    def open_full(path: Path, mode: str = "r", **options: Any) -> Any:
        return original(Path("/dev/full"), mode) if "a" in mode else original(path, mode, **options)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OSError, match="No space left"), buckets([frame], "folded", 3, tmp_path) as shares:
        next(iter(shares))


def test_a_cache_that_cannot_be_written_does_not_leave_files_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"Satul nostru.\n" * (LARGE // 10))
    (tmp_path / "cache").write_text("a file where the folder should be")
    shards, skipped = shards_of(find_files(tmp_path / "in", None), tmp_path / "cache", skip_bad=True)
    assert ([shard.name for shard in shards], skipped) == (["a.txt"], {})
