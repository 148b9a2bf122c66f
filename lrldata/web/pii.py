"""Personal data: replace email and IP addresses, phone numbers and bank accounts with placeholders. Pure.

Digits may be of any script. A bank account has the length of its country and a valid checksum (ISO 13616, ISO 7064). An
IP address has an octet above 99, or a word near it that says so. A phone number has a country code (ITU-T E.164), a
leading zero, the form of a local number, or a word near it. Words, forms and lengths are in pii.toml.
"""

import re
import tomllib
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import polars as pl

from lrldata.normalize import change_matching, replaced_at

KINDS = ("email", "ip", "iban", "phone", "handle")
PLACEHOLDERS = rf"<(?:{'|'.join(KINDS)})>"
_NAME, _DOMAIN = r"[A-Za-z0-9._%+-]+", r"[A-Za-z0-9-]+"
# Plain; with spaces or brackets around the sign, as people write it for human readers; in words.
_AT = r"(?:@|@ | @ ?| ?[\[({<] ?(?i:at|@) ?[\])}>] ?)"
_DOT = r"(?:\.| ?[\[({<] ?(?i:dot|\.) ?[\])}>] ?| (?i:dot) )"
EMAIL = rf"{_NAME}{_AT}{_DOMAIN}(?:{_DOT}{_DOMAIN})*{_DOT}[A-Za-z]{{2,}}"
SPELLED_EMAIL = rf"\b{_NAME} (?i:at) {_DOMAIN}(?: (?i:dot) {_DOMAIN})* (?i:dot) [A-Za-z]{{2,}}\b"
HANDLE = r"(^|[^\w@.])@[A-Za-z0-9_]{3,30}\b"
_IPV6 = r"\b(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\b|\b(?:[0-9A-Fa-f]{1,4}:){2,6}:[0-9A-Fa-f]{1,4}\b"
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
_PHONE = re.compile(r"(?<![\w.,:/-])(?:\+ ?|\(\+?)?\d(?:[ ./()-]{0,2}\d){6,16}(?!\w)(?![.,:/-]\d)")
_LOOKS_LIKE_PHONE = r"\p{Nd}(?:[ ./()\-\u2010-\u2015]{0,2}\p{Nd}){6}"
_LAST_DIGIT = 0x1FC00  # as of Unicode 16, no script has digits beyond
_DASHES = dict.fromkeys(range(0x2010, 0x2016), "-")
_NOT_ASCII = re.compile(r"(?![0-9])[\d\u2010-\u2015]")
_YEARS = re.compile(r"(?:1\d|2[05])\d\d[ ./-]+(?:1\d|2[05])\d\d")
_DATE = re.compile(r"(?<!\d)\d{1,2}([./-])\d{1,2}[./-](?:1[89]|2[05])\d\d(?!\d)|(?<!\d)(?:19|20)\d\d-\d\d-\d\d")
_THOUSANDS = re.compile(r"\d{1,3}(?:[ .]\d{3})+")
_BOOK = re.compile(r"(?i)(?:isbn|issn|doi|pmid)\W*[\d-]*$")
_BEFORE, _AFTER = 30, 20  # characters around a number in which a word counts


class _Phones(NamedTuple):
    """What phone numbers are recognized by in a language."""

    words: re.Pattern[str]
    local: tuple[re.Pattern[str], ...]
    codes: tuple[str, ...]


def replace(texts: pl.Series, language: str = "", *, handles: bool = False) -> pl.Series:
    """Return the texts with personal data replaced by <email>, <ip>, <iban> or <phone>, and with `handles` <handle>.

    `language` is a code of `lrldata.language`; it selects the words and the local forms of phone numbers.
    """
    places = texts.str.contains(r"[\p{Nd}@:]|(?i:[\[({<] ?at ?[\])}>]| dot )").arg_true()  # few texts have any of these
    if not len(places):
        return texts
    subset = texts.gather(places)
    subset = change_matching(
        subset, r"@|(?i:[\[({<] ?at ?[\])}>])", lambda part: part.str.replace_all(EMAIL, "<email>")
    )
    subset = change_matching(subset, "(?i: dot )", lambda part: part.str.replace_all(SPELLED_EMAIL, "<email>"))
    subset = change_matching(subset, r"[0-9A-Fa-f]:[0-9A-Fa-f:]", lambda part: part.str.replace_all(_IPV6, "<ip>"))
    subset = change_matching(
        subset, r"\p{Nd}\.\p{Nd}{1,3}\.\p{Nd}{1,3}\.\p{Nd}", lambda part: _replace_spans(part, _addresses)
    )
    subset = change_matching(subset, r"[A-Z]{2}\p{Nd}{2}", lambda part: _replace_spans(part, _accounts))
    phones = _phones(language)
    subset = change_matching(
        subset, _LOOKS_LIKE_PHONE, lambda part: _replace_spans(part, lambda text: _numbers(text, phones))
    )
    if handles:
        subset = subset.str.replace_all(HANDLE, "$1<handle>")
    return replaced_at(texts, places, subset)


def count(texts: pl.Series) -> dict[str, int]:
    """Return the number of placeholders of each kind in the texts; `handle` only if there are any."""
    counts = {kind: int(texts.str.count_matches(f"<{kind}>", literal=True).sum()) for kind in KINDS}
    return {kind: number for kind, number in counts.items() if number or kind != "handle"}


