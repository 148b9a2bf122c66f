"""Evaluate the cleaning of web text on real text with inserted noise, whose correct treatment is known.

    python tools/benchmarks/eval_cleaning.py DATA [--lang mt,ro,...] [--seed 1]
    python tools/benchmarks/eval_cleaning.py DATA --kinds [--cases CASES]

DATA contains text/LANG_Script/*.txt (one sentence per line) and flores200/devtest/LANG_Script.devtest. A document
consists of eight sentences from one file. The tool inserts lines in other and in close languages, boilerplate, menus,
code, addresses, template lines that occur in many documents, and benchmark sentences, and adds documents in another
language and exact and near duplicates. It prints, for each language, the share of good lines that are kept and, for
each kind of noise, the share that is dropped (mojibake: repaired; personal data: redacted). With --kinds, it does the
same for the kinds of cleaning_kinds.py, in one table per group: noise, repairs, personal data, good text.
CASES is a folder with web/06-boilerplate-in-the-language/LANG.txt, whose lines are an additional kind.
"""

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import cleaning_kinds
import polars as pl

from lrldata.language import Language, find
from lrldata.progress import Progress
from lrldata.web.build import clean_corpus
from lrldata.web.config import WebConfig
from lrldata.web.pii import replace
from lrldata.web.read import find_shards
from lrldata.web.repair import is_spaced, main_script, repair
from lrldata.web.stages import Task

LANGUAGES = "mt,ug,ro,cy,bo,th,am,bg,da,el,ka,ne,sk,sw,ur"
KINDS_LANGUAGES = "am,az,bg,bn,bo,da,el,he,ka,ku,mt,ne,ro,sk,sl,th,ug,ur,uz,yo"
CLOSE = {"bg": "mk", "mk": "bg", "ro": "sk", "da": "sl", "sk": "sl", "sl": "sk", "ur": "ckb", "ug": "ckb", "ne": "mr",
         "mr": "ne", "mt": "ro", "cy": "da", "az": "uz", "uz": "az", "jv": "su", "su": "jv", "ka": "el"}  # fmt: skip
DOCUMENTS, SENTENCES, SHORTEST, LONGEST = 150, 8, 30, 400
BOILERPLATE = [
    "This website uses cookies to improve your experience.", "By using this site you agree to our Privacy Policy.",
    "Copyright 2021 The Example Company. All rights reserved.", "Powered by WordPress and a theme of our own",
    "Please enable JavaScript to view the comments.", "Sign in to leave a comment", "Share this on Facebook or Twitter",
    "Subscribe to our newsletter for weekly updates", "Log in or register to post comments", "Click here to read more",
]  # fmt: skip
MENUS = ["Home | About | Contact | Sitemap", "News » Sport » Culture » Weather", "A • B • C • D • E • F"]
CODE = [
    "<div class='main'><a href='x'>y</a></div>",
    "var x = document.getElementById('a');",
    "if (a == b) { return c; }",
]
ADDRESSES = ["https://www.example.org/a/very/long/path?with=query", "www.example.com/page"]
PERSONAL = ["jan.smith@example.com", "+49 30 1234 5678", "192.168.12.44", "DE89 3704 0044 0532 0130 00"]


def sentences(data: Path, language: Language, generator: random.Random) -> list[list[str]]:
    """Return documents in a language, each a list of distinct good sentences in its script from one file."""
    seen: set[str] = set()
    documents = []
    for file in sorted((data / "text" / (language.flores or "")).glob("*.txt")):
        lines = [line.strip() for line in file.read_text("utf-8").split("\n")]
        repaired = (
            repair(pl.Series(lines, dtype=pl.String), main_script(language), language.code)
            .str.strip_chars()
            .str.slice(0, LONGEST)
        )
        in_script = repaired.filter(
            repaired.str.count_matches(rf"\p{{{main_script(language)}}}") * 2 > repaired.str.len_chars()
        )
        good = [line.strip() for line in dict.fromkeys(in_script) if len(line) >= SHORTEST and line not in seen]
        seen.update(good)
        documents += [good[start : start + SENTENCES] for start in range(0, len(good) - SENTENCES, SENTENCES)]
    generator.shuffle(documents)
    return documents[:DOCUMENTS]


