"""Open the text of a language: a dataset folder, a dataset on the Hub, or plain text files. IO.

Each text is normalized when it is read, so that lines with composed and with decomposed letters are equal.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from xxhash import xxh3_64_intdigest, xxh3_128

from lrldata.dataset import content_of, open_shards
from lrldata.encoding import undecodable
from lrldata.errors import InputError, StorageError, UsageError, first_line, is_of_machine
from lrldata.language import Language
from lrldata.layout import dataset_path
from lrldata.manifest import MANIFEST, fingerprint, identity, sha256_of
from lrldata.normalize import normalize
from lrldata.output import note
from lrldata.paths import safe_name
from lrldata.web.inputs import is_packed, type_of
from lrldata.web.plain import column_of_text
from lrldata.web.shapes import Shape, ShapeError, shape_of
from lrltrain.config import FitConfig

LINES_PER_BATCH = 1_000
HELD_OUT = 20  # in text without a validation split, one line in so many is for validation
LONGEST_NAME = 150  # bytes; the name becomes part of a folder name, which may have 255
_EXPECTED = "Give UTF-8 text files with one sentence or paragraph per line."
_MARKUP = {".xml", ".tmx", ".eaf", ".flextext", ".po"}
_SNIFFED_BYTES = 1 << 16  # bytes read to detect the format of a file
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")


@dataclass(frozen=True)
class Text:
    """Text to train on, in the splits `train` and `validation`.

    `provenance` is the manifest entry that identifies the text. `origin` is recorded in addition: for a dataset the
    data that it was built from (`inputs`, `sample`), for a dataset on the Hub its `commit`.
    """

    name: str
    provenance: dict[str, Any]
    read: Callable[[str], Iterator[str]]
    origin: dict[str, Any] = field(default_factory=dict)

    def lines(self, split: str) -> Iterator[list[str]]:
        """Yield the lines of a split in batches of a thousand, without empty lines."""
        stripped = (line for line in map(str.strip, self.read(split)) if line)
        while batch := list(islice(stripped, LINES_PER_BATCH)):
            yield batch


def label_of(name: str) -> str:
    """Return a file's name for manifests and folders; control characters and invalid UTF-8 are escaped as in %E3."""

    def escaped(match: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in match[0].encode(errors="surrogateescape"))

    label = _NOT_IN_NAMES.sub(escaped, name)
    return label if len(label.encode()) <= LONGEST_NAME else label.encode()[:LONGEST_NAME].decode(errors="ignore")


def open_text(config: FitConfig, language: Language) -> Text:
    """Open the text given by `--text`, `--dataset`, or `--lang` and `--source`. Raises InputError or StorageError."""
    if config.text:
        return _open_plain(config.text)
    if config.dataset and not Path(config.dataset).exists():
        return _open_hub(config.dataset, config.source, config.dataset_revision)
    dataset = Path(config.dataset) if config.dataset else None
    if dataset and config.dataset_revision:
        raise UsageError(
            f"--dataset-revision: {dataset} is a folder, which has no revisions.", "Omit --dataset-revision."
        )
    if dataset:
        return _open_folder(dataset, language)
    folder = dataset_folder(config, language)
    # A file system that ignores upper and lower case also finds a folder by a name in other letters.
    if folder.name not in {entry.name for entry in folder.parent.glob("*/")}:
        raise InputError(
            f"{folder}: no dataset of {language.name} from {config.source} in this workspace.",
            f"Build it with `lrldata build --lang {language.code} --source {config.source}`, or use --dataset, --text.",
        )
    return _open_folder(folder, language)


def dataset_folder(config: FitConfig, language: Language) -> Path:
    """Return the workspace's folder for a language's dataset from the configured source."""
    return config.out / dataset_path(language.code, safe_name(config.source))


def _open_folder(folder: Path, language: Language) -> Text:
    opened = open_shards(folder)
    manifest = opened.manifest
    code = manifest["language"]["code"]
    if code != language.code:
        raise InputError(f"{folder}: holds {code}, not {language.code}.", f"Use --lang {code}.")
    if not manifest["rows"].get("train") or not manifest["rows"].get("validation"):
        raise InputError(
            f"{folder}: has no rows for training or none for validation.",
            "It needs more documents. If each line is a sentence, build it with --documents lines.",
        )

    def read(split: str) -> Iterator[str]:
        for stream in opened.shards.get(split, ()):
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=LINES_PER_BATCH, columns=["text"]):
                yield from map(normalize, batch.drop_null().column(0).to_pylist())

    provenance = {
        "kind": "dataset",
        "name": manifest["source"],
        "version": manifest["version"],
        "recipe": manifest["recipe"],
        "manifest_sha256": identity(folder, manifest),
        "content": content_of(manifest),
        "rows": manifest["rows"],
    }
    inputs = [{"name": str(entry["name"]), "sha256": str(entry["sha256"])} for entry in manifest["inputs"]]
    return Text(str(folder), provenance, read, {"inputs": inputs, "sample": bool(manifest.get("sample"))})


