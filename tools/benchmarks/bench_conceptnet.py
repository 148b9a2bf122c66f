"""Time the steps from dump to datasets, and compare them with `zcat` and two alternatives, in one run.

    python tools/benchmarks/bench_conceptnet.py            3.4 million lines
    python tools/benchmarks/bench_conceptnet.py --full     34 million, the size of ConceptNet 5.7

Every figure is the median over --runs child processes, each restricted to one or two cores; peak memory is the child's.
The alternatives run on every tenth line of the dump, and their times are multiplied accordingly, which gives a lower
bound. The exit status reports whether everything could be measured, not whether the targets are met.
"""

import argparse
import csv
import gzip
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from make_dump import FULL, make_dump

HERE = Path(__file__).resolve()
ALL_CORES = os.sched_getaffinity(0)
PEER_SHARE = 10  # the alternatives get every tenth line


@dataclass(frozen=True)
class Run:
    """Wall-clock seconds, peak memory in MB, and the seconds reported by the child itself, without start-up."""

    seconds: float
    megabytes: float
    inner: float


def child(step: str, cores: int, *arguments: str) -> Run:
    """Run one step of this file in a separate process on the last `cores` cores."""
    environment = os.environ | {"POLARS_MAX_THREADS": str(cores)}
    allowed = sorted(ALL_CORES)[-cores:]
    began = time.perf_counter()
    os.sched_setaffinity(0, allowed)  # inherited by the child
    process = subprocess.Popen(
        [sys.executable, str(HERE), "--step", step, *arguments], stdout=subprocess.PIPE, env=environment
    )
    os.sched_setaffinity(0, ALL_CORES)
    assert process.stdout is not None
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"step {step} failed")
    return Run(seconds, usage.ru_maxrss / 1024, float(output.split()[-1]))


