"""Compare the cleaning of web text with other tools, and its rules with a reference implementation, in one run.

    python tools/benchmarks/bench_glotcc.py                        speed, rules, near-duplicates, cores: a few minutes
    python tools/benchmarks/bench_glotcc.py --part memory          200 MB and 2 GB of text: half an hour, 3 GB of disk
    python tools/benchmarks/bench_glotcc.py DATA --mb 12 --part pipeline

DATA (default: shared/data next to the project) contains pages/LANG_Script.wikipedia.jsonl. Each tool runs --runs times
in separate processes, alternating with the others, on one core unless stated otherwise; the tables show medians (and
the best). The other tools are in the extra `bench` (pip install --constraint constraints.txt ".[bench]"); without it,
their parts are skipped. The exit status reports whether everything could be measured, not whether the targets are met.
"""

import argparse
import itertools
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import glotcc_minhash
import glotcc_rules
from glotcc_inputs import has_pages, pages, size_of, write_mixed, write_shards
from glotcc_process import CORES, Run, run, watch
from glotcc_table import Table, Targets, Times

from lrldata.langid import threshold_of
from lrldata.language import Language, find

HERE = Path(__file__).resolve()
PEERS = HERE.with_name("glotcc_peers.py")
QUICK = ("pipeline", "rules", "minhash", "cores")
OURS, PREDICTION = "`lrldata build`", "only fastText prediction"
DATATROVE = {"datatrove": "spacy", "datatrove with `str.split`": "split"}
NOT_INSTALLED = '{} is skipped: {} is not installed. Run: pip install --constraint constraints.txt ".[bench]"'


def build(language: Language, folder: Path, workers: int, out: str) -> list[str]:
    """Return the command line of a build, as users would enter it."""
    command = [sys.executable, "-m", "lrldata.cli", "build", "--lang", language.code, "--source", "web"]
    return [*command, "--input", str(folder), "--out", out, "--workers", str(workers), "--json"]


