"""A workspace with synthetic runs whose numbers are all known in advance, and with a small real dataset."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from manifests import change

from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.dataset import content_of
from lrldata.manifest import (
    ADAPTER,
    DATASET,
    MANIFEST,
    SCORES,
    file_entry,
    fingerprint,
    read_manifest,
    sealed,
    write_json,
    write_manifest,
)
from lrldata.progress import Progress
from lrltrain.evaluation.record import TASKS, folder_of, write_run

BASE = "FacebookAI/xlm-roberta-base"
LABELS = ("health", "politics", "science", "sports")
ITEMS = {"topic": 60, "ner": 60}
SHARES = {"none": 0.5, "seq_bn_inv": 0.85, "lora": 0.55}  # the share of items that are predicted correctly
HOSTILE = '<img src=x onerror="window.ran=1">&_$%{}\\|*`'


def recipe(language: str, task: str, method: str, seed: int, **changes: Any) -> dict[str, Any]:
    """Return the recipe of a run, with `changes` applied."""
    adapted = method != "none" and not method.startswith("prompt")
    values: dict[str, Any] = {
        "task": task,
        "language": language,
        "data": {"name": "sib200" if task == "topic" else "wikiann", "files": {}, "counts": {}},
        "base": {"id": "org/prompted-1B" if method.startswith("prompt") else BASE, "revision": "0" * 40},
        "adapter": {"name": f"{language}_conceptnet_{method}", "manifest_sha256": "0" * 64} if adapted else None,
        "method": method,
        "source": "conceptnet" if adapted else None,
        "settings": {"seed": seed, "steps": 10},
        "made_with": {"lrl": "0"},
    }
    return values | changes


def put_run(out: Path, made: dict[str, Any], gold: Sequence[Any], predicted: Sequence[Any], name: str = "") -> Path:
    """Write a run with these predictions and return its folder."""
    table = pl.DataFrame({"item": range(len(gold)), "gold": list(gold), "predicted": list(predicted)}, strict=False)
    folder = folder_of(out, made, name or (made["adapter"] or {}).get("name", made["method"]))
    write_run(folder, made, table, {TASKS[made["task"]]: 0.5})
    return folder


def predictions(task: str, share: float, seed: int) -> tuple[list[Any], list[Any]]:
    """Return gold labels and predictions, of which about this share is correct."""
    items = ITEMS[task]
    rng = np.random.default_rng(seed)
    correct = rng.random(items) < share
    if task == "topic":
        gold = [LABELS[index % len(LABELS)] for index in range(items)]
        return gold, [
            label if is_correct else LABELS[(LABELS.index(label) + 1) % 4]
            for label, is_correct in zip(gold, correct, strict=True)
        ]
    tags = [["B-PER", "I-PER", "O", "B-LOC"] if index % 2 else ["O", "B-ORG", "I-ORG", "O"] for index in range(items)]
    return tags, [sentence if is_correct else ["O"] * 4 for sentence, is_correct in zip(tags, correct, strict=True)]


def build_dataset(out: Path, *languages: str) -> None:
    """Build the ConceptNet sample, and copy it to other languages, with fewer rows in each."""
    flags = {"lang": "ro", "sample": True, "out": out, "cache": out / "cache"}
    build(load_config(None, flags), Progress(quiet=True))
    original = out / "datasets" / "ro" / "conceptnet"
    for index, language in enumerate(languages):
        folder = out / "datasets" / language / "conceptnet"
        shutil.copytree(original, folder)
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        (shard,) = folder.glob("data/train-*")
        table = pl.read_parquet(shard)
        kept, removed = len(table) // (index + 2), len(table) - len(table) // (index + 2)
        table.head(kept).write_parquet(shard)
        manifest["ledger"]["kept"]["rows"] -= removed
        manifest["ledger"]["dropped"]["self_loop"]["rows"] += removed
        rows = manifest["rows"] | {"train": kept}
        language_entry = {"code": language, "name": language, "hub_code": language}
        change(folder, language=language_entry, rows=rows, ledger=manifest["ledger"])


def put_adapter(out: Path, language: str, method: str, losses: Sequence[float]) -> str:
    """Write an adapter's manifest and log, without weights, and return the hash of the manifest.

    It was trained on the language's dataset, if there is one.
    """
    folder = out / "adapters" / language / "xlm-roberta-base" / f"conceptnet-{method}"
    folder.mkdir(parents=True)
    entries = [{"step": 100 * index, "eval_loss": loss} for index, loss in enumerate(losses)]
    write_json(folder / "log.json", entries)
    manifest: dict[str, Any] = {"name": f"{language}_conceptnet_{method}", "method": method, "recipe": "r"}
    manifest |= {"language": {"code": language, "name": language}, "base": {"id": BASE}, "inputs": [], "settings": {}}
    dataset = read_manifest(out / "datasets" / language / "conceptnet", DATASET)
    manifest["inputs"] = [{"kind": "dataset", "name": "conceptnet", "content": content_of(dataset)}] if dataset else []
    counts = dict.fromkeys(("steps", "best_step", "tokens", "parameters", "parameters_of_base"), 1)
    validation_losses = {"validation_loss_before": losses[0], "validation_loss": losses[-1]}
    manifest["trained"] = {**counts, **validation_losses, "corpus": {}, "batching": "packed"}
    outputs = [file_entry(folder / "log.json", folder)]
    return str(write_manifest(folder / MANIFEST, ADAPTER, manifest | {"outputs": outputs})["sha256"])


def put_perplexity(
    out: Path, language: str, method: str, hashed: str, better: float, variant: str = "", **more: Any
) -> float:
    """Write the scores of an adapter and of its base model, and return the adapter's perplexity.

    `more` replaces keys of the manifests, such as made_with, or adds keys, such as text.
    """
    rng = np.random.default_rng(len(language + method))
    before = -rng.gamma(9, 8, 40)
    perplexities: dict[str, float] = {}
    for name, likelihoods in (("base", before), (f"{language}_conceptnet_{method}{variant}", before * better)):
        adapter = {"name": name, "manifest_sha256": hashed} if name != "base" else None
        manifest: dict[str, Any] = {
            "task": "pppl",
            "data": {"name": "flores"},
            "base": {"id": BASE},
            "adapter": adapter,
        }
        manifest |= {
            "settings": {"formula": "corrected", "max_length": None, "precision": "fp32"},
            "made_with": {"lrl": "0"},
        }
        manifest |= more
        folder = (
            out / "scores" / language / "xlm-roberta-base" / name / f"pppl-flores-corrected-{fingerprint(manifest)[:8]}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        table = {"sentence": ["a"] * 40, "log_likelihood": likelihoods, "tokens": [20] * 40, "characters": [80] * 40}
        pl.DataFrame(table).write_parquet(folder / "sentences.parquet")
        outputs = [file_entry(folder / "sentences.parquet", folder)]
        write_manifest(folder / MANIFEST, SCORES, {**manifest, "recipe": fingerprint(manifest), "outputs": outputs})
        perplexities[name] = float(np.exp(-likelihoods.sum() / 800))
    low, high = perplexities.values()
    score = {"language": language, "base": BASE, "adapter": name, "method": method, "data": "flores devtest"}
    score |= {"metric": "pseudo-perplexity (corrected)", "sentences": 40, "bits_per_character": 1.0, "path": None}
    for key, value in (("before", low), ("after", high), ("ratio", high / low)):
        score[key] = {"value": value, "low": value * 0.9, "high": value * 1.1}
    write_json(folder / "scores.json", sealed(score))
    return high


def fill(out: Path, languages: Sequence[str] = ("ro", "mt", "ug"), seeds: Sequence[int] = (1, 2)) -> None:
    """Fill a workspace with runs of two tasks, perplexities, adapters, datasets and a card.

    The runs are of three methods and a prompted model.
    """
    build_dataset(out, *(language for language in languages if language != "ro"))
    for index, language in enumerate(languages):
        adapters = {}
        for method, factor in (("seq_bn_inv", 0.7), ("lora", 0.95)):
            digest = put_adapter(out, language, method, [8 - index, 6, 5.5, 5 + factor])
            put_perplexity(out, language, method, digest, factor - 0.05 * index)
            adapters[method] = {"name": f"{language}_conceptnet_{method}", "manifest_sha256": digest}
        for task in ("topic", "ner"):
            for method, share in (*SHARES.items(), ("prompt-0", 0.4)):
                for seed in seeds:
                    gold, predicted = predictions(task, share - 0.05 * index, 100 * seed + index)
                    if method == "prompt-0":
                        predicted = [None, *predicted[1:]]
                    put_run(out, recipe(language, task, method, seed, adapter=adapters.get(method)), gold, predicted)
    card = out / "cards" / "lrl-ro"
    card.mkdir(parents=True)
    card.joinpath("README.md").write_text("---\nlanguage:\n- ro\n---\n# Card\n", encoding="utf-8")
    card.joinpath("index.html").write_text("<!doctype html><title>Card</title>", encoding="utf-8")
