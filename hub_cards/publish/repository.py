"""The desired content of a repository: files, pictures, and the facts for its card. IO: reads and hashes files."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

from hub_cards.artifacts import Adapter, Dataset, Workspace
from hub_cards.cards.adapter_card import adapter_card, base_card, results_of
from hub_cards.cards.card import Card
from hub_cards.cards.dataset_card import dataset_card
from hub_cards.cards.licenses import MINI_LICENCE, License
from hub_cards.cards.lint import is_repository
from hub_cards.cards.measured import task_result, without_repetitions
from hub_cards.cards.pictures import draw_ledger
from hub_cards.cards.rebuild import MINI
from hub_cards.cards.source import Source, member_of
from lrldata.dataset import SAMPLES
from lrldata.errors import UsageError
from lrldata.manifest import MANIFEST, entries, file_entry, fingerprint
from lrldata.paths import OpenFolder, walk
from lrltrain.names import base_name

Kind = Literal["dataset", "model"]
What = Literal["dataset", "adapter", "base"]
_WEIGHTS = (".safetensors", ".bin")
_NOT_WEIGHTS = {"reference.safetensors"}


def is_shard(path: str) -> bool:
    """Return whether a file of a dataset's repository is needed to load a configuration: SOURCE/data/FILE."""
    return path.split("/")[1:2] == ["data"]


def is_weights(path: str) -> bool:
    """Return whether a file of an adapter or model holds weights."""
    return path.endswith(_WEIGHTS) and path not in _NOT_WEIGHTS


@dataclass(frozen=True)
class LocalFile:
    """A file in an artifact's folder."""

    folder: Path
    name: str

    def open(self) -> BufferedReader:
        """Open the file without following links. Raises PathError or FileNotFoundError."""
        with OpenFolder(self.folder) as held:
            return held.open(self.name)

    def read(self) -> bytes:
        """Return the bytes of the file."""
        with self.open() as stream:
            return stream.read()


@dataclass(frozen=True)
class File:
    """A file with its path in the repository; `content` is a local file or the bytes themselves."""

    path: str
    content: LocalFile | bytes
    size: int
    sha256: str

    @classmethod
    def of(cls, path: str, content: bytes) -> "File":
        """Describe a file from its bytes in memory."""
        return cls(path, content, len(content), hashlib.sha256(content).hexdigest())

    @classmethod
    def listed(cls, path: str, folder: Path, entry: Mapping[str, Any]) -> "File":
        """Describe a file in an artifact's folder from its manifest entry."""
        return cls(path, LocalFile(folder, entry["path"]), entry["bytes"], entry["sha256"])

    @cached_property
    def blob(self) -> str:
        """Return the git object id, by which the Hub identifies small files."""
        data = self.content if isinstance(self.content, bytes) else self.content.read()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Picture:
    """A picture with its path. `shows` is a hash of its content, since its bytes depend on the drawing machine."""

    path: str
    shows: str
    draw: Callable[[], bytes]

    @cached_property
    def png(self) -> bytes:
        """Return the picture as PNG bytes."""
        return self.draw()