def contend(contender: str, language: Language, folder: Path) -> Run:
    """Run one of the tools on one core, with a temporary output folder."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        if contender == OURS:
            return run(build(language, folder, 1, out))
        if contender == PREDICTION:
            return run([sys.executable, str(PEERS), "fasttext", str(folder)])
        label, threshold = str(language.flores), str(threshold_of("compact", language.code))
        return run([sys.executable, str(PEERS), "datatrove", str(folder), out, label, threshold, DATATROVE[contender]])


# --- speed ---------------------------------------------------------------------------------------------------


class Speed:
    """Times of the tools on pages in some languages, and of builds with nearly no input, which measure the start-up."""

    def __init__(self, contenders: Sequence[str], folders: dict[Language, Path], runs: int) -> None:
        self.contenders, self.languages = contenders, list(folders)
        self.last: dict[tuple[str, str], dict[str, Any]] = {}
        durations: dict[tuple[str, str], list[float]] = defaultdict(list)
        startup_durations: dict[str, list[float]] = defaultdict(list)
        for _, (language, folder) in itertools.product(range(runs), folders.items()):
            for contender in contenders:
                outcome = contend(contender, language, folder / "pages")
                self.last[contender, language.code] = outcome.output
                durations[contender, language.code].append(
                    outcome.output["seconds"] if contender == PREDICTION else outcome.seconds
                )
                if contender != PREDICTION:  # it reports its own time, without start-up
                    startup_durations[contender].append(contend(contender, language, folder / "few").seconds)
        self.start = {name: Times(tuple(startup_durations[name] or [0.0])) for name in contenders}
        self.gross = {key: Times(tuple(seconds)) for key, seconds in durations.items()}

    def net(self, contender: str, codes: Sequence[str]) -> Times:
        """Return the total times for several languages, without start-up."""
        start = self.start[contender]
        first, *others = (self.gross[contender, code].less(start) for code in codes)
        return sum(others, start=first)

    def ratio(self, slow: str, fast: str) -> float:
        """Return the ratio of the median times of two tools, without start-up."""
        codes = [language.code for language in self.languages]
        return self.net(slow, codes).median / self.net(fast, codes).median

    def show(self, sizes: dict[str, float]) -> None:
        """Print one row per tool and language, and one per tool for all languages."""
        headings = (
            "",
            "language",
            "MB",
            "seconds",
            "start-up",
            "without start-up",
            "MB/s",
            "MB/s without start-up",
            "kept",
        )
        table = Table(headings).begin()
        for contender in self.contenders:
            for code, megabytes in sizes.items():
                gross, net = self.gross[contender, code], self.net(contender, [code])
                rates = (f"{megabytes / gross.median:.2f}", f"{megabytes / net.median:.2f}")
                start = f"{self.start[contender].median:.2f}"
                kept = _kept(self.last[contender, code])
                table.row(contender, code, f"{megabytes:.1f}", gross, start, net, *rates, kept)
            net, total = self.net(contender, list(sizes)), sum(sizes.values())
            table.row(contender, "all", f"{total:.1f}", "", "", net, "", f"{total / net.median:.2f}")


def _kept(output: dict[str, Any]) -> str:
    if ledger := output.get("ledger"):
        return f"{ledger['kept']['bytes'] / ledger['in']['bytes']:.0%} of bytes"
    if stages := output.get("stages"):
        counted = [documents for _, _, *documents in stages if documents[1] is not None]
        return f"{counted[-1][1] / counted[0][0]:.0%} of documents"
    return ""


def _write_inputs(data: Path, languages: Sequence[Language], limit: float, work: Path) -> dict[Language, Path]:
    """Write pages in each language, and a folder with a few pages to measure the start-up."""
    folders = {}
    for language in languages:
        folders[language] = work / f"{language.code}-{limit:.0f}"
        documents = pages(data, language, limit)
        write_shards(documents, folders[language] / "pages")
        write_shards(documents[:4], folders[language] / "few", shards=1)
    return folders


def measure_speed(
    data: Path, languages: Sequence[Language], megabytes: float, runs: int, targets: Targets, work: Path
) -> None:
    """Compare the pipeline with datatrove and with only prediction, and on all pages with only prediction."""
    print("\n## Speed on one core\n")
    missing = [name for name in ("datatrove", "orjson", "regex", "spacy", "tokenizers") if find_spec(name) is None]
    if missing:
        print(NOT_INSTALLED.format("datatrove", ", ".join(missing)), end="\n\n")
    bytes_per_language = megabytes * 1e6 / len(languages)
    for subset, limit, with_datatrove in (
        ("Part of the pages", bytes_per_language, not missing),
        ("All pages", float("inf"), False),
    ):
        folders = _write_inputs(data, languages, limit, work)
        sizes = {language.code: size_of(pages(data, language, limit)) / 1e6 for language in languages}
        speed = Speed([OURS, PREDICTION, *(DATATROVE if with_datatrove else ())], folders, runs)
        print(f"{subset}, the same for all tools. Ratios use times without start-up.\n")
        speed.show(sizes)
        if with_datatrove:
            _show_stages(speed)
            plain, with_split = DATATROVE
            targets.at_least("speed: time of datatrove / `lrldata build`", speed.ratio(plain, OURS), 25, " x")
            targets.note(f"speed: time of {with_split} / `lrldata build`", speed.ratio(with_split, OURS), " x")
        if limit > bytes_per_language:
            targets.at_most(
                "speed: time of `lrldata build` / only fastText prediction", speed.ratio(OURS, PREDICTION), 1.8, " x"
            )
        print()


def _show_stages(speed: Speed) -> None:
    """Print the time of datatrove's stages over all languages."""
    for contender, splitter in DATATROVE.items():
        seconds: dict[str, float] = defaultdict(float)
        documents: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for language in speed.languages:
            for name, stage_seconds, documents_in, documents_out in speed.last[contender, language.code]["stages"]:
                seconds[name] += stage_seconds
                if documents_out is not None:
                    documents[name] = [documents[name][0] + documents_in, documents[name][1] + documents_out]
        total = sum(seconds.values())
        tokenizer = "spaCy's `xx`, which datatrove uses for most languages" if splitter == "spacy" else "`str.split`"
        print(f"\nTime of datatrove's stages; words are split by {tokenizer}.\n")
        table = Table(("stage", "seconds", "share", "documents in", "documents out")).begin()
        for name, stage_seconds in seconds.items():
            table.row(name, f"{stage_seconds:.2f}", f"{stage_seconds / total:.0%}", *documents.get(name, ()))
    print()


# --- cores and memory ----------------------------------------------------------------------------------------


