"""Studies that run again: repaired scores, new inputs, and processes that end unexpectedly. Jobs are imitated."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lrldata.errors import StorageError
from lrldata.manifest import sealed, write_json
from lrldata.paths import remove_tree
from lrltrain.grid import act
from lrltrain.grid.act import run_job
from lrltrain.grid.identity import identity
from lrltrain.grid.job import Job
from lrltrain.grid.local import GRACE
from lrltrain.grid.records import Record, Records
from lrltrain.grid.schedule import Schedule, run
from lrltrain.grid.show import outcome, status, unfinished

HOME = "adapters/mt/lrl-mini/conceptnet-lora"


def jobs_of_study() -> list[Job]:
    """Return a fit, two scores of its adapter, and the report."""
    labels = {"lang": "mt", "source": "conceptnet", "model": "lrl-mini", "method": "lora"}
    fit = Job("fit", labels, {"base": "lrl-mini"}, (), "f" * 16)
    scores = [Job("eval", labels | {"task": task}, {}, (fit.id,), task[0] * 16) for task in ("add", "bed")]
    return [fit, *scores, Job("report", {}, {}, id="c" * 16, after=tuple(job.id for job in scores))]


def content_of(folder: Path) -> Any:
    return json.loads(folder.joinpath("manifest.json").read_text())["made"]


class InThisProcess:
    """An engine that runs one job at a time, in this process."""

    slots = 1

    def __init__(self, workspace: Path) -> None:
        self.workspace, self.ended = workspace, list[Record]()

    def takes(self, job: Job) -> bool:
        assert job.id
        return not self.ended

    def group(self, job: Job, ready: Sequence[Job]) -> list[Job]:
        assert job in ready
        return [job]

    def submit(self, jobs: Sequence[Job]) -> None:
        self.ended += [run_job(job.as_json(), str(self.workspace), str(self.workspace)) for job in jobs]

    def finished(self, seconds: float) -> list[Record]:
        assert seconds
        ended, self.ended = self.ended, []
        return ended


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return a function that runs the study and returns the names of the jobs that ran to their end.

    An adapter's content is that of `seed`. A score fails while a file with its task's name exists.
    """
    tmp_path.joinpath("seed").write_text("1")
    ran: list[str] = []

    def write(job: Job, folder: Path, content: Any) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "manifest.json", sealed({"made": content, "run": len(ran)}))  # the run is not in its hash
        ran.append(job.name)
        return [folder]

    def fit(job: Job, records: Records, _: Path) -> list[Path]:
        return write(job, records.workspace / HOME, tmp_path.joinpath("seed").read_text())

    def evaluate(job: Job, records: Records, _: Path) -> list[Path]:
        if tmp_path.joinpath(job.labels["task"]).exists():
            raise StorageError("a file is in the way")
        adapter = content_of(records.workspace / HOME)
        return write(job, records.workspace / "scores/mt/lrl-mini" / job.labels["task"], adapter)

    def report(job: Job, records: Records, _: Path) -> list[Path]:
        scores = sorted(path.parent.name for path in records.workspace.glob("scores/*/*/*/manifest.json"))
        return write(job, records.workspace / "report", scores)

    for kind, handler in {"fit": fit, "eval": evaluate, "report": report}.items():
        monkeypatch.setitem(act.HANDLERS, kind, handler)

    def run_study() -> list[str]:
        ran.clear()
        engine, records = InThisProcess(tmp_path), Records(tmp_path)
        run(jobs_of_study(), records, engine, retries=0, verify=False, tell=lambda *_: None)
        return [name.split()[-1] for name in ran]

    return run_study


def test_the_report_covers_scores_that_other_commands_add_or_delete(
    study: Callable[[], list[str]], tmp_path: Path
) -> None:
    assert study() == ["lora", "add", "bed", "report"]
    assert study() == []
    other = tmp_path / "scores/mt/lrl-mini/none/topic-sib200/seed-1"
    other.mkdir(parents=True)
    write_json(other / "manifest.json", {"kind": "task run"})
    assert study() == ["report"]
    assert study() == []
    remove_tree(other)
    assert study() == ["report"]


