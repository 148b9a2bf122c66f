"""Feed what lrl reads with what nobody should write, and see that it ends in words and nowhere else.

    python tools/fuzz.py --minutes 10 --seed 1

Each target makes an input that is wrong in some way (manifests, records, settings, cards, keys of a store, models of
fastText, answers of an endpoint, documents) and gives it to the functions that read such inputs. Allowed is a result,
or an error in words (LrlError). Not allowed is any other exception, and any file written, changed or removed outside
the folder that the target works in. Prints a row a target, and exits with 1 where there was a fault; a fault can be
seen again by its seed: `python tools/fuzz.py --target manifests --seed 17 --rounds 1`.
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
    """Something to feed: `prepare` makes a folder ready and returns what feeds it once."""

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
    """What became of the inputs of a target."""

    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def run(target: Target, seeds: Iterator[int]) -> Tally:
    """Feed a target once for each seed, with a canary beside its folder."""
    tally = Tally()
    top = Path(tempfile.mkdtemp(prefix="lrl-fuzz-"))
    try:
        folder, canary = top / "a" / "b" / "folder", top / "canary"
        folder.mkdir(parents=True)
        canary.write_text("canary", encoding="utf-8")
        feed = target.prepare(folder)
        before = outside(top, folder)
        for seed in seeds:
            try:
                with redirect_stderr(StringIO()):
                    feed(Random(seed))
                tally.ended["taken"] += 1
            except LrlError:
                tally.ended["refused"] += 1
            except Exception:  # noqa: BLE001 -- that is what is looked for
                tally.faults.append(
                    f"--target {target.name} --seed {seed} --rounds 1\n{traceback.format_exc(limit=-3)}"
                )
            if outside(top, folder) != before:
                tally.faults.append(f"--target {target.name} --seed {seed}: wrote outside its folder")
                break
    finally:
        shutil.rmtree(top, ignore_errors=True)
    return tally


def outside(top: Path, folder: Path) -> dict[str, str]:
    """Return a hash of each file beside a folder."""
    files = (path for path in top.rglob("*") if path.is_file() and not path.is_relative_to(folder))
    return {str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def until(deadline: float, first: int) -> Iterator[int]:
    """Yield seeds until a time."""
    while time.monotonic() < deadline:
        yield first
        first += 1


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1, help="of the first input")
    parser.add_argument("--rounds", type=int, help="inputs a target, instead of a time")
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS])
    given = parser.parse_args()
    chosen = [target for target in TARGETS if not given.target or target.name in given.target]
    faults: list[str] = []
    print("| input | tried | taken | refused in words | faults |\n| --- | ---: | ---: | ---: | ---: |")
    for target in chosen:
        deadline = time.monotonic() + 60 * given.minutes / len(chosen)
        seeds = iter(range(given.seed, given.seed + given.rounds)) if given.rounds else until(deadline, given.seed)
        tally = run(target, seeds)
        tried = sum(tally.ended.values()) + len(tally.faults)
        row = (tried, tally.ended["taken"], tally.ended["refused"], len(tally.faults))
        print(f"| {target.name} | " + " | ".join(f"{each:,}" for each in row) + " |", flush=True)
        faults += tally.faults
    for fault in faults[:20]:
        print(f"\n{fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
