"""Train the language identification model that the package ships: fastText on SIB-200, with random crops.

    python tools/make/make_lid.py ../shared/data lrldata/langid/compact.ftz

Reads `DATA/lid/sib200_train.txt.gz` (lines of `__label__ron_Latn TEXT`, 205 languages), less the lines that are held
out to measure. Each line is there whole and as random crops of a few words, as lines of web pages are short. Letters
alone are looked at. Of languages whose letters keyboards lack (TYPED in lid_data.py) each line is there also as
people type it. One thread and a seed: the same bytes each time, on the same libraries. Beside the model goes a
JSON with what it was made from, its scores, and answers by which a library is proven (see lrldata/langid/binding.py).
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import fasttext
from lid_data import TRAIN, Row, crop, macro_f1, scores, test_sets, training_rows, typed_rows

from lrldata.langid import LanguageModel, codes_of, prepare
from lrldata.langid.modelfile import read_layout
from lrldata.manifest import made_with, sha256_of, write_json

LONGEST_CROP = 5  # words
# Long, short, and odd texts, as they are after preparation.
PROOF = [
    "fiecare om are dreptul la viață la libertate și la securitatea persoanei sale",
    "aqra l ktieb",
    "ئۇيغۇر تىلى",
    "ภาษาไทย",
    "བོད ཀྱི སྐད",
    "x",
]


def main() -> None:
    """Train, quantise, measure, and write the model with its JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, help="the model, .ftz; its JSON goes beside it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crops", type=int, default=6, help="crops a line")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0.8, help="learning rate")
    parser.add_argument("--dimension", type=int, default=32)
    parser.add_argument("--shortest", type=int, default=2, help="letters of the shortest n-gram")
    parser.add_argument("--longest", type=int, default=5, help="letters of the longest n-gram")
    parser.add_argument("--buckets", type=int, default=100_000, help="n-grams share so many vectors")
    parser.add_argument("--part", type=int, default=2, help="values a byte of the quantised model")
    given = parser.parse_args()
    settings = {name: value for name, value in vars(given).items() if name not in ("data", "out")}

    rows = training_rows(given.data)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.txt"
        lines.write_text(
            "".join(f"{line}\n" for line in training_lines([*rows, *typed_rows(rows)], given.crops, given.seed)),
            "utf-8",
        )
        model = train(lines, settings)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    model.save_model(str(given.out))
    print(f"{given.out}: {given.out.stat().st_size:,} bytes in {time.perf_counter() - began:.0f} s")

    # By hand, as no library can be proven before there is a model to prove it with.
    saved = fasttext.load_model(str(given.out))
    codes = codes_of(read_layout(given.out).labels)
    assert all(codes.values()), "every label has a row in languages.toml"
    names = {label: code for label, code in codes.items() if code}
    digest = sha256_of(given.out)
    measured = LanguageModel(
        "compact", given.out, digest, "fasttext", letters_only=True, languages=names, unknown=(), fasttext=saved
    )
    made: dict[str, Any] = {
        "model": "compact",
        "tool": "tools/make/make_lid.py",
        "sha256": digest,
        "bytes": given.out.stat().st_size,
        "letters_only": True,
        "labels": len(measured.languages),
        "input": {
            "name": Path(TRAIN).name,
            "what": "SIB-200, training lines of 205 languages (Adelani et al. 2024; sentences of FLORES-200)",
            "licence": "CC BY-SA 4.0",
            "sha256": sha256_of(given.data / TRAIN),
            "lines": len(rows),
        },
        "settings": settings | {"longest_crop": LONGEST_CROP, "loss": "softmax", "threads": 1},
        "libraries": made_with("fasttext-community"),
        "macro_f1": {name: round(macro_f1(scores(measured, each)), 4) for name, each in test_sets(given.data).items()},
        "proof": proof(saved),
    }
    write_json(given.out.with_suffix(".json"), made)
    print(json.dumps(made["macro_f1"]))


def training_lines(rows: list[Row], crops: int, seed: int) -> list[str]:
    """Return lines for fastText: each row whole and cropped, in one seeded order."""
    draw = random.Random(seed)
    lines = []
    for label, text in rows:
        pieces = [text, *(crop(label, text, draw.randint(1, LONGEST_CROP), draw) for _ in range(crops))]
        lines += [f"__label__{label} {letters}" for piece in pieces if (letters := prepare(piece, letters_only=True))]
    draw.shuffle(lines)
    return lines


def train(lines: Path, settings: dict[str, Any]) -> Any:
    """Train and quantise. Of words as such nothing is learnt: n-grams find them again, in less room."""
    model = fasttext.train_supervised(
        str(lines),
        dim=settings["dimension"],
        minn=settings["shortest"],
        maxn=settings["longest"],
        bucket=settings["buckets"],
        epoch=settings["epochs"],
        lr=settings["rate"],
        loss="softmax",
        minCount=10**9,
        thread=1,
        seed=settings["seed"],
        verbose=0,
    )
    model.quantize(qnorm=True, dsub=settings["part"], thread=1)
    return model


def proof(model: Any) -> dict[str, list[list[Any]]]:
    """Return the two best labels of each text of PROOF, with their probabilities."""
    return {
        text: [
            [label.removeprefix("__label__"), round(float(probability), 7)]
            for label, probability in zip(*found, strict=True)
        ]
        for text in PROOF
        for found in [model.predict(text, k=2)]
    }


if __name__ == "__main__":
    main()