def test_notes_of_the_last_report_are_shown(study: Callable[[], list[str]], tmp_path: Path) -> None:
    study()
    *jobs, report = jobs_of_study()
    records = Records(tmp_path)
    with records.log(report.id).open("a") as log:
        log.write("-- report, later\nnote: 2 scores [b]are[/b] not compared.\nwarning: one more.\nother output\n")
    state = Schedule({job.id: job for job in (*jobs, report)}, records)
    state.done = {job.id: Record(job.id, job.name, "done") for job in (*jobs, report)}
    shown = [str(line) for line in outcome([*jobs, report], state, records).renderables]
    assert shown[1:] == ["note: 2 scores [b]are[/b] not compared.", "warning: one more."]
    state.kept = set(state.done)
    assert len(outcome([*jobs, report], state, records).renderables) == 1, "the report was not made now"


def test_the_report_covers_a_score_that_failed_before(study: Callable[[], list[str]], tmp_path: Path) -> None:
    tmp_path.joinpath("bed").touch()
    assert study() == ["lora", "add", "report"]
    assert content_of(tmp_path / "report") == ["add"]
    *_, report = jobs_of_study()
    records = Records(tmp_path)
    before = records.read(report.id)
    assert before is not None
    records.write(replace(before, ended=before.ended + 7_200))  # the clock was wrong, or another node's differs
    tmp_path.joinpath("bed").unlink()
    assert study() == ["bed", "report"]
    assert content_of(tmp_path / "report") == ["add", "bed"]
    assert study() == []
    after = records.read(report.id)
    assert after is not None
    records.write(replace(after, used={}))
    assert study() == ["report"], "of an earlier version, which did not make it again"


def test_scores_of_an_adapter_that_came_out_different_are_measured_again(
    study: Callable[[], list[str]], tmp_path: Path
) -> None:
    assert study() == ["lora", "add", "bed", "report"]
    shutil.rmtree(tmp_path / HOME)
    assert study() == ["lora"], "it came out the same"
    tmp_path.joinpath("seed").write_text("2")
    shutil.rmtree(tmp_path / HOME)
    assert study() == ["lora", "add", "bed", "report"]
    assert content_of(tmp_path / "scores/mt/lrl-mini/add") == "2"
    assert study() == []


