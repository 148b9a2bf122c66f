"""Manifests and caches: what was changed after it was written is found, whichever byte it is."""

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
from lrldata.conceptnet.index import EDGES, existing_index, fingerprint_file
from lrldata.dataset import open_dataset, open_shards
from lrldata.errors import LrlError, StorageError
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
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with the sample, and its cache in it."""
    out = tmp_path_factory.mktemp("made")
    build(load_config(None, {"lang": "ro", "sample": True, "out": out, "cache": out / "cache"}), QUIET)
    return out


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "datasets/ro/conceptnet", tmp_path / "datasets/ro/conceptnet"))


def flips(data: bytes, most: int | None = None, seed: int = 0) -> Iterator[bytes]:
    """Yield the bytes with one of them changed: each in turn, or so many drawn from them."""
    places = range(len(data)) if most is None else random.Random(seed).sample(range(len(data)), most)
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 + place % 7
        yield bytes(changed)


def test_no_changed_byte_of_a_manifest_goes_unnoticed(folder: Path) -> None:
    file, right = folder / MANIFEST, load_manifest(folder, DATASET)
    whole = file.read_bytes()
    content = {key: value for key, value in right.items() if key != "sha256"}
    found = 0
    for changed in flips(whole, 360):
        file.write_bytes(changed)
        read = read_manifest(folder, DATASET)
        if read is None:
            found += 1
        else:  # between values, or what the hash is called: what is read is right
            assert {key: read.get(key) for key in content} == content
    assert found > 250


def test_a_changed_number_is_found_though_everything_adds_up(folder: Path) -> None:
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
def test_a_manifest_without_a_hash_is_held_against_its_schema_and_the_files(
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
    assert capsys.readouterr().err.count("has no hash of its own content") == 1, "once in a run"
    assert identity(folder, opened) == manifests.sha256_of(folder / MANIFEST) != new


def test_a_seal_does_not_depend_on_the_order_or_on_how_long_something_took() -> None:
    one = sealed({"a": 1, "b": [1.5, None, "ţ"], "run": {"sha256": "1"}})
    two = sealed({"run": {"sha256": "2"}, "b": (1.5, None, "ţ"), "a": 1})
    assert one["sha256"] == two["sha256"]
    assert read_sealed(json.dumps(one).encode(), Path("x")) == one
    with pytest.raises(DamagedError):
        read_sealed(json.dumps(one | {"a": 2}).encode(), Path("x"))
    for odd in (b"", b"[]", b"[" * 100_000, b"\xff", b'{"a": ' + b"1" * 5_000 + b"}"):
        with pytest.raises(DamagedError):
            read_sealed(odd, Path("x"))


def test_samples_are_in_the_manifest(folder: Path) -> None:
    put_samples(folder, samples())
    assert not list(damaged(folder, load_manifest(folder, DATASET)))
    entry = manifests.file_entry(folder / "samples.json", folder)
    change(folder, outputs=[*load_manifest(folder, DATASET)["outputs"], entry])
    file = folder / "samples.json"
    whole = file.read_bytes()
    for changed in flips(whole, 20):
        file.write_bytes(changed)
        with pytest.raises(StorageError, match=r"samples\.json does not match the manifest"):
            open_shards(folder, "samples.json")
    file.unlink()  # as of a dataset from the Hub, where it is not published
    assert "samples.json" not in open_shards(folder, "samples.json").files
    assert lrldata.open_dataset(folder).report(folder.parent / "page.html").is_file()


@pytest.mark.parametrize("name", [MANIFEST, "README.md", "data/train-00000-of-00001.parquet"])
def test_a_link_in_a_dataset_is_refused_by_name(name: str, folder: Path, tmp_path: Path) -> None:
    elsewhere, recipe = tmp_path / "elsewhere", load_manifest(folder, DATASET)["recipe"]
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    for act in (lambda: open_dataset(folder), lambda: is_unchanged(folder, DATASET, recipe), lambda: rebuild(folder)):
        with pytest.raises(PathError, match=re.escape(str(folder / name))):
            act()
    assert elsewhere.is_file()


def test_what_an_exchange_that_was_killed_has_left_is_no_dataset(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name(f".{folder.name}.old"))
    assert [each.path for each in open_workspace(folder.parents[2]).datasets()] == [folder]
    assert dataset_folder(folder.parents[2], None, None) == folder.resolve()


def test_a_workspace_behind_a_link_is_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ws").symlink_to(folder.parents[2])
    manifest, rows = open_dataset(tmp_path / "ws/datasets/ro/conceptnet")
    assert rows.select(pl.len()).collect().item() == sum(manifest["rows"].values())


def rebuild(folder: Path, **flags: Any) -> None:
    given = {
        "lang": "ro",
        "sample": True,
        "out": folder.parents[2],
        "cache": folder.parents[2] / "cache",
        "force": True,
    }
    build(load_config(None, given | flags), QUIET)


def test_who_reads_while_it_is_built_again_reads_one_build_or_the_other(folder: Path) -> None:
    kinds = {346: 0, 10: 0}
    ended = threading.Event()
    faults: list[BaseException] = []

    def read() -> None:
        while not ended.is_set():
            try:
                manifest, rows = open_dataset(folder)
                many = rows.select(pl.len()).collect().item()
                assert many == sum(manifest["rows"].values()), "rows of one build and a manifest of another"
                kinds[346 if many == 346 else 10] += 1
            except BaseException as error:  # noqa: BLE001 -- whatever it is, it is looked at
                faults.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for each in readers:
        each.start()
    for number in range(10):
        rebuild(folder, min_weight=2.0 * (number % 2))
    ended.set()
    for each in readers:
        each.join()
    assert not faults, repr(faults)
    assert all(kinds.values()), kinds


def test_what_is_published_is_not_exchanged_meanwhile_and_that_is_said(
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


def test_a_lock_that_another_holds_is_waited_for_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
def index(made: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(made / "cache", tmp_path / "cache"))
    (found,) = copy.glob("conceptnet/index/*-v1")
    return found


def test_a_damaged_index_is_made_again_and_the_dataset_is_the_same(
    index: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (index / EDGES).read_bytes()
    right = open_dataset(made / "datasets/ro/conceptnet")[0]["outputs"]
    for number, changed in enumerate(flips(whole, 12)):
        (index / EDGES).write_bytes(changed)
        flags = {"lang": "ro", "sample": True, "out": tmp_path / f"{number}", "cache": tmp_path / "cache"}
        build(load_config(None, flags), QUIET)
        assert "has other bytes than were written. The index will be made again" in capsys.readouterr().err
        assert open_dataset(tmp_path / f"{number}/datasets/ro/conceptnet")[0]["outputs"] == right
    assert (index / EDGES).read_bytes() == whole


def test_a_damaged_manifest_of_an_index_is_no_bug(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = index / MANIFEST
    for changed in flips(file.read_bytes(), 100):
        file.write_bytes(changed)
        found = existing_index(index)
        assert found is None or found.manifest["edges"] == 716
    assert "Traceback" not in capsys.readouterr().err


def test_the_memory_of_fingerprints_that_was_damaged_is_not_used(index: Path, made: Path, tmp_path: Path) -> None:
    memory = tmp_path / "cache/conceptnet/fingerprints.json"
    whole = memory.read_bytes()
    for changed in flips(whole, 10):
        memory.write_bytes(changed)
        flags = {"lang": "ro", "sample": True, "out": tmp_path / "out", "cache": tmp_path / "cache"}
        build(load_config(None, flags), QUIET)
    assert [path.name for path in index.parent.glob("*-v1")] == [index.name], "no other name for the same dump"
    assert read_manifest(tmp_path / "out/datasets/ro/conceptnet", DATASET) == load_manifest(
        made / "datasets/ro/conceptnet", DATASET
    )


def test_a_memory_of_fingerprints_whose_writing_was_cut_short_goes(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache/conceptnet"
    (folder / "fingerprints.json").unlink()
    (folder / ".fingerprints.json.4711.partial").write_text('{"files": {')
    fingerprint_file(index / MANIFEST, tmp_path / "cache")
    assert not list(folder.glob(".*.partial"))


def test_every_way_of_reading_a_dataset_ends_in_words(folder: Path, lrldata: Callable[..., Any]) -> None:
    (folder / MANIFEST).write_text("{", encoding="utf-8")
    for command in (("stats", folder), ("report", folder)):
        failed = lrldata(*command)
        assert (failed.returncode, "not JSON" in failed.stderr, "bug" in failed.stderr) == (1, True, False)
    with pytest.raises(LrlError):
        open_dataset(folder / "data")


def test_a_text_that_cannot_be_written_leaves_nothing_and_one_of_a_killed_process_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "score"
    folder.mkdir()
    (folder / "scores.json").write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lrldata.manifest.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_text(folder / "scores.json", "new")
    assert [path.name for path in folder.iterdir()] == ["scores.json"]
    assert (folder / "scores.json").read_text() == "old"

    (folder / ".scores.json.4711.partial").write_text("ne")
    (folder / ".mine.partial").write_text("a person's")
    with lock(folder):
        assert {path.name for path in folder.iterdir()} == {"scores.json", ".mine.partial"}
