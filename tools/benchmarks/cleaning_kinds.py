"""More kinds of text for eval_cleaning.py: noise, good text that resembles noise, and personal data. Pure.

Texts that must be in the language are in cleaning_texts.toml and, if a folder `cases` is given, in its
web/06-boilerplate-in-the-language/LANG.txt. All others are made from real sentences with a seed.
"""

import random
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

Texts = Mapping[str, Sequence[str]]

WRITTEN = ("boilerplate", "navigation", "captcha", "seo", "shop", "adult", "byline")
GOOD = ("headlines", "proverbs", "poem")
EACH = 8  # generated lines per kind
SYMBOLS = "~^°`§¬|*!;:.,'1lIrnv"
LOREM = [
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore.",
    "Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur.",
    "Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est.",
]
MARKUP = [
    '{"id": 4711, "title": "PAGE", "tags": ["a", "b"], "published": true}',
    '"headline": "PAGE", "dateModified": "2019-03-12T14:35:00+00:00",',
    "{| class=\"wikitable sortable\" ! style='width:40%' | PAGE",
    "| align=center || 12 || [[File:PAGE.jpg|thumb|220px|right]]",
    "<!-- wp:paragraph --> PAGE <!-- /wp:paragraph -->",
    ".menu-item { margin: 0 auto; color: #ff00aa; } /* PAGE */",
]
BARE = [
    "bit.ly/3xYzAbC", "facebook.com/groups/4711/posts/815", "news.example.co.tz/2019/03/12/page.html",
    "example.ro/articole/stiri-locale", "t.me/example_channel", "youtu.be/dQw4w9WgXcQ",
]  # fmt: skip
# Personal data to be replaced, inserted into sentences. A leading N means to use the digits of the language's script.
PERSONAL = {
    "phone": ["+255 754 123 456", "0911 23 45 67", "0744-123456", "(021) 314 25 36", "00 40 744 123 456",
              "0712 345 678"],
    "native phone": ["N0712-345678", "N081-234-5678", "N0991-1234567"],
    "obfuscated e-mail": ["abebe [at] example [dot] com", "maria(at)example.com", "info @ example.com",
                          "nino {at} example {dot} org", "jan at example dot com"],
    "iban": ["DE89 3704 0044 0532 0130 00", "RO49AAAA1B31007593840000", "MT84MALT011000012345MTLCAST001S"],
    "ip": ["192.168.12.44", "10.200.0.1", "2001:db8:0:0:0:0:2:1"],
}  # fmt: skip
NOT_PERSONAL = [
    "2.5.2.1", "1.0.2.3/ 1.0.1.3", "5 000-8 000", "50 000-51 500 lei/kg", "MH17 2014 2015", "GT24 2023 2024 2025",
    "04.2020-05.2020", "06/1998 07/2001", "+10 000 000", "JB0002742336", "1 000 000 000", "978-3-16-148410-0",
    "2003-2004", "12.05.2010 14.30", "3.1.4.1.5", "1939-1945", "0.5-1.5", "10:30-12:45", "ISO 9001 2015",
    "01/02/2003 04/05/2006", "00-24", "4:3:2:1", "25,000-30,000", "+5 000", "1 234 567,89", "0-0, 1-1, 2-1",
]  # fmt: skip
HOMOGLYPHS = {"Latn": dict(zip("aceopxyiACEHKMOPTX", "асеорхуіАСЕНКМОРТХ", strict=True)),  # noqa: RUF001
              "Cyrl": dict(zip("асеорхуАСЕНКМОРТХ", "aceopxyACEHKMOPTX", strict=True)),  # noqa: RUF001
              "Grek": {"ο": "o", "ν": "v", "Α": "A", "Β": "B", "Ε": "E", "Κ": "K", "Μ": "M", "Ο": "O", "Τ": "T"}}  # noqa: RUF001  # fmt: skip
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u2060\ufeff"
# How people type languages whose letters are missing from their keyboard: the letters that are replaced.
TYPED: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "az": {"e for ə": {"ə": "e", "Ə": "E"}},
    "ug": {"Persian yeh": {"ى": "ی"}, "Persian letters": {"ى": "ی", "ې": "ی", "ە": "ه", "ك": "ک"}},  # noqa: RUF001
    "ku": {"Arabic letters": {"ک": "ك", "ی": "ي", "ە": "ه"}, "Arabic kaf, yeh": {"ک": "ك", "ی": "ي"}},  # noqa: RUF001
    "ur": {"Arabic letters": {"ک": "ك", "ی": "ي"}},
    "ro": {"cedilla": {"ș": "ş", "ț": "ţ", "Ș": "Ş", "Ț": "Ţ"},
           "no marks": {"ș": "s", "ț": "t", "ă": "a", "â": "a", "î": "i"}},
    "mt": {"no marks": {"ħ": "h", "ġ": "g", "ż": "z", "ċ": "c", "Ħ": "H", "Ġ": "G", "Ż": "Z", "Ċ": "C"}},
    "yo": {"line below": {"\u0323": "\u0329"}},
    "th": {"two strokes": {"แ": "เเ", "ำ": "ํา"}},
    "uz": {"ASCII quote": {"ʻ": "'", "ʼ": "'", "‘": "'", "’": "'"}},  # noqa: RUF001
    "am": {"word space": {" ": "፡"}},
}  # fmt: skip
DIGITS = {"Beng": 0x9E6, "Thai": 0xE50, "Tibt": 0xF20, "Deva": 0x966, "Mymr": 0x1040, "Khmr": 0x17E0, "Arab": 0x660}


