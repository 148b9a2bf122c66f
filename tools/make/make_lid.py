"""Train the language identification model in the package: fastText on SIB-200 with random crops.

    python tools/make/make_lid.py ../shared/data lrldata/langid/compact.ftz

Reads `DATA/lid/sib200_train.txt.gz` (lines like `__label__ron_Latn TEXT` in 205 languages) without the lines held out
for evaluation. Each line is used whole and as random crops of a few words, because lines of web pages are short. Only
letters are used. In languages whose letters are missing from keyboards (TYPED in lid_data.py), each line is also used
as people type it. With one thread and a fixed seed, the same libraries produce the same bytes. A JSON file next to the
model records its sources, its scores, and predictions to verify libraries with (see lrldata/langid/binding.py).
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
# Long, short and unusual texts, as they are after preparation.
PROOF = [
    "fiecare om are dreptul la viață la libertate și la securitatea persoanei sale",
    "aqra l ktieb",
    "ئۇيغۇر تىلى",
    "ภาษาไทย",
    "བོད ཀྱི སྐད",
    "x",
]


def main() -> None:
    """Train, quantize, evaluate, and write the model with its JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, help="path of the model, .ftz; its JSON file is written next to it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crops", type=int, default=9, help="crops per line")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0.8, help="learning rate")
    parser.add_argument("--dimension", type=int, default=32)
    parser.add_argument("--shortest", type=int, default=2, help="letters in the shortest n-gram")
    parser.add_argument("--longest", type=int, default=5, help="letters in the longest n-gram")
    parser.add_argument("--buckets", type=int, default=100_000, help="number of vectors that n-grams are hashed into")
    parser.add_argument("--part", type=int, default=2, help="values per byte in the quantized model")
    args = parser.parse_args()
    settings = {name: value for name, value in vars(args).items() if name not in ("data", "out")}

    rows = training_rows(args.data)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.txt"
        lines.write_text(
            "".join(f"{line}\n" for line in training_lines([*rows, *typed_rows(rows)], args.crops, args.seed)),
            "utf-8",
        )
        model = train(lines, settings)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    model.save_model(str(args.out))
    print(f"{args.out}: {args.out.stat().st_size:,} bytes in {time.perf_counter() - began:.0f} s")

    # load_model cannot be used: it verifies the library with this model's JSON file, which does not exist yet.
    saved = fasttext.load_model(str(args.out))
    codes = codes_of(read_layout(args.out).labels)
    assert all(codes.values()), "every label has a row in languages.toml"
    names = {label: code for label, code in codes.items() if code}
    digest = sha256_of(args.out)
    measured = LanguageModel(
        "compact", args.out, digest, "fasttext", letters_only=True, languages=names, unknown=(), fasttext=saved
    )
    record: dict[str, Any] = {
        "model": "compact",
        "tool": "tools/make/make_lid.py",
        "sha256": digest,
        "bytes": args.out.stat().st_size,
        "letters_only": True,
        "labels": len(measured.languages),
        "input": {
            "name": Path(TRAIN).name,
            "what": "SIB-200, training lines of 205 languages (Adelani et al. 2024; sentences of FLORES-200)",
            "licence": "CC BY-SA 4.0",
            "sha256": sha256_of(args.data / TRAIN),
            "lines": len(rows),
        },
        "settings": settings | {"longest_crop": LONGEST_CROP, "loss": "softmax", "threads": 1},
        "libraries": made_with("fasttext-community"),
        "macro_f1": {
            name: round(macro_f1(scores(measured, evaluation_rows)), 4)
            for name, evaluation_rows in test_sets(args.data).items()
        },
        "proof": proof(saved),
    }
    write_json(args.out.with_suffix(".json"), record)
    print(json.dumps(record["macro_f1"]))


def training_lines(rows: list[Row], crops: int, seed: int) -> list[str]:
    """Return lines for fastText: each row whole and cropped, in a seeded order."""
    generator = random.Random(seed)
    lines = []
    for label, text in rows:
        pieces = [text, *(crop(label, text, generator.randint(1, LONGEST_CROP), generator) for _ in range(crops))]
        lines += [f"__label__{label} {letters}" for piece in pieces if (letters := prepare(piece, letters_only=True))]
    generator.shuffle(lines)
    return lines


def train(lines: Path, settings: dict[str, Any]) -> Any:
    """Train and quantize a model without word vectors: n-grams represent words in less space."""
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
    """Return the two best labels of each text of PROOF with their probabilities."""
    return {
        text: [
            [label.removeprefix("__label__"), round(float(probability), 7)]
            for label, probability in zip(*prediction, strict=True)
        ]
        for text in PROOF
        for prediction in [model.predict(text, k=2)]
    }


if __name__ == "__main__":
    main()
