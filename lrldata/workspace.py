"""A workspace and its datasets as objects. IO."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrldata.arguments import naming_arguments
from lrldata.dataset import open_dataset
from lrldata.errors import StorageError, UsageError
from lrldata.forks import refuse_forked
from lrldata.language import Language, find, find_recorded, parse
from lrldata.layout import ADAPTERS, DATASETS, TASK_RUNS, dataset_path, finished
from lrldata.ledger import Ledger, from_json
from lrldata.manifest import ADAPTER, DATASET, MANIFEST, SCORES, read_manifest
from lrldata.settings import AnyPath, as_path

if TYPE_CHECKING:
    import polars as pl


def _codes_in(workspace: Path) -> list[str]:
    """Return the names of the folders of languages. A file system may find them by names in other letters, e.g. RO."""
    return [folder.name for top in (DATASETS, ADAPTERS) for folder in (workspace / top).glob("*/")]


def requested_codes(typed: str, workspace: Path) -> list[str]:
    """Return the codes of a `--lang` value; those in the workspace need not be in the table. Raises LanguageError."""
    codes: dict[str, None] = {}
    present = _codes_in(workspace)
    for part in filter(None, map(str.strip, typed.split(","))):
        codes |= dict.fromkeys([part] if part in present else [language.code for language in parse(part)])
    return list(codes) or [language.code for language in parse(typed)]


@dataclass(frozen=True)
class Dataset:
    """A dataset folder: one source of one language.

    `status` is `built` or `unchanged` after a build, and `found` if the dataset was opened. `rows` counts each split.
    `notes` lists what is unusual about the input: skipped files, several text columns.
    """

    language: Language
    path: Path
    version: str
    status: str
    rows: Mapping[str, int] = field(hash=False)
    ledger: Ledger = field(hash=False)
    seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def open(cls, path: AnyPath) -> "Dataset":
        """Open a dataset folder and check it against its manifest. Raises StorageError."""
        folder = as_path(path, "path")
        manifest, _ = _open_in_session(folder)
        language = find_recorded(manifest["language"])
        return cls(language, folder, manifest["version"], "found", manifest["rows"], from_json(manifest["ledger"]))

    @property
    def source(self) -> str:
        """Return the name of the source, e.g. conceptnet; the folder and the Hub's configuration have the same name."""
        return self.path.name

    @property
    def manifest(self) -> dict[str, Any]:
        """Return the manifest: input, settings, libraries, ledger, file hashes. Raises StorageError."""
        return self._open()[0]

    def to_frame(self) -> "pl.DataFrame":
        """Return all rows as a Polars frame with a column `split`. Raises StorageError."""
        return self._open()[1].collect()

    def load(self) -> Any:
        """Return the rows as a datasets.DatasetDict of all non-empty splits. Raises StorageError."""
        from datasets import load_dataset  # noqa: PLC0415 -- takes a second

        manifest, _ = self._open()  # reports damage with a clear message
        path = str(self.path.absolute())
        folder = escape(path)
        if folder == path:
            return load_dataset(folder)
        # The path would be read as a pattern, and the escaped path is not found as a folder.
        files = {split: f"{folder}/data/{split}-*.parquet" for split, rows in manifest["rows"].items() if rows}
        return load_dataset("parquet", data_files=files)

    def report(self, out: AnyPath | None = None) -> Path:
        """Write a page that shows what was kept, what was dropped and why. Raises StorageError."""
        from lrldata.report.page import write_report  # noqa: PLC0415

        refuse_forked()
        self.check_current()
        with naming_arguments({"out"}):
            return write_report(self.path, None if out is None else as_path(out, "out"))

    def _open(self) -> "tuple[dict[str, Any], pl.LazyFrame]":
        self.check_current()
        return _open_in_session(self.path)

    def check_current(self) -> None:
        """Raise UsageError if the folder now has another dataset, which `rows` and `version` do not describe."""
        held = read_manifest(self.path, DATASET)
        if held and (held["version"], held["rows"]) != (self.version, dict(self.rows)):
            message = f"{self.path}: has been rebuilt; it is now version {held['version']}, and was {self.version}."
            raise UsageError(message, f"Open it again: lrldata.Dataset.open({str(self.path)!r}).")

    def as_json(self) -> dict[str, Any]:
        """Return the dataset as JSON-like values."""
        return {
            "language": self.language.code,
            "source": self.source,
            "path": str(self.path),
            "version": self.version,
            "status": self.status,
            "rows": dict(self.rows),
            "ledger": self.ledger.as_json(),
            **self.notes,
            "seconds": round(self.seconds, 3),
        }


def _open_in_session(folder: Path) -> "tuple[dict[str, Any], pl.LazyFrame]":
    """Open a dataset folder from Python code. Raises UsageError in a process in which Polars would hang."""
    refuse_forked()
    return open_dataset(folder)


@dataclass(frozen=True)
class Workspace:
    """A folder that the commands share. Its content is looked up on each call."""

    root: Path

    @property
    def path(self) -> Path:
        """Return the folder."""
        return self.root

    def datasets(self) -> Iterator[Dataset]:
        """Yield the finished datasets, by language and source. Raises StorageError if one is damaged."""
        return (Dataset.open(folder) for folder in finished(self.root, DATASET))

    def dataset(self, lang: str, source: str = "conceptnet") -> Dataset:
        """Open the dataset of a language and source. Raises LanguageError, StorageError."""
        code = lang if lang in _codes_in(self.root) else find(lang).code  # a language need not be in the table
        return Dataset.open(self.root / dataset_path(code, source))

    def adapters(self) -> list[Path]:
        """Return the folders of all finished adapters and fine-tuned models."""
        return finished(self.root, ADAPTER)

    def scores(self) -> list[Path]:
        """Return the folders of all finished scores: perplexities, then task runs."""
        runs = sorted(path for path in self.root.glob(TASK_RUNS) if (path / MANIFEST).is_file())
        return finished(self.root, SCORES) + runs


def open_workspace(path: AnyPath = "lrl-workspace") -> Workspace:
    """Open a workspace. Raises StorageError if the folder does not exist.

    Example:
        >>> import lrldata
        >>> built = lrldata.build("ro", sample=True, out="workspace")
        >>> [dataset.path.as_posix() for dataset in lrldata.open_workspace("workspace").datasets()]
        ['workspace/datasets/ro/conceptnet']

    """
    root = as_path(path, "path")
    if not root.is_dir():
        raise StorageError(f"{root}: no such workspace.", "Create one with `lrldata build --out`.")
    return Workspace(root)
