"""Kill a group fit at random moments, and see that it ends in the bytes of an undisturbed one.

    python tools/torture_fit.py [--kills 20] [--seed 1]

Three languages are trained together on made-up text, with lrl-mini, in a folder of its own. Prints how many times the
run was killed, and at which steps it went on; exits with 1 where a file differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SAME = ("adapter.safetensors", "pytorch_adapter.bin", "log.json", "adapter_config.json")


def main() -> None:
    """Run both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as top:
        text, draw = Path(top, "text.txt"), random.Random(given.seed)
        words = ["".join(draw.choices("abcdeilmnorstu", k=draw.randint(2, 8))) for _ in range(40)]
        text.write_text("\n".join(" ".join(draw.choices(words, k=draw.randint(3, 20))) for _ in range(400)), "utf-8")
        command = [
            *("fit", "--lang", "ro,mt,ug", "--text", str(text), "--base", "lrl-mini", "--batch-size", "4"),
            *("--steps", "240", "--max-length", "64", "--eval-every", "8", "--learning-rate", "5e-3"),
            *("--cache", str(Path(top, "cache"))),
        ]
        killed = torture([*command, "--out", str(Path(top, "killed"))], given.kills, given.seed)
        torture([*command, "--out", str(Path(top, "whole"))], 0, 0)
        apart = differing(Path(top, "whole"), Path(top, "killed"))
    print(f"killed {killed} times; {', '.join(apart) + ' differ' if apart else 'the same bytes'}")
    sys.exit(bool(apart))


def torture(arguments: Sequence[str], kills: int, seed: int, shortest: float = 3.0, longest: float = 7.0) -> int:
    """Start `lrltrain` until it has ended well, and kill it at random moments before; returns how often it was."""
    draw, done = random.Random(seed), 0
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    while True:
        command = [sys.executable, "-m", "lrltrain.cli", *arguments, "--quiet"]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as process:
            try:
                _, errors = process.communicate(timeout=draw.uniform(shortest, longest) if done < kills else None)
            except subprocess.TimeoutExpired:
                process.kill()
                done += 1
                continue
        if process.returncode:
            raise SystemExit(f"the run failed: {errors}")
        return done


def differing(whole: Path, other: Path) -> list[str]:
    """Return the files of adapters that differ between two workspaces, or are missing in one."""
    found = []
    for manifest in sorted(whole.rglob("manifest.json")):
        folder = manifest.parent.relative_to(whole)
        found += [
            str(folder / name)
            for name in SAME
            if not (other / folder / name).is_file()
            or (whole / folder / name).read_bytes() != (other / folder / name).read_bytes()
        ]
        if not found and json.loads(manifest.read_text("utf-8"))["recipe"] != _recipe(other / folder):
            found.append(str(folder / "manifest.json"))
    return found + [str(path.relative_to(other)) for path in other.rglob("*.run")]


def _recipe(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text("utf-8"))["recipe"])


if __name__ == "__main__":
    main()
