"""Rules for lines: what is no running text goes, each for a reason of its own. Pure.

The rules look at letters, marks and layout, so that they hold for any script, and at words of the web in English, which
pages in all languages have. After C4 (Raffel et al. 2020), FineWeb (Penedo et al. 2024) and GlotCC (Kargaran et al.
2024), in our own statement; the numbers are in rules.toml.
"""

from collections.abc import Callable, Mapping, Sequence

import polars as pl

# What pages say of themselves, whatever their language; looked for in lower case, in short lines only.
PHRASES = (
    "cookie", "privacy policy", "privacy settings", "terms of use", "terms of service", "terms and conditions",
    "all rights reserved", "©", "copyright", "powered by", "lorem ipsum", "javascript", "your browser", "click here",
    "read more", "sign in", "sign up", "log in", "login", "log out", "logout", "subscribe", "newsletter", "follow us",
    "share on", "share this", "tweet this", "add to cart", "wishlist", "skip to content", "skip to main",
    "404 not found",
    "page not found", "leave a reply", "leave a comment", "posted by", "posted on", "posted in", "no comments",
    "previous post", "next post", "wordpress", "blogspot",
)  # fmt: skip
ADDRESS = r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|org|net|info|io)\b\S*"
BEGINS_WITH_ADDRESS = r"^(?:https?://|www\.)\S+"
TAG, STATEMENT = r"</?[a-zA-Z]\w*[^>]*>", r"[{};]\s*$|\bfunction\s*\(|=>|\bvar \w+ ?=|\{\{|\{\\|\w+\([^)]*\);"
CODE_MARKS = r"[{}<>;=()\\]"
SEPARATORS = r"[|»›•·▪►→]"  # noqa: RUF001 (an angle quotation mark, which menus have)


def reasons(texts: pl.Series, rules: Mapping[str, float], scripts: Sequence[str]) -> pl.Series:
    """Return for each line the reason for which it goes, null where it stays; the first rule that fits counts.

    `rules` are the numbers of rules.toml; `scripts` (ISO 15924) are those of the language, of which none means any.
    """
    characters = texts.str.len_chars()
    letters = characters - texts.str.replace_all(r"\p{L}+", "").str.len_chars()
    lettered = letters + texts.str.count_matches(r"\p{M}")
    fits = {
        "no_letters": letters == 0,
        "url": _of(
            texts, texts.str.contains_any(["http", "www.", ".com", ".org", ".net", ".info", ".io"]), _is_address
        ),
        "code": _of(texts, texts.str.count_matches(CODE_MARKS) >= rules["least_code_marks"], _is_code),
        "boilerplate": (characters <= rules["longest_boilerplate"])
        & texts.str.to_lowercase().str.contains_any(list(PHRASES)),
        "menu": _is_menu(texts, characters, rules),
        "few_letters": lettered < rules["least_letters"] * characters,
        "short_line": letters < rules["shortest_line"],
    }
    if scripts:
        own = (
            characters
            - texts.str.replace_all("[" + "".join(rf"\p{{{each}}}" for each in scripts) + "]+", "").str.len_chars()
        )
        fits["wrong_script"] = own < rules["least_script"] * letters
    chosen = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, len(texts))
    for reason, fit in reversed(fits.items()):
        chosen = chosen.set(fit, reason)
    return chosen


def _of(texts: pl.Series, suspect: pl.Series, rule: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a rule to those lines alone that can fit it: the others cost nothing."""
    fits = pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(texts))
    return fits.scatter(suspect.arg_true(), rule(texts.filter(suspect))) if suspect.any() else fits


def _is_address(texts: pl.Series) -> pl.Series:
    rest = texts.str.replace_all(ADDRESS, "").str.len_chars()
    return texts.str.contains(BEGINS_WITH_ADDRESS) | (2 * rest < texts.str.len_chars())


def _is_code(texts: pl.Series) -> pl.Series:
    return texts.str.contains(TAG) | texts.str.contains(STATEMENT)


def _is_menu(texts: pl.Series, characters: pl.Series, rules: Mapping[str, float]) -> pl.Series:
    separators = texts.str.count_matches(SEPARATORS)
    return (separators >= rules["least_separators"]) & (separators * rules["menu_item"] >= characters)