def plant(
    documents: list[list[str]], data: Path, language: Language, generator: random.Random
) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """Insert noise into documents; return all documents, and the inserted lines by kind."""
    inserted: dict[str, list[str]] = defaultdict(list)
    far_code, close_code = "th" if language.code in ("el", "ka", "da") else "el", CLOSE.get(language.code, "da")
    foreign_lines = {
        code: [line for document_lines in sentences(data, find(code), generator) for line in document_lines]
        for code in (far_code, close_code)
    }
    benchmark_lines = (
        (data / "flores200" / "devtest" / f"{language.flores}.devtest").read_text("utf-8").strip().split("\n")
    )
    template = f"{documents[0][0][:60]} — {documents[1][1][:40]}"
    noisy_documents = []
    for number, document in enumerate(documents):
        lines = list(document)
        kinds = {
            "other language": foreign_lines[far_code],
            "close language": foreign_lines[close_code],
            "boilerplate": BOILERPLATE,
        }
        kinds |= {"menu": MENUS, "code": CODE, "address": ADDRESSES, "benchmark": benchmark_lines}
        for kind, source in kinds.items():
            if generator.random() < 0.3:
                line = generator.choice(source)
                inserted[kind].append(line)
                lines.insert(generator.randrange(len(lines) + 1), line)
        if number % 3 == 0:
            inserted["template"].append(template)
            lines.append(template)
        noisy_documents.append("\n".join(lines))
    duplicated = generator.sample(range(len(documents)), 20)
    exact_copies = ["\n".join(documents[number]) for number in duplicated[:10]]
    near_copies = ["\n".join([*documents[number][:-1], documents[number][-1][:-12]]) for number in duplicated[10:]]
    foreign_documents = ["\n".join(generator.sample(foreign_lines[far_code], SENTENCES)) for _ in range(10)]
    inserted["foreign document"] = [line for text in foreign_documents for line in text.split("\n")]
    texts = [*noisy_documents, *exact_copies, *near_copies, *foreign_documents]
    copies = [f"copy of good{number}" for number in duplicated[:10]] + [
        f"nearly good{number}" for number in duplicated[10:]
    ]
    names = [
        *(f"good{number}" for number in range(len(noisy_documents))),
        *copies,
        *(f"foreign{number}" for number in range(10)),
    ]
    return pl.DataFrame(
        {"url": [f"https://{name.replace(' ', '-')}.example.org" for name in names], "text": texts}
    ), inserted


def measure(data: Path, language: Language, seed: int) -> dict[str, float]:
    """Return the share of good lines that are kept, and for each kind of noise the share that is dropped."""
    generator = random.Random(seed)
    documents = sentences(data, language, generator)
    frame, inserted = plant(documents, data, language, generator)
    rows = clean(frame, language)
    kept = set(rows["text"])
    good = {line for document in documents for line in document}
    result = {"good kept": sum(line in kept for line in good) / len(good)}
    for kind, lines in sorted(inserted.items()):
        noise = [line for line in lines if line not in good]
        result[kind] = share_dropped(noise, kept, language) if noise else 0.0
    kept_urls = set(rows["url"])
    for kind, prefix in (("exact document", "copy-of-"), ("near document", "nearly-")):
        pairs = [(name, name.replace(prefix, "", 1)) for name in frame["url"] if prefix in name]
        result[kind] = sum(not {copy, original} <= kept_urls for copy, original in pairs) / len(pairs)
    return result | repaired(documents, language, generator)


def share_dropped(noise: list[str], kept: set[str], language: Language) -> float:
    """Return the share of lines that are not kept, neither as they are nor as the build repairs them."""
    repaired_lines = repair(pl.Series(noise, dtype=pl.String), main_script(language), language.code)
    forms = zip(noise, personal_replace(repaired_lines, language).str.strip_chars(), strict=True)
    return sum(map(kept.isdisjoint, forms)) / len(noise)


