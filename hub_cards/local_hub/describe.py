"""The Hub's description of a repository: all of its properties, or the requested ones."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from hub_cards.local_hub import git
from hub_cards.local_hub.answers import refused
from hub_cards.local_hub.cards import metadata
from hub_cards.local_hub.git import Commit
from hub_cards.local_hub.store import Repo, stamp

_BARE = ("_id", "id")
_OF_ALL = """author cardData createdAt disabled gitalyUid lastModified likes private resourceGroup sha siblings tags
trendingScore usedStorage xetEnabled"""
_OF_FILES = "downloads downloadsAllTime gated"
_PROPERTIES = {
    "models": f"""{_OF_ALL} {_OF_FILES} baseModels childrenModelCount config gguf inference inferenceProviderMapping
    library_name mask_token model-index pipeline_tag safetensors spaces transformersInfo widgetData""".split(),
    "datasets": f"{_OF_ALL} {_OF_FILES} citation description paperswithcode_id".split(),
    "spaces": f"{_OF_ALL} datasets models runtime sdk subdomain".split(),
}


def narrowed(full: Mapping[str, Any], kind: str, fields: Sequence[str]) -> dict[str, Any]:
    """Return the requested properties, or all of them. Raises 400 for a property that this kind does not have."""
    if unknown := set(fields).difference(_PROPERTIES[kind]):
        raise refused(400, f'"expand" must be one of [{", ".join(_PROPERTIES[kind])}]', unknown=sorted(unknown))
    return {key: full[key] for key in [*_BARE, *fields] if key in full} if fields else dict(full)


def described(repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    """Describe a repository at a commit; with `blobs`, the sizes and ids of its files."""
    stored = repo.info
    card = metadata(repo.text(commit, "README.md"))
    files = {path: entry.id for path, entry in repo.git.flat(commit.tree).items() if entry.mode == git.FILE}
    sizes = {large.oid if large else blob: size for blob in files.values() for size, large in [repo.facts(blob)]}
    tags = card.get("tags")
    value = {
        "_id": repository_id(repo),
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.id,
        "lastModified": stamp(commit.when),
        "createdAt": stored["createdAt"],
        "private": stored["private"],
        "gated": stored.get("gated", False),
        "xetEnabled": stored.get("xetEnabled", False),
        "disabled": False,
        "downloads": 0,
        "downloadsAllTime": 0,
        "likes": 0,
        "trendingScore": 0,
        "tags": tags if isinstance(tags, list) else [],
        "usedStorage": sum(sizes.values()),
        "cardData": card,
        "siblings": [_sibling(repo, path, blob, blobs=blobs) for path, blob in sorted(files.items())],
    }
    if repo.kind == "models":
        value |= {"modelId": repo.id} | {key: card[key] for key in ("library_name", "pipeline_tag") if key in card}
        value |= {"model-index": card.get("model-index"), "config": {}, "spaces": []}
    return value


def repository_id(repo: Repo) -> str:
    """Return the id that clients see. It changes when the repository is renamed."""
    return hashlib.sha256(repo.page.encode()).hexdigest()[:24]


def _sibling(repo: Repo, path: str, blob: str, *, blobs: bool) -> dict[str, Any]:
    value: dict[str, Any] = {"rfilename": path}
    if blobs:
        size, large = repo.facts(blob)
        value |= {"blobId": blob, "size": size}
        if large:
            value["lfs"] = {"sha256": large.oid, "size": large.size, "pointerSize": len(large.pointer())}
    return value