def written(language: str, cases: Path | None) -> dict[str, list[str]]:
    """Return the texts of a language by kind; {n} is a placeholder for a number."""
    table = tomllib.loads(Path(__file__).with_name("cleaning_texts.toml").read_text("utf-8"))
    texts: dict[str, list[str]] = {kind: list(lines) for kind, lines in table.get(language, {}).items()}
    case_file = (cases or Path()) / "web" / "06-boilerplate-in-the-language" / f"{language}.txt"
    if cases and case_file.is_file():
        texts["given"] = [line for line in case_file.read_text("utf-8").split("\n") if line.strip()]
    for kind in GOOD if cases else ():
        for path in sorted((cases or Path()).glob(f"web/04-good-lost/{language}-{kind}*.txt")):
            texts.setdefault(f"{kind} given", []).extend(path.read_text("utf-8").strip().split("\n"))
    return texts


def noise(texts: Texts, sentences: Sequence[str], generator: random.Random, *, spaced: bool) -> dict[str, list[str]]:
    """Return lines that should be dropped, by kind."""
    noise_lines = {
        kind: [_numbered(line, generator) for line in texts[kind]] for kind in (*WRITTEN, "given") if kind in texts
    }
    noise_lines["ocr"] = [_ocr(line, generator) for line in generator.sample(list(sentences), EACH)]
    noise_lines["mash"] = [_mash(sentences, generator, spaced=spaced) for _ in range(EACH)]
    noise_lines["lorem"] = LOREM
    noise_lines["markup"] = [line.replace("PAGE", generator.choice(sentences)[:30]) for line in MARKUP]
    noise_lines["bare address"] = BARE
    return noise_lines


def _numbered(line: str, generator: random.Random) -> str:
    return line.replace("{n}", str(generator.randint(11, 98)))


def _ocr(line: str, generator: random.Random) -> str:
    return "".join(
        generator.choice((*SYMBOLS, " ")) if letter.isalpha() and generator.random() < 0.2 else letter
        for letter in line
    )


def _mash(sentences: Sequence[str], generator: random.Random, *, spaced: bool) -> str:
    letters = Counter(
        letter for line in sentences for letter in line.lower() if unicodedata.category(letter)[0] in "LM"
    )
    common = [letter for letter, _ in letters.most_common(36)]
    words = ["".join(generator.choices(common, k=generator.randint(4, 10))) for _ in range(generator.randint(4, 7))]
    return (" " if spaced else "").join(words)


def shop_document(texts: Texts, generator: random.Random) -> list[str]:
    """Return the lines of a shop page."""
    return [line.replace("{n}", str(number)) for number in generator.sample(range(11, 98), 5) for line in texts["shop"]]


def broken(sentences: Sequence[str], script: str, generator: random.Random) -> dict[str, list[tuple[str, str]]]:
    """Return pairs of a broken text and its correct form, by kind."""
    sample = generator.sample(list(sentences), min(24, len(sentences)))
    pairs = {"invisible characters": [(_with_inserted(line, INVISIBLE, generator), line) for line in sample]}
    if script in HOMOGLYPHS:
        pairs["homoglyphs"] = [
            (damaged, line)
            for line in sample
            if (damaged := _with_homoglyphs(line, HOMOGLYPHS[script], generator)) != line
        ]
    if script in ("Latn", "Cyrl", "Grek"):
        pairs["hyphens at line ends"] = [
            (damaged, line) for line in sample if (damaged := _hyphenated(line, generator)) != line
        ]
    return pairs


