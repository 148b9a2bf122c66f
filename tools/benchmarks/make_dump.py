"""Generate a synthetic ConceptNet 5.7 dump with the structure of the real one and invented words.

    python tools/benchmarks/make_dump.py OUT.csv.gz --lines 3400000 --seed 0

The synthetic dump copies these properties of the real one: five tab-separated columns, sorted by relation and start
language; about 290 bytes per line; the distribution of relations and languages (rounded to thousands; the paper's 30
languages have their published sizes); the metadata format of each source; fields with quote characters, sometimes an
odd number of them; and eighteen scripts. The words consist of random syllables.
"""

import argparse
import gzip
import io
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

FULL = 34_074_917  # lines of conceptnet-assertions-5.7.0.csv.gz
CHUNK = 400_000

# Thousands of edges per relation, rounded. The second value is the kind of edge: between words of one language ("own")
# or of two languages ("cross"), English common sense ("en"), or to a web page ("url").
RELATIONS: dict[str, tuple[float, str]] = {
    "Antonym": (66, "own"), "AtLocation": (70, "en"), "CapableOf": (26, "en"), "Causes": (19, "en"),
    "CausesDesire": (5.3, "en"), "CreatedBy": (0.3, "en"), "DefinedAs": (2.4, "en"), "DerivedFrom": (758, "own"),
    "Desires": (4.8, "en"), "DistinctFrom": (7.2, "en"), "Entails": (0.4, "en"),
    "EtymologicallyDerivedFrom": (78, "cross"), "EtymologicallyRelatedTo": (450, "cross"),
    "ExternalURL": (4346, "url"), "FormOf": (8635, "own"), "HasA": (13, "en"), "HasContext": (2178, "context"),
    "HasFirstSubevent": (3.9, "en"), "HasLastSubevent": (2.9, "en"), "HasPrerequisite": (25, "en"),
    "HasProperty": (18, "en"), "HasSubevent": (27, "en"), "InstanceOf": (1.5, "en"), "IsA": (316, "en"),
    "LocatedNear": (0.1, "en"), "MadeOf": (0.8, "en"), "MannerOf": (13, "en"), "MotivatedByGoal": (12, "en"),
    "NotCapableOf": (0.4, "en"), "NotDesires": (4, "en"), "NotHasProperty": (0.4, "en"), "NotUsedFor": (0.1, "en"),
    "PartOf": (28, "en"), "ReceivesAction": (7.9, "en"), "RelatedTo": (9470, "cross"), "SimilarTo": (30, "en"),
    "SymbolOf": (0.2, "en"), "Synonym": (7170, "translation"), "UsedFor": (48, "en"),
    "dbpedia/capital": (0.5, "en"), "dbpedia/field": (0.6, "en"), "dbpedia/genre": (3.8, "en"),
    "dbpedia/genus": (2.9, "en"), "dbpedia/influencedBy": (1.3, "en"), "dbpedia/knownFor": (0.6, "en"),
    "dbpedia/language": (0.9, "en"), "dbpedia/leader": (0.1, "en"), "dbpedia/occupation": (1.0, "en"),
    "dbpedia/product": (0.5, "en"),
}  # fmt: skip

# Thousands of edges that start in the language, over all relations.
LANGUAGES: dict[str, float] = {
    "en": 9500, "fr": 6700, "it": 2600, "de": 2400, "es": 2100, "ru": 1900, "la": 1500, "fi": 900, "pt": 800,
    "ja": 750, "nl": 600, "zh": 550, "pl": 400, "sv": 380, "cs": 250, "sh": 230, "ca": 210, "hu": 200, "eo": 190,
    "ar": 150, "ko": 90, "hi": 60, "vi": 60, "tr": 90, "hy": 70, "gl": 110, "fo": 60, "is": 120, "grc": 110,
    "bg": 203, "ms": 219, "th": 155, "el": 111, "sl": 107, "ro": 88, "lv": 83, "da": 83, "he": 52, "mk": 48,
    "ka": 44, "te": 42, "sk": 28, "cy": 23, "az": 19, "ur": 17, "sw": 15, "ku": 15, "bn": 11, "mr": 9, "bo": 6,
    "ne": 5.6, "uz": 5.5, "mt": 4.9, "jv": 4.3, "su": 2.4, "am": 2.3, "si": 2.2, "ug": 2.1, "yo": 1.3,
}  # fmt: skip
SMALL = [a + b + "x" for a in "abcdefghij" for b in "klmnopqrstuvwyz"] + ["roa_opt"]  # 151 small languages

