"""Several processes that train together: they give one result, agree on what they do, and end together."""

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from clients import free_port
from warm import Warm

import lrltrain
from lrldata.errors import UsageError
from lrldata.folder import lock
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter
from lrltrain.config import load_fit_config
from lrltrain.fitting.estimate import estimate
from lrltrain.fitting.plan import check_agreement, prepare
from lrltrain.training.processes import Processes

BY_TWO = """
import os, sys
from pathlib import Path
import lrltrain
from lrltrain.cli.app import app
options = {options}
flags = [text for name, value in options.items() for text in ("--" + name.replace("_", "-"), str(value))]
app(["fit", "--lang", "ro", "--dataset", {dataset!r}, "--method", "seq_bn_inv", *flags], standalone_mode=False)
adapter = lrltrain.fit({dataset!r}, method="lora", **options)
Path(options["out"]).with_name("rank-" + os.environ["RANK"]).write_text(str(adapter.validation_loss))
"""


# Forks into two processes with the variables that torchrun sets; `code` is what each of them runs.
FORKED = """
import os, sys
child = os.fork()
rank = 0 if child else 1
os.environ |= {{"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)}}
os.environ |= {{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "{port}"}}
try:
    exec({code!r})
finally:
    if child:
        os.waitpid(child, 0)
"""
FIT = """
import sys
from lrltrain.cli import main
sys.argv = ["lrltrain", "fit", *(argument.format(rank=rank) for argument in {arguments!r})]
main()
"""
LINES = [f"In orasul numarul {number} oamenii vorbesc despre vreme si despre drum." for number in range(600)]


