"""Feed malformed input to the functions that read files and answers, and check that they fail cleanly.

    python tools/fuzz.py --minutes 10 --seed 1

Each target generates malformed inputs of one kind (manifests, records, settings, cards, store keys, fastText models,
answers of an endpoint, documents) and passes them to the functions that read such inputs. A function may return a
result or raise LrlError. Any other exception is a fault, and so is any file written, changed or removed outside the
target's folder. Prints one row per target and exits with 1 if there was a fault. To reproduce a fault, use its seed:
`python tools/fuzz.py --target manifests --seed 17 --rounds 1`.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from random import Random

import fuzz_targets

from lrldata.errors import LrlError


@dataclass
class Target:
    """A kind of input: `prepare` sets up a folder and returns a function that feeds one input."""

    name: str
    prepare: Callable[[Path], fuzz_targets.Feed]
    needs: str = "lrldata"


TARGETS = (
    Target("manifests", fuzz_targets.manifests, "hub_cards"),
    Target("records", fuzz_targets.records, "lrltrain"),
    Target("settings", fuzz_targets.settings, "lrltrain"),
    Target("cards", fuzz_targets.cards, "hub_cards"),
    Target("keys", fuzz_targets.keys),
    Target("models", fuzz_targets.models),
    Target("answers", fuzz_targets.answers, "lrltrain"),
    Target("documents", fuzz_targets.documents),
)


@dataclass
class Tally:
    """The outcomes of a target's inputs: `ended` counts "taken" and "refused", `faults` describes the faults."""

    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def run(target: Target, seeds: Iterator[int]) -> Tally:
    """Feed a target one input per seed, with a canary file outside its folder."""
    tally = Tally()
    root = Path(tempfile.mkdtemp(prefix="lrl-fuzz-"))
    try:
        folder, canary = root / "a" / "b" / "folder", root / "canary"
        folder.mkdir(parents=True)
        canary.write_text("canary", encoding="utf-8")
        feed = target.prepare(folder)
        hashes_before = outside(root, folder)
        for seed in seeds:
            try:
                with redirect_stderr(StringIO()):
                    feed(Random(seed))
                tally.ended["taken"] += 1
            except LrlError:
                tally.ended["refused"] += 1
            except Exception:  # noqa: BLE001 -- any other exception is a fault
                tally.faults.append(
                    f"--target {target.name} --seed {seed} --rounds 1\n{traceback.format_exc(limit=-3)}"
                )
            if outside(root, folder) != hashes_before:
                tally.faults.append(f"--target {target.name} --seed {seed}: wrote outside its folder")
                break
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return tally


def outside(root: Path, folder: Path) -> dict[str, str]:
    """Return the hash of each file below `root` that is outside `folder`."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(folder))
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def for_seconds(seconds: float, first: int) -> Iterator[int]:
    """Yield consecutive seeds, at least one, for a time that begins with the first, when the target is prepared."""
    deadline = time.monotonic() + seconds
    yield first
    while time.monotonic() < deadline:
        first += 1
        yield first


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="total time for all targets")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first input")
    parser.add_argument("--rounds", type=int, help="inputs per target, instead of --minutes")
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS])
    args = parser.parse_args()
    targets = [target for target in TARGETS if not args.target or target.name in args.target]
    faults: list[str] = []
    print("| input | tried | accepted | rejected with LrlError | faults |\n| --- | ---: | ---: | ---: | ---: |")
    for target in targets:
        share = for_seconds(60 * args.minutes / len(targets), args.seed)
        seeds = iter(range(args.seed, args.seed + args.rounds)) if args.rounds else share
        tally = run(target, seeds)
        tried = sum(tally.ended.values()) + len(tally.faults)
        row = (tried, tally.ended["taken"], tally.ended["refused"], len(tally.faults))
        print(f"| {target.name} | " + " | ".join(f"{count:,}" for count in row) + " |", flush=True)
        faults += tally.faults
    for fault in faults[:20]:
        print(f"\n{fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