SCRIPTS = {
    "cyrillic": (0x0430, 32), "greek": (0x03B1, 25), "hebrew": (0x05D0, 27), "arabic": (0x0627, 20),
    "georgian": (0x10D0, 33), "armenian": (0x0561, 38), "devanagari": (0x0915, 37), "bengali": (0x0995, 20),
    "telugu": (0x0C15, 36), "thai": (0x0E01, 46), "tibetan": (0x0F40, 7), "sinhala": (0x0D9A, 15),
    "ethiopic": (0x1200, 70), "hangul": (0xAC00, 600), "kana": (0x30A2, 70), "han": (0x4E00, 900), "latin": (0x61, 26),
}  # fmt: skip
SCRIPT_OF = {
    "ru": "cyrillic", "bg": "cyrillic", "mk": "cyrillic", "el": "greek", "grc": "greek", "he": "hebrew",
    "ar": "arabic", "ur": "arabic", "ug": "arabic", "ku": "arabic", "ka": "georgian", "hy": "armenian",
    "hi": "devanagari", "mr": "devanagari", "ne": "devanagari", "bn": "bengali", "te": "telugu", "th": "thai",
    "bo": "tibetan", "si": "sinhala", "am": "ethiopic", "ko": "hangul", "ja": "kana", "zh": "han",
}  # fmt: skip

SENSES = ["", "", "", "/n", "/n", "/v", "/a", "/n/wikt/en_1", "/v/wikt/en_1", "/n/wikt/en_2", "/n/wn/person", "/r"]
METADATA = {  # the part before the weight; {s} and {e} are the surface forms
    "wiktionary": '{{"dataset": "/d/wiktionary/{w}", "license": "cc:by-sa/4.0", "sources": [{{"contributor": '
    '"/s/resource/wiktionary/{w}", "process": "/s/process/wikiparsec/2"}}], "weight": ',
    "omw": '{{"dataset": "/d/wordnet/3.1", "license": "cc:by/4.0", "sources": [{{"contributor": '
    '"/s/resource/wordnet/rdf/3.1"}}], "surfaceEnd": "{e}", "surfaceStart": "{s}", "surfaceText": '
    '"[[{s}]] is a translation of [[{e}]]", "weight": ',
    "omcs": '{{"dataset": "/d/conceptnet/4/en", "license": "cc:by/4.0", "sources": [{{"activity": '
    '"/s/activity/omcs/omcs1_possibly_free_text", "contributor": "/s/contributor/omcs/user{u}"}}], "surfaceEnd": '
    '"the \\"{e}\\"", "surfaceStart": "{s}", "surfaceText": "[[{s}]] goes with [[the \\"{e}\\"]]", "weight": ',
    "dbpedia": '{{"dataset": "/d/dbpedia/en", "license": "cc:by-sa/4.0", "sources": [{{"contributor": '
    '"/s/resource/dbpedia/2015/en"}}], "weight": ',
}


def syllables(script: str) -> pl.Series:
    """Return the sorted syllables of a script: consonant and vowel in Latin, any two letters in other scripts."""
    first, count = SCRIPTS[script]
    letters = [chr(first + i) for i in range(count)]
    pairs = (
        [c + v for c in "bcdfghklmnprstvz" for v in ("a", "e", "i", "o", "u", "ă")]
        if script == "latin"
        else [a + b for a in letters[:12] for b in letters[::3][:12]]
    )
    return pl.Series(sorted(set(pairs)), dtype=pl.String)


SYLLABLES = {script: syllables(script) for script in SCRIPTS}


