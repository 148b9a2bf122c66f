"""Rules for lines: what is no running text goes, each for a reason of its own. Pure.

The rules look at letters, marks and layout, so that they hold for any script, and at words of the web in English, which
pages in all languages have. After C4 (Raffel et al. 2020), FineWeb (Penedo et al. 2024) and GlotCC (Kargaran et al.
2024), in our own statement; the numbers are in rules.toml.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from lrldata.web.characters import Counts, count
from lrldata.web.pii import PLACEHOLDERS

# What pages say of themselves, whatever their language; looked for in lower case, in short lines only.
PHRASES = (
    "cookie", "privacy policy", "privacy settings", "terms of use", "terms of service", "terms and conditions",
    "all rights reserved", "©", "copyright", "powered by", "lorem ipsum", "javascript", "your browser", "click here",
    "read more", "sign in", "sign up", "log in", "login", "log out", "logout", "subscribe", "newsletter", "follow us",
    "share on", "share this", "tweet this", "add to cart", "wishlist", "skip to content", "skip to main",
    "404 not found", "page not found", "leave a reply", "leave a comment", "posted by", "posted on", "posted in",
    "no comments",
    "previous post", "next post", "wordpress", "blogspot",
)  # fmt: skip
ADDRESS_SIGNS = ("http", "www.", ".com", ".org", ".net", ".info", ".io")
ADDRESS = r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|org|net|info|io)\b\S*"
BEGINS_WITH_ADDRESS = r"^(?:https?://|www\.)\S+"
TAG, STATEMENT = r"</?[a-zA-Z]\w*[^>]*>", r"[{}]\s*;?\s*$|\bfunction\s*\(|\bvar \w+ ?=|\{\{|\{\\|\w\([^)]*\);"
CODE_MARKS = r"[{}<>;=\\]|\(\)"
SEPARATORS = r"[|»›•·▪►→]"  # noqa: RUF001 (an angle quotation mark, which menus have)


def judge(texts: pl.Series, rules: Mapping[str, float], scripts: Sequence[str]) -> pl.DataFrame:
    """Return for each line the reason for which it goes, null where it stays; the first rule that fits counts.

    `rules` are the numbers of rules.toml; `scripts` (ISO 15924) are those of the language, of which none means any.
    Out: columns reason, and what was measured: letters (how many), letter_share (of the characters, with marks),
    script_share (of the letters).
    """
    counts = count(texts, scripts)
    letter_share = counts.lettered / np.maximum(counts.characters, 1)
    script_share = counts.own / np.maximum(counts.letters, 1)
    fits = {
        "no_letters": counts.letters == 0,
        "url": _of(texts, texts.str.contains_any(list(ADDRESS_SIGNS)), _is_address),
        "code": _of(texts, texts.str.contains(CODE_MARKS), lambda few: _is_code(few, rules)),
        "boilerplate": _of(texts, _short_with_phrase(texts, counts.characters, rules), _is_boilerplate),
        "menu": _of(texts, texts.str.contains(SEPARATORS), lambda few: _is_menu(few, rules)),
        "few_letters": letter_share < rules["least_letters"],
        "short_line": counts.letters < rules["shortest_line"],
        "wrong_script": script_share < (rules["least_script"] if scripts else 0.0),
    }
    chosen = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, len(texts))
    for reason, fit in reversed(fits.items()):
        chosen = chosen.set(pl.Series(fit), reason)
    measured = {"letters": counts.letters, "letter_share": letter_share, "script_share": script_share}
    return pl.DataFrame({"reason": chosen, **measured}, schema_overrides={"letters": pl.UInt32})


def _of(texts: pl.Series, suspect: pl.Series, rule: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a rule to those lines alone that can fit it: the others cost nothing."""
    fits = pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(texts))
    return fits.scatter(suspect.arg_true(), rule(texts.filter(suspect))) if suspect.any() else fits


def _short_with_phrase(texts: pl.Series, characters: Counts, rules: Mapping[str, float]) -> pl.Series:
    named = texts.str.contains_any(list(PHRASES), ascii_case_insensitive=True)
    return named & pl.Series(characters <= rules["longest_boilerplate"])


def _is_boilerplate(texts: pl.Series) -> pl.Series:
    return texts.str.contains(r"(?i)(?:^|[^\p{L}])(?:" + "|".join(map(re.escape, PHRASES)) + r")s?(?:[^\p{L}]|$)")


def _is_address(texts: pl.Series) -> pl.Series:
    rest = texts.str.replace_all(ADDRESS, "").str.len_chars()
    return texts.str.contains(BEGINS_WITH_ADDRESS) | (2 * rest < texts.str.len_chars())


def _is_code(texts: pl.Series, rules: Mapping[str, float]) -> pl.Series:
    written = texts.str.replace_all(PLACEHOLDERS, "")
    return (written.str.count_matches(CODE_MARKS) >= rules["least_code_marks"]) & (
        written.str.contains(TAG) | written.str.contains(STATEMENT)
    )


def _is_menu(texts: pl.Series, rules: Mapping[str, float]) -> pl.Series:
    separators = texts.str.count_matches(SEPARATORS)
    return (separators >= rules["least_separators"]) & (separators * rules["menu_item"] >= texts.str.len_chars())
