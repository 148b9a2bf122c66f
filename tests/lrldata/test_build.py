"""The main use case: one command writes a folder that load_dataset opens, with the same bytes even after a kill."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from dumps import line
from make_dump import make_dump
from warm import Warm

from lrldata.conceptnet import build
from lrldata.conceptnet.config import load_config
from lrldata.dataset import open_dataset
from lrldata.errors import StorageError
from lrldata.manifest import DATASET, damaged, read_manifest
from lrldata.progress import Progress

Run = Callable[..., "subprocess.CompletedProcess[str]"]
LANGS = "ro,mt,ug,bg,el"
KILLS = 6
pytestmark = pytest.mark.xdist_group("build")  # one worker runs them all, so shared fixtures are built once


def tree(folder: Path, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return the bytes of every artifact file below a workspace, by relative path; lock files are left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in without}


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dump") / "dump.csv.gz"
    make_dump(path, 30_000, seed=1)
    return path


def command(dump: Path, root: Path, *flags: str) -> list[str]:
    options = ["--dump", str(dump), "--out", str(root / "ws"), "--cache", str(root / "cache")]
    return [sys.executable, "-m", "lrldata.cli", "build", "--lang", LANGS, *options, *flags]


@pytest.fixture(scope="module")
def reference(dump: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("reference")
    subprocess.run(command(dump, root), check=True, capture_output=True)
    return tree(root / "ws")


def test_load_dataset_opens_the_dataset_built_from_the_sample(
    lrldata: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = lrldata("build", "--lang", "ro", "--source", "conceptnet", "--sample", "--json")
    assert process.returncode == 0, process.stderr
    summary = json.loads(process.stdout)
    folder = tmp_path / summary["path"]
    assert summary["version"] == "1.0.0"
    assert summary["ledger"]["in"]["rows"] == 441

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset  # noqa: PLC0415 - reads the environment when imported

    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "hf"))
    assert {split: len(rows) for split, rows in loaded.items()} == summary["rows"]
    assert loaded["train"].column_names == [
        "text", "relation", "start", "end", "start_lang", "end_lang", "weight", "source_dataset", "license", "edge_uri",
    ]  # fmt: skip
    assert {str(feature.dtype) for feature in loaded["train"].features.values()} == {"string", "float64"}
    assert "not ConceptNet data" in (folder / "README.md").read_text("utf-8")

    stats = lrldata("stats", folder)
    assert stats.returncode == 0
    for text in ("441", "self_loop", "relation_unsaid", "HasAgent", "Samples"):
        assert text in stats.stdout


def test_the_ledger_counts_every_kind_of_defect_in_the_sample(lrldata: Run) -> None:
    ledger = json.loads(lrldata("build", "--lang", "ro", "--sample", "--json").stdout)["ledger"]
    dropped = {reason: tally["rows"] for reason, tally in ledger["dropped"].items()}
    assert dropped == {
        "external_url": 40,
        "self_loop": 6,
        "same_term_in_two_languages": 5,
        "wrong_script": 5,
        "relation_unsaid": 3,
        "stored_both_ways": 29,
        "exact_duplicate": 4,
        "normalised_duplicate": 3,
    }
    assert ledger["in"]["rows"] == ledger["kept"]["rows"] + sum(dropped.values())
    assert ledger["unsaid_relations"] == {"HasAgent": 1, "NotIsA": 2}


def test_an_unchanged_build_says_so_and_writes_nothing(lrldata: Run, tmp_path: Path) -> None:
    arguments = ("build", "--lang", "ro", "--sample")
    lrldata(*arguments)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lrl-workspace").rglob("*") if path.is_file()}
    left = tmp_path / "lrl-workspace" / "datasets" / "ro" / ".conceptnet.old"
    left.mkdir()  # as a process leaves it that is killed while it removes the old dataset
    result = lrldata(*arguments)
    assert "Unchanged" in result.stdout
    assert not left.exists()
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "lrl-workspace").rglob("*") if path.is_file()}
    assert after == before


def test_a_damaged_or_unfinished_folder_is_refused_and_rebuilt(lrldata: Run, tmp_path: Path) -> None:
    arguments = ("build", "--lang", "ro", "--sample", "--json")
    folder = tmp_path / json.loads(lrldata(*arguments).stdout)["path"]
    intact = tree(folder)
    shard = folder / "data" / "train-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageError, match=r"train-00000-of-00001\.parquet does not match the manifest"):
        open_dataset(folder)
    assert json.loads(lrldata(*arguments).stdout)["status"] == "built"
    assert tree(folder) == intact
    (folder / "manifest.json").unlink()
    result = lrldata("stats", folder)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "no finished dataset" in result.stderr
    assert json.loads(lrldata(*arguments).stdout)["status"] == "built"
    assert tree(folder) == intact


def test_versions_follow_the_content(lrldata: Run) -> None:
    def version(*flags: str) -> str:
        return str(json.loads(lrldata("build", "--lang", "ro", "--sample", "--json", *flags).stdout)["version"])

    assert version() == "1.0.0"
    assert version("--force") == "1.0.0"
    assert version("--templates", "native") == "1.1.0"
    assert version("--edges", "start", "--templates", "native") == "1.2.0"
    assert version() == "1.0.0"  # the same bytes have the same version


def test_the_manifest_lists_inputs_and_outputs_and_names_no_local_path(reference: dict[str, bytes], dump: Path) -> None:
    manifest = json.loads(reference["datasets/ro/conceptnet/manifest.json"])
    (source,) = manifest["inputs"]
    assert source["name"] == dump.name
    assert len(source["sha256"]) == 64
    assert manifest["made_with"].keys() == {"lrl", "polars", "xxhash"}
    assert [entry["path"] for entry in manifest["outputs"]] == [
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "README.md",
    ]
    assert str(dump.parent) not in reference["datasets/ro/conceptnet/manifest.json"].decode()


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_bytes_do_not_depend_on_the_number_of_threads(
    threads: str, dump: Path, reference: dict[str, bytes], lrldata: Run, tmp_path: Path
) -> None:
    result = lrldata(*command(dump, tmp_path)[3:], POLARS_MAX_THREADS=threads, PYTHONHASHSEED=threads)
    assert result.returncode == 0, result.stderr
    assert tree(tmp_path / "ws") == reference


@pytest.mark.parametrize(("limit", "batches"), [(1, 5), (3_000_000, 1)])
def test_languages_are_read_in_batches_of_limited_size(
    limit: int, batches: int, dump: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read_edges, batch_sizes = build.read_edges, []
    monkeypatch.setattr(build, "EDGES_AT_ONCE", limit)
    monkeypatch.setattr(
        build, "read_edges", lambda index, languages: batch_sizes.append(len(languages)) or read_edges(index, languages)
    )
    flags = {"lang": LANGS, "dump": str(dump), "out": tmp_path / "ws", "cache": tmp_path / "cache"}
    build.build(load_config(None, flags), Progress(quiet=True))
    assert (len(batch_sizes), sum(batch_sizes)) == (batches, 5)
    assert tree(tmp_path / "ws") == reference


def test_shuffled_lines_give_the_same_rows_and_card(
    dump: Path, reference: dict[str, bytes], lrldata: Run, tmp_path: Path
) -> None:
    lines = (
        pl.scan_csv(dump, separator="\x01", has_header=False, quote_char=None, new_columns=["line"])
        .collect()["line"]
        .to_list()
    )
    random.Random(7).shuffle(lines)
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert lrldata(*command(shuffled, tmp_path)[3:]).returncode == 0
    manifests = ("manifest.json",)  # contains the hash of the dump, which differs
    assert tree(tmp_path / "ws", manifests) == {
        path: content for path, content in reference.items() if not path.endswith(manifests)
    }


@pytest.mark.slow
def test_a_killed_build_leaves_no_folder_that_looks_finished_and_can_be_repeated(
    dump: Path, reference: dict[str, bytes], lrldata: Run, warm_data: Warm, tmp_path: Path
) -> None:
    start = time.perf_counter()
    assert lrldata(*command(dump, tmp_path / "timed")[3:]).returncode == 0
    duration = time.perf_counter() - start
    rng, kills = random.Random(42), 0
    for attempt in range(4 * KILLS):
        root = tmp_path / str(attempt)
        with warm_data.killed(command(dump, root)[3:], tmp_path, os.environ) as is_running:
            time.sleep(duration * rng.uniform(0.1, 0.9))
            was_running = is_running()
        if not was_running:
            continue  # it finished before the kill
        kills += 1
        for folder in root.glob("ws/datasets/*/conceptnet"):
            manifest = read_manifest(folder, DATASET)
            assert manifest is not None, "a folder with its final name must be finished"
            assert not list(damaged(folder, manifest))
        assert lrldata(*command(dump, root)[3:]).returncode == 0
        assert tree(root / "ws") == reference
        assert not list(root.glob("**/*.partial"))
        shutil.rmtree(root)
        if kills == KILLS:
            return
    pytest.fail(f"only {kills} kills hit a running build")


@pytest.mark.slow
def test_two_simultaneous_builds_do_not_disturb_each_other(
    dump: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    processes = [subprocess.Popen(command(dump, tmp_path), stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert tree(tmp_path / "ws") == reference


def test_an_interrupted_exchange_of_folders_is_repaired(lrldata: Run, tmp_path: Path) -> None:
    arguments = ("build", "--lang", "ro", "--sample", "--json")
    folder = tmp_path / json.loads(lrldata(*arguments).stdout)["path"]
    intact = tree(folder)
    folder.rename(folder.with_name(f".{folder.name}.old"))  # the state after a kill between the two renames
    assert json.loads(lrldata(*arguments).stdout)["version"] == "1.0.0"
    assert tree(folder) == intact
    assert [path.name for path in folder.parent.iterdir() if path.name != ".locks"] == ["conceptnet"]


def test_a_language_missing_from_the_dump_is_named_and_the_others_are_built(
    lrldata: Run, make_dump: Callable[..., Path], tmp_path: Path
) -> None:
    small_dump = make_dump([line("IsA", "ro:câine", "ro:animal")])
    result = lrldata("build", "--lang", "ro,mt", "--dump", small_dump)
    assert result.returncode == 1
    assert "has no edges in Maltese (mt)" in result.stderr
    assert read_manifest(tmp_path / "lrl-workspace" / "datasets" / "ro" / "conceptnet", DATASET)


def test_a_language_with_no_facts_left_does_not_stop_the_others(lrldata: Run, make_dump: Callable[..., Path]) -> None:
    small_dump = make_dump([line("IsA", "ro:câine", "ro:animal", 1.0), line("IsA", "mt:kelb", "mt:annimal", 9.0)])
    result = lrldata("build", "--lang", "ro,mt", "--min-weight", "2", "--dump", small_dump, "--json")
    assert result.returncode == 1
    assert "Nothing is left of 1 edges of Romanian: below_min_weight 1." in result.stderr
    assert json.loads(result.stdout)["language"] == "mt"


@pytest.mark.parametrize("facts", [1, 2, 5])
def test_the_smallest_datasets_can_be_loaded(
    facts: int, lrldata: Run, make_dump: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_dump = make_dump([line("IsA", f"ro:a{number}", "ro:b") for number in range(facts)])
    summary = json.loads(lrldata("build", "--lang", "ro", "--dump", small_dump, "--json").stdout)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset  # noqa: PLC0415 - reads the environment when imported

    loaded = load_dataset(str(tmp_path / summary["path"]), cache_dir=str(tmp_path / "hf"))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: rows for split, rows in summary["rows"].items() if rows
    }


def test_a_rebuild_refuses_foreign_files_and_keeps_a_linked_folder(lrldata: Run, tmp_path: Path) -> None:
    arguments = ("build", "--lang", "ro", "--sample", "--json")
    folder = tmp_path / json.loads(lrldata(*arguments).stdout)["path"]
    (folder / "notes.txt").write_text("mine")
    result = lrldata(*arguments, "--force")
    assert result.returncode == 1
    assert "notes.txt" in result.stderr
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    assert lrldata(*arguments, "--force").returncode == 0
    assert folder.is_symlink()
    assert read_manifest(elsewhere, DATASET)


def test_the_random_split_has_the_sizes_of_the_paper(lrldata: Run) -> None:
    rows = json.loads(lrldata("build", "--lang", "ro", "--sample", "--split", "random", "--json").stdout)["rows"]
    total = sum(rows.values())
    assert rows["train"] == int(total * 0.8)
    assert rows["validation"] == int(total * 0.9) - rows["train"]
