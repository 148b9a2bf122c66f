"""Find the numbers of the rules for documents that differ from language to language: lrldata/web/document_filters.toml.

    python tools/make/web_thresholds.py DATA

DATA is a folder with text/LANG_Script/*.txt (a sentence per line). Documents are made of eight lines of one file; a
number is where 0.1 % of them lie beyond, and as far again as that is from the median, as these texts are of few kinds.
Languages that DATA has no text of keep their numbers.
"""

import argparse
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl

import lrldata.web
from lrldata.language import Language, languages
from lrldata.web.document_filters import judge
from lrldata.web.repair import is_spaced, main_script, repair

LINES, RARE, MOST_DOCUMENTS = 8, 0.001, 4_000
HEAD = """# Numbers of the rules for documents that differ between languages, as tools/make/web_thresholds.py finds them
# in running text.

[default]
word_length = [1.5, 20.0]      # characters a word: lowest and highest mean of a document
most_repeated_shingles = 0.35  # share of a document's runs of five words (or characters) that it has had before
"""


def measure(data: Path, language: Language) -> pl.DataFrame:
    """Return what documents.judge measures in documents of a language, a row each."""
    made = []
    for file in sorted((data / "text" / (language.flores or "?")).glob("*.txt")):
        lines = pl.Series("text", file.read_text("utf-8").split("\n"), dtype=pl.String)
        fine = repair(lines, main_script(language), language.code).str.strip_chars()
        fine = fine.filter(fine.str.len_chars() > 0).unique(maintain_order=True)[: LINES * MOST_DOCUMENTS]
        doc = pl.int_range(len(fine), eager=True) // LINES
        made.append(judge(pl.DataFrame({"doc": doc.cast(pl.UInt32), "text": fine}), language))
    return pl.concat(made) if made else pl.DataFrame()


def limit(values: pl.Series, share: float) -> float:
    """Return the quantile, moved away from the median by as much again."""
    at, middle = (float(np.quantile(values.drop_nulls().to_numpy(), each)) for each in (share, 0.5))
    return at + (at - middle)


def main(data: Path) -> int:
    """Write the file."""
    target = Path(lrldata.web.__file__).with_name("document_filters.toml")
    kept = dict(re.findall(r"^\[(\w+)\]\n((?:.+\n)*)", target.read_text("utf-8"), re.MULTILINE))
    text, measured = HEAD, 0
    for language in languages():
        found = measure(data, language)
        if found.is_empty():
            text += f"\n[{language.code}]\n{kept[language.code]}" if language.code in kept else ""
            continue
        measured += 1
        text += f"\n[{language.code}]\n"
        if is_spaced(main_script(language)):
            short, long = (limit(found["word_length"], share) for share in (RARE, 1 - RARE))
            text += f"word_length = [{max(short, 1.0):.1f}, {long:.1f}]\n"
        repeated = max(limit(found["repeated_shingles"], 1 - RARE), 0.2)
        text += f"most_repeated_shingles = {min(repeated, 0.9):.2f}\n"
    if not measured:
        sys.exit(f"{data}: no text/LANG_Script/*.txt of any language; {target.name} is left as it was.")
    target.write_text(text, encoding="utf-8", newline="\n")
    print(text)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    sys.exit(main(parser.parse_args().data))
