"""Workspaces that other people have written to: records, links, damaged files, secrets."""

import json
import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from grids import write_recipe
from manifests import change
from pydantic import ValidationError
from results import predictions, put_adapter, put_perplexity, put_run, recipe

from lrldata.errors import LrlError, StorageError
from lrldata.manifest import ADAPTER, MANIFEST, damaged, load_manifest, sealed, write_json
from lrldata.manifest_schema import Base
from lrldata.paths import PathError
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.evaluation import score_text
from lrltrain.evaluation.record import find_run, folder_of, runs_in, write_run
from lrltrain.fitting.plan import prepare
from lrltrain.grid.act import _clear_corrupted, run_job
from lrltrain.grid.config import load_grid_config
from lrltrain.grid.job import Job
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.records import Record, records_of
from lrltrain.grid.show import status
from lrltrain.reporting.material import read_material
from lrltrain.reporting.perplexity import read_perplexities
from lrltrain.reporting.report import report
from lrltrain.training.corpus import tokenize

JOB = Job("fit", {"lang": "ro", "source": "conceptnet", "model": "lrl-mini", "method": "lora"}, {}, (), "0" * 16)
HOME = "adapters/ro/lrl-mini/conceptnet-lora"
NAMES = ("../victim", "/etc/hostname", "adapters/../../victim", "adapters//x", "a\\..\\b", "")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim"
    file.write_text("mine")
    return file


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_record_that_names_foreign_files_is_ignored(
    name: str, is_sealed: bool, tmp_path: Path, victim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = records_of(str(tmp_path / "ws"), tmp_path)
    value = asdict(Record(JOB.id, JOB.name, "done")) | {"files": {name: [4, 0, "0" * 64]}}
    file = records.workspace / records.name(JOB.id)
    file.parent.mkdir(parents=True)
    write_json(file, sealed(value) if is_sealed else value)
    assert records.read(JOB.id) is None
    assert "is ignored: not a valid record" in capsys.readouterr().err
    result = run_job(JOB.as_json(), str(records.workspace), str(tmp_path))
    assert result.status == "failed", "because its settings are missing"
    assert victim.read_text() == "mine"


def test_foreign_artifacts_named_in_a_record_are_not_removed(tmp_path: Path) -> None:
    records = records_of(str(tmp_path), tmp_path)
    own_file, foreign_file = tmp_path / HOME / "adapter.safetensors", tmp_path / "datasets/mt/conceptnet/manifest.json"
    for file in (own_file, foreign_file):
        file.parent.mkdir(parents=True)
        file.write_text("x")
    files = {file.relative_to(tmp_path).as_posix(): (1, 0, "0" * 64) for file in (own_file, foreign_file)}
    _clear_corrupted(JOB, Record(JOB.id, JOB.name, "done", files=files), records)
    assert (own_file.exists(), foreign_file.exists()) == (False, True)


def test_a_record_that_leads_through_a_link_is_refused_and_the_link_named(tmp_path: Path, victim: Path) -> None:
    records = records_of(str(tmp_path / "ws"), tmp_path)
    (tmp_path / "ws/adapters").mkdir(parents=True)
    (tmp_path / "ws/adapters/ro").symlink_to(tmp_path)
    record = Record(JOB.id, JOB.name, "done", files={"adapters/ro/victim": (4, 0, "0" * 64)})
    records.write(record)
    with pytest.raises(PathError, match="adapters/ro: a link"):
        records.is_done(JOB)
    for name in ("grid/logs", "grid/jobs"):
        shutil.rmtree(tmp_path / "ws" / name, ignore_errors=True)
        (tmp_path / "ws" / name).symlink_to(tmp_path)
    assert run_job(JOB.as_json(), str(tmp_path / "ws"), str(tmp_path)).status == "failed"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["victim"]
    assert victim.read_text() == "mine"


def test_records_and_plans_of_any_content_raise_only_our_own_errors(tmp_path: Path) -> None:
    config = load_grid_config(write_recipe(tmp_path, tmp_path / "ws"), {})
    records = records_of(config.out, tmp_path)
    jobs = jobs_of(config)
    records.write_plan(jobs, 2)
    records.write(Record(jobs[0].id, jobs[0].name, "done", files={"a": (1, 2, "0" * 64)}))
    plan, record = records.folder / "plan.json", records.workspace / records.name(jobs[0].id)
    generator = random.Random(0)
    odd_values = [None, 0, -1, 1e400, "x", "../x", [], {}, [[]], {"a": {}}, True, "\udc80", "9" * 5_000]
    errors = 0
    for file in (plan, record):
        whole = json.loads(file.read_text("utf-8"))
        for number in range(150):
            value = json.loads(json.dumps(whole))
            node: Any = value
            while isinstance(node, dict | list) and node and generator.random() < 0.8:
                key = generator.choice(list(node)) if isinstance(node, dict) else generator.randrange(len(node))
                if not isinstance(node[key], dict | list) or generator.random() < 0.3:
                    node[key] = generator.choice(odd_values)
                    break
                node = node[key]
            file.write_text(json.dumps(sealed(value) if number % 2 else {**value, "sha256": None}), "utf-8")
            try:
                status(*records.read_plan(), records)
            except LrlError:
                errors += 1
        file.write_text(json.dumps(whole), "utf-8")
    assert errors > 50


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 50_000, b"\xff", b'{"jobs": 1, "slots": []}'])
def test_a_damaged_plan_is_reported(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid/plan.json").write_bytes(content)
    with pytest.raises(StorageError, match="Start the grid again"):
        records_of(str(tmp_path), tmp_path).read_plan()


def test_secrets_in_addresses_do_not_reach_plans_records_or_logs(tmp_path: Path) -> None:
    address = "https://user:hunter2@127.0.0.1:9/dump.csv?Signature=hunter2"
    settings = {"lang": "ro", "source": "conceptnet", "dump": address, "max_rejected": "hunter2"}
    job = Job("build", {"lang": "ro", "source": "conceptnet"}, {**settings, "templates": address}, (), "1" * 16)
    records = records_of(str(tmp_path / "ws"), tmp_path)
    records.write_plan([job], 1)
    record = run_job(
        Job(job.kind, job.labels, {"lang": "ro", "templates": address, "source": "conceptnet"}, (), job.id).as_json(),
        str(records.workspace),
        str(tmp_path),
    )
    assert record.status == "failed"
    written = [path for path in records.folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert {path.name for path in written} == {"plan.json", f"{job.id}.json", f"{job.id}.log"}
    for path in written:
        assert "user:hunter2" not in path.read_text("utf-8"), path
        assert "Signature=hunter2" not in path.read_text("utf-8"), path


def test_a_link_in_place_of_a_run_folder_is_not_emptied(tmp_path: Path) -> None:
    run_recipe, home = recipe("ro", "topic", "none", 1), tmp_path / "home"
    home.mkdir()
    (home / "letters.txt").write_text("mine")
    folder = folder_of(tmp_path / "ws", run_recipe, "none")
    folder.parent.mkdir(parents=True)
    folder.symlink_to(home)
    with pytest.raises(StorageError, match=r"contains files that do not belong to a run: letters\.txt"):
        write_run(folder, run_recipe, pl.DataFrame({"item": [0]}), {"macro_f1": 0.5})
    assert (home / "letters.txt").read_text() == "mine"


def test_a_link_in_place_of_a_score_folder_is_not_emptied(tmp_path: Path) -> None:
    data = tmp_path / "text.txt"
    data.write_text("O propoziție.\n", encoding="utf-8")
    config = load_eval_config(None, {"lang": "ro", "base": "lrl-mini", "data": str(data), "out": tmp_path / "ws"})
    (score,) = score_text.score_text(config, Progress(quiet=True))
    home = tmp_path / "home"
    home.mkdir()
    (home / "letters.txt").write_text("mine")
    shutil.rmtree(score.path)
    score.path.symlink_to(home)
    for overwrite in (False, True):
        with pytest.raises(StorageError, match=r"contains files that do not belong to a score: letters\.txt"):
            score_text.score_text(config.model_copy(update={"overwrite": overwrite}), Progress(quiet=True))
    assert (home / "letters.txt").read_text() == "mine"


def corrupted_copies(file: Path, count: int) -> list[bytes]:
    data = file.read_bytes()
    copies = []
    for position in random.Random(1).sample(range(len(data)), min(count, len(data))):
        changed = bytearray(data)
        changed[position] ^= 4
        copies.append(bytes(changed))
    return copies


def test_every_file_of_an_adapter_is_covered_by_its_manifest(fit: Callable[..., Path]) -> None:
    folder = fit(method="lora", steps=2)
    manifest = open_adapter(folder)
    listed = {entry["path"] for entry in manifest["outputs"]} | {manifest["run"]["path"], MANIFEST}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == listed
    for name in ("run.json", "log.json", "loss.png", "reference.safetensors", MANIFEST):
        whole = (folder / name).read_bytes()
        for changed in corrupted_copies(folder / name, 40):
            (folder / name).write_bytes(changed)
            if name == MANIFEST:
                try:
                    loaded = load_manifest(folder, ADAPTER)
                except StorageError:
                    continue
                unchanged = all(loaded.get(key) == value for key, value in manifest.items() if key != "sha256")
                assert unchanged or list(damaged(folder, loaded))
            else:
                with pytest.raises(StorageError, match=f"{name} does not match the manifest"):
                    open_adapter(folder)
        (folder / name).write_bytes(whole)
    elsewhere = folder.parent / "secret"
    (folder / "run.json").rename(elsewhere)
    (folder / "run.json").symlink_to(elsewhere)
    with pytest.raises(PathError, match=r"run\.json: a link"):
        open_adapter(folder)
    (folder / "run.json").unlink()
    elsewhere.rename(folder / "run.json")
    (folder / "adapters").symlink_to(folder.parent)
    with pytest.raises(PathError, match="adapters: a link"):
        open_adapter(folder)


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "..", "a\\b", "a\nb"])
def test_an_adapter_whose_name_is_a_path_is_refused(name: str, tmp_path: Path) -> None:
    put_adapter(tmp_path, "ro", "lora", [5.0, 4.0])
    folder = tmp_path / HOME.replace("lrl-mini", "xlm-roberta-base")
    open_adapter(folder)
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    for wrong_values in ({"name": name}, {"variant": name}, {"base": manifest["base"] | {"id": f"org/{name}/.."}}):
        change(folder, **manifest | wrong_values)
        with pytest.raises(StorageError, match="not a valid folder name"):
            open_adapter(folder)