def clean(documents: pl.DataFrame, language: Language) -> pl.DataFrame:
    """Clean documents like `lrldata build --source web` with its defaults."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "documents.parquet"
        documents.write_parquet(path)
        config = WebConfig(lang=language.code, source="web", input=path)
        task = Task(language.code, config.lid, config.cache, (), config.benchmarks, config.unit)
        corpus = clean_corpus(config, task, find_shards(path, None), Path(folder) / "work", Progress(quiet=True))
        rows = [rows for split in corpus.shards for rows in corpus.rows(split)]
        return pl.concat(rows) if rows else pl.DataFrame(schema={"text": pl.String, "url": pl.String})


def repaired(documents: list[list[str]], language: Language, generator: random.Random) -> dict[str, float]:
    """Return the share of mojibake that is repaired and the share of personal data that is replaced."""
    script = main_script(language)
    correct = [line for document in documents[:40] for line in document if not line.isascii()]
    broken = [line.encode().decode("latin-1") for line in correct]
    fixed = repair(pl.Series(broken, dtype=pl.String), script, language.code).to_list()
    expected = repair(pl.Series(correct, dtype=pl.String), script, language.code).to_list()
    personal_lines = [f"{generator.choice(documents)[0]} {value} ." for value in PERSONAL for _ in range(10)]
    replaced = personal_replace(pl.Series(personal_lines), language)
    repaired_count = sum(fixed_line == expected_line for fixed_line, expected_line in zip(fixed, expected, strict=True))
    replaced_count = sum(
        value not in text
        for value, text in zip([value for value in PERSONAL for _ in range(10)], replaced, strict=True)
    )
    return {"mojibake": repaired_count / max(1, len(correct)), "personal data": replaced_count / len(personal_lines)}


def measure_kinds(data: Path, language: Language, seed: int, cases: Path | None) -> dict[str, dict[str, float]]:
    """Return the share of correctly treated texts of each kind, by group; kinds without texts are omitted."""
    generator = random.Random(seed)
    documents = sentences(data, language, generator)
    lines = [line for document in documents for line in document]
    script = main_script(language) or ""
    texts = cleaning_kinds.written(language.code, cases)
    inserted = cleaning_kinds.noise(texts, lines, generator, spaced=is_spaced(script))
    unused_documents, frames = iter(documents), []
    for kind, kind_lines in inserted.items():
        for number, line in enumerate(kind_lines):
            document = list(next(unused_documents))
            document.insert(generator.randrange(len(document) + 1), line)
            frames.append((f"https://{kind.replace(' ', '-')}-{number}.example.org", "\n".join(document)))
    shop_lines = cleaning_kinds.shop_document(texts, generator) if "shop" in texts else []
    frames.append(("https://shop.example.org", "\n".join(shop_lines)))
    dated_documents = [
        [*next(unused_documents)[:5], f"{next(unused_documents)[0][:60]} 12.03.2019, 14:35"] for _ in range(5)
    ]
    for number, document in enumerate(dated_documents):
        frames.append((f"https://first-{number}.example.org", "\n".join(document)))
        changed = [*document[:-1], document[-1].replace("12.03.2019, 14:35", "28.11.2021, 09:07")]
        frames.append((f"https://again-{number}.example.org", "\n".join(changed)))
    rows = clean(pl.DataFrame(frames, schema=["url", "text"], orient="row"), language)
    kept, urls = set(rows["text"]), rows["url"]
    result = {kind: share_dropped(kind_lines, kept, language) for kind, kind_lines in inserted.items()}
    if shop_lines:
        result["shop document"] = 1 - (urls == "https://shop.example.org").sum() / len(shop_lines)
    pairs = [(f"https://first-{number}.example.org", f"https://again-{number}.example.org") for number in range(5)]
    result["changed date"] = sum(not {first, second} <= set(urls) for first, second in pairs) / len(pairs)
    damaged = cleaning_kinds.broken(lines, script, generator)
    return {
        "Noise: share dropped": result,
        "Broken text: share repaired": cleaning_kinds.measure_pairs(
            damaged, lambda texts_to_change: repair(texts_to_change, script, language.code)
        ),
        "Personal data: share replaced": cleaning_kinds.measure_personal(
            cleaning_kinds.personal(lines, script, generator),
            lambda texts_to_change: personal_replace(texts_to_change, language),
        ),
        "Good text: share kept": kept_of(language, good_texts(data, language, documents[-20:], texts)),
    }


def good_texts(
    data: Path, language: Language, documents: list[list[str]], texts: cleaning_kinds.Texts
) -> dict[str, list[list[str]]]:
    """Return documents of good text by kind: running text, short sentences, and both as people type them."""
    short_sentences = short(data, language)
    running_text = [line for document in documents for line in document]
    typed_texts = cleaning_kinds.typed(language.code, running_text)
    typed_texts |= {
        f"{keyboard}, short": kind_lines
        for keyboard, kind_lines in cleaning_kinds.typed(language.code, short_sentences).items()
    }
    by_kind = {"running text": running_text, "short sentences": short_sentences} | typed_texts
    return {kind: [list(texts[kind])] for kind in texts if kind.startswith(cleaning_kinds.GOOD)} | {
        kind: [kind_lines[start : start + SENTENCES] for start in range(0, len(kind_lines), SENTENCES)]
        for kind, kind_lines in by_kind.items()
        if len(kind_lines) >= SENTENCES
    }


def kept_of(language: Language, documents: Mapping[str, list[list[str]]]) -> dict[str, float]:
    """Return the share of lines that are kept, by kind; each kind is cleaned separately, as kinds share text."""
    shares = {}
    for kind, kind_documents in documents.items():
        texts = ["\n".join(document) for document in kind_documents]
        frame = pl.DataFrame({"url": ["https://example.org"] * len(texts), "text": texts})
        shares[kind] = len(clean(frame, language)) / len({line for document in kind_documents for line in document})
    return shares


def short(data: Path, language: Language) -> list[str]:
    """Return short sentences from Tatoeba in the language and its script."""
    path = data / "text" / (language.flores or "?") / "tatoeba.txt"
    if not path.is_file():
        return []
    lines = pl.Series(sorted(set(path.read_text("utf-8").split("\n"))), dtype=pl.String)
    in_script = lines.filter(lines.str.count_matches(rf"\p{{{main_script(language)}}}") * 2 > lines.str.len_chars())
    short_lines = in_script.filter(in_script.str.len_chars().is_between(4, 24)).to_list()
    return random.Random(5).sample(short_lines, min(200, len(short_lines)))


def personal_replace(texts: pl.Series, language: Language) -> pl.Series:
    """Replace personal data like a build for the language."""
    return replace(texts, language.code)


def print_groups(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print one table per group, with kinds as rows and languages and their mean as columns."""
    codes = list(results)
    for group in next(iter(results.values())):
        kinds = list(dict.fromkeys(kind for result in results.values() for kind in result[group]))
        print(f"\n| {group} |", " | ".join(codes), "| mean |")
        print("| --- |", " | ".join("---:" for _ in codes), "| ---: |")
        for kind in kinds:
            values = [results[code][group].get(kind) for code in codes]
            present = [value for value in values if value is not None]
            cells = ("" if value is None else f"{value:.2f}" for value in values)
            print(f"| {kind} |", " | ".join(cells), f"| {sum(present) / len(present):.3f} |")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Evaluate the cleaning of web text on text with inserted noise.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--lang")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", action="store_true")
    parser.add_argument("--cases", type=Path)
    args = parser.parse_args()
    selected = [find(code) for code in (args.lang or (KINDS_LANGUAGES if args.kinds else LANGUAGES)).split(",")]
    selected = [language for language in selected if (args.data / "text" / (language.flores or "?")).is_dir()]
    if args.kinds:
        print_groups(
            {language.code: measure_kinds(args.data, language, args.seed, args.cases) for language in selected}
        )
        return 0
    results = {language.code: measure(args.data, language, args.seed) for language in selected}
    kinds = list(next(iter(results.values())))
    print("| language |", " | ".join(kinds), "|")
    print("| --- |", " | ".join("---:" for _ in kinds), "|")
    for code, result in results.items():
        print(f"| {code} |", " | ".join(f"{result[kind]:.3f}" for kind in kinds), "|")
    print(
        "| **mean** |",
        " | ".join(f"{sum(result[kind] for result in results.values()) / len(results):.3f}" for kind in kinds),
        "|",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
