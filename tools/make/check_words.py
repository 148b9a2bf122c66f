"""Find retired names and phrases: `python tools/make/check_words.py` lists them by file and line.

The project uses plain English and the field's terms. RETIRED maps each word that was replaced everywhere to its
replacement; docs/reference has a glossary of the terms in use.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    "lrldata",
    "lrltrain",
    "hub_cards",
    "tools",
    "tests",
    "docs",
    "examples",
    "recipes",
    "README.md",
    "CHANGELOG.md",
)
KINDS = {".py", ".md", ".toml", ".jinja", ".js", ".ipynb"}
RETIRED = {
    "way_out": "hint",
    "told_once": "dedupe_log",
    "take_up": "restore_finished",
    "LabelledLoss": "LabelledLossTrainer",
    "find_wiring": "probe_packing",
    "Crew": "WorkerPool",
    "Means(": "CleaningContext(",
    "Fates": "DropCodes",
    "TOGETHER": "MAX_JOBS_PER_GPU",
    "_told_to": "redirect_output",
    "_let_go": "release_gpu_memory",
    "_refuse_twins": "check_duplicates",
    "_LASTING": "PERMANENT",
    "tokenise": "tokenize",
    "tokenising": "tokenizing",
    "featurise": "featurize",
    "verbalise": "verbalize",
    "glotcc/": "web/",
    "lrltrain.results": "lrltrain.reporting",
    "lrltrain.commands": "lrltrain.cli",
    "for ever": "permanently",
    "anew": "again",
    "nought": "zero",
    "mended": "fixed, repaired or corrected",
    "exclude each other": "are mutually exclusive",
    "The recipe of": "The pipeline of",
    "What was finished is kept, and the same command goes on": "Finished work is kept; run the same command again",
}
# Folders of datasets and repositories are named after their source, and the changelog names modules that have moved.
ALLOWED = ("datasets/", "/glotcc/", "glotcc/data", "build.glotcc", "Modules have moved")


def main() -> int:
    """Print the matches. Exit codes: 0 if there are none, else 1."""
    matches = list(search())
    for line in matches:
        print(line)
    return bool(matches)


def search() -> Iterator[str]:
    """Yield each occurrence of a retired word, with its file, line and replacement."""
    this_file = Path(__file__).resolve()
    words = {word: _pattern(word) for word in RETIRED}
    for place in PLACES:
        start = ROOT / place
        files = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.suffix in KINDS)
        for path in files:
            if path.resolve() == this_file:
                continue
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
                for word, pattern in words.items():
                    if pattern.search(line) and not any(allowed in line for allowed in ALLOWED):
                        yield f"{path.relative_to(ROOT)}:{number}: {word!r}: write {RETIRED[word]!r} instead"


def _pattern(word: str) -> re.Pattern[str]:
    prefix = r"(?<![A-Za-z0-9-])" if word[0].isalnum() or word[0] == "_" else ""
    return re.compile(prefix + re.escape(word) + (r"(?!\w)" if word[-1].isalnum() else ""))


if __name__ == "__main__":
    sys.exit(main())
