"""Sentences to measure perplexity on: FLORES-200 from the Hub or a folder, a dataset's test split, or any text. IO."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.dataset import content_of, open_dataset
from lrldata.encoding import undecodable
from lrldata.errors import InputError
from lrldata.language import Language
from lrldata.manifest import MANIFEST, identity
from lrldata.normalize import normalize
from lrldata.output import note
from lrldata.web.inputs import type_of
from lrldata.web.read import Columns, find_shards, read_parts
from lrltrain.names import HUB_ID
from lrltrain.text import label_of

FLORES = "openlanguagedata/flores_plus"
TEXT_COLUMNS = ("text", "sentence")


@dataclass(frozen=True)
class Sentences:
    """Sentences with their entry in a manifest; `name` is short enough for a folder's name.

    `origin` says where they come from: `kind` (flores, hub, dataset or file), the `id` on the Hub or the
    `manifest_sha256` and `content` of the dataset, and `limit` if only that many were read.
    """

    name: str
    split: str
    sentences: tuple[str, ...]
    provenance: dict[str, Any]
    origin: dict[str, Any]


def open_sentences(data: str, language: Language, limit: int | None = None) -> Sentences:
    """Read the sentences that `--data` names. Raises InputError."""
    path = Path(data)
    if path.is_file():
        return _pack(label_of(path.stem), "all", _texts(path), limit, path=path, kind="file")
    if (path / MANIFEST).is_file():
        manifest, rows = open_dataset(path)
        if manifest["language"]["code"] != language.code:
            code = manifest["language"]["code"]
            raise InputError(f"{path}: holds {code}, not {language.code}.", f"Use --lang {code}.")
        texts = rows.filter(pl.col("split") == "test").select("text").collect()["text"].drop_nulls().to_list()
        origin = {"kind": "dataset", "manifest_sha256": identity(path, manifest), "content": content_of(manifest)}
        return _pack(manifest["source"], "test", texts, limit, path=path, **origin)
    if path.is_dir():
        if language.flores is None:
            raise InputError(f"{path}: FLORES-200 has no {language.name}.", "Give a text file, one sentence per line.")
        file = path / f"{language.flores}.devtest"
        inner = path / "devtest" / file.name  # where FLORES-200 has it when unpacked
        if not (file.is_file() or inner.is_file()):
            raise InputError(f"{file}: no such file.", "Give a folder of LANG_Script.devtest files, or a text file.")
        existing = file if file.is_file() else inner
        return _pack("flores", "devtest", _lines(existing), limit, path=existing, kind="flores")
    if data == "flores":
        return _on_hub(FLORES, language, limit)
    from lrltrain.evaluation.on_hub import split_id  # noqa: PLC0415 -- takes half a second; other inputs do not need it

    if "/" not in data or not HUB_ID.fullmatch(split_id(data)[0]):
        raise InputError(f"{data}: no such file or folder.", "Use --data flores, a Hub id, a folder or a text file.")
    return _on_hub(data, language, limit)


def _texts(path: Path) -> list[str]:
    """Read the lines of a text file, or the text column of a table as a build reads it."""
    if type_of(path.name) in (None, "text"):
        return _lines(path)
    (shard,) = find_shards(path, None)
    try:
        frames = list(read_parts(shard, Columns()))
    except InputError as error:
        hint = "Name a file with a column `text` or `sentence`, or one with a sentence on each line."
        raise InputError(error.message, hint) from error
    return [text for frame in frames for text in frame["text"].drop_nulls().to_list()]


def _on_hub(typed: str, language: Language, limit: int | None) -> Sentences:
    from lrltrain.evaluation.on_hub import load_parts, split_id  # noqa: PLC0415

    hint = "Use --data flores, a Hub id, a folder or a text file."
    identifier, configuration = split_id(typed)
    if identifier == FLORES:
        hint = "FLORES is gated: accept its terms and log in, or use --data FOLDER with LANG_Script.devtest files."
    parts, _ = load_parts(typed, language.flores, language, hint)
    split = next(name for name in ("devtest", "test", *parts) if name in parts)
    column = next((name for name in TEXT_COLUMNS if name in parts[split].column_names), None)
    if column is None:
        raise InputError(f"{identifier}: has no column `text` or `sentence`.")
    location, texts = f"{identifier}: column {column!r} of split {split}", list(parts[split][column])
    nulls = texts.count(None)
    if nulls == len(texts) > 0:
        raise InputError(f"{location} has no text: all values are null.", "Name another dataset with --data.")
    if nulls:
        note(f"{location} has {nulls:,} null values among {len(texts):,}, which are skipped.")
    kept = [text for text in texts if text is not None]
    if not all(isinstance(text, str) for text in kept):
        raise InputError(f"{location} does not contain texts.", "Name another dataset with --data.")
    kind = "flores" if identifier == FLORES else "hub"
    name = "-".join(filter(None, (identifier.rsplit("/", maxsplit=1)[-1], configuration)))
    return _pack(name, split, kept, limit, kind=kind, id=identifier)


def _lines(path: Path) -> list[str]:
    try:
        return normalize(path.read_text("utf-8-sig")).split("\n")
    except UnicodeDecodeError as error:
        with path.open("rb") as raw:
            raise undecodable(path, raw) from error


def _pack(
    name: str, split: str, texts: Sequence[str], limit: int | None, *, path: Path | None = None, **origin: Any
) -> Sentences:
    nonempty = tuple(text for text in (normalize(text).strip() for text in texts) if text)
    kept = nonempty[:limit]
    if not kept:
        raise InputError(f"{path or name}: contains no sentences.", "Put one sentence on each line.")
    digest = hashlib.sha256("\n".join(kept).encode()).hexdigest()
    provenance = {"name": name, "split": split, "sentences": len(kept), "sha256": digest}
    return Sentences(name, split, kept, provenance, origin | ({"limit": limit} if len(kept) < len(nonempty) else {}))
