"""Where the text of a language comes from: a dataset folder, a dataset on the Hub, or plain text files. IO.

Each text is normalized as it enters, so that letters composed and letters with marks are the same lines.
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
from lrldata.errors import InputError, StorageError, UsageError, first_line
from lrldata.language import Language
from lrldata.manifest import fingerprint, identity, sha256_of
from lrldata.normalize import normalize
from lrldata.output import note
from lrldata.paths import safe_name
from lrldata.web.inputs import is_packed, type_of
from lrldata.web.plain import column_of_text
from lrldata.web.shapes import Shape, ShapeError, shape_of
from lrldata.workspace import dataset_path
from lrltrain.config import FitConfig

LINES_A_BATCH = 1_000
HELD_OUT = 20  # of text that has no split for validation, one line in so many is for it
LONGEST_NAME = 150  # bytes, of the 255 of a name of a folder
_WANTED = "Give UTF-8 text files, one sentence or paragraph a line."
_MARKED = {".xml", ".tmx", ".eaf", ".flextext", ".po"}
_LOOKED_AT = 1 << 16  # bytes of a file by which it is told what it is
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")


@dataclass(frozen=True)
class Text:
    """Text to train on, in the splits `train` and `validation`.

    `provenance` is what a manifest says of it, by which it is known again; `origin` what is said beside that: of a
    dataset, from what it was made (`inputs`, `sample`), and of one on the Hub its `commit`.
    """

    name: str
    provenance: dict[str, Any]
    read: Callable[[str], Iterator[str]]
    origin: dict[str, Any] = field(default_factory=dict)

    def lines(self, split: str) -> Iterator[list[str]]:
        """Yield the lines of a split by the thousand; empty ones are left out."""
        stripped = (line for line in map(str.strip, self.read(split)) if line)
        while batch := list(islice(stripped, LINES_A_BATCH)):
            yield batch


def label_of(name: str) -> str:
    """Return the name of a file as manifests and folders have it: bytes that are no UTF-8, and controls, as %E3."""

    def escaped(found: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape"))

    whole = _NOT_IN_NAMES.sub(escaped, name)
    return whole if len(whole.encode()) <= LONGEST_NAME else whole.encode()[:LONGEST_NAME].decode(errors="ignore")


def open_text(config: FitConfig, language: Language) -> Text:
    """Open what `--text`, `--dataset` or `--lang` and `--source` name. Raises InputError, StorageError."""
    if config.text:
        return _plain(config.text)
    if config.dataset and not Path(config.dataset).exists():
        return _on_hub(config.dataset, config.source, config.dataset_revision)
    given = Path(config.dataset) if config.dataset else None
    if given and config.dataset_revision:
        raise UsageError(f"--dataset-revision: {given} is a folder, which has none.", "Leave it out.")
    folder = given or dataset_folder(config, language)
    if given is None and not folder.exists():
        raise InputError(
            f"{folder}: no dataset of {language.name} from {config.source} in this workspace.",
            f"Make it with `lrldata build --lang {language.code} --source {config.source}`, or use --dataset, --text.",
        )
    return _folder(folder, language)


def dataset_folder(config: FitConfig, language: Language) -> Path:
    """Return where the workspace has the dataset of a language and source."""
    return config.out / dataset_path(language.code, safe_name(config.source))


def _folder(folder: Path, language: Language) -> Text:
    opened = open_shards(folder)
    manifest = opened.manifest
    held = manifest["language"]["code"]
    if held != language.code:
        raise InputError(f"{folder}: holds {held}, not {language.code}.", f"Use --lang {held}.")
    if not manifest["rows"].get("train") or not manifest["rows"].get("validation"):
        raise InputError(
            f"{folder}: has no rows to train on or none to validate on.",
            "More documents are needed. Where each line is a sentence, build it with --documents lines.",
        )

    def read(split: str) -> Iterator[str]:
        for stream in opened.shards.get(split, ()):
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=LINES_A_BATCH, columns=["text"]):
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
    made_of = [{"name": str(each["name"]), "sha256": str(each["sha256"])} for each in manifest["inputs"]]
    return Text(str(folder), provenance, read, {"inputs": made_of, "sample": bool(manifest.get("sample"))})


def _on_hub(identifier: str, configuration: str, revision: str | None) -> Text:
    from datasets import load_dataset  # noqa: PLC0415 -- half a second that other inputs need not wait

    commit = _commit_of(identifier, revision)
    try:
        parts = load_dataset(identifier, configuration, revision=commit or revision)
    except Exception as error:
        raise InputError(
            f"{identifier}: neither a folder here nor a dataset that the Hub can give: {first_line(error, 200)}",
            f"Check --dataset, --source (its configuration, now {configuration!r}) and --dataset-revision.",
        ) from error
    if "train" not in parts:
        raise InputError(f"{identifier}: has no split train.", f"It has: {', '.join(map(str, parts))}.")
    wanted = {"train", "validation"} & parts.keys()
    nulls = {split: _nulls(f"{identifier}: its split {split}", parts[split]) for split in sorted(wanted)}

    def texts(split: str) -> Iterator[str]:
        for batch in parts[split].select_columns("text").iter(LINES_A_BATCH):
            yield from (normalize(text) for text in batch["text"] if text is not None)

    def read(split: str) -> Iterator[str]:
        return texts(split) if "validation" in wanted else held_out(texts("train"), split)

    digest = {split: _digest_of(parts[split]) for split in sorted(wanted)}
    provenance = {
        "kind": "hub",
        "name": f"{identifier}/{configuration}",
        "revision": revision,
        "content": fingerprint(digest),
        "rows": {split: parts[split].num_rows - nulls[split] for split in sorted(wanted)},
    }
    return Text(identifier, provenance, read, {"commit": commit} if commit else {})


def _commit_of(identifier: str, revision: str | None) -> str | None:
    """Return the commit that a revision of a dataset is now; None without a network, or where it is not told."""
    from huggingface_hub import HfApi  # noqa: PLC0415

    try:
        return str(HfApi().dataset_info(identifier, revision=revision).sha)
    except Exception:  # noqa: BLE001 -- loading it says what is wrong
        return None


def _digest_of(part: Any) -> str:
    """Return a hash of the texts of a split, which a commit that changes other files leaves as it is."""
    digest = xxh3_128()
    for batch in part.select_columns("text").iter(LINES_A_BATCH):
        digest.update("\0".join("" if text is None else text for text in batch["text"]).encode(errors="surrogatepass"))
    return digest.hexdigest()


def held_out(lines: Iterable[str], split: str) -> Iterator[str]:
    """Yield the lines that are of a split: one in HELD_OUT, by a hash of the line, is for validation."""
    for line in lines:
        if (xxh3_64_intdigest(line.strip().encode()) % HELD_OUT == 0) == (split == "validation"):
            yield line


def _nulls(where: str, part: Any) -> int:
    """Count the texts of a split of the Hub that are null, which are left out. Raises InputError for other columns."""
    if "text" not in part.column_names:
        raise InputError(f"{where} has no column `text`.", f"It has: {', '.join(part.column_names)}.")
    nulls = int(part.data.column("text").null_count)
    if nulls and nulls == part.num_rows:
        raise InputError(f"{where} has a column `text` in which every text is null.", "Check --source.")
    kind = getattr(part.features["text"], "dtype", None)
    if kind not in ("string", "large_string", "string_view"):
        raise InputError(f"{where} has a column `text` that is not of texts ({kind or part.features['text']}).")
    if nulls:
        note(f"note: {where} has {nulls:,} null texts of {part.num_rows:,}, which are left out.")
    return nulls


def _plain(files: list[Path]) -> Text:
    """Read files of one sentence or paragraph a line; one in HELD_OUT, by a hash of the line, is for validation."""
    shapes = [(file, _check_plain(file)) for file in files]

    def read(split: str) -> Iterator[str]:
        for file, shape in shapes:
            yield from held_out(map(shape.bare, _lines(file)), split)

    provenance = {"kind": "text", "name": "text", "files": [[label_of(file.name), sha256_of(file)] for file in files]}
    return Text(", ".join(map(str, files)), provenance, read)


def _check_plain(file: Path) -> Shape:
    """Return the shape of a file's lines. Raises InputError for one that is not of plain text."""
    build = f"`lrldata build --lang CODE --source web --input {shlex.quote(str(file))}`"
    if not file.is_file():
        hint = f"For all of its text, {build}, and train on that dataset." if file.is_dir() else _WANTED
        raise InputError(f"{file}: {'is a folder' if file.is_dir() else 'no such file'}.", hint)
    if file.stat().st_size == 0:
        raise StorageError(f"{file}: is empty.", _WANTED)
    kind = type_of(file.name)
    if kind not in (None, "text") or is_packed(file.name):
        what = "packed" if is_packed(file.name) else kind
        raise InputError(f"{file}: is not plain text, but {what}.", f"Make a dataset with {build}, and train on that.")
    if file.suffix.lower() in _MARKED:
        raise InputError(f"{file}: holds marks beside the text ({file.suffix}).", f"Take these out. {_WANTED}")
    with file.open("rb") as stream:
        first = stream.read(_LOOKED_AT).decode("utf-8", errors="replace").splitlines(keepends=True)[:-1]
    if column := column_of_text(first):
        hint = f"Keep the text alone, as with `cut -f{column} {shlex.quote(str(file))} > text.txt`."
        raise InputError(f"{file}: is a table.", hint)
    try:
        shape = shape_of(first)
    except ShapeError as error:
        raise InputError(f"{file}: {error}.", error.hint) from error
    if shape.width:
        note(f"note: {file}: its lines were broken at {shape.width} characters. {build} joins them.")
    return shape


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8-sig") as stream:
        try:
            for line in stream:
                yield from normalize(line).removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            with file.open("rb") as raw:
                raise undecodable(file, raw) from error
