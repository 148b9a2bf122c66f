"""Make the hashes by which text of FLORES-200 and SIB-200 is found in web text: lrldata/web/benchmarks.npz.

    python tools/make/make_benchmarks.py DATA

DATA is a folder with flores200/devtest/LANG_Script.devtest (a sentence per line) and
sib200/LANG_Script/{train,dev,test}.tsv. Of each sentence one run of eight words in four is kept (of thirty characters
one in sixteen, where a script has no spaces), as its hash: no text can be had from it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import lrldata.web
from lrldata.language import languages
from lrldata.web.decontaminate import BENCHMARKS, few_hashes


def main(data: Path) -> int:
    """Write the file, and print what is in it."""
    made = {}
    for language in languages():
        sentences: set[str] = set()
        devtest = data / "flores200" / "devtest" / f"{language.flores}.devtest"
        if language.flores and devtest.is_file():
            sentences.update(devtest.read_text("utf-8").strip().split("\n"))
        for split in ("train", "dev", "test") if language.sib200 else ():
            file = data / "sib200" / language.sib200 / f"{split}.tsv"
            rows = file.read_text("utf-8").strip().split("\n")[1:] if file.is_file() else []
            sentences.update(row.split("\t")[2] for row in rows)
        if sentences:
            made[language.code] = few_hashes(sorted(sentences), language)
            print(f"{language.code}: {len(sentences):,} sentences, {len(made[language.code]):,} hashes")
    if not made:
        sys.exit(f"{data}: no flores200/devtest or sib200 of any language; {BENCHMARKS} is left as it was.")
    target = Path(lrldata.web.__file__).with_name(BENCHMARKS)
    np.savez(target, **made)
    print(f"{target.name}: {len(made)} languages, {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    sys.exit(main(parser.parse_args().data))
