"""Rules for lines: drop what is not running text, and give the reason. Pure.

The rules look at letters, marks and layout, so that they apply to any script, and at English words of the web, which
occur on pages in all languages. After C4 (Raffel et al. 2020), FineWeb (Penedo et al. 2024) and GlotCC (Kargaran et al.
2024), in our own wording; the thresholds are in rules.toml.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from lrldata.web import garbled, phrases
from lrldata.web.characters import Counts, count, scale_of
from lrldata.web.pii import PLACEHOLDERS
from lrldata.web.repair import is_spaced

# What pages say about themselves, in any language; searched for in lower case, and in short lines only.
PHRASES = (
    "cookie", "privacy policy", "privacy settings", "terms of use", "terms of service", "terms and conditions",
    "all rights reserved", "©", "copyright", "powered by", "lorem ipsum", "javascript", "your browser", "click here",
    "read more", "sign in", "sign up", "log in", "login", "log out", "logout", "subscribe", "newsletter", "follow us",
    "share on", "share this", "tweet this", "add to cart", "wishlist", "skip to content", "skip to main",
    "404 not found", "page not found", "leave a reply", "leave a comment", "posted by", "posted on", "posted in",
    "no comments",
    "previous post", "next post", "wordpress", "blogspot",
)  # fmt: skip
ADDRESS_SIGNS = ("http", "www.", ".com", ".org", ".net", ".info", ".io", ".edu", ".gov", ".tv", "/")
# With a scheme, with a well-known domain, or with any domain of two or three letters before a path, like bit.ly/abc.
ADDRESS = (
    r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|org|net|info|io|edu|gov|tv)\b\S*"
    r"|\b(?:[A-Za-z0-9-]+\.)+[a-z]{2,3}/[\w%~#?=&./-]+"
)
BEGINS_WITH_ADDRESS = r"^(?:https?://|www\.)\S+"
# Word boundaries are those of ASCII, because Unicode's rule is slow in lines that are not ASCII.
TAG = r"</?[a-zA-Z]\w*[^>]*>"
STATEMENT = r"[{}]\s*;?\s*$|(?-u:\b)function\s*\(|(?-u:\b)var \w+ ?=|\{\{|\{\\|\w\([^)]*\);"
CODE_MARKS = r"[{}<>;=\\]|\(\)"
# JSON: a name in quotation marks and a colon; tables, links, templates and comments of wikis and HTML; HTTP headers.
MARKUP_SIGNS = r"\":|\{\||\[\[|\|\||<!--|-->|\{\{|\}\}|<ref|^==|:\d\d GMT|X-AspNet-Version|Content-Length"
MARKUP = (
    r"(?:^|[{,])\s*\"[a-z_@$][\w@$-]*\":\s*(?:[\[{\"\d]|true|false|null)|^\{\||^\|[-}|+]|^\|.*(?:\|\||\[\[)|<!--|-->"
    r"|\[\[(?:[^\]|]*:)[^\]]*\||\{\{[^}]*\}\}|<ref\b|^={2,}[^=]+={2,}$"
    r"|\b(?:Date|Expires|Last-Modified): \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT|\bX-AspNet-Version: |\bContent-Length: \d"
)
WORD = r"\p{L}\S*"
SEPARATORS = r"[|»›•·▪►→]"  # noqa: RUF001 (an angle quotation mark, used in menus)


def judge(texts: pl.Series, rules: Mapping[str, float], scripts: Sequence[str], language: str = "") -> pl.DataFrame:
    """Return for each line the reason to drop it, null if it is kept; the first rule that applies counts.

    `rules` are the thresholds in rules.toml; `scripts` (ISO 15924) are those of the language, empty for any; `language`
    is its code, which selects phrases and pairs of letters.
    Out: columns reason, and the measures: letters (the number of letters and marks, scaled to what Latin script needs
    for as much text; if a line has few, plus the gaps between its words), letter_share (the share of letters and marks
    in the characters), script_share (the share of the letters in the scripts).
    """
    counts = count(texts, scripts)
    letter_share = counts.lettered / np.maximum(counts.characters, 1)
    letters = _with_gaps(texts, counts.lettered / scale_of(scripts), rules["shortest_line"])
    script_share = counts.own / np.maximum(counts.letters, 1)
    script = scripts[0] if scripts else None
    by_kind = _by_phrases(texts, counts.characters, scripts, language, rules)
    conditions = {
        "no_letters": counts.letters == 0,
        "url": _apply(texts, texts.str.contains_any(list(ADDRESS_SIGNS)), _is_address),
        "code": _apply(texts, texts.str.contains(CODE_MARKS), lambda suspects: _is_code(suspects, rules)),
        "markup": _apply(texts, texts.str.contains(MARKUP_SIGNS), _is_markup),
        "boilerplate": _apply(texts, _short_with_phrase(texts, counts.characters, rules), _is_boilerplate)
        | by_kind["boilerplate"],
        "captcha": by_kind["captcha"],
        "shop": by_kind["shop"],
        "spam": by_kind["spam"],
        "adult": by_kind["adult"],
        "menu": _apply(texts, texts.str.contains(SEPARATORS), lambda suspects: _is_menu(suspects, rules))
        | by_kind["menu"],
        "byline": by_kind["byline"],
        "garbled": garbled.is_garbled(texts, counts.lettered, letter_share, rules, spaced=is_spaced(script)),
        "few_letters": letter_share < rules["least_letters"],
        "short_line": letters < rules["shortest_line"],
        "wrong_script": script_share < (rules["least_script"] if scripts else 0.0),
        "gibberish": garbled.is_gibberish(
            texts, counts.lettered >= rules["least_pairs"], language, rules["least_information"]
        ),
    }
    reasons = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, len(texts))
    for reason, condition in reversed(conditions.items()):
        reasons = reasons.set(pl.Series(condition), reason)
    return pl.DataFrame(
        {"reason": reasons, "letters": letters, "letter_share": letter_share, "script_share": script_share}
    )


def _with_gaps(texts: pl.Series, letters: npt.NDArray[np.float64], shortest: float) -> npt.NDArray[np.float64]:
    """Return the letters of lines; if they are few, add the gaps between words, as several words say more than one."""
    short = np.flatnonzero(letters < shortest)
    if len(short):
        letters[short] += np.maximum(
            texts.gather(pl.Series(short)).str.count_matches(WORD).to_numpy().astype(int) - 1, 0
        )
    return letters


def _by_phrases(
    texts: pl.Series, characters: Counts, scripts: Sequence[str], language: str, rules: Mapping[str, float]
) -> dict[str, pl.Series]:
    """Return for each of phrases.KINDS which lines are of that kind; only short lines are examined."""
    short = pl.Series(characters <= rules["longest_boilerplate"])
    lines = texts.filter(short)
    kinds_found = phrases.judge(lines, language, scripts[0] if scripts else None, rules)
    kinds = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts)).scatter(short.arg_true(), kinds_found)
    return {kind: (kinds == kind).fill_null(False) for kind in phrases.KINDS}


def _apply(texts: pl.Series, suspect: pl.Series, rule: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a rule only to the lines that it can match; the others cost nothing."""
    matches = pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(texts))
    return matches.scatter(suspect.arg_true(), rule(texts.filter(suspect))) if suspect.any() else matches


