"""Where the text of a language comes from: a dataset folder, a dataset on the Hub, or plain text files. IO."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from xxhash import xxh3_64_intdigest

from lrldata.dataset import open_shards
from lrldata.errors import InputError, StorageError
from lrldata.languages import Language
from lrldata.manifest import fingerprint, identity, sha256_of
from lrltrain.config import FitConfig

LINES_A_BATCH = 1_000
HELD_OUT = 20  # of plain text, one line in so many is for validation


@dataclass(frozen=True)
class Text:
    """Text to train on, in the splits `train` and `validation`; `provenance` is what a manifest says of it."""

    name: str
    provenance: dict[str, Any]
    read: Callable[[str], Iterator[str]]

    def lines(self, split: str) -> Iterator[list[str]]:
        """Yield the lines of a split by the thousand; empty ones are left out."""
        stripped = (line for line in map(str.strip, self.read(split)) if line)
        while batch := list(islice(stripped, LINES_A_BATCH)):
            yield batch


def open_text(config: FitConfig, language: Language) -> Text:
    """Open what `--text`, `--dataset` or `--lang` and `--source` name. Raises InputError, StorageError."""
    if config.text:
        return _plain(config.text)
    if config.dataset and not Path(config.dataset).exists():
        return _on_hub(config.dataset, config.source, config.dataset_revision)
    given = Path(config.dataset) if config.dataset else None
    folder = given or config.out / "datasets" / language.code / config.source
    if given is None and not folder.exists():
        raise InputError(
            f"{folder}: no dataset of {language.name} from {config.source} in this workspace.",
            f"Make it with `lrldata build --lang {language.code} --source {config.source}`, or use --dataset, --text.",
        )
    return _folder(folder, language)


def _folder(folder: Path, language: Language) -> Text:
    opened = open_shards(folder)
    manifest = opened.manifest
    held = manifest["language"]["code"]
    if held != language.code:
        raise InputError(f"{folder}: holds {held}, not {language.code}.", f"Use --lang {held}.")
    if not manifest["rows"].get("train") or not manifest["rows"].get("validation"):
        raise InputError(f"{folder}: has no rows to train on or none to validate on.", "A larger dataset is needed.")

    def read(split: str) -> Iterator[str]:
        for stream in opened.shards.get(split, ()):
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=LINES_A_BATCH, columns=["text"]):
                yield from batch.column(0).to_pylist()

    provenance = {
        "kind": "dataset",
        "name": manifest["source"],
        "version": manifest["version"],
        "recipe": manifest["recipe"],
        "manifest_sha256": identity(folder, manifest),
        "rows": manifest["rows"],
    }
    return Text(str(folder), provenance, read)


def _on_hub(identifier: str, configuration: str, revision: str | None) -> Text:
    from datasets import load_dataset  # noqa: PLC0415 -- half a second that other inputs need not wait

    try:
        parts = load_dataset(identifier, configuration, revision=revision)
    except Exception as error:
        first = str(error).strip().split("\n")[0][:200]
        raise InputError(
            f"{identifier}: neither a folder here nor a dataset that can be loaded from the Hub: {first}",
            f"Check --dataset, --source (its configuration, now {configuration!r}) and --dataset-revision.",
        ) from error
    if not {"train", "validation"} <= parts.keys() or "text" not in parts["train"].column_names:
        raise InputError(f"{identifier}: wants the splits train and validation and a column `text`.")

    def read(split: str) -> Iterator[str]:
        for batch in parts[split].select_columns("text").iter(LINES_A_BATCH):
            yield from batch["text"]

    digest = {split: part._fingerprint for split, part in parts.items()}  # noqa: SLF001 -- its only hash of content
    provenance = {
        "kind": "hub",
        "name": f"{identifier}/{configuration}",
        "revision": revision,
        "content": fingerprint(digest),
        "rows": {split: part.num_rows for split, part in parts.items()},
    }
    return Text(identifier, provenance, read)


def _plain(files: list[Path]) -> Text:
    """Read files of one sentence or paragraph a line; one in HELD_OUT, by a hash of the line, is for validation."""
    for file in files:
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "no such file"
            raise InputError(f"{file}: {what}.", "Give UTF-8 text files, one sentence or paragraph a line.")
        if file.stat().st_size == 0:
            raise StorageError(f"{file}: is empty.", "Give UTF-8 text files, one sentence or paragraph a line.")

    def read(split: str) -> Iterator[str]:
        for file in files:
            with file.open(encoding="utf-8-sig") as stream:
                done = 0
                try:
                    for line in stream:
                        done += 1
                        held_out = xxh3_64_intdigest(line.strip().encode()) % HELD_OUT == 0
                        if held_out == (split == "validation"):
                            yield line
                except UnicodeDecodeError as error:
                    raise InputError(
                        f"{file}: line {done + 1} or soon after is not UTF-8.", "Convert the file with iconv."
                    ) from error

    provenance = {"kind": "text", "name": "text", "files": [[file.name, sha256_of(file)] for file in files]}
    return Text(", ".join(map(str, files)), provenance, read)
