"""The user's story: one command, a folder that load_dataset opens, the same bytes every time, also after a kill."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from dumps import line
from make_dump import make_dump

from lrldata.conceptnet import build
from lrldata.conceptnet.config import load_config
from lrldata.dataset import open_dataset
from lrldata.errors import StorageError
from lrldata.manifest import DATASET, damaged, read_manifest
from lrldata.progress import Progress

Run = Callable[..., "subprocess.CompletedProcess[str]"]
LANGS = "ro,mt,ug,bg,el"
KILLS = 20
pytestmark = pytest.mark.xdist_group("build")  # so that what they share is built once


def tree(folder: Path, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return every artifact file below a workspace (locks left out) with its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in without}


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dump") / "dump.csv.gz"
    make_dump(path, 60_000, seed=1)
    return path


def command(dump: Path, place: Path, *more: str) -> list[str]:
    options = ["--dump", str(dump), "--out", str(place / "ws"), "--cache", str(place / "cache")]
    return [sys.executable, "-m", "lrldata.cli", "build", "--lang", LANGS, *options, *more]


@pytest.fixture(scope="module")
def reference(dump: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    place = tmp_path_factory.mktemp("reference")
    subprocess.run(command(dump, place), check=True, capture_output=True)
    return tree(place / "ws")


def test_the_sample_becomes_a_dataset_that_load_dataset_opens(
    lrldata: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = lrldata("build", "--lang", "ro", "--source", "conceptnet", "--sample", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    folder = tmp_path / result["path"]
    assert result["version"] == "1.0.0"
    assert result["ledger"]["in"]["rows"] == 441

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset  # noqa: PLC0415 - reads the environment when imported

    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "hf"))
    assert {split: len(rows) for split, rows in loaded.items()} == result["rows"]
    assert loaded["train"].column_names == [
        "text", "relation", "start", "end", "start_lang", "end_lang", "weight", "source_dataset", "license", "edge_uri",
    ]  # fmt: skip
    assert {str(feature.dtype) for feature in loaded["train"].features.values()} == {"string", "float64"}
    assert "not ConceptNet data" in (folder / "README.md").read_text("utf-8")

    shown = lrldata("stats", folder)
    assert shown.returncode == 0
    for words in ("441", "self_loop", "relation_unsaid", "HasAgent", "Samples"):
        assert words in shown.stdout


def test_every_hazard_of_the_sample_has_its_place_in_the_ledger(lrldata: Run) -> None:
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


def test_an_unchanged_build_says_so_and_does_nothing(lrldata: Run, tmp_path: Path) -> None:
    build = ("build", "--lang", "ro", "--sample")
    lrldata(*build)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lrl-workspace").rglob("*")}
    again = lrldata(*build)
    assert "Unchanged" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "lrl-workspace").rglob("*")} == before


def test_a_harmed_or_unfinished_folder_is_never_trusted(lrldata: Run, tmp_path: Path) -> None:
    build = ("build", "--lang", "ro", "--sample", "--json")
    folder = tmp_path / json.loads(lrldata(*build).stdout)["path"]
    whole = tree(folder)
    shard = folder / "data" / "train-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageError, match=r"train-00000-of-00001\.parquet does not match the manifest"):
        open_dataset(folder)
    assert json.loads(lrldata(*build).stdout)["status"] == "built"
    assert tree(folder) == whole
    (folder / "manifest.json").unlink()
    refused = lrldata("stats", folder)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "no finished dataset" in refused.stderr
    assert json.loads(lrldata(*build).stdout)["status"] == "built"
    assert tree(folder) == whole


def test_versions_follow_the_content(lrldata: Run) -> None:
    def version(*more: str) -> str:
        return str(json.loads(lrldata("build", "--lang", "ro", "--sample", "--json", *more).stdout)["version"])

    assert version() == "1.0.0"
    assert version("--force") == "1.0.0"
    assert version("--templates", "native") == "1.1.0"
    assert version("--edges", "start", "--templates", "native") == "1.2.0"
    assert version() == "1.0.0"  # the same bytes, the same version


def test_the_manifest_is_a_chain_and_knows_no_clock_and_no_machine(reference: dict[str, bytes], dump: Path) -> None:
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
    done = lrldata(*command(dump, tmp_path)[3:], POLARS_MAX_THREADS=threads, PYTHONHASHSEED=threads)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "ws") == reference


@pytest.mark.parametrize(("most", "turns"), [(1, 5), (3_000_000, 1)])
def test_languages_are_read_so_many_edges_at_a_time(
    most: int, turns: int, dump: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read, seen = build.read_edges, []
    monkeypatch.setattr(build, "EDGES_AT_ONCE", most)
    monkeypatch.setattr(build, "read_edges", lambda index, some: seen.append(len(some)) or read(index, some))
    flags = {"lang": LANGS, "dump": str(dump), "out": tmp_path / "ws", "cache": tmp_path / "cache"}
    build.build(load_config(None, flags), Progress(quiet=True))
    assert (len(seen), sum(seen)) == (turns, 5)
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
    manifests = ("manifest.json",)  # they name the dump by its hash, which is another one
    assert tree(tmp_path / "ws", manifests) == {
        path: content for path, content in reference.items() if not path.endswith(manifests)
    }


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_that_passes_for_whole_and_continues(
    dump: Path, reference: dict[str, bytes], lrldata: Run, tmp_path: Path
) -> None:
    began = time.perf_counter()
    subprocess.run(command(dump, tmp_path / "timed"), check=True, capture_output=True)
    length = time.perf_counter() - began
    moments, killed = random.Random(42), 0
    for number in range(4 * KILLS):
        place = tmp_path / str(number)
        process = subprocess.Popen(command(dump, place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(length * moments.uniform(0.2, 1.0))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            continue  # it was done before the kill came
        killed += 1
        for folder in place.glob("ws/datasets/*/conceptnet"):
            manifest = read_manifest(folder, DATASET)
            assert manifest is not None, "a folder under its own name is a finished one"
            assert not list(damaged(folder, manifest))
        assert lrldata(*command(dump, place)[3:]).returncode == 0
        assert tree(place / "ws") == reference
        assert not list(place.glob("**/*.partial"))
        shutil.rmtree(place)
        if killed == KILLS:
            return
    pytest.fail(f"only {killed} kills hit a running build")


@pytest.mark.slow
def test_two_builds_at_once_do_not_harm_each_other(dump: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    both = [subprocess.Popen(command(dump, tmp_path), stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert tree(tmp_path / "ws") == reference


def test_an_interrupted_exchange_of_folders_is_put_right(lrldata: Run, tmp_path: Path) -> None:
    build = ("build", "--lang", "ro", "--sample", "--json")
    folder = tmp_path / json.loads(lrldata(*build).stdout)["path"]
    whole = tree(folder)
    folder.rename(folder.with_name(f".{folder.name}.old"))  # as a kill between the two renames leaves it
    assert json.loads(lrldata(*build).stdout)["version"] == "1.0.0"
    assert tree(folder) == whole
    assert [path.name for path in folder.parent.iterdir() if path.name != ".locks"] == ["conceptnet"]


def test_a_language_that_the_dump_lacks_is_named_and_the_others_are_built(
    lrldata: Run, make_dump: Callable[..., Path], tmp_path: Path
) -> None:
    small = make_dump([line("IsA", "ro:câine", "ro:animal")])
    done = lrldata("build", "--lang", "ro,mt", "--dump", small)
    assert done.returncode == 1
    assert "has no edges in Maltese (mt)" in done.stderr
    assert read_manifest(tmp_path / "lrl-workspace" / "datasets" / "ro" / "conceptnet", DATASET)


def test_a_language_of_which_nothing_is_left_does_not_stop_the_others(
    lrldata: Run, make_dump: Callable[..., Path]
) -> None:
    small = make_dump([line("IsA", "ro:câine", "ro:animal", 1.0), line("IsA", "mt:kelb", "mt:annimal", 9.0)])
    done = lrldata("build", "--lang", "ro,mt", "--min-weight", "2", "--dump", small, "--json")
    assert done.returncode == 1
    assert "Nothing is left of 1 edges of Romanian: below_min_weight 1." in done.stderr
    assert json.loads(done.stdout)["language"] == "mt"


@pytest.mark.parametrize("facts", [1, 2, 5])
def test_the_smallest_datasets_load_too(
    facts: int, lrldata: Run, make_dump: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = make_dump([line("IsA", f"ro:a{number}", "ro:b") for number in range(facts)])
    built = json.loads(lrldata("build", "--lang", "ro", "--dump", small, "--json").stdout)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset  # noqa: PLC0415 - reads the environment when imported

    loaded = load_dataset(str(tmp_path / built["path"]), cache_dir=str(tmp_path / "hf"))
    assert {split: len(rows) for split, rows in loaded.items()} == {k: v for k, v in built["rows"].items() if v}


def test_a_rebuild_deletes_nothing_that_is_not_its_own(lrldata: Run, tmp_path: Path) -> None:
    build = ("build", "--lang", "ro", "--sample", "--json")
    folder = tmp_path / json.loads(lrldata(*build).stdout)["path"]
    (folder / "notes.txt").write_text("mine")
    refused = lrldata(*build, "--force")
    assert refused.returncode == 1
    assert "notes.txt" in refused.stderr
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    assert lrldata(*build, "--force").returncode == 0
    assert folder.is_symlink()
    assert read_manifest(elsewhere, DATASET)


def test_the_random_split_is_the_papers(lrldata: Run) -> None:
    rows = json.loads(lrldata("build", "--lang", "ro", "--sample", "--split", "random", "--json").stdout)["rows"]
    total = sum(rows.values())
    assert rows["train"] == int(total * 0.8)
    assert rows["validation"] == int(total * 0.9) - rows["train"]
