"""Personal data: addresses of e-mail and IP, phone numbers and bank accounts are replaced by words for them. Pure.

Digits are those of any script. A bank account has the length of its country and a checksum (ISO 13616, ISO 7064), an IP
address an octet above 99 or a word beside it that says so, a phone number a country's code (ITU-T E.164), a leading
zero, the form of a local number, or a word beside it. Words, forms and lengths are in pii.toml.
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

KINDS = ("email", "ip", "iban", "phone", "handle")
PLACEHOLDERS = rf"<(?:{'|'.join(KINDS)})>"
_NAME, _DOMAIN = r"[A-Za-z0-9._%+-]+", r"[A-Za-z0-9-]+"
# Plain; with spaces or brackets about the sign, as people write it for people; in words.
_AT = r"(?:@|@ | @ ?| ?[\[({<] ?(?i:at|@) ?[\])}>] ?)"
_DOT = r"(?:\.| ?[\[({<] ?(?i:dot|\.) ?[\])}>] ?| (?i:dot) )"
EMAIL = rf"{_NAME}{_AT}{_DOMAIN}(?:{_DOT}{_DOMAIN})*{_DOT}[A-Za-z]{{2,}}"
SPELT_EMAIL = rf"\b{_NAME} (?i:at) {_DOMAIN}(?: (?i:dot) {_DOMAIN})* (?i:dot) [A-Za-z]{{2,}}\b"
HANDLE = r"(^|[^\w@.])@[A-Za-z0-9_]{3,30}\b"
_IPV6 = r"\b(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\b|\b(?:[0-9A-Fa-f]{1,4}:){2,6}:[0-9A-Fa-f]{1,4}\b"
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
_PHONE = re.compile(r"(?<![\w.,:/-])(?:\+ ?|\(\+?)?\d(?:[ ./()-]{0,2}\d){6,16}(?!\w)(?![.,:/-]\d)")
_LOOKS_LIKE_PHONE = r"\p{Nd}(?:[ ./()\-\u2010-\u2015]{0,2}\p{Nd}){6}"
_LAST_DIGIT = 0x1FC00  # no script has digits beyond, up to Unicode 16
_DASHES = dict.fromkeys(range(0x2010, 0x2016), "-")
_NOT_ASCII = re.compile(r"(?![0-9])[\d\u2010-\u2015]")
_YEARS = re.compile(r"(?:1\d|2[05])\d\d[ ./-]+(?:1\d|2[05])\d\d")
_DATE = re.compile(r"(?<!\d)\d{1,2}([./-])\d{1,2}[./-](?:1[89]|2[05])\d\d(?!\d)|(?<!\d)(?:19|20)\d\d-\d\d-\d\d")
_THOUSANDS = re.compile(r"\d{1,3}(?:[ .]\d{3})+")
_BOOK = re.compile(r"(?i)(?:isbn|issn|doi|pmid)\W*[\d-]*$")
_BEFORE, _AFTER = 30, 20  # characters in which a word counts


class _Phones(NamedTuple):
    """What phone numbers are told by in a language."""

    words: re.Pattern[str]
    local: tuple[re.Pattern[str], ...]
    codes: tuple[str, ...]


def replace(texts: pl.Series, language: str = "", *, handles: bool = False) -> pl.Series:
    """Return the texts with <email>, <ip>, <iban> and <phone> in place of such data, and with `handles` <handle>.

    `language` is a code of `lrldata.language`: words and local forms of phone numbers are its own.
    """
    places = texts.str.contains(r"[\p{Nd}@:]|(?i:[\[({<]at[\])}>]| dot )").arg_true()  # few texts have any of these
    if not len(places):
        return texts
    some = texts.gather(places)
    some = _where(some, r"@|(?i:[\[({<] ?at ?[\])}>])", lambda few: few.str.replace_all(EMAIL, "<email>"))
    some = _where(some, "(?i: dot )", lambda few: few.str.replace_all(SPELT_EMAIL, "<email>"))
    some = _where(some, r"[0-9A-Fa-f]:[0-9A-Fa-f:]", lambda few: few.str.replace_all(_IPV6, "<ip>"))
    some = _where(some, r"\p{Nd}\.\p{Nd}{1,3}\.\p{Nd}{1,3}\.\p{Nd}", lambda few: _each(few, _addresses))
    some = _where(some, r"[A-Z]{2}\p{Nd}{2}", lambda few: _each(few, _accounts))
    phones = _phones(language)
    some = _where(some, _LOOKS_LIKE_PHONE, lambda few: _each(few, lambda text: _numbers(text, phones)))
    if handles:
        some = some.str.replace_all(HANDLE, "$1<handle>")
    return texts.scatter(places, some)


def count(texts: pl.Series) -> dict[str, int]:
    """Return how many placeholders of each kind the texts have, of those that they have."""
    found = {kind: int(texts.str.count_matches(f"<{kind}>", literal=True).sum()) for kind in KINDS}
    return {kind: number for kind, number in found.items() if number or kind != "handle"}


def _where(texts: pl.Series, sign: str, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    suspect = texts.str.contains(sign)
    return texts.scatter(suspect.arg_true(), change(texts.filter(suspect))) if suspect.any() else texts


def _each(texts: pl.Series, find: Callable[[str], Iterator[tuple[int, int, str]]]) -> pl.Series:
    """Put words for the spans that are found in each text, whose digits and dashes are those of ASCII to `find`."""
    made = []
    for text in texts:
        plain = text.translate(_ascii()) if _NOT_ASCII.search(text) else text
        parts, end = [], 0
        for begin, stop, kind in find(plain):
            parts += [text[end:begin], f"<{kind}>"]
            end = stop
        made.append("".join([*parts, text[end:]]))
    return pl.Series(made, dtype=pl.String)


@cache
def _ascii() -> dict[int, str]:
    """Return a table that makes ASCII digits and dashes of all others, a character of each."""
    digits = filter(str.isdecimal, map(chr, range(0x80, _LAST_DIGIT)))
    return {ord(digit): str(unicodedata.digit(digit)) for digit in digits} | _DASHES


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    words = [word.start() for word in _ip_words().finditer(text)]  # that make of small numbers an address
    for found in _IPV4.finditer(text):
        octets = [int(part) for part in found[0].split(".")]
        begin, end = found.span()
        near = bisect_left(words, begin - _BEFORE)
        is_named = near < len(words) and words[near] <= end + _AFTER
        if max(octets) <= 255 and (max(octets) > 99 or is_named):
            yield begin, end, "ip"


def _accounts(text: str) -> Iterator[tuple[int, int, str]]:
    lengths: Mapping[str, int] = _facts()["iban"]
    for found in _IBAN.finditer(text):
        wanted = lengths.get(found[0][:2], 0)
        places = [place for place, letter in enumerate(found[0]) if letter != " "]
        if not 0 < wanted <= len(places):
            continue
        end = found.start() + places[wanted - 1] + 1
        letters = text[found.start() : end].replace(" ", "")
        turned = "".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])
        if int(turned) % 97 == 1 and not text[end : end + 1].isalnum():
            yield found.start(), end, "iban"


def _numbers(text: str, phones: _Phones) -> Iterator[tuple[int, int, str]]:
    for found in _PHONE.finditer(text):
        begin, end = found.span()
        if _is_phone(found[0], text[max(0, begin - _BEFORE) : begin], text[end : end + _AFTER], phones):
            yield begin, end, "phone"


def _is_phone(number: str, before: str, after: str, phones: _Phones) -> bool:
    digits = re.sub(r"\D", "", number)
    named = bool(phones.words.search(before) or phones.words.search(after))
    groups = re.findall(r"\d+", number)
    if _YEARS.fullmatch(number) or _DATE.search(number) or _BOOK.search(before) or len(digits) > 15:
        return False
    if number.startswith(("+", "(+")):
        return len(digits) >= 8 and _is_abroad(digits, phones)
    if digits.startswith("00"):
        return len(digits) >= 10 and _is_abroad(digits[2:], phones) and not _is_range(number)
    if digits.startswith("0"):
        least = 8 if named or "(" in number else 9
        return least <= len(digits) <= 11 and len(groups[0]) > 1 and not _is_filed(number, groups)
    if any(form.fullmatch(number) for form in phones.local):
        return True
    return named and 7 <= len(digits) <= 13 and len(groups) <= 5 and not _THOUSANDS.fullmatch(number)


def _is_abroad(digits: str, phones: _Phones) -> bool:
    return digits.startswith(phones.codes) and not digits.startswith(("10", "11")) and not digits.endswith("000")


def _is_range(number: str) -> bool:
    """Return whether it is a part of a range of numbers with thousands, as 000-8 000."""
    return bool(re.search(r"[ .]000\b", number))


def _is_filed(number: str, groups: list[str]) -> bool:
    """Return whether it is a month and a year, or what an office files under, as 04002/1257 or 0506(2)/15546."""
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
    # Scripts without spaces have no place where a word begins.
    latin = "|".join(re.escape(word) for word in words if word[0] < "\u0e00" or word[0] > "\u0fff")
    others = [re.escape(word) for word in words if "\u0e00" <= word[0] <= "\u0fff"]
    pattern = "|".join([rf"(?<!\w)(?:{latin})", *others])
    return _Phones(re.compile(rf"(?i){pattern}"), local, tuple(facts["codes"]))