def _short_with_phrase(texts: pl.Series, characters: Counts, rules: Mapping[str, float]) -> pl.Series:
    has_phrase = texts.str.contains_any(list(PHRASES), ascii_case_insensitive=True)
    return has_phrase & pl.Series(characters <= rules["longest_boilerplate"])


def _is_boilerplate(texts: pl.Series) -> pl.Series:
    return texts.str.contains(r"(?i)(?:^|[^\p{L}])(?:" + "|".join(map(re.escape, PHRASES)) + r")s?(?:[^\p{L}]|$)")


def _is_address(texts: pl.Series) -> pl.Series:
    rest = texts.str.replace_all(ADDRESS, "").str.len_chars()
    return texts.str.contains(BEGINS_WITH_ADDRESS) | (2 * rest < texts.str.len_chars())


def _is_code(texts: pl.Series, rules: Mapping[str, float]) -> pl.Series:
    stripped = texts.str.replace_all(PLACEHOLDERS, "")
    marked = stripped.str.count_matches(CODE_MARKS) >= rules["least_code_marks"]
    return _apply(stripped, marked, lambda suspects: suspects.str.contains(TAG) | suspects.str.contains(STATEMENT))


def _is_markup(texts: pl.Series) -> pl.Series:
    return texts.str.contains(MARKUP)


def _is_menu(texts: pl.Series, rules: Mapping[str, float]) -> pl.Series:
    separators = texts.str.count_matches(SEPARATORS)
    return (separators >= rules["least_separators"]) & (separators * rules["menu_item"] >= texts.str.len_chars())
