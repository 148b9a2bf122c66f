"""Training on cores that others use too: tokens a second, with the bounded spin of lrldata/threads.py and without.

    python tools/benchmarks/bench_threads.py [--steps 24] [--rounds 3]

Each fit of lrl-mini is a command of its own, in turn on idle cores and beside one busy loop on each core that it may
use. Without the setting, OpenMP's threads spin 300,000 turns, as libgomp has it by default. Prints the medians and both
ratios; it should run on a machine that does nothing else.
"""

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lrldata.threads import SPINS

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = "300000"  # turns, libgomp's own
BUSY = "import os, sys; os.sched_setaffinity(0, [int(sys.argv[1])])\nwhile True: pass"
WORDS = "casa mare omul vine acasa seara si spune ca este bine astazi cu prietenii lui in oras".split()
BESIDE, LOST = 0.45, 0.10  # wanted: of the idle speed beside busy loops at least, on idle cores at most
QUIET = 0.5  # load of a machine that does nothing else


def main() -> None:
    """Measure all four, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    speeds: dict[tuple[str, bool], list[float]] = {
        (spins, busy): [] for spins in (SHIPPED, SPINS) for busy in (False, True)
    }
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        draw = random.Random(1)
        text.write_text("\n".join(" ".join(draw.choices(WORDS, k=draw.randint(5, 25))) for _ in range(1500)), "utf-8")
        for _ in range(given.rounds):
            for (spins, busy), found in speeds.items():
                with loops(busy):
                    found.append(fit(text, spins, given.steps))
    report({way: statistics.median(found) for way, found in speeds.items()}, load)


@contextmanager
def loops(busy: bool) -> Iterator[None]:
    """Keep each core busy meanwhile, or none."""
    cores = sorted(os.sched_getaffinity(0)) if busy else []
    running = [subprocess.Popen([sys.executable, "-c", BUSY, str(core)]) for core in cores]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def fit(text: Path, spins: str, steps: int) -> float:
    """Train for some steps, and return the tokens a second that the command says at its end."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))}
    own |= {"PYTHONPATH": str(ROOT), "GOMP_SPINCOUNT": spins, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-m", "lrltrain.cli", "fit", "--lang", "ro", "--text", text, "--base", "lrl-mini"]
    command += ["--method", "seq_bn", "--batch-size", "16", "--max-length", "128", "--overwrite", "--steps", steps]
    command += ["--eval-every", steps, "--out", text.parent / "ws", "--cache", text.parent / "cache"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=own)
    said = re.findall(r"([\d,]+) tokens/s", done.stderr)
    if done.returncode or not said:
        raise SystemExit(f"{done.stdout}{done.stderr}")
    return float(said[-1].replace(",", ""))


def report(speeds: dict[tuple[str, bool], float], load: float) -> None:
    """Print the speeds, and whether they are as wanted."""
    cores = len(os.sched_getaffinity(0))
    print(f"lrl-mini, {cores} cores, load {load:.1f} at the start{'' if load < QUIET else ': NOT QUIET'}; tokens/s\n")
    print("| GOMP_SPINCOUNT | idle | beside busy loops | ratio |\n| --- | ---: | ---: | ---: |")
    for spins in (SHIPPED, SPINS):
        idle, busy = speeds[spins, False], speeds[spins, True]
        print(f"| {int(spins):,} | {idle:,.0f} | {busy:,.0f} | {busy / idle:.2f} |")
    beside, lost = speeds[SPINS, True] / speeds[SPINS, False], 1 - speeds[SPINS, False] / speeds[SHIPPED, False]
    print(f"\nBeside busy loops {beside:.2f} of the idle speed, wanted {BESIDE}: {said(beside >= BESIDE)}.")
    print(f"On idle cores {lost:.0%} lost, wanted at most {LOST:.0%}: {said(lost <= LOST)}.")


def said(reached: bool) -> str:
    """Return a verdict."""
    return "reached" if reached else "MISSED"


if __name__ == "__main__":
    main()
