"""The pipeline of `lrl card`: render the card of an artifact here, as Markdown and as a page, or check it. IO."""

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
from hub_cards.publish.repository import Local, Repository, adapter_repository, dataset_repository
from lrldata.errors import InputError, StorageError
from lrldata.manifest import ADAPTER, DATASET, MANIFEST, kind_of, understood, write_text
from lrldata.paths import inside
from lrldata.workspace import ADAPTERS, DATASETS, card_path, dataset_path

PAGE = "index.html"
UNKNOWN = License("unknown")


@dataclass(frozen=True)
class Rendered:
    """A card that was written: the Markdown, the page, and what is wrong with it."""

    repository: str
    markdown: Path
    page: Path
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return it as JSON-like values."""
        return vars(self) | {"markdown": str(self.markdown), "page": str(self.page), "faults": list(self.faults)}


def check(path: Path, namespace: str) -> list[str]:
    """Return what is wrong with a README, or with the card of a dataset's or an adapter's folder."""
    if path.is_file():
        try:
            return lint(path.read_text("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: is not UTF-8.", "Give a README.md.") from error
    repository, _ = repository_of(path, namespace)
    with understood(path):
        return _faults(repository)


def render(path: Path, namespace: str, out: Path | None) -> Rendered:
    """Write the card of a dataset's or an adapter's folder below `out`, or below cards/ of its workspace."""
    repository, root = repository_of(path, namespace)
    folder = out or root / card_path(repository.id)
    folder.mkdir(parents=True, exist_ok=True)
    with understood(path):
        text = _text(repository)
        faults = tuple(_faults(repository))
    pictures = {picture.path: picture.drawn for picture in repository.pictures}
    for place, drawn in pictures.items():
        target = inside(folder, place)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(drawn)
    for file in repository.files:
        if file.path.endswith(".png") and isinstance(file.content, Local):
            pictures[file.path] = file.content.read()
            target = inside(folder, file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(pictures[file.path])
    sizes = {file.path: file.size for file in repository.files} | {README: len(text.encode())}
    sizes |= {place: len(drawn) for place, drawn in pictures.items()}
    page = card_page(text, repository.id, repository.kind, pictures, sizes)
    write_text(folder / README, text)
    write_text(folder / PAGE, page)
    return Rendered(repository.id, folder / README, folder / PAGE, faults)


def _text(repository: Repository) -> str:
    return repository.card({name: part.facts for name, part in repository.parts.items()}, FIRST).text


def _faults(repository: Repository) -> list[str]:
    present = {*(file.path for file in repository.files), *(picture.path for picture in repository.pictures), README}
    text = _text(repository)
    unknown = ["license: not known from the sources; `lrl push-hub` wants --license"] if _is_unknown(text) else []
    return [*unknown, *lint(text, present)]


def _is_unknown(text: str) -> bool:
    return UNKNOWN.id in str(read(text).metadata["license"])


def repository_of(path: Path, namespace: str) -> tuple[Repository, Path]:
    """Return the repository that a folder would be published as, and the root of its workspace.

    A dataset's folder stands for all datasets of its language in the workspace, as they are published together. Raises
    StorageError for a folder that is neither.
    """
    path = path.resolve()
    kind = kind_of(path)
    if kind == DATASET:
        dataset, root = read_dataset(path), _root(path, 2)
        with understood(path):
            code = dataset.manifest["language"]["code"]
            at_home = root != path and path == root / dataset_path(code, dataset.source)
            datasets = read_datasets(root, code) if at_home else (dataset,)
            known = {each.source: licenses.of_dataset(each.manifest) or UNKNOWN for each in datasets}
            return dataset_repository(datasets, known, namespace, code), root
    if kind == ADAPTER:
        adapter = read_adapter(path)
        code, root = adapter.manifest["language"]["code"], _root(path, 3)
        workspace = open_workspace(root, {code}) if root != path else Workspace(root, {}, {code: (adapter,)})
        text = source_of(adapter, workspace)
        with understood(path):
            base = adapter.manifest["base"]["id"]
            licence = licenses.of_adapter(adapter, workspace, text) or UNKNOWN
            base_id = f"{namespace}/{MINI}" if base == MINI else base
            return adapter_repository(adapter, workspace, licence, text, base_id, namespace), root
    of_language = sorted(path.glob("*/")) if path.parent.name == DATASETS else []
    if held := next((each for each in of_language if kind_of(each) == DATASET), None):
        return repository_of(held, namespace)
    below = (each.parent for pattern in ("*", "*/*", "*/*/*") for each in path.glob(f"{pattern}/{MANIFEST}"))
    found = (each for each in below if kind_of(each) in (DATASET, ADAPTER))
    inside = ", ".join(sorted(map(str, found))[:3])
    raise StorageError(
        f"{path}: no finished dataset or adapter in this folder.",
        f"Artifacts below it: {inside}." if inside else "Name a folder that `lrldata build` or `lrltrain fit` wrote.",
    )


def _root(path: Path, depth: int) -> Path:
    """Return the workspace that a folder lies in; the folder itself where it lies in none."""
    above = path.parents[depth] if len(path.parents) > depth else path
    return above if path.parts[len(above.parts) : len(above.parts) + 1] in ((DATASETS,), (ADAPTERS,)) else path
