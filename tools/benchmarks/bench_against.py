"""Time this checkout against another commit, turn by turn in one run: a rerun of a study, builds, a publication.

    python tools/benchmarks/bench_against.py COMMIT [--rounds 10] [--lines 3400000]

- rerun: a grid of 1,101 jobs, all of them done (tools/benchmarks/bench_grid.py)
- build: 30 languages from the index of a dump of so many lines, made again
- publish: a dataset of web text to an empty local Hub

Each is a command in a process of its own. Prints the medians and their ratio, of time and of time on a processor:
the second says more on a machine that others use.
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
TOKEN = "hf_test_write"  # noqa: S105 -- of the local Hub
RERUN = """
import sys, tempfile
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/benchmarks"]  # where it stands depends on the commit
import bench_grid
took, run = [], bench_grid._grid
bench_grid._grid = lambda *given: (took.append(run(*given)), took[-1])[1]
with tempfile.TemporaryDirectory() as folder:
    bench_grid.rerun(Path(folder), 1_000)
print(took[0][0])
"""


def command(tree: Path, *arguments: object, **environment: str) -> str:
    """Run Python with the packages of a tree, and return what it printed."""
    own = os.environ | {"PYTHONPATH": str(tree), "GOMP_SPINCOUNT": "1000"} | environment
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=tree.parent, env=own
    )
    if done.returncode:
        raise SystemExit(f"{tree}: {arguments}: {done.stderr}")
    return done.stdout


def rerun(tree: Path, _folder: Path) -> float:
    """Time a study of which every job is done."""
    return float(command(tree, "-c", RERUN, tree / "tools").split()[-1])


def build(tree: Path, folder: Path) -> float:
    """Time 30 languages from an index."""
    given = ("--lang", "paper", "--index", folder / "index", "--out", folder / "ws", "--force", "--quiet")
    began = time.perf_counter()
    command(tree, "-m", "lrldata.cli", "build", *given)
    return time.perf_counter() - began


def publish(tree: Path, folder: Path) -> float:
    """Time a publication to an empty Hub."""
    with tempfile.TemporaryDirectory() as root, start(Path(root)) as hub:
        given = ("--lang", "ro", "--namespace", "my-org", "--out", folder / "pub", "--quiet")
        own = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": root}
        began = time.perf_counter()
        command(tree, "-m", "hub_cards.cli", "push-hub", *given, **own)
        return time.perf_counter() - began


def prepare(tree: Path, folder: Path, dump: Path) -> None:
    """Make what is timed from: an index and a dataset, by the tree's own commands."""
    made = command(tree, "-m", "lrldata.cli", "index", "--dump", dump, "--cache", folder / "cache", "--quiet")
    (folder / "index").symlink_to(Path("".join(made.split("\n"))))
    for source in ("conceptnet", "glotcc"):
        given = ("--source", source, "--sample", "--out", folder / "pub", "--cache", folder / "cache", "--quiet")
        command(tree, "-m", "lrldata.cli", "build", "--lang", "ro", *given)


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=3_400_000)
    parser.add_argument("--only", default="rerun,build,publish", help="of these, by commas")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as top:
        dump, other = Path(top) / "dump.csv.gz", Path(top) / "other"
        make_dump(dump, given.lines)
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "-q", "--detach", other, given.commit], check=True)
        try:
            trees = {"then": other, "now": ROOT}
            for name, tree in trees.items():
                Path(top, name).mkdir()
                prepare(tree, Path(top, name), dump)
            print("| | then | now | now / then | on a processor |\n| --- | ---: | ---: | ---: | ---: |")
            for what in (each for each in (rerun, build, publish) if each.__name__ in given.only.split(",")):
                times = alternately(what, trees, Path(top), given.rounds)
                (then, busy_then), (now, busy_now) = (
                    map(statistics.median, zip(*times[name], strict=True)) for name in trees
                )
                ratios = f"{now / then:.3f} | {busy_now / busy_then:.3f}"
                print(f"| {what.__name__} | {then:.2f} s | {now:.2f} s | {ratios} |", flush=True)
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", other], check=False)


def alternately(
    what: Callable[[Path, Path], float], trees: dict[str, Path], top: Path, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Return the times of each tree, taken in turns, the first of which is not counted: by the clock, and computing."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in trees}
    for number in range(rounds + 1):
        for name, tree in trees.items():
            before = busy()
            took = what(tree, top / name)
            if number:
                times[name].append((took, busy() - before))
    return times


def busy() -> float:
    """Return the seconds that processes which ended have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
