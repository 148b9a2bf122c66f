"""Measure the cleaning of web text on real text with planted noise, of which it is known what should happen to it.

    python tools/benchmarks/eval_cleaning.py DATA [--lang mt,ro,...] [--seed 1]
    python tools/benchmarks/eval_cleaning.py DATA --kinds [--cases CASES]

DATA is a folder with text/LANG_Script/*.txt (a sentence per line) and flores200/devtest/LANG_Script.devtest. Documents
are made of eight sentences of one file; into them go lines of other and of close languages, boilerplate, menus, code,
addresses, template lines that many documents have, and benchmark sentences; beside them documents in another language,
again, and nearly again. Prints for each language which share of the good lines stays, and of each kind of noise which
share goes (mojibake: is repaired; personal data: is redacted). With --kinds it prints the same for the kinds of
cleaning_kinds.py, a table of each group: noise, repairs, personal data, good text. CASES is a folder with
web/06-boilerplate-in-the-language/LANG.txt, whose lines are one more kind.
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


def sentences(data: Path, language: Language, draw: random.Random) -> list[list[str]]:
    """Return documents of a language, each a list of good sentences in its script from one file, none twice."""
    seen: set[str] = set()
    made = []
    for file in sorted((data / "text" / (language.flores or "")).glob("*.txt")):
        lines = [line.strip() for line in file.read_text("utf-8").split("\n")]
        repaired = (
            repair(pl.Series(lines, dtype=pl.String), main_script(language), language.code)
            .str.strip_chars()
            .str.slice(0, LONGEST)
        )
        own = repaired.filter(
            repaired.str.count_matches(rf"\p{{{main_script(language)}}}") * 2 > repaired.str.len_chars()
        )
        good = [line.strip() for line in dict.fromkeys(own) if len(line) >= SHORTEST and line not in seen]
        seen.update(good)
        made += [good[place : place + SENTENCES] for place in range(0, len(good) - SENTENCES, SENTENCES)]
    draw.shuffle(made)
    return made[:DOCUMENTS]


def plant(
    documents: list[list[str]], data: Path, language: Language, draw: random.Random
) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """Put noise into documents; return them all, and the lines planted by kind."""
    planted: dict[str, list[str]] = defaultdict(list)
    far, close = "th" if language.code in ("el", "ka", "da") else "el", CLOSE.get(language.code, "da")
    others = {code: [line for each in sentences(data, find(code), draw) for line in each] for code in (far, close)}
    bench = (data / "flores200" / "devtest" / f"{language.flores}.devtest").read_text("utf-8").strip().split("\n")
    template = f"{documents[0][0][:60]} — {documents[1][1][:40]}"
    whole = []
    for number, document in enumerate(documents):
        lines = list(document)
        kinds = {"other language": others[far], "close language": others[close], "boilerplate": BOILERPLATE}
        kinds |= {"menu": MENUS, "code": CODE, "address": ADDRESSES, "benchmark": bench}
        for kind, source in kinds.items():
            if draw.random() < 0.3:
                line = draw.choice(source)
                planted[kind].append(line)
                lines.insert(draw.randrange(len(lines) + 1), line)
        if number % 3 == 0:
            planted["template"].append(template)
            lines.append(template)
        whole.append("\n".join(lines))
    twice = draw.sample(range(len(documents)), 20)
    again = ["\n".join(documents[number]) for number in twice[:10]]
    nearly = ["\n".join([*documents[number][:-1], documents[number][-1][:-12]]) for number in twice[10:]]
    foreign = ["\n".join(draw.sample(others[far], SENTENCES)) for _ in range(10)]
    planted["foreign document"] = [line for text in foreign for line in text.split("\n")]
    texts = [*whole, *again, *nearly, *foreign]
    copies = [f"copy of good{number}" for number in twice[:10]] + [f"nearly good{number}" for number in twice[10:]]
    names = [*(f"good{number}" for number in range(len(whole))), *copies, *(f"foreign{number}" for number in range(10))]
    return pl.DataFrame(
        {"url": [f"https://{name.replace(' ', '-')}.example.org" for name in names], "text": texts}
    ), planted


def measure(data: Path, language: Language, seed: int) -> dict[str, float]:
    """Return the share of good lines that stays, and of each kind of noise that goes."""
    draw = random.Random(seed)
    documents = sentences(data, language, draw)
    frame, planted = plant(documents, data, language, draw)
    rows = clean(frame, language)
    kept = set(rows["text"])
    good = {line for document in documents for line in document}
    result = {"good kept": sum(line in kept for line in good) / len(good)}
    for kind, lines in sorted(planted.items()):
        noise = [line for line in lines if line not in good]
        result[kind] = sum(line not in kept for line in noise) / max(1, len(noise))
    left = set(rows["url"])
    for kind, word in (("exact document", "copy-of-"), ("near document", "nearly-")):
        pairs = [(name, name.replace(word, "", 1)) for name in frame["url"] if word in name]
        result[kind] = sum(not {copy, original} <= left for copy, original in pairs) / len(pairs)
    return result | repaired(documents, language, draw)


def clean(documents: pl.DataFrame, language: Language) -> pl.DataFrame:
    """Clean documents as `lrldata build --source web` does, with nothing but its defaults."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "documents.parquet"
        documents.write_parquet(path)
        config = WebConfig(lang=language.code, source="web", input=path)
        task = Task(language.code, config.lid, config.cache, (), config.benchmarks, config.unit)
        made = clean_corpus(config, task, find_shards(path, None), Path(folder) / "work", Progress(quiet=True))
        rows = [rows for split in made.shards for rows in made.rows(split)]
        return pl.concat(rows) if rows else pl.DataFrame(schema={"text": pl.String, "url": pl.String})


