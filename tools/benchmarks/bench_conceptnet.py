"""Time the way from dump to datasets, against `zcat` and against two other ways, in one run.

    python tools/benchmarks/bench_conceptnet.py            3.4 million lines
    python tools/benchmarks/bench_conceptnet.py --full     34 million, the size of ConceptNet 5.7

Every figure is the median over --runs child processes, each held to one or two cores; peak memory is the
child's. The peers are run on every tenth line of the dump and scaled by lines: at least so long they would take.
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
PEER_SHARE = 10  # the peers get every tenth line


@dataclass(frozen=True)
class Run:
    """Wall-clock seconds, peak memory in MB, and what the child reported as its own seconds (without start-up)."""

    seconds: float
    megabytes: float
    inner: float


def child(step: str, cores: int, *arguments: str) -> Run:
    """Run one step of this file in a process of its own on the last `cores` cores."""
    environment = os.environ | {"POLARS_MAX_THREADS": str(cores)}
    allowed = sorted(ALL_CORES)[-cores:]
    began = time.perf_counter()
    os.sched_setaffinity(0, allowed)  # which the child inherits
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
    every = sorted((child(step, cores, *arguments) for _ in range(runs)), key=lambda run: run.inner)
    return every[(len(every) - 1) // 2]


# --- the steps, each run in a child process ---------------------------------------------------------------


def step_zcat(dump: Path) -> None:
    """Inflate the dump and throw the text away."""
    subprocess.run(["zcat", str(dump)], stdout=subprocess.DEVNULL, check=True)


def step_pass(dump: Path, origin: bool) -> None:
    """Make the Parquet of the index in one pass, with or without dataset and licence."""
    from lrldata.conceptnet.index import write_index
    from lrldata.conceptnet.read import scan_dump
    from lrldata.progress import Progress

    with tempfile.TemporaryDirectory(dir=dump.parent) as folder:
        write_index(scan_dump(dump), Path(folder) / "edges.parquet", Progress(quiet=True), origin=origin)


def step_index(dump: Path, cache: Path) -> None:
    """Make the index as `lrldata` does: hash of the dump, pass, checks, counts, manifest."""
    from lrldata.conceptnet.index import make_index

    shutil.rmtree(cache, ignore_errors=True)
    make_index(dump, cache)


def step_build(index: Path, languages: str, out: Path) -> None:
    """Build languages from the index: sentences, splits, shards, cards, manifests."""
    from lrldata.conceptnet.build import build
    from lrldata.conceptnet.config import BuildConfig
    from lrldata.progress import Progress

    build(BuildConfig(lang=languages, index=index, out=out, force=True), Progress(quiet=True))


def step_plain(dump: Path, languages: str, out: Path) -> None:
    """Read the dump line by line in plain Python, as the paper's scripts do, and write sentences for the languages."""
    from lrldata.conceptnet.verbalize import built_in
    from lrldata.language import parse

    predicates = {f"/r/{name}": phrasings[0] for name, phrasings in built_in("paper").relations.items()}
    codes = {language.conceptnet for language in parse(languages)}
    sentences: dict[str, list[tuple[str, float]]] = {code: [] for code in codes if code}
    csv.field_size_limit(1 << 30)
    with gzip.open(dump, "rt", encoding="utf-8", newline="") as lines:
        for _, relation, start, end, metadata in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            weight = json.loads(metadata)["weight"]
            node = start.split("/")
            if node[2] in sentences and relation in predicates:
                said = predicates[relation].replace("{start}", node[3].replace("_", " "))
                said = said.replace("{end}", end.split("/")[3].replace("_", " "))
                sentences[node[2]].append((said, weight))
    for code, found in sentences.items():
        random.Random(42).shuffle(found)
        (out / f"{code}.txt").write_text("".join(f"{said}\n" for said, _ in found), encoding="utf-8")


def step_conceptnet_lite(dump: Path, out: Path) -> None:
    """Build conceptnet-lite's database from the part."""
    from conceptnet_lite.db import load_dump_to_db

    plain = out / "part.csv"
    with gzip.open(dump, "rb") as zipped, plain.open("wb") as text:
        shutil.copyfileobj(zipped, text)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        load_dump_to_db(plain, out / "conceptnet.db", delete_dump=False)


def run_step(step: str, arguments: list[str]) -> None:
    """Run one step and print its seconds, imports not counted."""
    import lrldata.conceptnet.build  # noqa: F401 - the start-up is not what is timed here

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
        case "plain", [dump, languages, out]:
            step_plain(Path(dump), languages, Path(out))
        case "lite", [dump, out]:
            step_conceptnet_lite(Path(dump), Path(out))
    print(time.perf_counter() - began)


# --- the report --------------------------------------------------------------------------------------------


