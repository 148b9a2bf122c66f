"""The pipeline of `lrl card`: render the card of a local artifact as Markdown and HTML, or check it. IO."""

from dataclasses import dataclass
from pathlib import Path

from hub_cards.artifacts import Workspace, open_workspace, read_adapter, read_dataset, read_datasets
from hub_cards.cards import licenses
from hub_cards.cards.card import read
from hub_cards.cards.licenses import License
from hub_cards.cards.lint import lint
from hub_cards.cards.page import card_page
from hub_cards.cards.rebuild import MINI
from hub_cards.cards.source import source_of
from hub_cards.publish.plan import README
from hub_cards.publish.record import FIRST
from hub_cards.publish.repository import LocalFile, Repository, adapter_repository, dataset_repository
from lrldata.errors import InputError, StorageError
from lrldata.layout import ADAPTERS, DATASETS, card_path, dataset_path
from lrldata.manifest import (
    ADAPTER,
    DATASET,
    artifacts_below,
    kind_of,
    reporting_invalid_content,
    write_bytes,
    write_text,
)
from lrldata.paths import inside

PAGE = "index.html"
UNKNOWN = License("unknown")


@dataclass(frozen=True)
class RenderedCard:
    """A card that was written: the Markdown file, the HTML page, and the faults found in the card."""

    repository: str
    markdown: Path
    page: Path
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON-like values."""
        return vars(self) | {"markdown": str(self.markdown), "page": str(self.page), "faults": list(self.faults)}


def check(path: Path, namespace: str) -> list[str]:
    """Return the faults of a README, or of the card for the folder of a dataset or an adapter."""
    if path.is_file():
        try:
            return lint(path.read_text("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not valid UTF-8.", "Give a README.md in UTF-8.") from error
    repository, _ = repository_of(path, namespace)
    with reporting_invalid_content(path):
        return _faults(repository, _text(repository))


def render(path: Path, namespace: str, out: Path | None) -> RenderedCard:
    """Write the card for the folder of a dataset or an adapter to `out`, or to cards/ in its workspace."""
    repository, root = repository_of(path, namespace)
    folder = out or root / card_path(repository.id)
    folder.mkdir(parents=True, exist_ok=True)
    with reporting_invalid_content(path):
        text = _text(repository)
        faults = tuple(_faults(repository, text))
    pictures = {picture.path: picture.png for picture in repository.pictures}
    pictures |= {
        file.path: file.content.read()
        for file in repository.files
        if file.path.endswith(".png") and isinstance(file.content, LocalFile)
    }
    for name, image in pictures.items():
        target = inside(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, image)
    sizes = {file.path: file.size for file in repository.files} | {README: len(text.encode())}
    sizes |= {name: len(image) for name, image in pictures.items()}
    page = card_page(text, repository.id, repository.kind, pictures, sizes)
    write_text(folder / README, text)
    write_text(folder / PAGE, page)
    return RenderedCard(repository.id, folder / README, folder / PAGE, faults)


def _text(repository: Repository) -> str:
    return repository.card({name: part.facts for name, part in repository.parts.items()}, FIRST).text


def _faults(repository: Repository, text: str) -> list[str]:
    present = {*(file.path for file in repository.files), *(picture.path for picture in repository.pictures), README}
    unknown = ["license: unknown from the sources; `lrl push-hub` needs --license"] if _is_unknown(text) else []
    return [*unknown, *lint(text, present)]


def _is_unknown(text: str) -> bool:
    return UNKNOWN.id in str(read(text).metadata["license"])


def _is_same(path: Path, other: Path) -> bool:
    """Return whether two paths lead to the same folder; a file system may ignore upper and lower case."""
    return other.exists() and path.samefile(other)


def repository_of(path: Path, namespace: str) -> tuple[Repository, Path]:
    """Return the repository that a folder would be published as, and the root of its workspace.

    The folder of a dataset stands for all datasets of its language in the workspace, since they are published together.
    Raises StorageError if the folder is neither a dataset nor an adapter.
    """
    path = path.resolve()
    kind = kind_of(path)
    if kind == DATASET:
        dataset, root = read_dataset(path), _root(path, 2)
        with reporting_invalid_content(path):
            code = dataset.manifest["language"]["code"]
            in_workspace = root != path and _is_same(path, root / dataset_path(code, dataset.source))
            datasets = read_datasets(root, code) if in_workspace else (dataset,)
            licences = {entry.source: licenses.of_dataset(entry.manifest) or UNKNOWN for entry in datasets}
            return dataset_repository(datasets, licences, namespace, code), root
    if kind == ADAPTER:
        adapter = read_adapter(path)
        code, root = adapter.manifest["language"]["code"], _root(path, 3)
        workspace = open_workspace(root, {code}) if root != path else Workspace(root, {}, {code: (adapter,)})
        with reporting_invalid_content(path):
            text = source_of(adapter, workspace)
            base = adapter.manifest["base"]["id"]
            licence = licenses.of_adapter(adapter, workspace, text) or UNKNOWN
            base_id = f"{namespace}/{MINI}" if base == MINI else base
            return adapter_repository(adapter, workspace, licence, text, base_id, namespace), root
    candidates = sorted(path.glob("*/")) if path.parent.name == DATASETS else []
    if dataset_folder := next((entry for entry in candidates if kind_of(entry) == DATASET), None):
        return repository_of(dataset_folder, namespace)
    examples = artifacts_below(path, DATASET, ADAPTER)
    raise StorageError(
        f"{path}: no finished dataset or adapter in this folder.",
        f"Artifacts below it: {examples}."
        if examples
        else "Give a folder that `lrldata build` or `lrltrain fit` wrote.",
    )


def _root(path: Path, depth: int) -> Path:
    """Return the workspace that contains a folder, or the folder itself if it is in none."""
    workspace = path.parents[depth] if len(path.parents) > depth else path
    return (
        workspace if path.parts[len(workspace.parts) : len(workspace.parts) + 1] in ((DATASETS,), (ADAPTERS,)) else path
    )