def _with_inserted(line: str, characters: str, generator: random.Random) -> str:
    return "".join(
        letter + (generator.choice(characters) if letter.isalpha() and generator.random() < 0.1 else "")
        for letter in line
    )


def _with_homoglyphs(line: str, table: Mapping[str, str], generator: random.Random) -> str:
    """Replace letters by look-alikes in some words that have other letters too."""
    words = line.split(" ")
    for index, word in enumerate(words):
        replaceable = [position for position, letter in enumerate(word) if letter in table]
        if len(word) > 3 and len(replaceable) < sum(map(str.isalpha, word)) and generator.random() < 0.5:
            words[index] = "".join(
                table[letter] if position in replaceable else letter for position, letter in enumerate(word)
            )
    return " ".join(words)


def _hyphenated(line: str, generator: random.Random) -> str:
    """Hyphenate one long word of a line and break the line there, like narrow columns."""
    words = line.split(" ")
    candidates = [index for index, word in enumerate(words) if len(word) > 8 and word.isalpha() and word.islower()]
    if not candidates:
        return line
    index = generator.choice(candidates)
    cut = generator.randint(4, len(words[index]) - 3)
    hyphen = generator.choice("-\u00ad")
    words[index] = f"{words[index][:cut]}{hyphen}\n{words[index][cut:]}"
    return " ".join(words)


def typed(language: str, sentences: Sequence[str]) -> dict[str, list[str]]:
    """Return real sentences as typed on keyboards without some of the letters, by kind of keyboard."""
    return {
        keyboard: [_as_typed(line, table) for line in sentences] for keyboard, table in TYPED.get(language, {}).items()
    }


def _as_typed(line: str, table: Mapping[str, str]) -> str:
    has_marks = any(unicodedata.category(letter[0])[0] == "M" for letter in table)
    text = unicodedata.normalize("NFD", line) if has_marks else line
    for letter, replacement in table.items():
        text = text.replace(letter, replacement)
    return text


def personal(sentences: Sequence[str], script: str, generator: random.Random) -> dict[str, list[tuple[str, str]]]:
    """Return pairs of a text and the personal data in it, by kind; texts of kind `false` should not change."""
    zero = DIGITS.get(script)
    pairs: dict[str, list[tuple[str, str]]] = {}
    for kind, values in PERSONAL.items():
        if kind == "native phone" and zero is None:
            continue
        native = [_native(value, zero) if value[0] == "N" else value for value in values]
        words = {"ip": "IP", "phone": "Tel", "native phone": "Tel"}.get(kind, "")
        pairs[kind] = [(f"{generator.choice(sentences)} {words} {value}", value) for value in native]
    pairs["false"] = [(f"{generator.choice(sentences)} {value} .", value) for value in NOT_PERSONAL]
    return pairs


def _native(value: str, zero: int | None) -> str:
    return "".join(chr((zero or 48) + int(letter)) if letter.isdigit() else letter for letter in value[1:])


def measure_pairs(
    pairs: Mapping[str, Sequence[tuple[str, str]]], repair: Callable[[pl.Series], pl.Series]
) -> dict[str, float]:
    """Return the share of texts whose repaired form equals the repaired correct form, by kind."""
    return {
        kind: sum(
            repaired == expected
            for repaired, expected in zip(
                repair(pl.Series([text for text, _ in kind_pairs], dtype=pl.String)),
                repair(pl.Series([text for _, text in kind_pairs], dtype=pl.String)),
                strict=True,
            )
        )
        / max(1, len(kind_pairs))
        for kind, kind_pairs in pairs.items()
    }


def measure_personal(
    pairs: Mapping[str, Sequence[tuple[str, str]]], replace: Callable[[pl.Series], pl.Series]
) -> dict[str, float]:
    """Return the share of personal data that is replaced, by kind; for `false`, the share of unchanged texts."""
    shares = {}
    for kind, kind_pairs in pairs.items():
        texts = replace(pl.Series([text for text, _ in kind_pairs], dtype=pl.String))
        if kind == "false":
            shares["non-personal data kept"] = sum(
                new == old for new, (old, _) in zip(texts, kind_pairs, strict=True)
            ) / len(kind_pairs)
        else:
            shares[kind] = sum(value not in new for new, (_, value) in zip(texts, kind_pairs, strict=True)) / len(
                kind_pairs
            )
    return shares