def repaired(documents: list[list[str]], language: Language, draw: random.Random) -> dict[str, float]:
    """Return the share of mojibake that is undone, and of personal data that is replaced."""
    script = main_script(language)
    clear = [line for document in documents[:40] for line in document if not line.isascii()]
    broken = [line.encode().decode("latin-1") for line in clear]
    fixed = repair(pl.Series(broken, dtype=pl.String), script, language.code).to_list()
    right = repair(pl.Series(clear, dtype=pl.String), script, language.code).to_list()
    private = [f"{draw.choice(documents)[0]} {each} ." for each in PERSONAL for _ in range(10)]
    replaced = personal_replace(pl.Series(private), language)
    undone = sum(one == other for one, other in zip(fixed, right, strict=True))
    hidden = sum(
        each not in text for each, text in zip([each for each in PERSONAL for _ in range(10)], replaced, strict=True)
    )
    return {"mojibake": undone / max(1, len(clear)), "personal data": hidden / len(private)}


def measure_kinds(data: Path, language: Language, seed: int, cases: Path | None) -> dict[str, dict[str, float]]:
    """Return for each group of kinds the share of each kind that is as it should be; what it lacks is absent."""
    draw = random.Random(seed)
    documents = sentences(data, language, draw)
    lines = [line for document in documents for line in document]
    script = main_script(language) or ""
    texts = cleaning_kinds.written(language.code, cases)
    planted = cleaning_kinds.noise(texts, lines, draw, spaced=is_spaced(script))
    held, frames = iter(documents), []
    for kind, some in planted.items():
        for number, line in enumerate(some):
            document = list(next(held))
            document.insert(draw.randrange(len(document) + 1), line)
            frames.append((f"https://{kind.replace(' ', '-')}-{number}.example.org", "\n".join(document)))
    shop = cleaning_kinds.shop_document(texts, draw) if "shop" in texts else []
    frames.append(("https://shop.example.org", "\n".join(shop)))
    dated = [[*next(held)[:5], f"{next(held)[0][:60]} 12.03.2019, 14:35"] for _ in range(5)]
    for number, document in enumerate(dated):
        frames.append((f"https://first-{number}.example.org", "\n".join(document)))
        changed = [*document[:-1], document[-1].replace("12.03.2019, 14:35", "28.11.2021, 09:07")]
        frames.append((f"https://again-{number}.example.org", "\n".join(changed)))
    rows = clean(pl.DataFrame(frames, schema=["url", "text"], orient="row"), language)
    kept, urls = set(rows["text"]), rows["url"]
    result = {kind: sum(line not in kept for line in some) / len(some) for kind, some in planted.items()}
    if shop:
        result["shop document"] = 1 - (urls == "https://shop.example.org").sum() / len(shop)
    pairs = [(f"https://first-{number}.example.org", f"https://again-{number}.example.org") for number in range(5)]
    result["changed date"] = sum(not {first, again} <= set(urls) for first, again in pairs) / len(pairs)
    worse = cleaning_kinds.broken(lines, script, draw)
    return {
        "Noise: share that goes": result,
        "Broken text: share that is repaired": cleaning_kinds.measure_pairs(
            worse, lambda given: repair(given, script, language.code)
        ),
        "Personal data: share that is replaced": cleaning_kinds.measure_personal(
            cleaning_kinds.personal(lines, script, draw), lambda given: personal_replace(given, language)
        ),
        "Good text: share that is kept": kept_of(language, good_texts(data, language, documents[-20:], texts)),
    }


