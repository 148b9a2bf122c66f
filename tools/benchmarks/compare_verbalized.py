"""Compare our sentences from the paper's templates with the sentences that its authors published.

    python tools/benchmarks/compare_verbalized.py ../shared/data/conceptnet

The folder contains verbalised/LANG.{train,val}.txt, the published sentences for bg and mt, and reconstructed/, with the
edges reconstructed from most of them. Prints the share of the distinct sentences that we generate too, per language,
and why the others are missing. The exit code is 1 if more sentences with a reconstructed edge are missing than edges
are dropped.
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
from lrldata.conceptnet.template_sets import phrasebook
from lrldata.conceptnet.triples import read_fields
from lrldata.language import find
from lrldata.progress import Progress

DROPPED = "not generated: its edge is dropped (see the ledger)"
# The published sentences come from an earlier version of the authors' code, with other templates for two relations.
OTHER_TEMPLATES = {
    " has context of ": " is a word used in the context of ",
    " is a symbol of ": " symbolically represents ",
}


def compare(folder: Path, lang: str, cache: Path) -> tuple[Counter[str], int]:
    """Return the counts of a language's distinct published sentences by outcome, and the number of dropped edges."""
    dump = folder / "reconstructed" / f"assertions-{lang}.csv.gz"
    # These sentences predate the paper: their edges have the language at either end, not only at the start.
    config = BuildConfig(lang=lang, dump=str(dump), templates="paper", edges="any", cache=cache)
    language, templates = find(lang), phrasebook("paper", find(lang))
    edges = pl.read_parquet(find_index(config, Progress(quiet=True)).edges)
    rows, ledger = make_rows(edges, language, templates, config)
    generated = set(rows["text"])
    possible = {
        templates.sentences[relation][0].replace("{start}", start).replace("{end}", end)
        for relation, start, end in edges.pipe(read_fields).select("relation", "start", "end").iter_rows()
    }
    outcomes: Counter[str] = Counter()
    published = {
        sentence
        for part in ("train", "val")
        for sentence in (folder / "verbalised" / f"{lang}.{part}.txt").read_text("utf-8").splitlines()
    }
    for sentence in published:
        adapted = sentence
        for theirs, later in OTHER_TEMPLATES.items():
            adapted = adapted.replace(theirs, later)
        if sentence in generated:
            outcomes["generated, word for word"] += 1
        elif adapted in generated:
            outcomes["generated, with the paper's later template (HasContext, SymbolOf)"] += 1
        elif adapted in possible:
            outcomes[DROPPED] += 1
        else:
            outcomes["not generated: no edge was reconstructed from it"] += 1
    return outcomes, ledger.came_in.rows - ledger.kept.rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    failures = 0
    with tempfile.TemporaryDirectory() as cache:
        for lang in ("bg", "mt"):
            outcomes, dropped = compare(folder, lang, Path(cache))
            failures += outcomes[DROPPED] > dropped
            total = sum(outcomes.values())
            print(f"{lang}: {total:,} distinct published sentences")
            for outcome, count in (+outcomes).most_common():
                print(f"  {count:>7,}  {count / total:6.1%}  {outcome}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
