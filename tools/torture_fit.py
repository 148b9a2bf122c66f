"""Kill a group fit at random times, and check that it ends with the same bytes as an undisturbed one.

    python tools/torture_fit.py [--kills 20] [--seed 1]

Trains three languages together on generated text, with lrl-mini, in a temporary folder. Prints how many times the run
was killed and which files differ; exits with 1 if a file differs.
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
    """Run a killed and an undisturbed fit, and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text, generator = Path(folder, "text.txt"), random.Random(args.seed)
        words = ["".join(generator.choices("abcdeilmnorstu", k=generator.randint(2, 8))) for _ in range(40)]
        text.write_text(
            "\n".join(" ".join(generator.choices(words, k=generator.randint(3, 20))) for _ in range(400)), "utf-8"
        )
        command = [
            *("fit", "--lang", "ro,mt,ug", "--text", str(text), "--base", "lrl-mini", "--batch-size", "4"),
            *("--steps", "240", "--max-length", "64", "--eval-every", "8", "--learning-rate", "5e-3"),
            *("--cache", str(Path(folder, "cache"))),
        ]
        killed = torture([*command, "--out", str(Path(folder, "killed"))], args.kills, args.seed)
        torture([*command, "--out", str(Path(folder, "whole"))], 0, 0)
        differences = differing(Path(folder, "whole"), Path(folder, "killed"))
    print(f"killed {killed} times; {', '.join(differences) + ' differ' if differences else 'the same bytes'}")
    sys.exit(bool(differences))


def torture(arguments: Sequence[str], kills: int, seed: int, shortest: float = 3.0, longest: float = 7.0) -> int:
    """Start `lrltrain` until it finishes, killing it `kills` times at random moments; return the number of kills."""
    generator, killed = random.Random(seed), 0
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    while True:
        command = [sys.executable, "-m", "lrltrain.cli", *arguments, "--quiet"]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as process:
            try:
                _, errors = process.communicate(
                    timeout=generator.uniform(shortest, longest) if killed < kills else None
                )
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
                continue
        if process.returncode:
            raise SystemExit(f"the run failed: {errors}")
        return killed


def differing(whole: Path, other: Path) -> list[str]:
    """Return the adapter files that differ between two workspaces or are missing in one."""
    differences = []
    for manifest in sorted(whole.rglob("manifest.json")):
        folder = manifest.parent.relative_to(whole)
        differences += [
            str(folder / name)
            for name in SAME
            if not (other / folder / name).is_file()
            or (whole / folder / name).read_bytes() != (other / folder / name).read_bytes()
        ]
        if not differences and json.loads(manifest.read_text("utf-8"))["recipe"] != _recipe(other / folder):
            differences.append(str(folder / "manifest.json"))
    return differences + [str(path.relative_to(other)) for path in other.rglob("*.run")]


def _recipe(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text("utf-8"))["recipe"])


if __name__ == "__main__":
    main()
