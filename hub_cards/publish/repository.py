"""What a repository is to hold: files, pictures, and what its card says. Reads sizes and hashes of files."""

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
from hub_cards.cards.measured import each_once, task_result
from hub_cards.cards.pictures import draw_ledger
from hub_cards.cards.rebuild import MINI
from hub_cards.cards.source import Source, member_of
from lrldata.dataset import SAMPLES
from lrldata.errors import UsageError
from lrldata.manifest import MANIFEST, entries, file_entry, fingerprint
from lrldata.paths import Held, walk
from lrltrain.names import base_name

Kind = Literal["dataset", "model"]
What = Literal["dataset", "adapter", "base"]
WEIGHTS = (".safetensors", ".bin")
NOT_WEIGHTS = {"reference.safetensors"}


@dataclass(frozen=True)
class Local:
    """A file of an artifact's folder."""

    folder: Path
    name: str

    def open(self) -> BufferedReader:
        """Open it, through no link. Raises PathError, FileNotFoundError."""
        with Held(self.folder) as held:
            return held.open(self.name)

    def read(self) -> bytes:
        """Return its bytes."""
        with self.open() as stream:
            return stream.read()


@dataclass(frozen=True)
class File:
    """A file by its path in the repository; `content` is where it is, or what it is."""

    path: str
    content: Local | bytes
    size: int
    sha256: str

    @classmethod
    def of(cls, path: str, content: bytes) -> "File":
        """Describe a file that is held in memory."""
        return cls(path, content, len(content), hashlib.sha256(content).hexdigest())

    @classmethod
    def listed(cls, path: str, folder: Path, entry: Mapping[str, Any]) -> "File":
        """Describe a file of an artifact's folder, by what its manifest says."""
        return cls(path, Local(folder, entry["path"]), entry["bytes"], entry["sha256"])

    @cached_property
    def blob(self) -> str:
        """Return its name as an object of git, by which the Hub knows small files."""
        data = self.content if isinstance(self.content, bytes) else self.content.read()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Picture:
    """A picture by its path, and `shows`, a hash of what it shows: drawn elsewhere, it would have other bytes."""

    path: str
    shows: str
    draw: Callable[[], bytes]

    @cached_property
    def drawn(self) -> bytes:
        """Return the PNG."""
        return self.draw()


@dataclass(frozen=True)
class Part:
    """A part of what is published: a configuration of a dataset, or a model. All of it goes into the record.

    `schema` and `data` are hashes: other data make a new minor version, another schema a new major one. `facts` is what
    the card says of it.
    """

    schema: str
    data: str
    manifest_sha256: str
    files: tuple[str, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Repository:
    """One repository; `card` makes its card of the facts of all parts and a version.

    With `keep_remote_parts`, those that are published already and are not here stay; with `keep_remote_scores`, so do
    scores.
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
            f"{folder}: the Hub takes no repository of the name {name}.",
            "Use a shorter --namespace, or a source's name of letters, digits and underscores.",
        )
    return name


def dataset_repository(
    datasets: tuple[Dataset, ...], licences: Mapping[str, License], namespace: str, language: str
) -> Repository:
    """Return the repository of a language's datasets, NAMESPACE/lrl-LANGUAGE; licences by source."""
    name = _checked(f"{namespace}/lrl-{language}", datasets[0].folder)
    files, parts, pictures = [], {}, []
    for dataset in datasets:
        manifest, source = dataset.manifest, dataset.source
        own = [
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
            (*(file.path for file in own), picture),
            {
                "manifest": manifest,
                "samples": list(dataset.samples),
                "licence": asdict(licences[source]),
                **({"speakers": dict(dataset.speakers)} if dataset.speakers else {}),
            },
        )
        files += own
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
    """Return the id of an adapter's repository. Raises UsageError for one that the Hub does not take."""
    manifest = adapter.manifest
    parts = [base_name(base), manifest["language"]["code"], adapter.source, adapter.method, manifest.get("variant")]
    return _checked(f"{namespace}/{'-'.join(filter(None, parts))}", adapter.folder)


def adapter_repository(
    adapter: Adapter, workspace: Workspace, licence: License, text: Source, base: str, namespace: str
) -> Repository:
    """Return the repository of an adapter, NAMESPACE/BASE-LANGUAGE-SOURCE-METHOD, of a variant with -VARIANT."""
    manifest, name = adapter.manifest, adapter_id(adapter, base, namespace)
    paths = [entry["path"] for entry in manifest["outputs"]]
    files = [
        *(File.listed(each["path"], adapter.folder, each) for each in entries(manifest)),
        File.of(MANIFEST, adapter.manifest_bytes),
    ]
    weights = [
        [entry["path"], entry["sha256"]]
        for entry in manifest["outputs"]
        if entry["path"].endswith(WEIGHTS) and entry["path"] not in NOT_WEIGHTS
    ]
    measured = [
        *(results_of(score.manifest, score.result) for score in workspace.scores_of(adapter)),
        *(task_result(score) for score in workspace.task_scores_of(adapter)),
    ]

    def card(facts: Mapping[str, Mapping[str, Any]], version: str) -> Card:
        known = facts["adapter"]
        return adapter_card(
            manifest,
            adapter.manifest_sha256,
            adapter.run,
            known["results"],
            source=adapter.source,
            text=Source(**known["text"], command=text.command),
            base=base,
            licence=License(**known["licence"]),
            repository=name,
            version=version,
            members=known.get("members", ()),
        )

    told = {key: value for key, value in asdict(text).items() if key != "command"}
    members = [member_of(each, workspace) for each in workspace.fused_in(adapter)]
    part = Part(
        fingerprint([base, manifest["base"]]),
        fingerprint(weights),
        adapter.manifest_sha256,
        tuple(dict.fromkeys((*paths, *(file.path for file in files)))),
        {"results": each_once(measured), "text": told, "licence": asdict(licence)}
        | ({"members": members} if members else {}),
    )
    return Repository(name, "model", "adapter", tuple(files), {"adapter": part}, card)


def base_repository(folder: Path, made_from: Mapping[str, Any], namespace: str) -> Repository:
    """Return the repository of lrl-mini, NAMESPACE/lrl-mini, without which its adapters cannot be loaded."""
    name = f"{namespace}/{MINI}"
    files = tuple(File.listed(path.name, folder, file_entry(path, folder)) for path in walk(folder))
    weights = [[file.path, file.sha256] for file in files if file.path.endswith(WEIGHTS)]
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
