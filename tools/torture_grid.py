"""Kill a grid repeatedly at random times, then let it finish: its outputs must equal those of an undisturbed grid.

    python tools/torture_grid.py STUDY.toml WORKSPACE [--kills 50] [--seed 1]

Each time, the driver or one of its processes receives SIGKILL after a random time. If the driver is killed, its
processes end with it; if a process is killed, the driver restarts it. The workspace is compared with that of an
undisturbed grid.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from lrltrain.grid.config import load_grid_config
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.records import Records

PARTS = ("datasets", "adapters", "scores")
OF_THE_RUN = {"run.json", "loss.png"}


def main() -> None:
    """Run an undisturbed and a disturbed grid, and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    undisturbed, disturbed = args.workspace / "calm", args.workspace / "harsh"
    began = time.perf_counter()
    if code := _start_grid(args.study, undisturbed).wait():
        raise SystemExit(f"the undisturbed run failed with exit code {code}")
    seconds = time.perf_counter() - began
    kills = torture(args.study, disturbed, args.kills, args.seed, seconds)
    equal = hashes(undisturbed) == hashes(disturbed)
    print(f"{kills} kills; {len(hashes(undisturbed))} files; {'the same bytes' if equal else 'OTHER BYTES'}")
    sys.exit(not equal)


def torture(study: Path, out: Path, kills: int, seed: int, longest: float) -> int:
    """Kill a grid `kills` times, each at most `longest` seconds after a start, let it finish, and return the kills.

    If the grid finishes before the last kill, a finished job is undone so that there is work left to interrupt.
    """
    random, killed = Random(seed), 0
    while killed < kills:
        driver = _start_grid(study, out)
        kill_time = time.monotonic() + random.uniform(0.2, longest)
        while time.monotonic() < kill_time and driver.poll() is None:
            time.sleep(0.02)
        if driver.poll() is not None:
            _undo(study, out, random)
            continue
        victims = [driver.pid] if random.random() < 0.5 else workers_of(driver.pid) or [driver.pid]
        victim = random.choice(victims)
        os.kill(victim, signal.SIGKILL)
        killed += 1
        if victim == driver.pid:
            driver.wait()
        else:
            while (
                driver.poll() is None and random.random() < 0.5 and killed < kills
            ):  # perhaps kill another process in this run
                time.sleep(random.uniform(0.2, 2.0))
                if workers := workers_of(driver.pid):
                    os.kill(random.choice(workers), signal.SIGKILL)
                    killed += 1
            driver.kill()
            driver.wait()
    final = _start_grid(study, out)
    if final.wait():
        raise SystemExit(f"the last run failed with exit code {final.returncode}")
    return killed


def hashes(workspace: Path) -> dict[str, str]:
    """Return the hash of each output file, except files that describe the run itself."""
    files = [path for part in PARTS for path in sorted((workspace / part).rglob("*")) if path.is_file()]
    names = {path: path.relative_to(workspace) for path in files}
    return {
        name.as_posix(): hashlib.sha256(_without_run(path)).hexdigest()
        for path, name in names.items()
        if path.name not in OF_THE_RUN and not any(part.startswith(".") for part in name.parts)
    }


def _without_run(path: Path) -> bytes:
    """Return the bytes of a file; for a manifest, without its hash of run.json."""
    data = path.read_bytes()
    if path.name != "manifest.json":
        return data
    return json.dumps({key: value for key, value in json.loads(data).items() if key != "run"}).encode()


def _start_grid(study: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lrltrain.cli", "grid", study, "--out", out, "--cache", out / "cache"]
    return subprocess.Popen(
        [*map(str, command), "--quiet", "--retries", "1000"], stdout=subprocess.DEVNULL, start_new_session=True
    )


def workers_of(process: int) -> list[int]:
    """Return the processes in which a driver runs jobs, without Python's resource tracker."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    except OSError:  # a process has just ended
        return []


def _undo(study: Path, out: Path, random: Random) -> None:
    """Damage one output file of a random job, so that the job has to run again."""
    records = Records(out.resolve())
    job = random.choice(
        [candidate for candidate in jobs_of(load_grid_config(study, {"out": str(out)})) if candidate.kind != "report"]
    )
    record = records.read(job.id)
    if record is not None and record.files:
        file = records.workspace / random.choice(sorted(record.files))
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-1])


if __name__ == "__main__":
    main()
