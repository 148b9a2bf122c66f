"""What the tools for language identification share: labelled text, cut in seeded ways, and scores.

Labels are those of SIB-200 (`ron_Latn`); a row is a label and a text.
"""

import gzip
import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrldata.langid import LanguageModel, prepare
from lrldata.language import languages

Row = tuple[str, str]

TRAIN, UDHR = "lid/sib200_train.txt.gz", "lid/udhr.txt.gz"
PAPER = [row.sib200 for row in languages() if row.paper and row.sib200]
# Letters that keyboards lack, and what people type for them, where no rule can bring them back (letters.toml has those
# that one can): the model learns such lines too.
TYPED: dict[str, dict[str, str | int | None]] = {"azj_Latn": {"ə": "e", "Ə": "E"}}
_HELD_OUT = 14  # one line in this many is never trained on: some 50 a language
_NO_SPACES = ("Thai", "Laoo", "Khmr", "Mymr", "Tibt", "Hans", "Hant", "Jpan")
_LETTERS_A_WORD = 5  # where words are not parted by spaces


def read(path: Path) -> list[Row]:
    """Read lines of `__label__ron_Latn TEXT`."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        parted = [line.rstrip("\n").removeprefix("__label__").partition(" ") for line in stream]
    return [(label, text.strip()) for label, _, text in parted]


def is_held_out(text: str) -> bool:
    """Return whether a line of the training file is for measuring; by its hash, so that nobody need keep a list."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % _HELD_OUT == 0


def training_rows(data: Path) -> list[Row]:
    """Return what the model learns from."""
    return [row for row in read(data / TRAIN) if not is_held_out(row[1])]


def typed_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of some languages as people type them whose keyboards lack letters."""
    return [
        (label, changed)
        for label, text in rows
        if (changed := text.translate(str.maketrans(TYPED.get(label, {})))) != text
    ]


def held_out_rows(data: Path) -> list[Row]:
    """Return the rows of all 205 languages that the model does not learn from."""
    return [row for row in read(data / TRAIN) if is_held_out(row[1])]


def sib200_rows(data: Path, part: str = "test") -> list[Row]:
    """Return SIB-200's test (or dev) lines for the languages that are here with them, held-out lines for the others."""
    rows = []
    for path in sorted((data / "sib200").glob(f"*/{part}.tsv")):
        lines = path.read_text("utf-8").split("\n")[1:]
        rows += [(path.parent.name, line.split("\t")[2]) for line in lines if line]
    have = {label for label, _ in rows}
    return rows + [row for row in held_out_rows(data) if row[0] not in have]


def udhr_rows(data: Path) -> list[Row]:
    """Return the lines of the Universal Declaration; those that differ in digits alone, as "Article 1", count once."""
    distinct = {(label, prepare(text, letters_only=True)): (label, text) for label, text in reversed(read(data / UDHR))}
    return [row for (_, letters), row in reversed(distinct.items()) if letters]


def crop(label: str, text: str, words: int, draw: random.Random) -> str:
    """Cut so many words out of a text, from anywhere; in scripts without spaces, as many letters as words have."""
    units = list(text) if label.endswith(_NO_SPACES) else text.split()
    count = words * _LETTERS_A_WORD if label.endswith(_NO_SPACES) else words
    start = draw.randrange(max(1, len(units) - count + 1))
    return ("" if label.endswith(_NO_SPACES) else " ").join(units[start : start + count]).strip()


def short_rows(rows: Iterable[Row], seed: int = 5, longest: int = 5) -> list[Row]:
    """Cut each row to one to `longest` words; those without letters are left out."""
    draw = random.Random(seed)
    cut = [(label, crop(label, text, draw.randint(1, longest), draw)) for label, text in rows]
    return [(label, text) for label, text in cut if prepare(text)]


@dataclass(frozen=True)
class Score:
    """How well one language is found among all."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def predict(model: LanguageModel, rows: Sequence[Row]) -> list[str]:
    """Return the best label of each row, as SIB-200 has it; what SIB-200 lacks stays as the model says."""
    names = {row.code: row.sib200 for row in languages() if row.sib200}
    found = model.predict([text for _, text in rows], k=1)
    return [names.get(each.labels[0], each.labels[0]) if each.labels else "" for each in found]


def scores(model: LanguageModel, rows: Sequence[Row]) -> dict[str, Score]:
    """Return the scores of the paper's languages that the rows have, against all languages of the rows."""
    predicted = predict(model, rows)
    true, said = Counter(label for label, _ in rows), Counter(predicted)
    right = Counter(label for (label, _), guess in zip(rows, predicted, strict=True) if label == guess)
    return {
        label: Score(right[label] / said[label] if said[label] else 0.0, right[label] / true[label])
        for label in PAPER
        if true[label]
    }


def confusions(model: LanguageModel, rows: Sequence[Row], most: int = 2) -> dict[str, list[tuple[str, float]]]:
    """Return what lines of each of the paper's languages are most often taken for wrongly, with the share of them."""
    own = [row for row in rows if row[0] in PAPER]
    wrong: dict[str, Counter[str]] = {label: Counter() for label in PAPER}
    for (label, _), guess in zip(own, predict(model, own), strict=True):
        wrong[label][guess] += guess != label
    counts = Counter(label for label, _ in own)
    return {
        label: [(guess, times / counts[label]) for guess, times in found.most_common(most) if times]
        for label, found in wrong.items()
        if counts[label]
    }


def macro_f1(found: dict[str, Score]) -> float:
    """Return the mean F1 over languages."""
    return sum(score.f1 for score in found.values()) / len(found)


def test_sets(data: Path) -> dict[str, list[Row]]:
    """Return the rows that models are measured on, by name."""
    sib = sib200_rows(data)
    return {"SIB-200 test": sib, "short lines": short_rows(sib), "UDHR": udhr_rows(data)}
