"""Compare the speed of this checkout with another commit, alternating in one run: rerun, build, publish.

    python tools/benchmarks/bench_against.py COMMIT [--rounds 10] [--lines 3400000]

- rerun: rerun a grid of 1,101 finished jobs (tools/benchmarks/bench_grid.py)
- build: rebuild 30 languages from the index of a dump with --lines lines
- publish: publish a dataset of web text to an empty local Hub

Each runs in a separate process. Prints the medians and the ratios of wall-clock time and of processor time, which is
more reliable on a shared machine.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from make_dump import make_dump

from hub_cards.local_hub import start

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_test_write"  # noqa: S105 -- a token of the local Hub
RERUN = """
import sys, tempfile
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/benchmarks"]  # its folder depends on the commit
import bench_grid
took, run = [], bench_grid._grid
bench_grid._grid = lambda *given: (took.append(run(*given)), took[-1])[1]
with tempfile.TemporaryDirectory() as folder:
    bench_grid.rerun(Path(folder), 1_000)
print(took[0][0])
"""


def command(tree: Path, *arguments: object, **environment: str) -> str:
    """Run Python with the packages of a source tree and return its output."""
    env = os.environ | {"PYTHONPATH": str(tree), "GOMP_SPINCOUNT": "1000"} | environment
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=tree.parent, env=env
    )
    if result.returncode:
        raise SystemExit(f"{tree}: {arguments}: {result.stderr}")
    return result.stdout


def rerun(tree: Path, _folder: Path) -> float:
    """Return the seconds of rerunning a study with only finished jobs."""
    return float(command(tree, "-c", RERUN, tree / "tools").split()[-1])


def build(tree: Path, folder: Path) -> float:
    """Return the seconds of building 30 languages from an index."""
    options = ("--lang", "paper", "--index", folder / "index", "--out", folder / "ws", "--force", "--quiet")
    began = time.perf_counter()
    command(tree, "-m", "lrldata.cli", "build", *options)
    return time.perf_counter() - began


def publish(tree: Path, folder: Path) -> float:
    """Return the seconds of publishing to an empty Hub."""
    with tempfile.TemporaryDirectory() as root, start(Path(root)) as hub:
        options = ("--lang", "ro", "--namespace", "my-org", "--out", folder / "pub", "--quiet")
        hub_env = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": root}
        began = time.perf_counter()
        command(tree, "-m", "hub_cards.cli", "push-hub", *options, **hub_env)
        return time.perf_counter() - began


def prepare(tree: Path, folder: Path, dump: Path) -> None:
    """Make the inputs of the measurements, an index and a dataset, with the tree's own commands."""
    index = command(tree, "-m", "lrldata.cli", "index", "--dump", dump, "--cache", folder / "cache", "--quiet")
    (folder / "index").symlink_to(Path("".join(index.split("\n"))))
    for source in ("conceptnet", "glotcc"):
        options = ("--source", source, "--sample", "--out", folder / "pub", "--cache", folder / "cache", "--quiet")
        command(tree, "-m", "lrldata.cli", "build", "--lang", "ro", *options)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=3_400_000)
    parser.add_argument("--only", default="rerun,build,publish", help="measurements to run, separated by commas")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dump, other_tree = Path(folder) / "dump.csv.gz", Path(folder) / "other"
        make_dump(dump, args.lines)
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "-q", "--detach", other_tree, args.commit], check=True)
        try:
            trees = {"then": other_tree, "now": ROOT}
            for name, tree in trees.items():
                Path(folder, name).mkdir()
                prepare(tree, Path(folder, name), dump)
            print("| | then | now | now / then | processor time |\n| --- | ---: | ---: | ---: | ---: |")
            for measurement in (
                candidate for candidate in (rerun, build, publish) if candidate.__name__ in args.only.split(",")
            ):
                times = alternately(measurement, trees, Path(folder), args.rounds)
                (seconds_then, processor_then), (seconds_now, processor_now) = (
                    map(statistics.median, zip(*times[name], strict=True)) for name in trees
                )
                ratios = f"{seconds_now / seconds_then:.3f} | {processor_now / processor_then:.3f}"
                print(f"| {measurement.__name__} | {seconds_then:.2f} s | {seconds_now:.2f} s | {ratios} |", flush=True)
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", other_tree], check=False)


def alternately(
    measure: Callable[[Path, Path], float], trees: dict[str, Path], folder: Path, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Return the wall-clock and processor times of each tree, measured alternately, without the first round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in trees}
    for round_ in range(rounds + 1):
        for name, tree in trees.items():
            processor_before = processor_seconds()
            seconds = measure(tree, folder / name)
            if round_:
                times[name].append((seconds, processor_seconds() - processor_before))
    return times


def processor_seconds() -> float:
    """Return the processor time of all finished child processes in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
