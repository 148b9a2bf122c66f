"""Training speed on shared cores, in tokens per second, with and without the spin limit of lrldata/threads.py.

    python tools/benchmarks/bench_threads.py [--steps 24] [--rounds 3]

Each fit of lrl-mini is a separate command, alternately on idle cores and with a busy loop on each core that it may use.
Without the limit, OpenMP threads spin 300,000 times, libgomp's default. Prints the medians and their ratios. Run it on
a machine that does nothing else.
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
DEFAULT_SPINS = "300000"  # spins, libgomp's default
BUSY = "import os, sys; os.sched_setaffinity(0, [int(sys.argv[1])])\nwhile True: pass"
WORDS = "casa mare omul vine acasa seara si spune ca este bine astazi cu prietenii lui in oras".split()
MIN_RATIO, MAX_LOSS = (
    0.45,
    0.10,
)  # targets: least share of the idle speed with busy loops, greatest loss on idle cores
IDLE_LOAD = 0.5  # highest load average of an idle machine


def main() -> None:
    """Measure all four combinations and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    speeds: dict[tuple[str, bool], list[float]] = {
        (spins, busy): [] for spins in (DEFAULT_SPINS, SPINS) for busy in (False, True)
    }
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        generator = random.Random(1)
        text.write_text(
            "\n".join(" ".join(generator.choices(WORDS, k=generator.randint(5, 25))) for _ in range(1500)), "utf-8"
        )
        for _ in range(args.rounds):
            for (spins, busy), tokens_per_second in speeds.items():
                with loops(busy):
                    tokens_per_second.append(fit(text, spins, args.steps))
    report({setting: statistics.median(tokens_per_second) for setting, tokens_per_second in speeds.items()}, load)


@contextmanager
def loops(busy: bool) -> Iterator[None]:
    """Run a busy loop on each core in the meantime, or none."""
    cores = sorted(os.sched_getaffinity(0)) if busy else []
    running = [subprocess.Popen([sys.executable, "-c", BUSY, str(core)]) for core in cores]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def fit(text: Path, spins: str, steps: int) -> float:
    """Train for some steps and return the tokens per second that the command reports at the end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))}
    env |= {"PYTHONPATH": str(ROOT), "GOMP_SPINCOUNT": spins, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-m", "lrltrain.cli", "fit", "--lang", "ro", "--text", text, "--base", "lrl-mini"]
    command += ["--method", "seq_bn", "--batch-size", "16", "--max-length", "128", "--overwrite", "--steps", steps]
    command += ["--eval-every", steps, "--out", text.parent / "ws", "--cache", text.parent / "cache"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=env)
    speeds = re.findall(r"([\d,]+) tokens/s", result.stderr)
    if result.returncode or not speeds:
        raise SystemExit(f"{result.stdout}{result.stderr}")
    return float(speeds[-1].replace(",", ""))


def report(speeds: dict[tuple[str, bool], float], load: float) -> None:
    """Print the speeds and whether they meet the targets."""
    cores = len(os.sched_getaffinity(0))
    print(
        f"lrl-mini, {cores} cores, load {load:.1f} at the start{'' if load < IDLE_LOAD else ' (NOT IDLE)'}; tokens/s\n"
    )
    print("| GOMP_SPINCOUNT | idle cores | with a busy loop on each | ratio |\n| --- | ---: | ---: | ---: |")
    for spins in (DEFAULT_SPINS, SPINS):
        idle, busy = speeds[spins, False], speeds[spins, True]
        print(f"| {int(spins):,} | {idle:,.0f} | {busy:,.0f} | {busy / idle:.2f} |")
    ratio, loss = (
        speeds[SPINS, True] / speeds[SPINS, False],
        1 - speeds[SPINS, False] / speeds[DEFAULT_SPINS, False],
    )
    print(
        f"\nRelative speed with busy loops: {ratio:.2f} (target: at least {MIN_RATIO}): {verdict(ratio >= MIN_RATIO)}."
    )
    print(f"Speed lost on idle cores: {loss:.0%} (target: at most {MAX_LOSS:.0%}): {verdict(loss <= MAX_LOSS)}.")


def verdict(reached: bool) -> str:
    """Return whether a target was met, in words."""
    return "met" if reached else "MISSED"


if __name__ == "__main__":
    main()