def _replace_spans(texts: pl.Series, find: Callable[[str], Iterator[tuple[int, int, str]]]) -> pl.Series:
    """Replace the spans found in each text with placeholders; `find` sees all digits and dashes as ASCII."""
    replaced = []
    for text in texts:
        plain = text.translate(_ascii()) if _NOT_ASCII.search(text) else text
        parts, end = [], 0
        for begin, stop, kind in find(plain):
            parts += [text[end:begin], f"<{kind}>"]
            end = stop
        replaced.append("".join([*parts, text[end:]]))
    return pl.Series(replaced, dtype=pl.String)


@cache
def _ascii() -> dict[int, str]:
    """Return a table that maps all other digits and dashes to those of ASCII, one character each."""
    digits = filter(str.isdecimal, map(chr, range(0x80, _LAST_DIGIT)))
    return {ord(digit): str(unicodedata.digit(digit)) for digit in digits} | _DASHES


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    words = [word.start() for word in _ip_words().finditer(text)]  # that make small numbers an address
    for match in _IPV4.finditer(text):
        octets = [int(part) for part in match[0].split(".")]
        begin, end = match.span()
        nearest = bisect_left(words, begin - _BEFORE)
        is_named = nearest < len(words) and words[nearest] <= end + _AFTER
        if max(octets) <= 255 and (max(octets) > 99 or is_named):
            yield begin, end, "ip"


def _accounts(text: str) -> Iterator[tuple[int, int, str]]:
    lengths: Mapping[str, int] = _facts()["iban"]
    for match in _IBAN.finditer(text):
        length = lengths.get(match[0][:2], 0)
        positions = [position for position, letter in enumerate(match[0]) if letter != " "]
        if not 0 < length <= len(positions):
            continue
        end = match.start() + positions[length - 1] + 1
        letters = text[match.start() : end].replace(" ", "")
        rearranged = "".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])
        if int(rearranged) % 97 == 1 and not text[end : end + 1].isalnum():
            yield match.start(), end, "iban"


def _numbers(text: str, phones: _Phones) -> Iterator[tuple[int, int, str]]:
    for match in _PHONE.finditer(text):
        begin, end = match.span()
        if _is_phone(match[0], text[max(0, begin - _BEFORE) : begin], text[end : end + _AFTER], phones):
            yield begin, end, "phone"


def _is_phone(number: str, before: str, after: str, phones: _Phones) -> bool:
    digits = re.sub(r"\D", "", number)
    has_word = bool(phones.words.search(before) or phones.words.search(after))
    groups = re.findall(r"\d+", number)
    if _YEARS.fullmatch(number) or _DATE.search(number) or _BOOK.search(before) or len(digits) > 15:
        return False
    if number.startswith(("+", "(+")):
        return len(digits) >= 8 and _is_international(digits, phones)
    if digits.startswith("00"):
        return len(digits) >= 10 and _is_international(digits[2:], phones) and not _is_range(number)
    if digits.startswith("0"):
        least = 8 if has_word or "(" in number else 9
        return least <= len(digits) <= 11 and len(groups[0]) > 1 and not _is_reference(number, groups)
    if any(form.fullmatch(number) for form in phones.local):
        return True
    return has_word and 7 <= len(digits) <= 13 and len(groups) <= 5 and not _THOUSANDS.fullmatch(number)


def _is_international(digits: str, phones: _Phones) -> bool:
    return digits.startswith(phones.codes) and not digits.startswith(("10", "11")) and not digits.endswith("000")


def _is_range(number: str) -> bool:
    """Return whether it is part of a range of numbers in thousands, such as 000-8 000."""
    return bool(re.search(r"[ .]000\b", number))


def _is_reference(number: str, groups: list[str]) -> bool:
    """Return whether it is a month and a year, or an office's file number, such as 04002/1257 or 0506(2)/15546."""
    month = len(groups) > 1 and len(groups[0]) == 2 and len(groups[1]) == 4 and groups[1][:2] in ("19", "20")
    return month or "(" in number[1:] or ("/" in number and len(groups[0]) > 4)


@cache
def _facts() -> Mapping[str, Any]:
    return tomllib.loads(files("lrldata.web").joinpath("pii.toml").read_text("utf-8"))


@cache
def _ip_words() -> re.Pattern[str]:
    stems, whole = ("|".join(map(re.escape, _facts()["ip"][kind])) for kind in ("words", "whole"))
    return re.compile(rf"(?i)(?<!\w)(?:{stems}|(?:{whole})(?![a-z]))")


@cache
def _phones(language: str) -> _Phones:
    facts = _facts()["phone"]
    words = [*facts["words"], *facts["language"].get(language, [])]
    local = tuple(re.compile(form) for form in facts["local"].get(language, []))
    # In scripts without spaces, the beginning of a word cannot be seen.
    latin = "|".join(re.escape(word) for word in words if word[0] < "\u0e00" or word[0] > "\u0fff")
    others = [re.escape(word) for word in words if "\u0e00" <= word[0] <= "\u0fff"]
    pattern = "|".join([rf"(?<!\w)(?:{latin})", *others])
    return _Phones(re.compile(rf"(?i){pattern}"), local, tuple(facts["codes"]))
