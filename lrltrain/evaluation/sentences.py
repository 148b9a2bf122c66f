"""Sentences to measure on: FLORES-200 from the Hub or a folder, a dataset's test split, or any text file. IO."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.dataset import open_dataset
from lrldata.errors import InputError
from lrldata.language import Language
from lrldata.manifest import MANIFEST, identity
from lrldata.normalize import normalize
from lrldata.output import note
from lrltrain.names import HUB_ID
from lrltrain.text import label_of

FLORES = "openlanguagedata/flores_plus"


@dataclass(frozen=True)
class Sentences:
    """Sentences with what a manifest says of them; `name` is short enough for a folder's name.

    `origin` says what they are of: `kind` (flores, hub, dataset or file), the `id` on the Hub or the
    `manifest_sha256` of the dataset, and `limit` where only so many were read.
    """

    name: str
    split: str
    sentences: tuple[str, ...]
    provenance: dict[str, Any]
    origin: dict[str, Any]


def open_sentences(data: str, language: Language, limit: int | None = None) -> Sentences:
    """Read what `--data` names. Raises InputError."""
    path = Path(data)
    if path.is_file():
        return _pack(label_of(path.stem), "all", _lines(path), limit, kind="file")
    if (path / MANIFEST).is_file():
        manifest, rows = open_dataset(path)
        if manifest["language"]["code"] != language.code:
            held = manifest["language"]["code"]
            raise InputError(f"{path}: holds {held}, not {language.code}.", f"Use --lang {held}.")
        texts = rows.filter(pl.col("split") == "test").select("text").collect()["text"].drop_nulls().to_list()
        return _pack(manifest["source"], "test", texts, limit, kind="dataset", manifest_sha256=identity(path, manifest))
    if path.is_dir():
        found = path / f"{language.flores}.devtest"
        if language.flores is None or not found.is_file():
            raise InputError(f"{found}: no such file.", "Give a folder of LANG_Script.devtest files, or a text file.")
        return _pack("flores", "devtest", _lines(found), limit, kind="flores")
    if data != "flores" and ("/" not in data or not HUB_ID.fullmatch(data)):
        raise InputError(f"{data}: no such file or folder.", "Use --data flores, a Hub id, a folder or a text file.")
    return _on_hub(FLORES if data == "flores" else data, language, limit)


def _on_hub(identifier: str, language: Language, limit: int | None) -> Sentences:
    from datasets import load_dataset  # noqa: PLC0415 -- half a second that other inputs need not wait

    try:
        parts = load_dataset(identifier, language.flores)
    except Exception as error:
        first = str(error).strip().split("\n")[0][:200]
        raise InputError(
            f"{identifier}: cannot be loaded from the Hub: {first}",
            "FLORES is gated there: accept its terms and log in, or give --data FOLDER with LANG_Script.devtest files."
            if identifier == FLORES
            else "Use --data flores, a Hub id, a folder or a text file.",
        ) from error
    split = next(name for name in ("devtest", "test", *parts) if name in parts)
    column = next((name for name in ("text", "sentence") if name in parts[split].column_names), None)
    if column is None:
        raise InputError(f"{identifier}: has no column `text` or `sentence`.")
    where, texts = f"{identifier}: column {column!r} of its split {split}", list(parts[split][column])
    nulls = texts.count(None)
    if nulls == len(texts) > 0:
        raise InputError(f"{where} has no text: every one is null.", "Name another dataset with --data.")
    if nulls:
        note(f"note: {where} has {nulls:,} null texts of {len(texts):,}, which are left out.")
    kept = [text for text in texts if text is not None]
    if not all(isinstance(text, str) for text in kept):
        raise InputError(f"{where} is not of texts.", "Name another dataset with --data.")
    kind = "flores" if identifier == FLORES else "hub"
    return _pack(identifier.rsplit("/", maxsplit=1)[-1], split, kept, limit, kind=kind, id=identifier)


def _lines(path: Path) -> list[str]:
    try:
        return normalize(path.read_text("utf-8-sig")).split("\n")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line} is not UTF-8.", "Convert the file with iconv.") from error


def _pack(name: str, split: str, texts: Sequence[str], limit: int | None, **origin: Any) -> Sentences:
    every = tuple(text for text in (normalize(text).strip() for text in texts) if text)
    kept = every[:limit]
    if not kept:
        raise InputError(f"{name}: holds no sentence.", "One sentence per line is wanted.")
    digest = hashlib.sha256("\n".join(kept).encode()).hexdigest()
    provenance = {"name": name, "split": split, "sentences": len(kept), "sha256": digest}
    return Sentences(name, split, kept, provenance, origin | ({"limit": limit} if len(kept) < len(every) else {}))