def test_results_of_other_versions_are_kept_and_made_again_without_their_records(
    study: Callable[[], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study()
    assert study() == []
    assert "done by" not in capsys.readouterr().err
    records, (fit, score, *_) = Records(tmp_path), jobs_of_study()
    for job, version in ((fit, "0.1.0"), (score, "")):
        records.write(replace(records.read(job.id), lrl=version))  # type: ignore[type-var]
    assert study() == []
    note = capsys.readouterr().err
    assert "2 of 3 finished jobs were done by an earlier version, lrl 0.1.0, and their results are kept" in note
    assert f"delete {tmp_path / 'grid/jobs'} and run the grid again" in note
    shutil.rmtree(tmp_path / "grid" / "jobs")
    assert study() == ["lora", "add", "bed", "report"]
    assert "done by" not in capsys.readouterr().err


class PanicException(BaseException):
    """What a Rust library raises when it panics."""


@pytest.mark.parametrize("error", [PanicException("index out of bounds"), SystemExit(3)])
def test_a_job_that_raises_no_ordinary_exception_has_failed_and_others_go_on(
    study: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    measure = act.HANDLERS["eval"]

    def fail(job: Job, records: Records, cache: Path) -> list[Path]:
        if job.labels["task"] == "add":
            raise error
        return list(measure(job, records, cache))

    monkeypatch.setitem(act.HANDLERS, "eval", fail)
    assert study() == ["lora", "bed", "report"]
    record = Records(tmp_path).read("a" * 16)
    assert record is not None
    assert (record.status, record.error.split(":")[0]) == ("failed", type(error).__name__)


def test_a_job_whose_process_was_killed_is_shown_as_failed(tmp_path: Path) -> None:
    jobs, records = jobs_of_study(), Records(tmp_path)
    records.write_plan(jobs, 1)
    schedule = Schedule({job.id: job for job in jobs}, records, retries=1)
    for _ in range(2):
        schedule.end(Record(jobs[0].id, jobs[0].name, "lost", error="killed"))
    record = records.read(jobs[0].id)
    assert record is not None
    assert (record.status, record.attempts, set(schedule.failed)) == ("lost", 2, {jobs[0].id})
    _, value = status(jobs, 1, 0.0, records)
    assert (value["failed"], value["waiting"], value["failures"][0]["error"]) == (1, 2, "killed")
    assert "1 of them failed" in unfinished(tmp_path)


def test_a_job_that_was_done_before_its_process_died_stays_done(study: Callable[[], list[str]], tmp_path: Path) -> None:
    study()
    jobs, records = jobs_of_study(), Records(tmp_path)
    schedule = Schedule({job.id: job for job in jobs}, records, retries=0)
    told = schedule.end(Record(jobs[0].id, jobs[0].name, "lost", error="killed"))
    record = records.read(jobs[0].id)
    assert (told, record is not None and record.status, set(schedule.done)) == (record, "done", {jobs[0].id})
    assert not schedule.failed


MODULE = """
import time
from pathlib import Path
from lrltrain.grid import act

HERE = Path(__file__).parent


def work(*_):
    HERE.joinpath("began").touch()
    try:
        time.sleep(60)
    finally:
        time.sleep(0.3)
        HERE.joinpath("cleaned").touch()


def run_jobs(*arguments):
    act.HANDLERS["report"] = work
    return act.run_jobs(*arguments)
"""
SCRIPT = """
import sys
import long_job
from lrltrain.grid import local
from lrltrain.grid.job import Job
from lrltrain.grid.local import GRACE

local.run_jobs = long_job.run_jobs
with local.LocalEngine(sys.argv[1], sys.argv[1], 1, None, 1) as engine:
    engine.submit([Job("report", {}, {}, (), "a" * 16)])
    while True:
        engine.finished(1.0)
"""


@pytest.mark.parametrize("everybody", [True, False])
def test_a_stopped_study_lets_its_jobs_clean_up(tmp_path: Path, *, everybody: bool) -> None:
    """At a terminal, the job also gets the signal of Ctrl-C, and then another one from the study."""
    (tmp_path / "long_job.py").write_text(MODULE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, start_new_session=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 90
    while not tmp_path.joinpath("began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    began = time.monotonic()
    if everybody:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert tmp_path.joinpath("cleaned").exists()
    assert time.monotonic() - began < GRACE, "it waits for the jobs, and no longer"


def test_a_running_job_is_found_without_writing(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert not records.is_running("x")
    assert not list(tmp_path.iterdir())
    lock = records.hold("x")
    assert lock is not None
    assert records.is_running("x")
    lock.release()
    assert not records.is_running("x")


def test_whatever_shapes_a_result_is_part_of_a_job_s_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    file = tmp_path / "datasets" / "mt.txt"
    for settings in (
        {"verdicts": str(file)},
        {"lid": str(file)},
        {"transfer_adapter": str(file)},
        {"text": ["~/datasets/mt.txt"]},
        {"input": f"file://{file}"},
        {"text": ["datasets/mt.txt"]},
    ):
        ids = set()
        for text in ("one", "another"):
            file.write_text(text)
            ids.add(identity(Job("build", {"lang": "mt"}, settings)))
        assert len(ids) == 2, settings
    folder = tmp_path / "own" / "verdicts"
    folder.mkdir(parents=True)
    before = {key: identity(Job("fit", {}, {key: str(folder.parent)})) for key in ("dataset", "verdicts")}
    (folder / "judged.json").write_text("{}")  # written by builds and reviews, which read only .jsonl files
    assert identity(Job("fit", {}, {"verdicts": str(folder.parent)})) == before["verdicts"]
    assert identity(Job("fit", {}, {"dataset": str(folder.parent)})) != before["dataset"]
    made = Job("eval", {}, {"data": "datasets/mt.txt"})
    before = identity(made)
    file.write_text("more")
    assert identity(made) == before, "the output of another job"
    versions = [{}, {"datasets/mt/glotcc": "1"}, {"datasets/mt/glotcc": "2"}]
    ids = {identity(Job("fit", {}, {}, given=given)) for given in versions}
    assert len(ids) == 3, "a dataset that the study does not build"


def test_a_changed_entry_of_an_added_language_makes_other_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "languages.toml"
    monkeypatch.setenv("LRL_LANGUAGES", str(table))
    ids = set()
    for scripts in ('["Latn"]', '["Latn", "Cyrl"]'):
        table.write_text(f'[zzy]\nname = "Example"\niso639_3 = "zzy"\nscripts = {scripts}\n')
        ids.add(identity(Job("build", {"lang": "zzy"}, {})))
    assert len(ids) == 2