def measure_cores(data: Path, language: Language, megabytes: int, runs: int, targets: Targets, work: Path) -> None:
    """Compare two workers on two cores with one worker on one core."""
    print("\n## Cores\n")
    if len(CORES) < 2:
        print("Skipped: there is only one core.")
        return
    folder = work / "cores"
    size = write_mixed(pages(data, language), folder, megabytes * 1_000_000, seed=1, shard=4_000_000) / 1e6
    durations: dict[int, list[float]] = defaultdict(list)
    for _, workers in itertools.product(range(runs), (1, 2)):
        with tempfile.TemporaryDirectory(dir=work) as out:
            durations[workers].append(run(build(language, folder, workers, out), cores=workers).seconds)
    print(f"`lrldata build` of {size:.0f} MB in shards of 4 MB, including start-up.\n")
    table = Table(("workers and cores", "seconds", "MB/s")).begin()
    times = {workers: Times(tuple(seconds)) for workers, seconds in durations.items()}
    for workers, seconds in times.items():
        table.row(workers, seconds, f"{size / seconds.median:.2f}")
    targets.at_least("cores: time with one / with two", times[1].median / times[2].median, 1.8, " x")


def measure_memory(data: Path, language: Language, sizes: Sequence[int], targets: Targets, work: Path) -> None:
    """Compare the peak memory of builds from little and much text."""
    print(f"\n## Memory\n\n`lrldata build` on {len(CORES)} cores with as many workers; memory in MB.\n")
    table = Table(("MB of text", "seconds", "peak of all processes (PSS)", "peak of the largest process (RSS)")).begin()
    peaks = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=work) as out:
            folder = Path(out) / "in"
            written = write_mixed(pages(data, language), folder, size * 1_000_000, seed=1) / 1e6
            peak = watch(build(language, folder, len(CORES), f"{out}/out"))
        note = " when killed to protect the machine" if peak.ended else ""
        table.row(f"{written:,.0f}", f"{peak.seconds:.0f}", f"{peak.together:,.0f}{note}", f"{peak.largest:,.0f}")
        peaks.append(float("inf") if peak.ended else peak.together)
    targets.at_most(f"memory: {sizes[-1]:,} MB of text / {sizes[0]:,} MB", peaks[-1] / peaks[0], 1.25, " x")
    targets.at_most(f"memory: {sizes[-1]:,} MB of text", peaks[-1] / 1000, 2, " GB")


def main() -> None:
    """Run the selected parts and print the targets at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=HERE.parents[3] / "shared" / "data")
    parser.add_argument("--mb", type=float, default=6, help="MB of text for all tools")
    parser.add_argument("--part", choices=[*QUICK, "memory", "all"], help="default: all except memory")
    parser.add_argument("--lang", default="mt,ug")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores-mb", type=int, default=512, help="MB of text for the comparison of cores")
    parser.add_argument(
        "--memory-mb", default="200,2000", help="MB of text for the measurements of memory, separated by commas"
    )
    parser.add_argument("--folder", type=Path, help="folder for temporary inputs and outputs")
    args = parser.parse_args()
    languages = [find(code) for code in args.lang.split(",")]
    if missing := [language.code for language in languages if not has_pages(args.data, language)]:
        sys.exit(f"{args.data}: contains no pages in {', '.join(missing)}.")
    parts = {None: QUICK, "all": (*QUICK, "memory")}.get(args.part, (args.part,))
    targets = Targets()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        work = Path(folder)
        if "pipeline" in parts:
            measure_speed(args.data, languages, args.mb, args.runs, targets, work)
        if "rules" in parts:
            glotcc_rules.compare(args.data, languages, args.mb, targets)
        if "minhash" in parts and find_spec("datasketch") is None:
            print("\n## Near-duplicates\n\n" + NOT_INSTALLED.format("This part", "datasketch"))
        elif "minhash" in parts:
            glotcc_minhash.compare(args.data, languages, args.mb * 4, args.runs, targets)
        if "cores" in parts:
            measure_cores(args.data, languages[0], args.cores_mb, args.runs, targets, work)
        if "memory" in parts:
            sizes = [int(size) for size in args.memory_mb.split(",")]
            measure_memory(args.data, languages[0], sizes, targets, work)
    targets.show()


if __name__ == "__main__":
    main()
