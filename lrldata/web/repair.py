"""Repair of text: undo mojibake, normalize to NFC, remove control characters and odd spaces. Pure.

Only text that looks like mojibake is processed outside Polars, by ftfy (Speer, "ftfy"), as that costs a hundred times
as much.
"""

import re
import unicodedata
from functools import partial

import polars as pl
from ftfy import TextFixerConfig, fix_text

from lrldata.language import Language
from lrldata.normalize import change_each, composed, replaced_at
from lrldata.web.letters import join_hyphens, repair_letters, without_joiners

# The first byte of a UTF-8 sequence, read as Latin-1 or Windows-1252, and what may follow it.
MOJIBAKE = (
    r"[\u00C2-\u00F4][\u0080-\u00BF\u0152\u0153\u0160\u0161\u0178\u017D\u017E\u0192\u02C6\u02DC\u2013\u2014\u2018-\u201E"
    r"\u2020-\u2022\u2026\u2030\u2039\u203A\u20AC\u2122]"
)
WINDOWS = r"[\x80-\x84\x86-\x9F]"  # quotation marks and dashes of Windows-1252, read as Latin-1
# The same for Cyrillic and Latin Extended-A, read as Windows-1251 and -1250. Cyrillic needs two in a row, as one such
# letter often comes before one of Serbian or Ukrainian. \u0102 after a capital is Romanian text before a sign.
_UPPER_1251 = bytes(range(0x80, 0xC0)).decode("cp1251", "ignore")
_UPPER_1250 = bytes(range(0x80, 0xC0)).decode("cp1250", "ignore")
CYRILLIC_MOJIBAKE = rf"(?:[\u0420\u0421][{_UPPER_1251}]){{2}}"
LATIN_MOJIBAKE = rf"(?:(?:^|[a-z\s])\u0102|[\u00C4\u0139])[{_UPPER_1250}]"
ENTITY = r"&(?:[a-zA-Z]{2,8}|#\d{1,6}|#x[0-9a-fA-F]{1,5});"
_FTFY = TextFixerConfig(
    unescape_html=True, uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization=None
)
_SUSPECT = re.compile(f"{MOJIBAKE}|{CYRILLIC_MOJIBAKE}|{LATIN_MOJIBAKE}|{ENTITY}|{WINDOWS}")
_SHAPED = re.compile(r"[\uFB1D-\uFDFF\uFE70-\uFEFC]+")
# Includes direction marks, which affect how a line is drawn and not what it says.
CONTROLS = (
    r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F\u00AD\u061C\u200E\u200F\u202A-\u202E\u2060\u2066-\u2069\uFEFF\uFFF9-\uFFFC]"
)
_ODD_SPACE = r"\t\u00A0\u1680\u2000-\u200A\u205F\u3000"
SPACES = rf"[ {_ODD_SPACE}]{{2,}}|[{_ODD_SPACE}]"  # single plain spaces are left alone, as nearly all spaces are
# Presentation forms, which old fonts and keyboards use instead of the letters themselves, in Arabic and in Hebrew.
PRESENTATION_FORMS = r"[\uFB1D-\uFDFF\uFE70-\uFEFC]"
ZERO_WIDTH_SPACE = "\u200b"
# Letters between which writers use it to separate words: Lao, Burmese, Khmer, Lanna, Balinese, Javanese.
_PARTED = "\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9df\uaa60-\uaa7f"
INVISIBLE = rf"{CONTROLS}|[\u200B-\u200D]"
# In Mongolian script, it stands before a suffix and selects the forms of its letters.
SUFFIX_SPACE = "\u202f"
_MONGOLIAN = "[\u1800-\u18af]"
UNUSED_SUFFIX_SPACE = re.compile(rf"(?<!{_MONGOLIAN}){SUFFIX_SPACE}|{SUFFIX_SPACE}(?!{_MONGOLIAN})")
UNUSED_SPACE = re.compile(rf"(?<![{_PARTED}])\u200b(?![{_PARTED}])")
UNSPACED = frozenset("Thai Laoo Khmr Mymr Tibt Hani Hira Kana Jpan Lana Talu Java Bali Yiii Vaii".split())


def repair(texts: pl.Series, script: str | None, language: str = "") -> pl.Series:
    r"""Return the texts repaired, with their line breaks as \\n; `script` (ISO 15924) is the language's main one."""
    return with_letters(repair_encoding(texts, script, language), script, language)


def with_letters(texts: pl.Series, script: str | None, language: str) -> pl.Series:
    """Return texts with the letters of the language instead of those of other keyboards."""
    return without_joiners(repair_letters(texts, script, language), language)


def repair_encoding(texts: pl.Series, script: str | None, language: str) -> pl.Series:
    """Return texts with everything repaired except for letters that are right in another language."""
    texts = change_each(texts, _SUSPECT.pattern, _fixed)
    texts = change_each(texts, PRESENTATION_FORMS, partial(_SHAPED.sub, _letters))
    texts = texts.str.replace_all(r"\r\n?|\u2028|\u2029|\x85", "\n")
    invisible = texts.str.contains(INVISIBLE)
    texts = _composed(texts, script, language)
    texts = texts.str.replace_all(CONTROLS, "")
    texts = _substituted(texts, ZERO_WIDTH_SPACE, UNUSED_SPACE, "")
    texts = without_joiners(texts, language)
    if invisible.any():  # what was removed may have separated a letter from its accent, or a hyphen from the line end
        seen = _composed(texts.filter(invisible), script, language)
        texts = replaced_at(texts, invisible.arg_true(), seen)
    return _substituted(texts, SUFFIX_SPACE, UNUSED_SUFFIX_SPACE, " ").str.replace_all(SPACES, " ")


def _substituted(texts: pl.Series, character: str, pattern: re.Pattern[str], put: str) -> pl.Series:
    """Return texts with matches of a pattern replaced in those that contain a character; Polars cannot look around."""
    return change_each(texts, character, partial(pattern.sub, put), literal=True)


def _composed(texts: pl.Series, script: str | None, language: str) -> pl.Series:
    """Return texts in NFC, with words that were hyphenated at line ends joined."""
    return join_hyphens(composed(texts), script, language)


def _fixed(text: str) -> str:
    """Return a text with its mojibake repaired, each line by itself, so that other lines do not affect it."""
    return "\n".join(fix_text(line, _FTFY) if _SUSPECT.search(line) else line for line in text.split("\n"))


def _letters(shapes: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", shapes[0])


def main_script(language: Language) -> str | None:
    """Return the script in which a language is mostly written."""
    return language.scripts[0] if language.scripts else None


def is_spaced(script: str | None) -> bool:
    """Return whether spaces separate words in the script, so that words can be counted."""
    return script not in UNSPACED