def part_of(dump: Path, out: Path) -> int:
    """Write every tenth line of the dump; return how many."""
    count = 0
    with gzip.open(dump, "rb") as source, gzip.open(out, "wb", compresslevel=6) as part:
        for number, line in enumerate(source):
            if number % PEER_SHARE == 0:
                part.write(line)
                count += 1
    return count


def on(cores: int) -> str:
    """Name a number of cores."""
    return "1 core" if cores == 1 else f"{cores} cores"


def report(lines: int, seed: int, runs: int, folder: Path) -> bool:
    """Measure, print the table, and return whether every target was met."""
    folder.mkdir(parents=True, exist_ok=True)
    dump = folder / f"dump-{lines}-{seed}.csv.gz"
    if not dump.exists():
        print(f"Making a dump of {lines:,} lines ...", flush=True)
        make_dump(dump.with_suffix(".partial"), lines, seed)
        dump.with_suffix(".partial").rename(dump)
    work = Path(tempfile.mkdtemp(dir=folder))
    print(f"\n{lines:,} lines, {dump.stat().st_size:,} bytes; x: times `zcat` of it on one core, run just before\n")
    print(f"{'':<94}{'':>9}{'seconds':>11}{'memory':>10}   target")
    met: list[bool] = []

    def row(what: str, value: str, run: Run, target: str = "", good: bool | None = None, scale: float = 1.0) -> None:
        met.append(good is not False)
        verdict = "" if good is None else "met" if good else "MISSED"
        figures = f"{run.inner * scale:>9.2f} s{run.megabytes:>7,.0f} MB"
        print(f"{what:<94}{value:>9}{figures}   {target:<10} {verdict}".rstrip(), flush=True)

    zcats: list[float] = []
    for cores, targets in ((1, (1.0, 1.25)), (2, (0.65, 0.8))):
        for origin, target in zip(("without-origin", "with-origin"), targets, strict=True):
            pairs = [(child("zcat", 1, str(dump)), child("pass", cores, str(dump), origin)) for _ in range(runs)]
            zcats += [zcat.inner for zcat, _ in pairs]
            ratio = statistics.median(run.inner / zcat.inner for zcat, run in pairs)
            run = sorted((run for _, run in pairs), key=lambda run: run.inner)[(runs - 1) // 2]
            what = "index pass, with dataset and licence" if origin == "with-origin" else "index pass"
            row(f"{what}, {on(cores)}", f"{ratio:.2f} x", run, f"<= {target} x", ratio <= target)
            row("    peak memory", f"{run.megabytes:,.0f} MB", run, "< 500 MB", run.megabytes < 500)
    zcat = statistics.median(zcats)
    ours: dict[int, tuple[Run, Run]] = {}
    for cores in (1, 2):
        whole = median("index", runs, cores, str(dump), str(work / "cache"))
        row(f"`lrldata index` (hash, pass, checks, counts), {on(cores)}", f"{whole.inner / zcat:.2f} x", whole)
        index = next((work / "cache" / "conceptnet" / "index").glob("*/manifest.json")).parent
        for languages, name, target in (("ug", "one language", 1), ("paper", "30 languages", 8)):
            run = median("build", runs, cores, str(index), languages, str(work / "out"))
            row(f"{name} from the index, {on(cores)}", f"{run.inner:.2f} s", run, f"< {target} s", run.inner < target)
        ours[cores] = whole, run

    part = work / "part.csv.gz"
    peer_lines = part_of(dump, part)
    scale = lines / peer_lines
    print(f"\nOther ways, on {peer_lines:,} lines, times {scale:.1f} (each runs on one core, whatever there is)")
    one = child("plain", 1, str(part), "ro", str(work))
    many = child("plain", 1, str(part), "paper", str(work))
    lite = child("lite", 1, str(part), str(work))
    for cores, (whole, thirty) in ours.items():
        total = whole.inner + thirty.inner
        ratio = 30 * one.inner * scale / total
        what = f"against our {total:.1f} s to 30 languages, {on(cores)}"
        row(
            f"plain Python, a pass a language as the paper, {what}",
            f"{ratio:.0f} x",
            one,
            ">= 10 x",
            ratio >= 10,
            30 * scale,
        )
        row(f"plain Python, one pass for all 30, {what}", f"{many.inner * scale / total:.1f} x", many, scale=scale)
        ratio = lite.inner * scale / whole.inner
        what = f"against our {whole.inner:.1f} s to the index, {on(cores)}"
        row(f"conceptnet-lite's database, {what}", f"{ratio:.0f} x", lite, ">= 70 x", ratio >= 70, scale)
    shutil.rmtree(work)
    print(f"\n{'All targets met.' if all(met) else 'Not every target was met.'}")
    return all(met)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="34 million lines instead of 3.4")
    parser.add_argument("--lines", type=int, default=3_400_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("bench"), help="where the dump is kept")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run_step(options.step, options.arguments)
        return
    sys.exit(0 if report(FULL if options.full else options.lines, options.seed, options.runs, options.folder) else 1)


if __name__ == "__main__":
    main()