@pytest.fixture
def by_two(scripts: Warm, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return a function that runs code in two processes that train together; each has its own `rank`."""

    def run(code: str) -> subprocess.CompletedProcess[str]:
        return scripts.run([FORKED.format(port=free_port(), code=code)], tmp_path, scripts.environment)

    return run


@pytest.fixture
def fit_by_two(by_two: Any, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that fits on text in two processes; `{rank}` in an option stands for the number of each."""
    (tmp_path / "text.txt").write_text("\n".join(LINES))
    options = ["--lang", "ro", "--base", "lrl-mini", "--batch-size", "4", "--max-length", "32", "--eval-every", "2"]
    options += ["--learning-rate", "5e-3", "--steps", "4", "--cache", "cache", "--out", "out"]

    def run(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
        given = [*options, *("--text text.txt".split() if "--text" not in arguments else ()), *arguments]
        return by_two(
            before + FIT.format(arguments=[*given, *("--out out".split() if "--out" not in arguments else ())])
        )

    return run


@pytest.mark.slow
def test_two_processes_train_like_one_with_the_same_global_batch(
    fit: Any, by_two: Any, workspace: Path, tmp_path: Path
) -> None:
    one_log = json.loads(
        (fit("--batch-size", "8", "--dropout", "0", "--eval-every", "1", steps=4) / "log.json").read_text()
    )
    options = {"base": "lrl-mini", "batch_size": 4, "max_length": 64, "dropout": 0.0, "learning_rate": 5e-3, "steps": 4}
    options |= {
        "reduction_factor": 4.0,
        "eval_every": 1,
        "eval_blocks": 8,
        "out": str(tmp_path / "two"),
        "cache": str(workspace / "cache"),
    }
    dataset = str(workspace / "datasets" / "ro" / "conceptnet")
    result = by_two(BY_TWO.format(dataset=dataset, options=options))
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "two" / "adapters" / "ro" / "lrl-mini" / "conceptnet-seq_bn_inv"
    two_log = json.loads((folder / "log.json").read_text())
    for key in ("loss", "eval_loss"):
        one, two = ([entry[key] for entry in log if key in entry] for log in (one_log, two_log))
        assert len(one) == len(two) >= 4
        assert one == pytest.approx(two, abs=2e-4), key
    for method in ("seq_bn_inv", "lora"):  # trained one after the other by the same processes
        assert open_adapter(folder.with_name(f"conceptnet-{method}"))["settings"]["processes"] == 2
    returned = [(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)]
    assert returned[0] == returned[1] != "", "each process returns the adapter"


def test_processes_with_different_text_are_refused(fit_by_two: Any, tmp_path: Path) -> None:
    for rank in (0, 1):
        (tmp_path / f"text{rank}.txt").write_text("\n".join(LINES[rank:]))
    result = fit_by_two("--text", "text{rank}.txt")
    assert result.returncode == 2
    assert "the processes have different text" in result.stderr
    assert not list(tmp_path.glob("out/adapters/ro/*/*/manifest.json"))


def test_processes_with_different_checkpoints_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(LINES))
    flags = {"lang": "ro", "base": "lrl-mini", "text": [tmp_path / "text.txt"], "out": tmp_path / "out"}
    plan = prepare(load_fit_config(None, flags))
    check_agreement([plan], Processes(gather=lambda own: [own, own]))
    with pytest.raises(UsageError, match="on a disk that all machines share"):
        check_agreement([plan], Processes(gather=lambda own: [own, [(*own[0][:2], [3])]]))


def test_a_process_whose_partner_is_killed_says_so(fit_by_two: Any) -> None:
    die = """
import os, signal
from lrltrain.training import loop
take = loop.Loop._take
def killed(self, batches):
    if rank and self.states[0].step:
        os.kill(os.getpid(), signal.SIGKILL)
    return take(self, batches)
loop.Loop._take = killed
"""
    result = fit_by_two(before=die)
    assert result.returncode == 1
    assert "error: another process of this run has ended, or cannot be reached" in result.stderr
    assert "This is a bug" not in result.stderr
    report_step = """
import sys
from lrltrain.training import loop
resume = loop.Loop._resume
def resumed(self):
    step = resume(self)
    print("resumed at", step, file=sys.stderr)
    return step
loop.Loop._resume = resumed
"""
    resumed = fit_by_two("--json", before=report_step)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr.count("resumed at 2\n") == 2, "both processes"


def test_the_wait_for_another_run_has_no_time_limit(fit_by_two: Any, tmp_path: Path) -> None:
    """All processes wait while another run holds the lock, longer than the process group's own limit."""
    short = """
import datetime, torch.distributed
start = torch.distributed.init_process_group
limit = {"timeout": datetime.timedelta(seconds=2)}
torch.distributed.init_process_group = lambda *arguments, **options: start(*arguments, **options | limit)
"""
    signal_waiting = """
import pathlib, lrldata.locks
warn = lrldata.locks.warn
def warned(message):
    pathlib.Path("waiting").touch()
    warn(message)
lrldata.locks.warn = warned
"""
    folder = tmp_path / "out" / "adapters" / "ro" / "lrl-mini" / "text-seq_bn_inv"
    with ThreadPoolExecutor() as threads, lock(folder):
        running = threads.submit(fit_by_two, before=short + signal_waiting)
        while not (tmp_path / "waiting").exists():
            assert not running.done()
            time.sleep(0.02)
        time.sleep(3)  # longer than the limit
    result = running.result()
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("another process is building it") == 1


def test_a_dry_run_counts_the_text_of_all_processes_once(fit_by_two: Any, tmp_path: Path) -> None:
    both = json.loads(fit_by_two("--dry-run", "--json").stdout)
    flags = {"lang": "ro", "base": "lrl-mini", "text": [tmp_path / "text.txt"], "out": tmp_path / "out", "steps": 4}
    config = load_fit_config(None, flags | {"batch_size": 4, "max_length": 32})
    alone = estimate(config, Progress(quiet=True))
    assert both["tokens_to_train_on"] == pytest.approx(2 * alone["tokens_to_train_on"], rel=0.01)
    assert both["tokens"] == alone["tokens"]


def test_adapters_in_a_replicated_model_are_trained_and_saved_once(
    by_two: Any, fit: Any, workspace: Path, tmp_path: Path
) -> None:
    """DistributedDataParallel waits for the gradients of all weights, even of an unused invertible adapter."""
    (tmp_path / "text.txt").write_text("\n".join(LINES))
    options: dict[str, Any] = {"base": "lrl-mini", "text": tmp_path / "text.txt", "steps": 2, "max_length": 32}
    second = lrltrain.fit("ro", **options, out=tmp_path / "out", cache=workspace / "cache", quiet=True)
    folders = [str(fit(method="seq_bn_inv")), str(second.path)]
    code = f"""
from pathlib import Path
import torch, lrltrain
from transformers import AutoModelForMaskedLM
torch.distributed.init_process_group("gloo")
model = AutoModelForMaskedLM.from_pretrained(Path(lrltrain.__file__).parent / "mini")
model.requires_grad_(False)
first, second = (lrltrain.load_adapter(model, folder) for folder in {folders!r})
replica = torch.nn.parallel.DistributedDataParallel(model.train())
ids = torch.full((2, 8), 9)
for _ in range(3):
    replica(input_ids=ids, labels=ids).loss.backward()
lrltrain.save_adapter(replica, "saved", name=first.names[0])
torch.distributed.barrier()
lrltrain.load_adapter(AutoModelForMaskedLM.from_pretrained(Path(lrltrain.__file__).parent / "mini"), "saved")
lrltrain.unload_adapter(replica, first.names[0])
print(all(weight.requires_grad for weight in second.coupling.parameters()), flush=True)
torch.distributed.destroy_process_group()
"""
    result = by_two(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True", "True"]
