"""Compute the hashes that detect text of FLORES-200 and SIB-200 in web text: lrldata/web/benchmarks.npz.

    python tools/make/make_benchmarks.py DATA

DATA contains flores200/devtest/LANG_Script.devtest (one sentence per line) and sib200/LANG_Script/{train,dev,test}.tsv.
Each run of eight words of a sentence is stored as a hash (in scripts without spaces, each run of thirty characters).
The sentences cannot be recovered from the hashes. Run this again whenever the repair of text changes: the hashes are of
repaired sentences (tests/lrldata/test_web.py compares them where the data exists).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import lrldata.web
from lrldata.language import Language, languages
from lrldata.web.decontaminate import BENCHMARKS, hashes_of


def main(data: Path) -> int:
    """Write the file and print its contents."""
    hashes = {}
    for language in languages():
        if sentences := benchmark_sentences(data, language):
            hashes[language.code] = hashes_of(sentences, language)
            print(f"{language.code}: {len(sentences):,} sentences, {len(hashes[language.code]):,} hashes")
    if not hashes:
        sys.exit(f"{data}: no flores200/devtest or sib200 for any language; {BENCHMARKS} was not changed.")
    target = Path(lrldata.web.__file__).with_name(BENCHMARKS)
    np.savez(target, **hashes)
    print(f"{target.name}: {len(hashes)} languages, {target.stat().st_size:,} bytes")
    return 0


def benchmark_sentences(data: Path, language: Language) -> list[str]:
    """Return the sentences of the benchmarks in a language, sorted; none if DATA has none."""
    sentences: set[str] = set()
    devtest = data / "flores200" / "devtest" / f"{language.flores}.devtest"
    if language.flores and devtest.is_file():
        sentences.update(devtest.read_text("utf-8").strip().split("\n"))
    for split in ("train", "dev", "test") if language.sib200 else ():
        file = data / "sib200" / language.sib200 / f"{split}.tsv"
        rows = file.read_text("utf-8").strip().split("\n")[1:] if file.is_file() else []
        sentences.update(row.split("\t")[2] for row in rows)
    return sorted(sentences)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    sys.exit(main(parser.parse_args().data))