@dataclass(frozen=True)
class Part:
    """A part of a repository: a configuration of a dataset, or a model. The whole part goes into the record.

    `schema` and `data` are hashes: new data require a new minor version, and a new schema a new major version. `facts`
    is the information for the card.
    """

    schema: str
    data: str
    manifest_sha256: str
    files: tuple[str, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Repository:
    """One repository; `card` renders its card from the facts of all parts and a version.

    With `keep_remote_parts`, published parts that are not here are kept, and with `keep_remote_scores`, so are scores.
    """

    id: str
    kind: Kind
    what: What
    files: tuple[File, ...]
    parts: Mapping[str, Part]
    card: Callable[[Mapping[str, Mapping[str, Any]], str], Card]
    pictures: tuple[Picture, ...] = field(default=())
    keep_remote_parts: bool = False
    keep_remote_scores: bool = True


def _checked(name: str, folder: Path) -> str:
    if not is_repository(name):
        raise UsageError(
            f"{folder}: the Hub does not accept {name} as a repository name.",
            "Use a shorter --namespace, or a source name of letters, digits and underscores.",
        )
    return name


def dataset_repository(
    datasets: tuple[Dataset, ...], licences: Mapping[str, License], namespace: str, language: str
) -> Repository:
    """Return the repository of a language's datasets, NAMESPACE/lrl-LANGUAGE. `licences` is keyed by source."""
    name = _checked(f"{namespace}/lrl-{language}", datasets[0].folder)
    files, parts, pictures = [], {}, []
    for dataset in datasets:
        manifest, source = dataset.manifest, dataset.source
        dataset_files = [
            *(
                File.listed(f"{source}/{entry['path']}", dataset.folder, entry)
                for entry in manifest["outputs"]
                if entry["path"] != SAMPLES
            ),
            File.of(f"{source}/{MANIFEST}", dataset.manifest_bytes),
        ]
        picture = f"pictures/{source}-ledger.png"
        ledger = manifest["ledger"]
        pictures.append(Picture(picture, fingerprint([source, ledger]), partial(draw_ledger, ledger, source)))
        shards = [
            [entry["path"], entry["sha256"]] for entry in manifest["outputs"] if entry["path"].startswith("data/")
        ]
        parts[source] = Part(
            fingerprint(manifest["columns"]),
            fingerprint(shards),
            dataset.manifest_sha256,
            (*(file.path for file in dataset_files), picture),
            {
                "manifest": manifest,
                "samples": list(dataset.samples),
                "licence": asdict(licences[source]),
                **({"speakers": dict(dataset.speakers)} if dataset.speakers else {}),
            },
        )
        files += dataset_files
    return Repository(
        name,
        "dataset",
        "dataset",
        tuple(files),
        parts,
        lambda facts, version: dataset_card(facts, name, version),
        tuple(pictures),
        keep_remote_parts=True,
    )


def adapter_id(adapter: Adapter, base: str, namespace: str) -> str:
    """Return the id of an adapter's repository. Raises UsageError if the Hub does not accept it."""
    manifest = adapter.manifest
    parts = [base_name(base), manifest["language"]["code"], adapter.source, adapter.method, manifest.get("variant")]
    return _checked(f"{namespace}/{'-'.join(filter(None, parts))}", adapter.folder)


def adapter_repository(
    adapter: Adapter, workspace: Workspace, licence: License, text: Source, base: str, namespace: str
) -> Repository:
    """Return the repository of an adapter, NAMESPACE/BASE-LANGUAGE-SOURCE-METHOD, plus -VARIANT for a variant."""
    manifest, name = adapter.manifest, adapter_id(adapter, base, namespace)
    paths = [entry["path"] for entry in manifest["outputs"]]
    files = [
        *(File.listed(entry["path"], adapter.folder, entry) for entry in entries(manifest)),
        File.of(MANIFEST, adapter.manifest_bytes),
    ]
    weights = [[entry["path"], entry["sha256"]] for entry in manifest["outputs"] if is_weights(entry["path"])]
    results = [
        *(results_of(score.manifest, score.result) for score in workspace.scores_of(adapter)),
        *(task_result(score) for score in workspace.task_scores_of(adapter)),
    ]

    def card(facts: Mapping[str, Mapping[str, Any]], version: str) -> Card:
        adapter_facts = facts["adapter"]
        return adapter_card(
            manifest,
            adapter.manifest_sha256,
            adapter.run,
            adapter_facts["results"],
            source=adapter.source,
            text=Source(**adapter_facts["text"], command=text.command),
            base=base,
            licence=License(**adapter_facts["licence"]),
            repository=name,
            version=version,
            members=adapter_facts.get("members", ()),
        )

    text_facts = {key: value for key, value in asdict(text).items() if key != "command"}
    members = [member_of(fused, workspace) for fused in workspace.fused_in(adapter)]
    part = Part(
        fingerprint([base, manifest["base"]]),
        fingerprint(weights),
        adapter.manifest_sha256,
        tuple(dict.fromkeys((*paths, *(file.path for file in files)))),
        {"results": without_repetitions(results), "text": text_facts, "licence": asdict(licence)}
        | ({"members": members} if members else {}),
    )
    return Repository(name, "model", "adapter", tuple(files), {"adapter": part}, card)


def base_repository(folder: Path, made_from: Mapping[str, Any], namespace: str) -> Repository:
    """Return the repository of lrl-mini, NAMESPACE/lrl-mini, which is needed to load its adapters."""
    name = f"{namespace}/{MINI}"
    files = tuple(File.listed(path.name, folder, file_entry(path, folder)) for path in walk(folder))
    weights = [[file.path, file.sha256] for file in files if is_weights(file.path)]
    configuration = next(file.sha256 for file in files if file.path == "config.json")
    part = Part(configuration, fingerprint(weights), "", tuple(file.path for file in files), {})
    return Repository(
        name,
        "model",
        "base",
        files,
        {"base": part},
        lambda _facts, version: base_card(made_from, MINI_LICENCE, name, version),
    )
