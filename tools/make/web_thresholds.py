"""Compute the limits of the document rules that depend on the language: lrldata/web/document_filters.toml.

    python tools/make/web_thresholds.py DATA

DATA contains text/LANG_Script/*.txt with one sentence per line. Every eight lines of a file are a document. A limit is
the quantile beyond which 0.1 % of the documents lie, moved away from the median by the same distance again, because
these texts are of few kinds. Languages without text in DATA keep their limits.
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
HEAD = """\
# Thresholds of the document rules that differ between languages, as measured in running text by
# tools/make/web_thresholds.py.

[default]
word_length = [1.5, 20.0]      # characters per word: lowest and highest mean of a document
most_repeated_shingles = 0.35  # share of a document's runs of five words (or characters) that repeat earlier ones
"""


def measure(data: Path, language: Language) -> pl.DataFrame:
    """Return the measurements of `judge` for documents of a language, one row per document."""
    judged = []
    for file in sorted((data / "text" / (language.flores or "?")).glob("*.txt")):
        lines = pl.Series("text", file.read_text("utf-8").split("\n"), dtype=pl.String)
        cleaned = repair(lines, main_script(language), language.code).str.strip_chars()
        cleaned = cleaned.filter(cleaned.str.len_chars() > 0).unique(maintain_order=True)[: LINES * MOST_DOCUMENTS]
        doc = pl.int_range(len(cleaned), eager=True) // LINES
        judged.append(judge(pl.DataFrame({"doc": doc.cast(pl.UInt32), "text": cleaned}), language))
    return pl.concat(judged) if judged else pl.DataFrame()


def limit(values: pl.Series, share: float) -> float:
    """Return the quantile, moved away from the median by the same distance again."""
    quantile, median = (float(np.quantile(values.drop_nulls().to_numpy(), level)) for level in (share, 0.5))
    return quantile + (quantile - median)


def main(data: Path) -> int:
    """Compute the limits and write the file."""
    target = Path(lrldata.web.__file__).with_name("document_filters.toml")
    existing = dict(re.findall(r"^\[(\w+)\]\n((?:.+\n)*)", target.read_text("utf-8"), re.MULTILINE))
    text, measured = HEAD, 0
    for language in languages():
        documents = measure(data, language)
        if documents.is_empty():
            text += f"\n[{language.code}]\n{existing[language.code]}" if language.code in existing else ""
            continue
        measured += 1
        text += f"\n[{language.code}]\n"
        if is_spaced(main_script(language)):
            shortest, longest = (limit(documents["word_length"], share) for share in (RARE, 1 - RARE))
            text += f"word_length = [{max(shortest, 1.0):.1f}, {longest:.1f}]\n"
        repeated = max(limit(documents["repeated_shingles"], 1 - RARE), 0.2)
        text += f"most_repeated_shingles = {min(repeated, 0.9):.2f}\n"
    if not measured:
        sys.exit(f"{data}: no text/LANG_Script/*.txt for any language; {target.name} was not changed.")
    target.write_text(text, encoding="utf-8", newline="\n")
    print(text)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    sys.exit(main(parser.parse_args().data))
