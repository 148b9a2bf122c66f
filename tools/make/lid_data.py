"""Shared code of the language identification tools: labelled text, seeded cuts, and scores.

Labels are SIB-200's (`ron_Latn`); a row is a label and a text.
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
# Letters missing from keyboards and what people type instead, if no rule can restore them (letters.toml has those that
# can be restored). The model is also trained on lines typed in this way.
TYPED: dict[str, dict[str, str | int | None]] = {"azj_Latn": {"ə": "e", "Ə": "E"}}
_HELD_OUT = 14  # one line in this many is never trained on: about 50 per language
_NO_SPACES = ("Thai", "Laoo", "Khmr", "Mymr", "Tibt", "Hans", "Hant", "Jpan")
_LETTERS_PER_WORD = 5  # in scripts that do not separate words by spaces


def read(path: Path) -> list[Row]:
    """Read a compressed file with lines like `__label__ron_Latn TEXT`."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        split_lines = [line.rstrip("\n").removeprefix("__label__").partition(" ") for line in stream]
    return [(label, text.strip()) for label, _, text in split_lines]


def is_held_out(text: str) -> bool:
    """Return whether a line of the training file is held out for evaluation, which its hash determines."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % _HELD_OUT == 0


def training_rows(data: Path) -> list[Row]:
    """Return the training rows."""
    return [row for row in read(data / TRAIN) if not is_held_out(row[1])]


def typed_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that change if people type them on keyboards without the language's letters, as typed."""
    return [
        (label, changed)
        for label, text in rows
        if (changed := text.translate(str.maketrans(TYPED.get(label, {})))) != text
    ]


def held_out_rows(data: Path) -> list[Row]:
    """Return the held-out rows of all 205 languages."""
    return [row for row in read(data / TRAIN) if is_held_out(row[1])]


def sib200_rows(data: Path, part: str = "test") -> list[Row]:
    """Return SIB-200's test (or dev) rows for the languages that have them, held-out rows for the others."""
    rows = []
    for path in sorted((data / "sib200").glob(f"*/{part}.tsv")):
        lines = path.read_text("utf-8").split("\n")[1:]
        rows += [(path.parent.name, line.split("\t")[2]) for line in lines if line]
    present = {label for label, _ in rows}
    return rows + [row for row in held_out_rows(data) if row[0] not in present]


def udhr_rows(data: Path) -> list[Row]:
    """Return the rows of the Universal Declaration; lines that differ only in digits ("Article 1") count once."""
    distinct = {(label, prepare(text, letters_only=True)): (label, text) for label, text in reversed(read(data / UDHR))}
    return [row for (_, letters), row in reversed(distinct.items()) if letters]


def crop(label: str, text: str, words: int, generator: random.Random) -> str:
    """Cut a random run of `words` words out of a text; in scripts without spaces, a corresponding number of letters."""
    units = list(text) if label.endswith(_NO_SPACES) else text.split()
    count = words * _LETTERS_PER_WORD if label.endswith(_NO_SPACES) else words
    start = generator.randrange(max(1, len(units) - count + 1))
    return ("" if label.endswith(_NO_SPACES) else " ").join(units[start : start + count]).strip()


def short_rows(rows: Iterable[Row], seed: int = 5, longest: int = 5) -> list[Row]:
    """Cut each row to one to `longest` words, omitting those without letters."""
    generator = random.Random(seed)
    cut = [(label, crop(label, text, generator.randint(1, longest), generator)) for label, text in rows]
    return [(label, text) for label, text in cut if prepare(text)]


@dataclass(frozen=True)
class Score:
    """Precision and recall of one language among all."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def predict(model: LanguageModel, rows: Sequence[Row]) -> list[str]:
    """Return the best label of each row, as SIB-200's label if there is one, else the model's."""
    names = {row.code: row.sib200 for row in languages() if row.sib200}
    predictions = model.predict([text for _, text in rows], k=1)
    return [
        names.get(prediction.labels[0], prediction.labels[0]) if prediction.labels else "" for prediction in predictions
    ]


def scores(model: LanguageModel, rows: Sequence[Row]) -> dict[str, Score]:
    """Return the scores of the paper's languages in the rows, each against all languages in the rows."""
    predicted = predict(model, rows)
    true_counts, predicted_counts = Counter(label for label, _ in rows), Counter(predicted)
    correct = Counter(label for (label, _), guess in zip(rows, predicted, strict=True) if label == guess)
    return {
        label: Score(
            correct[label] / predicted_counts[label] if predicted_counts[label] else 0.0,
            correct[label] / true_counts[label],
        )
        for label in PAPER
        if true_counts[label]
    }


def confusions(model: LanguageModel, rows: Sequence[Row], most: int = 2) -> dict[str, list[tuple[str, float]]]:
    """Return the `most` most frequent wrong labels of each of the paper's languages, with the share of its lines."""
    paper_rows = [row for row in rows if row[0] in PAPER]
    wrong_labels: dict[str, Counter[str]] = {label: Counter() for label in PAPER}
    for (label, _), guess in zip(paper_rows, predict(model, paper_rows), strict=True):
        wrong_labels[label][guess] += guess != label
    counts = Counter(label for label, _ in paper_rows)
    return {
        label: [(guess, count / counts[label]) for guess, count in label_counts.most_common(most) if count]
        for label, label_counts in wrong_labels.items()
        if counts[label]
    }


def macro_f1(by_language: dict[str, Score]) -> float:
    """Return the mean of F1 over languages."""
    return sum(score.f1 for score in by_language.values()) / len(by_language)


def test_sets(data: Path) -> dict[str, list[Row]]:
    """Return the evaluation sets by name."""
    sib = sib200_rows(data)
    return {"SIB-200 test": sib, "short lines": short_rows(sib), "UDHR": udhr_rows(data)}
