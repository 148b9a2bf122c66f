"""Personal data: addresses of e-mail and IP, phone numbers and bank accounts are replaced by words for them. Pure."""

from collections.abc import Mapping

import polars as pl

# In the order in which they are replaced: an address with a domain; four bytes, or groups of hexadecimal digits; a
# country's two letters and groups of letters and digits; seven digits or more after a plus or noughts, with the marks
# that people put between them.
PATTERNS: Mapping[str, str] = {
    "email": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    "ip": r"\b(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\b"
    r"|\b(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\b|\b(?:[0-9A-Fa-f]{1,4}:){2,6}:[0-9A-Fa-f]{1,4}\b",
    "iban": r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
    "phone": r"(?:\+|\b00)[0-9]{1,3}[ ./-]?(?:\(?[0-9]{1,4}\)?[ ./-]?){2,5}[0-9]{2,4}\b"
    r"|\(?\b0[0-9]{1,4}\)?[ /.-][0-9]{3,4}[ .-][0-9]{2,4}(?:[ .-][0-9]{2,4})?\b"
    r"|\(?\b0[0-9]{2,4}\)?[ /-][0-9]{5,8}\b|\b0[0-9]{8,10}\b",
}
PLACEHOLDERS = rf"<(?:{'|'.join(PATTERNS)})>"
_SIGNS: Mapping[str, str] = {
    "email": "@",
    "ip": r"[0-9]\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]:[0-9A-Fa-f:]",
    "iban": r"[A-Z]{2}[0-9]{2}",
    "phone": r"\+|\b0",
}


def replace(texts: pl.Series) -> pl.Series:
    """Return the texts with <email>, <ip>, <iban> and <phone> in place of such data."""
    places = texts.str.contains("[0-9@:]").arg_true()  # all such data has one of these, and few texts do
    some = texts.gather(places)
    for kind, pattern in PATTERNS.items():
        suspect = some.str.contains(_SIGNS[kind])
        if suspect.any():
            some = some.scatter(suspect.arg_true(), some.filter(suspect).str.replace_all(pattern, f"<{kind}>"))
    return texts.scatter(places, some) if len(places) else texts


def count(texts: pl.Series) -> dict[str, int]:
    """Return how many placeholders of each kind the texts have."""
    return {kind: int(texts.str.count_matches(f"<{kind}>", literal=True).sum()) for kind in PATTERNS}
