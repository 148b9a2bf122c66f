"""Reference implementation of the rules for lines of web text in plain Python, for bench_glotcc.py.

Each rule is a loop over characters, or uses `re` for patterns: slow and easy to read. The tables (phrases, patterns,
thresholds) are those of lrldata.web, because only their application is checked here. The rules in letters.py, pii.py,
phrases.py and garbled.py are called for one line at a time, which shows that results do not depend on the batch. The
three parts, in the order in which they are applied to a document:

    repair       like lrldata/web/repair.py
    replace      like lrldata/web/pii.py
    line_reason  like lrldata/web/line_filters.py; REASONS lists its reasons in order of precedence
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import polars as pl
from ftfy import TextFixerConfig, fix_text

from lrldata.web import garbled, letters, phrases, pii
from lrldata.web import line_filters as tables
from lrldata.web import repair as forms
from lrldata.web.characters import scale_of

Rules = Mapping[str, float]
_STATEMENT = tables.STATEMENT.replace("(?-u:", "(?a:")  # Rust's and Python's spelling of ASCII word boundaries

# --- repair ------------------------------------------------------------------------------------------------

_FTFY = TextFixerConfig(
    unescape_html=True, uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization=None
)


def repair(text: str, script: str | None, language: str) -> str:
    """Return a repaired text: no mojibake, NFC, one kind of line break, no control characters, single spaces."""
    if any(re.search(pattern, text) for pattern in (forms.MOJIBAKE, forms.ENTITY, forms.WINDOWS)):
        text = fix_text(text, _FTFY)
    text = re.sub(forms.PRESENTATION_FORMS, lambda shape: unicodedata.normalize("NFKC", shape[0]), text)
    text = unicodedata.normalize("NFC", text)
    for line_break in ("\r\n", "\r", "\u2028", "\u2029", "\x85"):
        text = text.replace(line_break, "\n")
    text = letters.join_hyphens(pl.Series([text]), script, language)[0]
    text = re.sub(forms.CONTROLS, "", text)
    text = re.sub(forms.SPACES, " ", text)
    text = forms.UNUSED_SPACE.sub("", text)
    corrected = letters.repair_letters(pl.Series([text]), script, language)
    result: str = letters.without_joiners(corrected, language)[0]
    return result


# --- personal data -----------------------------------------------------------------------------------------


def replace(text: str, language: str) -> str:
    """Return a text with personal data replaced by <email>, <ip>, <iban> and <phone>, in this order."""
    replaced: str = pii.replace(pl.Series([text]), language)[0]
    return replaced


# --- lines -------------------------------------------------------------------------------------------------


def line_reason(line: str, rules: Rules, scripts: Sequence[str], language: str) -> str | None:
    """Return the reason for dropping a line, None if it is kept. `scripts` are the language's; empty means any."""
    script, series = scripts[0] if scripts else None, pl.Series([line])
    phrase_kind = (
        phrases.judge(series, language, script, rules)[0] if len(line) <= rules["longest_boilerplate"] else None
    )
    lettered = np.array([sum(_category(character) in "LM" for character in line)])
    letter_rules = {
        "garbled": lambda: garbled.is_garbled(
            series, lettered, lettered / max(len(line), 1), rules, spaced=forms.is_spaced(script)
        )[0],
        "gibberish": lambda: garbled.is_gibberish(
            series, lettered / scale_of(scripts) >= rules["least_pairs"], language, rules["least_information"]
        )[0],
    }
    for reason in REASONS:
        if phrase_kind == reason or (reason in _RULES and _RULES[reason](line, rules, scripts)):
            return reason
        if reason in letter_rules and letter_rules[reason]():
            return reason
    return None


def _no_letters(line: str, _rules: Rules, _scripts: Sequence[str]) -> bool:
    return _letters(line) == 0


def _url(line: str, _rules: Rules, _scripts: Sequence[str]) -> bool:
    without_addresses = re.sub(tables.ADDRESS, "", line)
    return re.match(tables.BEGINS_WITH_ADDRESS, line) is not None or 2 * len(without_addresses) < len(line)


