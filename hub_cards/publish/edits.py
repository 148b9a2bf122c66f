"""What others changed on the Hub in the data that a publication would replace. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from hub_cards.cards.card import CardError, read
from hub_cards.publish.repository import File, Repository, is_shard, is_weights
from hub_cards.publish.state import RemoteFile, RemoteRepository
from lrldata.manifest import fingerprint
from lrldata.split import SPLITS

UNKNOWN = "another file"  # in place of a hash, which no file has
_SHARD = re.compile(rf"[^/]+/data/({'|'.join(SPLITS)})-[^/]*")  # what a dataset card's data_files match


def edits_of_others(repository: Repository, remote: RemoteRepository) -> list[str]:
    """Return the data of the local parts that others changed, added or deleted on the Hub since they were published."""
    edits = [edit for name in repository.parts for edit in _edits_of(name, repository, remote)]
    return edits + [f"configuration {name} (added)" for name in _foreign_configurations(repository, remote)]


def is_as_published(repository: Repository, remote: RemoteRepository) -> bool:
    """Return whether the Hub still has the data of the version in the record, as far as their hashes are known."""
    return not any(_edits_of(name, repository, remote) for name in (remote.record or {"parts": ()})["parts"])


def unlisted_shards(repository: Repository, remote: RemoteRepository) -> set[str]:
    """Return the shards on the Hub that a local configuration would serve although they are not part of it."""
    served = {path for name in repository.parts for path in _shards(name, remote)}
    return served - {file.path for file in repository.files}


def _edits_of(name: str, repository: Repository, remote: RemoteRepository) -> list[str]:
    """Return the edits of a part. If lrl has not published it, the files that are there were added by others."""
    local, files = {file.path: file for file in repository.files}, remote.files or {}
    recorded = _recorded(name, repository, remote)
    edits = [f"{path} (deleted)" for path in recorded if path not in files]
    edits += [
        f"{path} (changed)"
        for path in sorted(recorded.keys() & files.keys())
        if _is_changed(files[path], recorded[path]) and not _is_local(path, local, files)
    ]
    published = remote.record is not None and name in remote.record["parts"]
    own_paths = set() if published or name not in repository.parts else set(repository.parts[name].files)
    if remote.record is not None:
        own_paths &= local.keys()  # pictures may be left over from a part that is no longer published
    added = ({*_shards(name, remote)} | own_paths & files.keys()) - recorded.keys()
    return edits + [f"{path} (added)" for path in sorted(added) if not _is_local(path, local, files)]


def _is_changed(there: RemoteFile, published: str | File | None) -> bool:
    """Return whether a file on the Hub differs from the published one, of which the hash or a copy may be known."""
    if isinstance(published, File):
        return not there.equals(published)
    return bool(published and there.sha256) and there.sha256 != published


def _recorded(name: str, repository: Repository, remote: RemoteRepository) -> dict[str, str | File | None]:
    """Return the published shards or weights of a part: the local copy if there is one, else the hash if known."""
    part = remote.record["parts"].get(name) if remote.record else None
    if remote.record is None or part is None:
        return {}
    paths = [path for path in part["files"] if is_shard(path) or is_weights(path)]
    if name in repository.parts and repository.parts[name].data == part["data"]:
        local = {file.path: file for file in repository.files}
        return {path: local.get(path) for path in paths}
    if remote.record["kind"] == "dataset":
        outputs = part["facts"].get("manifest", {}).get("outputs", ())
        hashes = {f"{name}/{entry['path']}": str(entry["sha256"]) for entry in outputs}
        return {path: hashes.get(path) for path in paths}
    return dict.fromkeys(paths, None if _has_weights(part["data"], paths, remote) else UNKNOWN)


def _has_weights(data: str, paths: Sequence[str], remote: RemoteRepository) -> bool:
    """Return whether the weights on the Hub are those of a hash in the record; also if some have no hash there."""
    files = remote.files or {}
    hashes = [[path, files[path].sha256] for path in paths if path in files and files[path].sha256]
    return len(hashes) < len(paths) or fingerprint(hashes) == data


def _shards(name: str, remote: RemoteRepository) -> Iterator[str]:
    """Yield the files on the Hub that the card's data_files of a configuration match."""
    return (path for path in remote.files or {} if path.startswith(f"{name}/") and _SHARD.fullmatch(path))


def _is_local(path: str, local: Mapping[str, File], files: Mapping[str, RemoteFile]) -> bool:
    return path in local and files[path].equals(local[path])


def _foreign_configurations(repository: Repository, remote: RemoteRepository) -> list[str]:
    """Return the configurations on the Hub that have the name of a local one and were not published by lrl."""
    if repository.kind != "dataset" or not remote.readme:
        return []
    try:
        configs = read(remote.readme).metadata.get("configs")
    except CardError:
        return []  # reported when the card is merged
    entries = configs if isinstance(configs, list) else [configs]
    names = {str(entry.get("config_name")) for entry in entries if isinstance(entry, dict)}
    published = remote.record["parts"] if remote.record else {}
    return sorted(names & repository.parts.keys() - published.keys())
