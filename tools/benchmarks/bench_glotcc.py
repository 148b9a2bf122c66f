"""Time the cleaning of web text, against other ways, and compare its rules with a plain statement of them, in one run.

    python tools/benchmarks/bench_glotcc.py                        speed, rules, near-duplicates, cores: some minutes
    python tools/benchmarks/bench_glotcc.py --part memory          200 MB and 2 GB of text: half an hour, 3 GB of disk
    python tools/benchmarks/bench_glotcc.py DATA --mb 12 --part pipeline

DATA (default: shared/data beside the project) has pages/LANG_Script.wikipedia.jsonl. Every contender runs in processes
of its own, on one core unless said otherwise, in turn with the others, --runs times; shown are medians (and the best).
Peers are of the extra `bench` (pip install --constraint constraints.txt ".[bench]"); without it their parts are
left out. The exit status says whether all could be measured, not whether the targets are met.
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
OURS, BARE = "ours: `lrldata build`", "bare fastText prediction"
DATATROVE = {"datatrove": "spacy", "datatrove, words by `str.split`": "split"}
WITHOUT = '{} is left out: {} is not installed. Do: pip install --constraint constraints.txt ".[bench]"'


def build(language: Language, folder: Path, workers: int, out: str) -> list[str]:
    """Return the command of a build, as users give it."""
    command = [sys.executable, "-m", "lrldata.cli", "build", "--lang", language.code, "--source", "web"]
    return [*command, "--input", str(folder), "--out", out, "--workers", str(workers), "--json"]


def contend(contender: str, language: Language, folder: Path) -> Run:
    """Run one of the contenders on one core, into a folder that is thrown away."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        if contender == OURS:
            return run(build(language, folder, 1, out))
        if contender == BARE:
            return run([sys.executable, str(PEERS), "fasttext", str(folder)])
        label, threshold = str(language.flores), str(threshold_of("compact", language.code))
        return run([sys.executable, str(PEERS), "datatrove", str(folder), out, label, threshold, DATATROVE[contender]])


# --- speed ---------------------------------------------------------------------------------------------------


class Speed:
    """Times of contenders on the pages of some languages; of builds also those of next to no input: their start-up."""

    def __init__(self, contenders: Sequence[str], folders: dict[Language, Path], runs: int) -> None:
        self.contenders, self.languages = contenders, list(folders)
        self.last: dict[tuple[str, str], dict[str, Any]] = {}
        taken: dict[tuple[str, str], list[float]] = defaultdict(list)
        started: dict[str, list[float]] = defaultdict(list)
        for _, (language, folder) in itertools.product(range(runs), folders.items()):
            for contender in contenders:
                done = contend(contender, language, folder / "pages")
                self.last[contender, language.code] = done.output
                taken[contender, language.code].append(done.output["seconds"] if contender == BARE else done.seconds)
                if contender != BARE:  # which times itself
                    started[contender].append(contend(contender, language, folder / "few").seconds)
        self.start = {name: Times(tuple(started[name] or [0.0])) for name in contenders}
        self.gross = {key: Times(tuple(seconds)) for key, seconds in taken.items()}

    def net(self, contender: str, codes: Sequence[str]) -> Times:
        """Return the times of languages together, less start-up."""
        start = self.start[contender]
        first, *others = (self.gross[contender, code].less(start) for code in codes)
        return sum(others, start=first)

    def ratio(self, slow: str, fast: str) -> float:
        """Return how many times as long one takes as another, both less start-up, medians."""
        codes = [language.code for language in self.languages]
        return self.net(slow, codes).median / self.net(fast, codes).median

    def show(self, sizes: dict[str, float]) -> None:
        """Print a line a contender and language, and one for all languages."""
        head = ("", "language", "MB", "seconds", "start-up", "less start-up", "MB/s", "MB/s less start-up", "kept")
        table = Table(head).begin()
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


def _write_inputs(data: Path, languages: Sequence[Language], most: float, work: Path) -> dict[Language, Path]:
    """Write pages of each language, and a few for the start-up."""
    folders = {}
    for language in languages:
        folders[language] = work / f"{language.code}-{most:.0f}"
        documents = pages(data, language, most)
        write_shards(documents, folders[language] / "pages")
        write_shards(documents[:4], folders[language] / "few", shards=1)
    return folders


def measure_speed(
    data: Path, languages: Sequence[Language], megabytes: float, runs: int, targets: Targets, work: Path
) -> None:
    """Compare the pipeline with datatrove's, and with bare prediction; on all pages with bare prediction once more."""
    print("\n## Speed on one core\n")
    missing = [name for name in ("datatrove", "orjson", "regex", "spacy", "tokenizers") if find_spec(name) is None]
    if missing:
        print(WITHOUT.format("datatrove", ", ".join(missing)), end="\n\n")
    each = megabytes * 1e6 / len(languages)
    for what, most, peers in (("all contenders", each, not missing), ("all pages", float("inf"), False)):
        folders = _write_inputs(data, languages, most, work)
        sizes = {language.code: size_of(pages(data, language, most)) / 1e6 for language in languages}
        speed = Speed([OURS, BARE, *(DATATROVE if peers else ())], folders, runs)
        print(f"The same documents for {what}. Ratios are of the times less start-up.\n")
        speed.show(sizes)
        if peers:
            _show_stages(speed)
            plain, split = DATATROVE
            targets.at_least("speed: datatrove / ours, time", speed.ratio(plain, OURS), 25, " x")
            targets.note(f"speed: {split} / ours, time", speed.ratio(split, OURS), " x")
        if most > each:
            targets.at_most("speed: ours / bare prediction, time", speed.ratio(OURS, BARE), 1.8, " x")
        print()