def test_common_model_ids_are_valid_in_a_manifest() -> None:
    for name in (
        r"C:\models\llama.gguf",
        "q:4b",
        "x:mini",
        "org/o:1",
        "org/x/",
        "ft:gpt-4o:org::abc",
        "models/gemma@001",
    ):
        assert Base(id=name).id == name
    for name in ("..", ".", "/", "org/x/..", "org/.", "a\nb", "a\x00"):
        with pytest.raises(ValidationError):
            Base(id=name)


def test_a_card_of_any_content_does_not_stop_a_report(tmp_path: Path) -> None:
    aliases = "".join(
        f"{after}: &{after} [{', '.join(f'*{before}' for _ in range(9))}]\n" for before, after in pairwise("abcdefghij")
    )
    aliases += "m0: &m0 {x: 1}\n" + "".join(
        f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
    )
    for name, language in (("lrl-ro", "ro"), ("lrl-mt", "[mt, en]"), ("evil", "[*j]")):
        (tmp_path / "cards" / name).mkdir(parents=True)
        (tmp_path / "cards" / name / "index.html").write_text("")
        card = f"---\na: &a [x]\n{aliases}language: {language}\n---\n"
        content = card.replace("\n", "\r\n") if name == "lrl-ro" else card
        (tmp_path / "cards" / name / "README.md").write_bytes(content.encode())
    (tmp_path / "cards" / "pipe").mkdir()
    (tmp_path / "cards" / "pipe" / "index.html").write_text("")
    os.mkfifo(tmp_path / "cards" / "pipe" / "README.md")
    cards = read_material(tmp_path).cards
    assert [(entry.language, entry.name) for entry in cards] == [("mt", "lrl-mt"), ("ro", "lrl-ro")]