def words(language: str, ids: np.ndarray) -> pl.Series:
    """Spell the words with the given numbers: four syllables, the most significant first; some words are phrases."""
    table = SYLLABLES[SCRIPT_OF.get(language, "latin")]
    base = len(table)
    first, *digits = (table.gather((ids * 37 // base**k) % base) for k in (3, 2, 1, 0))
    gap = pl.select(pl.when(pl.Series(ids % 5 == 0)).then(pl.lit("_")).otherwise(pl.lit(""))).to_series()
    quote = pl.select(pl.when(pl.Series(ids % 9973 == 7)).then(pl.lit('"')).otherwise(pl.lit(""))).to_series()
    return pl.select(pl.concat_str([first, digits[0], gap, digits[1], digits[2], quote])).to_series()


def _escaped(column: str) -> pl.Expr:
    """Write a term as JSON text, with escaped quotes and spaces instead of underscores."""
    return pl.col(column).str.replace_all('"', '\\"', literal=True).str.replace_all("_", " ", literal=True)


def group(rng: np.random.Generator, relation: str, kind: str, language: str, count: int) -> pl.DataFrame:
    """Generate `count` sorted edges of one relation that start in one language."""
    pool = max(200, int(LANGUAGES.get(language, 2) * 400))
    start_ids = np.sort((pool * rng.random(count) ** 1.5).astype(np.int64))
    start = words(language, start_ids)
    sense = pl.Series(SENSES).gather(start_ids % len(SENSES))
    if kind == "url":
        end_node = pl.select(pl.concat_str([pl.lit(f"http://{language}.wiktionary.org/wiki/"), start])).to_series()
        surface = start
    else:
        others = {"own": [language], "en": ["en"], "context": ["en", "fr", language]}.get(kind)
        if others is None:
            names, weights = list(LANGUAGES) + SMALL, np.array([*LANGUAGES.values(), *([2] * len(SMALL))])
            weights = weights ** (0.7 if language == "en" else 1.0)
            weights[0] *= 0.05 if language == "en" else 3
            others = list(rng.choice(names, min(120, count), p=weights / weights.sum(), replace=True))
        partner = rng.integers(0, len(others), count)
        parts = []
        for index, other in enumerate(others):
            rows = np.flatnonzero(partner == index)
            other_pool = max(200, int(LANGUAGES.get(other, 2) * 400))
            # Most end words are cognates or forms: near the start word in the order of the other language.
            near = (start_ids[rows] * (other_pool / pool) + rng.integers(0, 4, len(rows))).astype(np.int64)
            far = (other_pool * rng.random(len(rows)) ** 2).astype(np.int64)
            spelled = words(other, np.where(rng.random(len(rows)) < 0.8, near, far) % other_pool)
            parts.append(pl.DataFrame({"row": rows, "word": spelled}).with_columns(language=pl.lit(other)))
        ends = pl.concat(parts).sort("row")
        surface = ends["word"]
        end_node = ends.select(pl.concat_str([pl.lit("/c/"), "language", pl.lit("/"), "word"])).to_series()
    name = {"en": "omcs", "translation": "wiktionary"}.get(kind, "wiktionary")
    name = "dbpedia" if relation.startswith("dbpedia") else name
    metadata = METADATA[name].format(
        s="\x01", e="\x02", w="en" if rng.random() < 0.6 else "fr", u=int(rng.integers(1000))
    )
    frame = pl.DataFrame({"w": start, "sense": sense, "end": end_node, "surface": surface})
    slots = {"s": _escaped("w"), "e": _escaped("surface")}
    template_parts = metadata.replace("\x01", "\x00s\x00").replace("\x02", "\x00e\x00").split("\x00")
    pieces = [slots.get(piece, pl.lit(piece)) for piece in template_parts]
    weight = pl.Series(["1.0}", "2.0}", "0.5}", "2.828}"]).gather((rng.random(count) ** 8 * 4).astype(np.int64))
    return frame.select(
        start=pl.concat_str([pl.lit(f"/c/{language}/"), "w", "sense"]), end="end", json=pl.concat_str([*pieces, weight])
    ).select(
        uri=pl.concat_str([pl.lit(f"/a/[/r/{relation}/,"), "start", pl.lit("/,"), "end", pl.lit("/]")]),
        relation=pl.lit(f"/r/{relation}"),
        start="start",
        end="end",
        json="json",
    )


def chunks(lines: int, seed: int) -> Iterator[pl.DataFrame]:
    """Yield the dump in order, in frames of at most CHUNK lines."""
    rng = np.random.default_rng(seed)
    scale = lines / sum(count for count, _ in RELATIONS.values())
    names = sorted([*LANGUAGES, *SMALL])
    weights = np.array([LANGUAGES.get(name, 2) for name in names])
    for relation, (thousands, kind) in sorted(RELATIONS.items()):
        share = (weights / weights.sum()) if kind != "en" else np.array([float(name == "en") for name in names])
        for language, language_share in zip(names, share, strict=True):
            remaining = int(thousands * scale * language_share + rng.random())
            while remaining > 0:
                yield group(rng, relation, kind, language, min(remaining, CHUNK))
                remaining -= CHUNK


def make_dump(path: Path, lines: int = 3_400_000, seed: int = 0) -> int:
    """Write the dump to `path` (gzip, one member) and return its number of lines."""
    blocks: queue.Queue[bytes | None] = queue.Queue(maxsize=4)

    def compress() -> None:
        with gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as out:
            while (block := blocks.get()) is not None:
                out.write(block)

    writer = threading.Thread(target=compress)
    writer.start()
    count = 0
    try:
        for frame in chunks(lines, seed):
            buffer = io.BytesIO()
            frame.write_csv(buffer, separator="\t", include_header=False, quote_style="never")
            blocks.put(buffer.getvalue())
            count += len(frame)
    finally:
        blocks.put(None)
        writer.join()
    return count


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lines", type=int, default=3_400_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{make_dump(options.out, options.lines, options.seed):,} lines in {options.out}")


if __name__ == "__main__":
    main()