def _open_hub(identifier: str, configuration: str, revision: str | None) -> Text:
    from datasets import load_dataset  # noqa: PLC0415 -- takes half a second, and other inputs do not need it

    commit = _commit_of(identifier, revision)
    try:
        splits = load_dataset(identifier, configuration, revision=commit or revision)
    except Exception as error:
        if is_of_machine(error):
            raise
        raise InputError(
            f"{identifier}: neither a local folder nor a loadable dataset on the Hub: {first_line(error, 200)}.",
            f"Check --dataset, --source (its configuration, now {configuration!r}) and --dataset-revision.",
        ) from error
    if "train" not in splits:
        raise InputError(f"{identifier}: has no split `train`.", f"It has: {', '.join(map(str, splits))}.")
    used = {"train", "validation"} & splits.keys()
    nulls = {split: _count_nulls(f"{identifier}: split {split}", splits[split]) for split in sorted(used)}

    def texts(split: str) -> Iterator[str]:
        for batch in splits[split].select_columns("text").iter(LINES_PER_BATCH):
            yield from (normalize(text) for text in batch["text"] if text is not None)

    def read(split: str) -> Iterator[str]:
        return texts(split) if "validation" in used else held_out(texts("train"), split)

    hashes = {split: _digest_of(splits[split]) for split in sorted(used)}
    provenance = {
        "kind": "hub",
        "name": f"{identifier}/{configuration}",
        "revision": revision,
        "content": fingerprint(hashes),
        "rows": {split: splits[split].num_rows - nulls[split] for split in sorted(used)},
    }
    return Text(identifier, provenance, read, {"commit": commit} if commit else {})


def _commit_of(identifier: str, revision: str | None) -> str | None:
    """Return the current commit of a dataset's revision; None if it cannot be determined, as without a network."""
    from huggingface_hub import HfApi  # noqa: PLC0415

    try:
        return str(HfApi().dataset_info(identifier, revision=revision).sha)
    except Exception:  # noqa: BLE001 -- loading the dataset reports what is wrong
        return None


def _digest_of(split: Any) -> str:
    """Return a hash of a split's texts, which does not change when a commit changes only other files."""
    digest = xxh3_128()
    for batch in split.select_columns("text").iter(LINES_PER_BATCH):
        digest.update("\0".join("" if text is None else text for text in batch["text"]).encode(errors="surrogatepass"))
    return digest.hexdigest()


def held_out(lines: Iterable[str], split: str) -> Iterator[str]:
    """Yield the lines of a split: one line in HELD_OUT, chosen by a hash of the line, is for validation."""
    for line in lines:
        if (xxh3_64_intdigest(line.strip().encode()) % HELD_OUT == 0) == (split == "validation"):
            yield line


def _count_nulls(label: str, split: Any) -> int:
    """Count the null texts in a split of a Hub dataset, which are skipped. Raises InputError without a text column."""
    if "text" not in split.column_names:
        raise InputError(f"{label} has no column `text`.", f"It has: {', '.join(split.column_names)}.")
    nulls = int(split.data.column("text").null_count)
    if nulls and nulls == split.num_rows:
        raise InputError(f"{label} has a column `text` that holds only nulls.", "Check --source.")
    kind = getattr(split.features["text"], "dtype", None)
    if kind not in ("string", "large_string", "string_view"):
        raise InputError(f"{label} has a column `text` that does not hold strings ({kind or split.features['text']}).")
    if nulls:
        note(f"{label} has {nulls:,} null texts of {split.num_rows:,}, which are skipped.")
    return nulls


def _open_plain(files: list[Path]) -> Text:
    """Open text files with one sentence or paragraph per line; one line in HELD_OUT is held out for validation."""
    shapes = [(file, _check_plain(file)) for file in files]

    def read(split: str) -> Iterator[str]:
        for file, shape in shapes:
            yield from held_out(map(shape.bare, _lines(file)), split)

    provenance = {"kind": "text", "name": "text", "files": [[label_of(file.name), sha256_of(file)] for file in files]}
    if numbered := [label_of(file.name) for file, shape in shapes if shape.numbered]:
        provenance["numbered"] = numbered  # their numbers are not read; earlier versions trained on them
    return Text(", ".join(map(str, files)), provenance, read)


def _check_plain(file: Path) -> Shape:
    """Return the shape of a file's lines. Raises InputError if it is not plain text."""
    build = f"`lrldata build --lang CODE --source web --input {shlex.quote(str(file))}`"
    if not file.is_file():
        hint = f"To use all text in it, run {build} and train on that dataset." if file.is_dir() else _EXPECTED
        hint = "It is a dataset: use --dataset DIR for it." if (file / MANIFEST).is_file() else hint
        raise InputError(f"{file}: {'is a folder' if file.is_dir() else 'no such file'}.", hint)
    if file.stat().st_size == 0:
        raise StorageError(f"{file}: is empty.", _EXPECTED)
    kind = type_of(file.name)
    if kind not in (None, "text") or is_packed(file.name):
        actual = "compressed" if is_packed(file.name) else kind
        raise InputError(f"{file}: is not plain text, but {actual}.", f"Build a dataset with {build} and train on it.")
    if file.suffix.lower() in _MARKUP:
        raise InputError(f"{file}: contains markup ({file.suffix}).", f"Remove the markup. {_EXPECTED}")
    with file.open("rb") as stream:
        lines = stream.read(_SNIFFED_BYTES).decode("utf-8", errors="replace").splitlines(keepends=True)[:-1]
    if column := column_of_text(lines):
        hint = f"Keep only the text column, as with `cut -f{column} {shlex.quote(str(file))} > text.txt`."
        raise InputError(f"{file}: is a table.", hint)
    try:
        shape = shape_of(lines)
    except ShapeError as error:
        raise InputError(f"{file}: {error}.", error.hint) from error
    if shape.width:
        note(f"{file}: its lines are wrapped at {shape.width} characters. {build} joins them.")
    return shape


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8-sig") as stream:
        try:
            for line in stream:
                yield from normalize(line).removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            with file.open("rb") as raw:
                raise undecodable(file, raw) from error
