"""Kill a grid at random, again and again, and let it end: what it makes must be what an undisturbed one makes.

    python tools/torture_grid.py RECIPE.toml WORKSPACE [--kills 50] [--seed 1]

Each time the driver, or one of its processes, gets SIGKILL after a time drawn at random; every other process of the
driver ends with it, or is started again by it. The workspace is compared with that of a grid that nobody disturbed.
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
    """Run an undisturbed grid and a tortured one, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    calm, harsh = given.workspace / "calm", given.workspace / "harsh"
    began = time.perf_counter()
    _grid(given.recipe, calm).wait()
    seconds = time.perf_counter() - began
    kills = torture(given.recipe, harsh, given.kills, given.seed, seconds)
    same = hashes(calm) == hashes(harsh)
    print(f"{kills} kills; {len(hashes(calm))} files; {'the same bytes' if same else 'OTHER BYTES'}")
    sys.exit(not same)


def torture(recipe: Path, out: Path, kills: int, seed: int, longest: float) -> int:
    """Kill so often, at times up to `longest` seconds after a start, then let it end. Returns the number of kills.

    Where the grid ends before the last kill, a finished job is undone, so that there is something left to kill.
    """
    random, done = Random(seed), 0
    while done < kills:
        driver = _grid(recipe, out)
        until = time.monotonic() + random.uniform(0.2, longest)
        while time.monotonic() < until and driver.poll() is None:
            time.sleep(0.02)
        if driver.poll() is not None:
            _undo(recipe, out, random)
            continue
        victims = [driver.pid] if random.random() < 0.5 else _children(driver.pid) or [driver.pid]
        victim = random.choice(victims)
        os.kill(victim, signal.SIGKILL)
        done += 1
        if victim == driver.pid:
            driver.wait()
        else:
            while driver.poll() is None and random.random() < 0.5 and done < kills:  # and perhaps another, in this run
                time.sleep(random.uniform(0.2, 2.0))
                if workers := _children(driver.pid):
                    os.kill(random.choice(workers), signal.SIGKILL)
                    done += 1
            driver.kill()
            driver.wait()
    last = _grid(recipe, out)
    if last.wait():
        raise SystemExit(f"the last run failed with exit code {last.returncode}")
    return done


def hashes(workspace: Path) -> dict[str, str]:
    """Return a hash of each file that was made, but for those that tell of the run itself."""
    files = [path for part in PARTS for path in sorted((workspace / part).rglob("*")) if path.is_file()]
    names = {path: path.relative_to(workspace) for path in files}
    return {
        name.as_posix(): hashlib.sha256(_without_run(path)).hexdigest()
        for path, name in names.items()
        if path.name not in OF_THE_RUN and not any(part.startswith(".") for part in name.parts)
    }


def _without_run(path: Path) -> bytes:
    """Return the bytes of a file; of a manifest without its hash of run.json."""
    data = path.read_bytes()
    if path.name != "manifest.json":
        return data
    return json.dumps({key: value for key, value in json.loads(data).items() if key != "run"}).encode()


def _grid(recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lrltrain.cli", "grid", recipe, "--out", out, "--cache", out / "cache"]
    return subprocess.Popen(
        [*map(str, command), "--quiet", "--retries", "1000"], stdout=subprocess.DEVNULL, start_new_session=True
    )


def _children(process: int) -> list[int]:
    """Return the processes that a driver has for its jobs; Python has another one, which looks after semaphores."""
    try:
        started = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(each) for each in started if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]
    except OSError:  # one has just ended
        return []


def _undo(recipe: Path, out: Path, random: Random) -> None:
    """Forget a job, and harm a file of what it made."""
    records = Records(out.resolve())
    job = random.choice(
        [each for each in jobs_of(load_grid_config(recipe, {"out": str(out)})) if each.kind != "report"]
    )
    record = records.read(job.id)
    if record is not None and record.files:
        file = records.workspace / random.choice(sorted(record.files))
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-1])


if __name__ == "__main__":
    main()