def good_texts(
    data: Path, language: Language, documents: list[list[str]], texts: cleaning_kinds.Texts
) -> dict[str, list[list[str]]]:
    """Return documents of good text by kind: those of a language, short sentences, and all as people type them."""
    brief = short(data, language)
    whole = [line for document in documents for line in document]
    ways = cleaning_kinds.typed(language.code, whole)
    ways |= {f"{way}, short": some for way, some in cleaning_kinds.typed(language.code, brief).items()}
    cut = {"running text": whole, "short sentences": brief} | ways
    return {kind: [list(texts[kind])] for kind in texts if kind.startswith(cleaning_kinds.GOOD)} | {
        kind: [some[place : place + SENTENCES] for place in range(0, len(some), SENTENCES)]
        for kind, some in cut.items()
        if len(some) >= SENTENCES
    }


def kept_of(language: Language, documents: Mapping[str, list[list[str]]]) -> dict[str, float]:
    """Return the share of lines that stays, by kind; each kind is cleaned alone, as some are the same text."""
    found = {}
    for kind, some in documents.items():
        frame = pl.DataFrame({"url": ["https://example.org"] * len(some), "text": ["\n".join(each) for each in some]})
        found[kind] = len(clean(frame, language)) / len({line for each in some for line in each})
    return found


def short(data: Path, language: Language) -> list[str]:
    """Return short sentences of the language, in its script, from Tatoeba."""
    path = data / "text" / (language.flores or "?") / "tatoeba.txt"
    if not path.is_file():
        return []
    lines = pl.Series(sorted(set(path.read_text("utf-8").split("\n"))), dtype=pl.String)
    own = lines.filter(lines.str.count_matches(rf"\p{{{main_script(language)}}}") * 2 > lines.str.len_chars())
    brief = own.filter(own.str.len_chars().is_between(4, 24)).to_list()
    return random.Random(5).sample(brief, min(200, len(brief)))


def personal_replace(texts: pl.Series, language: Language) -> pl.Series:
    """Replace personal data as a build of the language does."""
    return replace(texts, language.code)


def print_groups(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print a table a group, kinds down and languages across, with their mean."""
    codes = list(results)
    for group in next(iter(results.values())):
        kinds = list(dict.fromkeys(kind for result in results.values() for kind in result[group]))
        print(f"\n| {group} |", " | ".join(codes), "| mean |")
        print("| --- |", " | ".join("---:" for _ in codes), "| ---: |")
        for kind in kinds:
            values = [results[code][group].get(kind) for code in codes]
            known = [value for value in values if value is not None]
            cells = ("" if value is None else f"{value:.2f}" for value in values)
            print(f"| {kind} |", " | ".join(cells), f"| {sum(known) / len(known):.3f} |")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the cleaning of web text on text with planted noise.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--lang")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", action="store_true")
    parser.add_argument("--cases", type=Path)
    asked = parser.parse_args()
    held = [find(code) for code in (asked.lang or (KINDS_LANGUAGES if asked.kinds else LANGUAGES)).split(",")]
    held = [language for language in held if (asked.data / "text" / (language.flores or "?")).is_dir()]
    if asked.kinds:
        print_groups({language.code: measure_kinds(asked.data, language, asked.seed, asked.cases) for language in held})
        return 0
    results = {language.code: measure(asked.data, language, asked.seed) for language in held}
    kinds = list(next(iter(results.values())))
    print("| language |", " | ".join(kinds), "|")
    print("| --- |", " | ".join("---:" for _ in kinds), "|")
    for code, result in results.items():
        print(f"| {code} |", " | ".join(f"{result[kind]:.3f}" for kind in kinds), "|")
    print(
        "| **mean** |",
        " | ".join(f"{sum(each[kind] for each in results.values()) / len(results):.3f}" for kind in kinds),
        "|",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
