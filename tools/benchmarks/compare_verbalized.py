"""Hold our sentences with the paper's templates against sentences that its authors published.

    python tools/benchmarks/compare_verbalized.py ../shared/data/conceptnet

The folder holds verbalised/LANG.{train,val}.txt, their sentences for bg and mt, and reconstructed/, the edges put
back from most of them. Prints, for each language, which share of the distinct sentences we make too, and where the
others stay. Exit code 1 if more sentences of known edges are not made than edges are dropped.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl

from lrldata.conceptnet.build import make_rows
from lrldata.conceptnet.config import BuildConfig
from lrldata.conceptnet.source import find_index
from lrldata.conceptnet.triples import read_fields
from lrldata.conceptnet.verbalize import phrasebook
from lrldata.language import find
from lrldata.progress import Progress

DROPPED = "not made: its edge is dropped (see the ledger)"
# Their data is of an earlier state of their code, which puts these two relations otherwise.
OTHER_TEMPLATES = {
    " has context of ": " is a word used in the context of ",
    " is a symbol of ": " symbolically represents ",
}


def compare(folder: Path, lang: str, cache: Path) -> tuple[Counter[str], int]:
    """Count the distinct published sentences of a language by what becomes of them here, and the dropped edges."""
    dump = folder / "reconstructed" / f"assertions-{lang}.csv.gz"
    # These sentences are older than the paper: of edges with the language at either end, not at the start alone.
    config = BuildConfig(lang=lang, dump=str(dump), templates="paper", edges="any", cache=cache)
    language, book = find(lang), phrasebook("paper", find(lang))
    edges = pl.read_parquet(find_index(config, Progress(quiet=True)).edges)
    rows, ledger = make_rows(edges, language, book, config)
    kept = set(rows["text"])
    stored = {
        book.sentences[relation][0].replace("{start}", start).replace("{end}", end)
        for relation, start, end in edges.pipe(read_fields).select("relation", "start", "end").iter_rows()
    }
    found: Counter[str] = Counter()
    published = {
        sentence
        for part in ("train", "val")
        for sentence in (folder / "verbalised" / f"{lang}.{part}.txt").read_text("utf-8").splitlines()
    }
    for sentence in published:
        ours = sentence
        for theirs, paper in OTHER_TEMPLATES.items():
            ours = ours.replace(theirs, paper)
        if sentence in kept:
            found["made, word for word"] += 1
        elif ours in kept:
            found["made, with the paper's later template (HasContext, SymbolOf)"] += 1
        elif ours in stored:
            found[DROPPED] += 1
        else:
            found["not made: no edge was put back from it"] += 1
    return found, ledger.came_in.rows - ledger.kept.rows


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    missed = 0
    with tempfile.TemporaryDirectory() as cache:
        for lang in ("bg", "mt"):
            found, dropped = compare(folder, lang, Path(cache))
            missed += found[DROPPED] > dropped
            total = sum(found.values())
            print(f"{lang}: {total:,} distinct published sentences")
            for what, count in (+found).most_common():
                print(f"  {count:>7,}  {count / total:6.1%}  {what}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