def _code(line: str, rules: Rules, _scripts: Sequence[str]) -> bool:
    line = re.sub(pii.PLACEHOLDERS, "", line)
    if len(re.findall(tables.CODE_MARKS, line)) < rules["least_code_marks"]:
        return False
    return re.search(tables.TAG, line) is not None or re.search(_STATEMENT, line) is not None


def _boilerplate(line: str, rules: Rules, _scripts: Sequence[str]) -> bool:
    if len(line) > rules["longest_boilerplate"]:
        return False
    folded = f" {line.lower()} "
    return any(
        not before.isalpha() and not after.isalpha()
        for phrase in tables.PHRASES
        for match in re.finditer(rf"(?=(.){re.escape(phrase)}s?(.))", folded)
        for before, after in [match.groups()]
    )


def _menu(line: str, rules: Rules, _scripts: Sequence[str]) -> bool:
    separators = len(re.findall(tables.SEPARATORS, line))
    return separators >= rules["least_separators"] and separators * rules["menu_item"] >= len(line)


def _few_letters(line: str, rules: Rules, _scripts: Sequence[str]) -> bool:
    lettered = sum(_category(character) in "LM" for character in line)
    return lettered < rules["least_letters"] * len(line)


def _markup(line: str, _rules: Rules, _scripts: Sequence[str]) -> bool:
    return re.search(tables.MARKUP, line) is not None


def _short_line(line: str, rules: Rules, scripts: Sequence[str]) -> bool:
    letters = sum(_category(character) in "LM" for character in line) / scale_of(scripts)
    words = sum(any(_category(character)[0] == "L" for character in word) for word in line.split())
    return letters + max(words - 1, 0) < rules["shortest_line"]


def _wrong_script(line: str, rules: Rules, scripts: Sequence[str]) -> bool:
    in_script = sum(_is_in_script(character, script) for character in line for script in scripts)
    return bool(scripts) and in_script < rules["least_script"] * _letters(line)


_RULES: Mapping[str, Callable[[str, Rules, Sequence[str]], bool]] = {
    "no_letters": _no_letters,
    "url": _url,
    "code": _code,
    "markup": _markup,
    "boilerplate": _boilerplate,
    "menu": _menu,
    "few_letters": _few_letters,
    "short_line": _short_line,
    "wrong_script": _wrong_script,
}
REASONS = (
    "no_letters", "url", "code", "markup", "boilerplate", "captcha", "shop", "spam", "adult", "menu", "byline",
    "garbled", "few_letters", "short_line", "wrong_script", "gibberish",
)  # fmt: skip

# The prefix of the Unicode names of each script's letters; unicodedata has the names, but not the script property.
_NAMES = {
    "Arab": "ARABIC", "Armn": "ARMENIAN", "Beng": "BENGALI", "Cyrl": "CYRILLIC", "Deva": "DEVANAGARI",
    "Ethi": "ETHIOPIC", "Geor": "GEORGIAN", "Grek": "GREEK", "Hani": "CJK", "Hebr": "HEBREW", "Khmr": "KHMER",
    "Laoo": "LAO", "Latn": "LATIN", "Mymr": "MYANMAR", "Taml": "TAMIL", "Telu": "TELUGU", "Thai": "THAI",
    "Tibt": "TIBETAN",
}  # fmt: skip
# Arabic vowel signs and the tatweel: Unicode assigns them to no script because several scripts use them.
_WITHOUT_SCRIPT = {*map(chr, range(0x64B, 0x656)), "\u0640", "\u0670"}


@cache
def _category(character: str) -> str:
    """Return the first letter of a character's category: L letter, M mark, N number, P punctuation, ..."""
    return unicodedata.category(character)[0]


def _letters(line: str) -> int:
    return sum(_category(character) == "L" for character in line)


@cache
def _is_in_script(character: str, script: str) -> bool:
    return (
        _category(character) == "L"
        and character not in _WITHOUT_SCRIPT
        and unicodedata.name(character, "").startswith(_NAMES[script])
    )