def _show_stages(speed: Speed) -> None:
    """Print where datatrove spends its time, over all languages."""
    for contender, words in DATATROVE.items():
        seconds: dict[str, float] = defaultdict(float)
        documents: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for language in speed.languages:
            for name, taken, came, went in speed.last[contender, language.code]["stages"]:
                seconds[name] += taken
                if went is not None:
                    documents[name] = [documents[name][0] + came, documents[name][1] + went]
        whole = sum(seconds.values())
        tokenizer = "spaCy's `xx`, as datatrove has for most languages" if words == "spacy" else "`str.split`"
        print(f"\nWhere datatrove's time goes; words by {tokenizer}.\n")
        table = Table(("stage", "seconds", "share", "documents in", "out")).begin()
        for name, taken in seconds.items():
            table.row(name, f"{taken:.2f}", f"{taken / whole:.0%}", *documents.get(name, ()))
    print()


# --- cores and memory ----------------------------------------------------------------------------------------


def measure_cores(data: Path, language: Language, megabytes: int, runs: int, targets: Targets, work: Path) -> None:
    """Compare two workers on two cores with one on one."""
    print("\n## Cores\n")
    if len(CORES) < 2:
        print("Left out: there is one core.")
        return
    folder = work / "cores"
    size = write_mixed(pages(data, language), folder, megabytes * 1_000_000, seed=1, shard=4_000_000) / 1e6
    taken: dict[int, list[float]] = defaultdict(list)
    for _, workers in itertools.product(range(runs), (1, 2)):
        with tempfile.TemporaryDirectory(dir=work) as out:
            taken[workers].append(run(build(language, folder, workers, out), cores=workers).seconds)
    print(f"`lrldata build` of {size:.0f} MB in shards of 4 MB, start-up included.\n")
    table = Table(("workers and cores", "seconds", "MB/s")).begin()
    times = {workers: Times(tuple(seconds)) for workers, seconds in taken.items()}
    for workers, seconds in times.items():
        table.row(workers, seconds, f"{size / seconds.median:.2f}")
    targets.at_least("cores: one / two, time", times[1].median / times[2].median, 1.8, " x")


def measure_memory(data: Path, language: Language, sizes: Sequence[int], targets: Targets, work: Path) -> None:
    """Compare the peak memory of a build of much text with that of little."""
    print(f"\n## Memory\n\n`lrldata build` on {len(CORES)} cores with as many workers; MB of memory.\n")
    table = Table(("MB of text", "seconds", "all processes at one time (PSS)", "largest process (RSS)")).begin()
    peaks = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=work) as out:
            folder = Path(out) / "in"
            written = write_mixed(pages(data, language), folder, size * 1_000_000, seed=1) / 1e6
            peak = watch(build(language, folder, len(CORES), f"{out}/out"))
        ended = " when it was ended, for the machine's sake" if peak.ended else ""
        table.row(f"{written:,.0f}", f"{peak.seconds:.0f}", f"{peak.together:,.0f}{ended}", f"{peak.largest:,.0f}")
        peaks.append(float("inf") if peak.ended else peak.together)
    targets.at_most(f"memory: {sizes[-1]:,} MB of text / {sizes[0]:,} MB", peaks[-1] / peaks[0], 1.25, " x")
    targets.at_most(f"memory: of {sizes[-1]:,} MB of text", peaks[-1] / 1000, 2, " GB")


def main() -> None:
    """Measure what is asked for, and print the targets in the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=HERE.parents[3] / "shared" / "data")
    parser.add_argument("--mb", type=float, default=6, help="text that all contenders are given")
    parser.add_argument("--part", choices=[*QUICK, "memory", "all"], help="default: all but memory")
    parser.add_argument("--lang", default="mt,ug")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores-mb", type=int, default=512, help="size of the input that two cores are given")
    parser.add_argument("--memory-mb", default="200,2000", help="sizes of the input of which the memory is measured")
    parser.add_argument("--folder", type=Path, help="where inputs and outputs are put, for a time")
    asked = parser.parse_args()
    languages = [find(code) for code in asked.lang.split(",")]
    if lacking := [language.code for language in languages if not has_pages(asked.data, language)]:
        sys.exit(f"{asked.data}: has no pages of {', '.join(lacking)}.")
    parts = {None: QUICK, "all": (*QUICK, "memory")}.get(asked.part, (asked.part,))
    targets = Targets()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        work = Path(folder)
        if "pipeline" in parts:
            measure_speed(asked.data, languages, asked.mb, asked.runs, targets, work)
        if "rules" in parts:
            glotcc_rules.compare(asked.data, languages, asked.mb, targets)
        if "minhash" in parts and find_spec("datasketch") is None:
            print("\n## Near-duplicates\n\n" + WITHOUT.format("This part", "datasketch"))
        elif "minhash" in parts:
            glotcc_minhash.compare(asked.data, languages, asked.mb * 4, asked.runs, targets)
        if "cores" in parts:
            measure_cores(asked.data, languages[0], asked.cores_mb, asked.runs, targets, work)
        if "memory" in parts:
            sizes = [int(size) for size in asked.memory_mb.split(",")]
            measure_memory(asked.data, languages[0], sizes, targets, work)
    targets.show()


if __name__ == "__main__":
    main()
