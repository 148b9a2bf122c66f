"""Rules for lines: what is no running text goes, each for a reason of its own. Pure.

The rules look at letters, marks and layout, so that they hold for any script, and at words of the web in English, which
pages in all languages have. After C4 (Raffel et al. 2020), FineWeb (Penedo et al. 2024) and GlotCC (Kargaran et al.
2024), in our own statement; the numbers are in rules.toml.
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
ADDRESS_SIGNS = ("http", "www.", ".com", ".org", ".net", ".info", ".io", ".edu", ".gov", ".tv", "/")
# With a scheme, of a domain that everybody knows, or of any two letters before a path, as bit.ly/abc has.
ADDRESS = (
    r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|org|net|info|io|edu|gov|tv)\b\S*"
    r"|\b(?:[A-Za-z0-9-]+\.)+[a-z]{2,3}/[\w%~#?=&./-]+"
)
BEGINS_WITH_ADDRESS = r"^(?:https?://|www\.)\S+"
# Where a word begins is told by ASCII alone, as Unicode's rule takes the slow way in lines that are not ASCII.
TAG = r"</?[a-zA-Z]\w*[^>]*>"
STATEMENT = r"[{}]\s*;?\s*$|(?-u:\b)function\s*\(|(?-u:\b)var \w+ ?=|\{\{|\{\\|\w\([^)]*\);"
CODE_MARKS = r"[{}<>;=\\]|\(\)"
# JSON: a name in quotation marks and a colon; tables, links, templates and comments of wikis and HTML; CSS.
MARKUP_SIGNS = r"\":|\{\||\[\[|\|\||<!--|-->|\{\{|\}\}|<ref|^==|:\d\d GMT|X-AspNet-Version|Content-Length"
MARKUP = (
    r"(?:^|[{,])\s*\"[a-z_@$][\w@$-]*\":\s*(?:[\[{\"\d]|true|false|null)|^\{\||^\|[-}|+]|^\|.*(?:\|\||\[\[)|<!--|-->"
    r"|\[\[(?:[^\]|]*:)[^\]]*\||\{\{[^}]*\}\}|<ref\b|^={2,}[^=]+={2,}$"
    r"|\b(?:Date|Expires|Last-Modified): \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT|\bX-AspNet-Version: |\bContent-Length: \d"
)
WORD = r"\p{L}\S*"
SEPARATORS = r"[|»›•·▪►→]"  # noqa: RUF001 (an angle quotation mark, which menus have)


def judge(texts: pl.Series, rules: Mapping[str, float], scripts: Sequence[str], language: str = "") -> pl.DataFrame:
    """Return for each line the reason for which it goes, null where it stays; the first rule that fits counts.

    `rules` are the numbers of rules.toml; `scripts` (ISO 15924) are those of the language, of which none means any;
    `language` is its code, by which phrases and pairs of letters are known.
    Out: columns reason, and what was measured: letters (how many, with marks, as many as Latin script would have for as
    much text; of a line with few also the gaps between its words), letter_share (of the characters, with marks),
    script_share (of the letters).
    """
    counts = count(texts, scripts)
    letter_share = counts.lettered / np.maximum(counts.characters, 1)
    letters = _with_gaps(texts, counts.lettered / scale_of(scripts), rules["shortest_line"])
    script_share = counts.own / np.maximum(counts.letters, 1)
    script = scripts[0] if scripts else None
    named = _named(texts, counts.characters, scripts, language, rules)
    fits = {
        "no_letters": counts.letters == 0,
        "url": _of(texts, texts.str.contains_any(list(ADDRESS_SIGNS)), _is_address),
        "code": _of(texts, texts.str.contains(CODE_MARKS), lambda few: _is_code(few, rules)),
        "markup": _of(texts, texts.str.contains(MARKUP_SIGNS), _is_markup),
        "boilerplate": _of(texts, _short_with_phrase(texts, counts.characters, rules), _is_boilerplate)
        | named["boilerplate"],
        "captcha": named["captcha"],
        "shop": named["shop"],
        "spam": named["spam"],
        "adult": named["adult"],
        "menu": _of(texts, texts.str.contains(SEPARATORS), lambda few: _is_menu(few, rules)) | named["menu"],
        "byline": named["byline"],
        "garbled": garbled.is_garbled(texts, counts.lettered, letter_share, rules, spaced=is_spaced(script)),
        "few_letters": letter_share < rules["least_letters"],
        "short_line": letters < rules["shortest_line"],
        "wrong_script": script_share < (rules["least_script"] if scripts else 0.0),
        "gibberish": garbled.is_gibberish(
            texts, counts.lettered >= rules["least_pairs"], language, rules["least_information"]
        ),
    }
    chosen = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, len(texts))
    for reason, fit in reversed(fits.items()):
        chosen = chosen.set(pl.Series(fit), reason)
    return pl.DataFrame(
        {"reason": chosen, "letters": letters, "letter_share": letter_share, "script_share": script_share}
    )


def _with_gaps(texts: pl.Series, letters: npt.NDArray[np.float64], shortest: float) -> npt.NDArray[np.float64]:
    """Return the letters of lines, and where they are few also the gaps between words: several say more than one."""
    few = np.flatnonzero(letters < shortest)
    if len(few):
        letters[few] += np.maximum(texts.gather(pl.Series(few)).str.count_matches(WORD).to_numpy().astype(int) - 1, 0)
    return letters


def _named(
    texts: pl.Series, characters: Counts, scripts: Sequence[str], language: str, rules: Mapping[str, float]
) -> dict[str, pl.Series]:
    """Return for each kind of phrases.KINDS which lines are of it; only short ones are looked at."""
    short = pl.Series(characters <= rules["longest_boilerplate"])
    some = texts.filter(short)
    found = phrases.judge(some, language, scripts[0] if scripts else None, rules)
    kinds = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts)).scatter(short.arg_true(), found)
    return {kind: (kinds == kind).fill_null(False) for kind in phrases.KINDS}


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
    marked = written.str.count_matches(CODE_MARKS) >= rules["least_code_marks"]
    return _of(written, marked, lambda few: few.str.contains(TAG) | few.str.contains(STATEMENT))


def _is_markup(texts: pl.Series) -> pl.Series:
    return texts.str.contains(MARKUP)


def _is_menu(texts: pl.Series, rules: Mapping[str, float]) -> pl.Series:
    separators = texts.str.count_matches(SEPARATORS)
    return (separators >= rules["least_separators"]) & (separators * rules["menu_item"] >= texts.str.len_chars())
