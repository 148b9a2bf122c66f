"""Manifests and caches: a change of any byte after writing is detected."""

import errno
import json
import random
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from manifests import change, unseal
from reports import put_samples, samples

import lrldata
from lrldata import manifest as manifests
from lrldata.cli.review import dataset_folder
from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.conceptnet.index import EDGES, existing_index
from lrldata.dataset import open_dataset, open_shards
from lrldata.errors import LrlError, StorageError
from lrldata.fingerprints import fingerprint_file
from lrldata.folder import lock, prevent_exchange, replaced
from lrldata.manifest import (
    DATASET,
    MANIFEST,
    DamagedError,
    damaged,
    identity,
    is_unchanged,
    load_manifest,
    read_manifest,
    read_sealed,
    sealed,
    write_text,
)
from lrldata.paths import PathError
from lrldata.progress import Progress
from lrldata.workspace import open_workspace

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with a dataset built from the sample, and with its cache."""
    out = tmp_path_factory.mktemp("made")
    build(load_config(None, {"lang": "ro", "sample": True, "out": out, "cache": out / "cache"}), QUIET)
    return out


@pytest.fixture
def folder(workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(workspace / "datasets/ro/conceptnet", tmp_path / "datasets/ro/conceptnet"))


def flips(data: bytes, limit: int | None = None, seed: int = 0) -> Iterator[bytes]:
    """Yield copies of the data with one byte changed: every byte in turn, or `limit` bytes at random."""
    positions = range(len(data)) if limit is None else random.Random(seed).sample(range(len(data)), limit)
    for position in positions:
        changed = bytearray(data)
        changed[position] ^= 1 + position % 7
        yield bytes(changed)


def test_no_changed_byte_of_a_manifest_goes_unnoticed(folder: Path) -> None:
    file, intact = folder / MANIFEST, load_manifest(folder, DATASET)
    data = file.read_bytes()
    content = {key: value for key, value in intact.items() if key != "sha256"}
    detected = 0
    for changed in flips(data, 360):
        file.write_bytes(changed)
        read = read_manifest(folder, DATASET)
        if read is None:
            detected += 1
        else:  # in the white space or in the name of the hash: the content is as it was
            assert {key: read.get(key) for key in content} == content
    assert detected > 250


def test_a_changed_number_is_detected_even_if_the_totals_agree(folder: Path) -> None:
    file = folder / MANIFEST
    text = file.read_text("utf-8")
    file.write_text(text.replace('"rows": 441,', '"rows": 442,').replace('"rows": 40,', '"rows": 41,'), "utf-8")
    with pytest.raises(StorageError, match="its hash does not match its content"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rows": {"train": 271, "validation": 40, "test": 35}}, "says .* rows, but there are"),
        ({"rows": {"train": 270, "validation": 41, "test": 36}}, "rows: their sum differs from the ledger"),
        ({"columns": {"text": "String"}}, "has a split or columns that manifest.json does not list"),
        ({"outputs": []}, "says .* rows, but there are"),
        ({"history": []}, "history: List should have at least 1 item"),
        ({"version": "9.9.9"}, "version: not in the history|not in the history"),
        ({"ledger": {"in": {"rows": 1, "bytes": 1}}}, "ledger.kept: Field required"),
        ({"language": "ro"}, "language"),
        ({"num_bytes": {}}, "have different splits"),
        ({"rows": None}, "rows: Field required"),
    ],
)
def test_a_manifest_without_a_hash_is_checked_against_its_schema_and_the_files(
    values: dict[str, Any], words: str, folder: Path
) -> None:
    change(folder, **values)
    unseal(folder)
    with pytest.raises(StorageError, match=words):
        open_dataset(folder)


def test_an_older_manifest_is_read_with_a_note(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_NOTED", [])
    new = identity(folder, load_manifest(folder, DATASET))
    unseal(folder)
    opened, rows = open_dataset(folder)
    assert rows.select(pl.len()).collect().item() == sum(opened["rows"].values())
    assert capsys.readouterr().err.count("has no hash of its own content") == 1, "one note per run"
    assert identity(folder, opened) == manifests.sha256_of(folder / MANIFEST) != new


def test_a_seal_does_not_depend_on_the_order_of_keys_or_on_details_of_the_run() -> None:
    first = sealed({"a": 1, "b": [1.5, None, "ţ"], "run": {"sha256": "1"}})
    second = sealed({"run": {"sha256": "2"}, "b": (1.5, None, "ţ"), "a": 1})
    assert first["sha256"] == second["sha256"]
    assert read_sealed(json.dumps(first).encode(), Path("x")) == first
    with pytest.raises(DamagedError):
        read_sealed(json.dumps(first | {"a": 2}).encode(), Path("x"))
    for invalid in (b"", b"[]", b"[" * 100_000, b"\xff", b'{"a": ' + b"1" * 5_000 + b"}"):
        with pytest.raises(DamagedError):
            read_sealed(invalid, Path("x"))


def test_samples_are_checked_against_the_manifest(folder: Path) -> None:
    put_samples(folder, samples())
    assert not list(damaged(folder, load_manifest(folder, DATASET)))
    entry = manifests.file_entry(folder / "samples.json", folder)
    change(folder, outputs=[*load_manifest(folder, DATASET)["outputs"], entry])
    file = folder / "samples.json"
    data = file.read_bytes()
    for changed in flips(data, 20):
        file.write_bytes(changed)
        with pytest.raises(StorageError, match=r"samples\.json does not match the manifest"):
            open_shards(folder, "samples.json")
    file.unlink()  # as in a dataset from the Hub, where this file is not published
    assert "samples.json" not in open_shards(folder, "samples.json").files
    assert lrldata.open_dataset(folder).report(folder.parent / "page.html").is_file()


@pytest.mark.parametrize("name", [MANIFEST, "README.md", "data/train-00000-of-00001.parquet"])
def test_a_link_in_a_dataset_is_refused_and_named(name: str, folder: Path, tmp_path: Path) -> None:
    elsewhere, recipe = tmp_path / "elsewhere", load_manifest(folder, DATASET)["recipe"]
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    for action in (
        lambda: open_dataset(folder),
        lambda: is_unchanged(folder, DATASET, recipe),
        lambda: rebuild(folder),
    ):
        with pytest.raises(PathError, match=re.escape(str(folder / name))):
            action()
    assert elsewhere.is_file()


def test_the_leftovers_of_a_killed_exchange_are_not_a_dataset(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name(f".{folder.name}.old"))
    assert [dataset.path for dataset in open_workspace(folder.parents[2]).datasets()] == [folder]
    assert dataset_folder(folder.parents[2], None, None) == folder.resolve()


def test_a_workspace_may_be_reached_through_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ws").symlink_to(folder.parents[2])
    manifest, rows = open_dataset(tmp_path / "ws/datasets/ro/conceptnet")
    assert rows.select(pl.len()).collect().item() == sum(manifest["rows"].values())


def rebuild(folder: Path, **flags: Any) -> None:
    defaults = {
        "lang": "ro",
        "sample": True,
        "out": folder.parents[2],
        "cache": folder.parents[2] / "cache",
        "force": True,
    }
    build(load_config(None, defaults | flags), QUIET)


def test_a_reader_during_rebuilds_sees_one_build_or_the_other(folder: Path) -> None:
    reads = {346: 0, 10: 0}
    ended = threading.Event()
    faults: list[BaseException] = []

    def read() -> None:
        while not ended.is_set():
            try:
                manifest, rows = open_dataset(folder)
                count = rows.select(pl.len()).collect().item()
                assert count == sum(manifest["rows"].values()), "the rows and the manifest are from different builds"
                reads[346 if count == 346 else 10] += 1
            except BaseException as error:  # noqa: BLE001 -- the test reports any error
                faults.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(10):
        rebuild(folder, min_weight=2.0 * (number % 2))
    ended.set()
    for reader in readers:
        reader.join()
    assert not faults, repr(faults)
    assert all(reads.values()), reads


def test_a_dataset_is_not_exchanged_while_it_is_published_and_a_note_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, building = (
        load_manifest(folder, DATASET),
        threading.Thread(target=rebuild, args=(folder,), kwargs={"min_weight": 2}),
    )
    with prevent_exchange([folder]):
        building.start()
        building.join(timeout=1.5)
        assert building.is_alive()
        assert load_manifest(folder, DATASET) == manifest
    building.join(timeout=20)
    assert load_manifest(folder, DATASET)["rows"] != manifest["rows"]
    assert "is publishing from" in capsys.readouterr().err


def test_a_note_is_printed_while_waiting_for_a_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def take() -> None:
        with lock(tmp_path / "a"):
            pass

    waiting = threading.Thread(target=take)
    with lock(tmp_path / "a"):
        waiting.start()
        waiting.join(timeout=0.3)
        assert waiting.is_alive()
    waiting.join(timeout=10)
    assert "another process is building it; waiting" in capsys.readouterr().err


def test_a_lock_file_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("exchange.lock", "a.lock"):
        locks = tmp_path / name / ".locks"
        locks.mkdir(parents=True)
        (locks / name).symlink_to(victim)
        with pytest.raises(OSError, match=r"link|Too many"), lock(tmp_path / name / "a"):
            pass
    assert victim.read_text() == "mine"


def test_an_error_in_the_second_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "x").write_text("old")
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt), lock(folder), replaced(folder, lambda _: True, "it") as new:
        (new / "x").write_text("new")
    assert (folder / "x").read_text() == "old"


@pytest.fixture
def index(workspace: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(workspace / "cache", tmp_path / "cache"))
    (index_folder,) = copy.glob("conceptnet/index/*-v1")
    return index_folder


def test_a_damaged_index_is_made_again_and_the_dataset_is_the_same(
    index: Path, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    intact = (index / EDGES).read_bytes()
    expected = open_dataset(workspace / "datasets/ro/conceptnet")[0]["outputs"]
    for number, changed in enumerate(flips(intact, 12)):
        (index / EDGES).write_bytes(changed)
        flags = {"lang": "ro", "sample": True, "out": tmp_path / f"{number}", "cache": tmp_path / "cache"}
        build(load_config(None, flags), QUIET)
        assert "does not match the manifest. The index will be made again" in capsys.readouterr().err
        assert open_dataset(tmp_path / f"{number}/datasets/ro/conceptnet")[0]["outputs"] == expected
    assert (index / EDGES).read_bytes() == intact


def test_a_damaged_manifest_of_an_index_causes_no_traceback(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = index / MANIFEST
    for changed in flips(file.read_bytes(), 100):
        file.write_bytes(changed)
        existing = existing_index(index)
        assert existing is None or existing.manifest["edges"] == 716
    assert "Traceback" not in capsys.readouterr().err


def test_a_damaged_cache_of_fingerprints_is_not_used(index: Path, workspace: Path, tmp_path: Path) -> None:
    fingerprints = tmp_path / "cache/fingerprints/sha256.json"
    intact = fingerprints.read_bytes()
    for changed in flips(intact, 10):
        fingerprints.write_bytes(changed)
        flags = {"lang": "ro", "sample": True, "out": tmp_path / "out", "cache": tmp_path / "cache"}
        build(load_config(None, flags), QUIET)
    assert [path.name for path in index.parent.glob("*-v1")] == [index.name], "the dump has only one fingerprint"
    assert read_manifest(tmp_path / "out/datasets/ro/conceptnet", DATASET) == load_manifest(
        workspace / "datasets/ro/conceptnet", DATASET
    )


def test_a_partly_written_cache_of_fingerprints_is_removed(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache/fingerprints"
    (folder / "sha256.json").unlink()
    (folder / ".sha256.json.4711.partial").write_text('{"files": {')
    fingerprint_file(index / MANIFEST, tmp_path / "cache")
    assert not list(folder.glob(".*.partial"))


def test_every_way_of_reading_a_dataset_reports_a_damaged_manifest(folder: Path, lrldata: Callable[..., Any]) -> None:
    (folder / MANIFEST).write_text("{", encoding="utf-8")
    for command in (("stats", folder), ("report", folder)):
        result = lrldata(*command)
        assert (result.returncode, "not JSON" in result.stderr, "bug" in result.stderr) == (1, True, False)
    with pytest.raises(LrlError):
        open_dataset(folder / "data")


def test_a_failed_write_leaves_no_partial_file_and_the_file_of_a_killed_process_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "score"
    folder.mkdir()
    (folder / "scores.json").write_text("old")

    def raise_no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lrldata.manifest.os.fsync", raise_no_space)
        with pytest.raises(OSError, match="No space"):
            write_text(folder / "scores.json", "new")
    assert [path.name for path in folder.iterdir()] == ["scores.json"]
    assert (folder / "scores.json").read_text() == "old"

    (folder / ".scores.json.4711.partial").write_text("ne")
    (folder / ".mine.partial").write_text("a person's")
    with lock(folder):
        assert {path.name for path in folder.iterdir()} == {"scores.json", ".mine.partial"}


def test_a_mistyped_folder_is_reported_with_the_datasets_near_it(tmp_path: Path, folder: Path) -> None:
    """Whatever else is called manifest.json there, as in browser extensions, and however deep the folders are."""
    (tmp_path / "extension").mkdir()
    (tmp_path / "extension" / MANIFEST).write_text("[]")
    shutil.copytree(folder, tmp_path / "a/b/c/d/conceptnet")
    with pytest.raises(StorageError, match="no finished dataset") as error:
        open_dataset(tmp_path)
    assert error.value.hint == f"Datasets below it: {folder}."