def test_a_changed_score_is_detected(tmp_path: Path) -> None:
    put_perplexity(tmp_path, "ro", "lora", put_adapter(tmp_path, "ro", "lora", [5.0, 4.0]), 0.8)
    (file,) = tmp_path.glob("scores/*/*/ro_*/*/scores.json")
    right = read_perplexities(tmp_path, 100)
    noticed = 0
    for changed in corrupted_copies(file, 80):
        file.write_bytes(changed)
        try:
            assert read_perplexities(tmp_path, 100) == right, "a change that is not noticed has no effect"
        except StorageError:
            noticed += 1
    assert noticed > 50


def test_runs_of_any_content_raise_only_our_own_errors(tmp_path: Path) -> None:
    gold, predicted = predictions("topic", 0.5, 1)
    run_recipe = recipe("ro", "topic", "none", 1)
    folder = put_run(tmp_path, run_recipe, gold, predicted)
    whole = load_manifest(folder, "scores")
    for key in (*run_recipe, "result", "outputs", "recipe"):
        for odd_value in (None, 1, "x", [], {}, ["../x"], {"name": "../x"}, float("nan")):
            if odd_value != whole.get(key):
                change(folder, **{"outputs": whole["outputs"], key: odd_value})
                assert find_run(folder, run_recipe) is None or key in run_recipe
                with suppress(LrlError):
                    list(runs_in(tmp_path))
                with suppress(LrlError):
                    report(tmp_path, resamples=20)
                change(folder, **whole)


def test_damaged_tokens_are_recomputed(tmp_path: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = {"lang": "ro", "base": "lrl-mini", "dataset": str(workspace / "datasets/ro/conceptnet"), "out": tmp_path}
    plan = prepare(load_fit_config(None, flags | {"cache": tmp_path / "cache"}))

    def token_blocks() -> list[list[int]]:
        options = {"batching": "packed", "max_length": 64, "cache": tmp_path / "cache"}
        corpus = tokenize(plan.text, "validation", plan.tokenizer, **options)
        return [[int(token) for piece in corpus.block(index) for token in piece] for index in range(len(corpus))]

    right = token_blocks()
    (folder,) = (path for path in (tmp_path / "cache/tokens").iterdir() if not path.name.startswith("."))
    for file in sorted(folder.iterdir()):
        for changed in corrupted_copies(file, 6):
            file.write_bytes(changed)
            assert token_blocks() == right
    assert capsys.readouterr().err.count("The text is tokenized again") > 15
