"""Read the label out of a free answer."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|never|neither|nor|isn['’]t)\s+(?:an?\s+|about\s+|the\s+)?['\"“‘*`]*$")  # noqa: RUF001


def label_in(answer: str, labels: Mapping[str, Sequence[str]], *, one_line: bool = False) -> str | None:
    """Return the label that an answer names, or None if it names none, several, or says that it is not one.

    `labels` has the words for each label. Case, marks and what else is said do not matter; words count whole, longer
    ones first. What a model thinks aloud in <think> is no answer. `one_line` reads the first line that says anything,
    since a model that continues a text goes on with examples of its own.
    """
    said = unicodedata.normalize("NFKC", _THOUGHTS.sub("", answer)).casefold().strip()
    if one_line:
        said = said.split("\n", maxsplit=1)[0]
    owner = {
        unicodedata.normalize("NFKC", word).casefold().strip(): label for label in labels for word in labels[label]
    }
    longest_first = sorted(owner, key=len, reverse=True)
    found = re.finditer(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", said)
    named: set[str] = set()
    for match in found:
        if _NOT.search(said, 0, match.start()):
            return None
        named.add(owner[match[0]])
    return named.pop() if len(named) == 1 else None