def median(step: str, runs: int, cores: int, *arguments: str) -> Run:
    """Return the run with the median inner seconds."""
    all_runs = sorted((child(step, cores, *arguments) for _ in range(runs)), key=lambda run: run.inner)
    return all_runs[(len(all_runs) - 1) // 2]


# --- the steps, each run in a child process ---------------------------------------------------------------


def step_zcat(dump: Path) -> None:
    """Decompress the dump and discard the text."""
    subprocess.run(["zcat", str(dump)], stdout=subprocess.DEVNULL, check=True)


def step_pass(dump: Path, origin: bool) -> None:
    """Write the index's Parquet file in one pass, with or without dataset and licence."""
    from lrldata.conceptnet.index import write_index
    from lrldata.conceptnet.read import scan_dump
    from lrldata.progress import Progress

    with tempfile.TemporaryDirectory(dir=dump.parent) as folder:
        write_index(scan_dump(dump), Path(folder) / "edges.parquet", Progress(quiet=True), origin=origin)


def step_index(dump: Path, cache: Path) -> None:
    """Make the index like `lrldata index`: hash of the dump, pass, checks, counts, manifest."""
    from lrldata.conceptnet.index import make_index

    shutil.rmtree(cache, ignore_errors=True)
    make_index(dump, cache)


def step_build(index: Path, languages: str, out: Path) -> None:
    """Build languages from the index: sentences, splits, shards, cards, manifests."""
    from lrldata.conceptnet.build import build
    from lrldata.conceptnet.config import BuildConfig
    from lrldata.progress import Progress

    build(BuildConfig(lang=languages, index=index, out=out, force=True), Progress(quiet=True))


def step_plain(dump: Path, languages: str, out: Path, parsed: str) -> None:
    """Read the dump once, line by line in plain Python, and write sentences in the languages.

    `parsed` says of which edges the JSON column is parsed: `all`, like the paper's scripts, or those that `match`.
    """
    from lrldata.conceptnet.template_sets import built_in
    from lrldata.language import parse

    predicates = {f"/r/{name}": phrasings[0] for name, phrasings in built_in("paper").relations.items()}
    codes = {language.conceptnet for language in parse(languages)}
    sentences: dict[str, list[tuple[str, float]]] = {code: [] for code in codes if code}
    csv.field_size_limit(1 << 30)
    with gzip.open(dump, "rt", encoding="utf-8", newline="") as lines:
        for _, relation, start, end, metadata in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            weight = json.loads(metadata)["weight"] if parsed == "all" else None
            node = start.split("/")
            if node[2] in sentences and relation in predicates:
                weight = json.loads(metadata)["weight"] if weight is None else weight
                sentence = predicates[relation].replace("{start}", node[3].replace("_", " "))
                sentence = sentence.replace("{end}", end.split("/")[3].replace("_", " "))
                sentences[node[2]].append((sentence, weight))
    for code, weighted in sentences.items():
        random.Random(42).shuffle(weighted)
        (out / f"{code}.txt").write_text("".join(f"{sentence}\n" for sentence, _ in weighted), encoding="utf-8")


def step_conceptnet_lite(dump: Path, out: Path) -> None:
    """Build conceptnet-lite's database from a part of the dump."""
    from conceptnet_lite.db import load_dump_to_db

    plain = out / "part.csv"
    with gzip.open(dump, "rb") as compressed, plain.open("wb") as text:
        shutil.copyfileobj(compressed, text)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        load_dump_to_db(plain, out / "conceptnet.db", delete_dump=False)


def run_step(step: str, arguments: list[str]) -> None:
    """Run one step and print its seconds without imports."""
    import lrldata.conceptnet.build  # noqa: F401 - imported before the clock starts

    began = time.perf_counter()
    match step, arguments:
        case "zcat", [dump]:
            step_zcat(Path(dump))
        case "pass", [dump, origin]:
            step_pass(Path(dump), origin == "with-origin")
        case "index", [dump, cache]:
            step_index(Path(dump), Path(cache))
        case "build", [index, languages, out]:
            step_build(Path(index), languages, Path(out))
        case "plain", [dump, languages, out, parsed]:
            step_plain(Path(dump), languages, Path(out), parsed)
        case "lite", [dump, out]:
            step_conceptnet_lite(Path(dump), Path(out))
    print(time.perf_counter() - began)


# --- the report --------------------------------------------------------------------------------------------


def part_of(dump: Path, out: Path) -> int:
    """Write every tenth line of the dump and return their number."""
    count = 0
    with gzip.open(dump, "rb") as source, gzip.open(out, "wb", compresslevel=6) as part:
        for number, line in enumerate(source):
            if number % PEER_SHARE == 0:
                part.write(line)
                count += 1
    return count


def on(cores: int) -> str:
    """Return a number of cores in words."""
    return "1 core" if cores == 1 else f"{cores} cores"


def report(lines: int, seed: int, runs: int, folder: Path) -> None:
    """Measure, and print the table with the targets that were met."""
    folder.mkdir(parents=True, exist_ok=True)
    dump = folder / f"dump-{lines}-{seed}.csv.gz"
    if not dump.exists():
        print(f"Making a dump of {lines:,} lines ...", flush=True)
        make_dump(dump.with_suffix(".partial"), lines, seed)
        dump.with_suffix(".partial").rename(dump)
    work = Path(tempfile.mkdtemp(dir=folder))
    print(f"\n{lines:,} lines, {dump.stat().st_size:,} bytes; x: relative to `zcat` on one core, run just before\n")
    print(f"{'':<94}{'':>9}{'seconds':>11}{'memory':>10}   target")
    verdicts: list[bool] = []

    def row(label: str, value: str, run: Run, target: str = "", is_met: bool | None = None, scale: float = 1.0) -> None:
        verdicts.append(is_met is not False)
        verdict = "" if is_met is None else "met" if is_met else "MISSED"
        figures = f"{run.inner * scale:>9.2f} s{run.megabytes:>7,.0f} MB"
        print(f"{label:<94}{value:>9}{figures}   {target:<10} {verdict}".rstrip(), flush=True)

    zcats: list[float] = []
    for cores, targets in ((1, (1.0, 1.25)), (2, (0.65, 0.8))):
        for origin, target in zip(("without-origin", "with-origin"), targets, strict=True):
            pairs = [(child("zcat", 1, str(dump)), child("pass", cores, str(dump), origin)) for _ in range(runs)]
            zcats += [zcat.inner for zcat, _ in pairs]
            ratio = statistics.median(run.inner / zcat.inner for zcat, run in pairs)
            run = sorted((run for _, run in pairs), key=lambda run: run.inner)[(runs - 1) // 2]
            label = "index pass, with dataset and licence" if origin == "with-origin" else "index pass"
            row(f"{label}, {on(cores)}", f"{ratio:.2f} x", run, f"<= {target} x", ratio <= target)
            row("    peak memory", f"{run.megabytes:,.0f} MB", run, "< 500 MB", run.megabytes < 500)
    zcat = statistics.median(zcats)
    own_runs: dict[int, tuple[Run, Run]] = {}
    for cores in (1, 2):
        index_run = median("index", runs, cores, str(dump), str(work / "cache"))
        row(f"`lrldata index` (hash, pass, checks, counts), {on(cores)}", f"{index_run.inner / zcat:.2f} x", index_run)
        index = next((work / "cache" / "conceptnet" / "index").glob("*/manifest.json")).parent
        for languages, name, target in (("ug", "one language", 1), ("paper", "30 languages", 8)):
            run = median("build", runs, cores, str(index), languages, str(work / "out"))
            row(f"{name} from the index, {on(cores)}", f"{run.inner:.2f} s", run, f"< {target} s", run.inner < target)
        own_runs[cores] = index_run, run

    part = work / "part.csv.gz"
    peer_lines = part_of(dump, part)
    scale = lines / peer_lines
    print(f"\nAlternatives on {peer_lines:,} lines, times {scale:.1f} (each runs on one core)")
    plain = {parsed: median("plain", runs, 1, str(part), "paper", str(work), parsed) for parsed in ("all", "match")}
    lite = child("lite", 1, str(part), str(work))
    for cores, (index_run, build_run) in own_runs.items():
        total = index_run.inner + build_run.inner
        label = f"vs. our {total:.1f} s for 30 languages, {on(cores)}"
        for parsed, description in (("all", "all JSON parsed"), ("match", "JSON of matching edges parsed")):
            run = plain[parsed]
            row(f"plain Python, {description}, {label}", f"{run.inner * scale / total:.1f} x", run, scale=scale)
        ratio = lite.inner * scale / index_run.inner
        label = f"vs. our {index_run.inner:.1f} s for the index, {on(cores)}"
        row(f"conceptnet-lite's database, {label}", f"{ratio:.0f} x", lite, ">= 70 x", ratio >= 70, scale)
    shutil.rmtree(work)
    print(f"\n{'All targets met.' if all(verdicts) else 'Some targets were missed.'}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="34 million lines instead of 3.4")
    parser.add_argument("--lines", type=int, default=3_400_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("bench"), help="folder to keep the dump in")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run_step(options.step, options.arguments)
        return
    report(FULL if options.full else options.lines, options.seed, options.runs, options.folder)


if __name__ == "__main__":
    main()
