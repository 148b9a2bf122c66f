"""Find the edges of a build: an existing index, the sample, a database, or a local or remote dump. IO."""

from pathlib import Path
from urllib.parse import urlsplit

from lrldata.conceptnet.config import BuildConfig
from lrldata.conceptnet.dump import OFFICIAL, RemoteDump
from lrldata.conceptnet.index import Index, existing_index, index_folder, make_index, open_index
from lrldata.conceptnet.sample import sample_path
from lrldata.errors import InputError, UsageError
from lrldata.fingerprints import fingerprint_file
from lrldata.progress import Progress


def find_index(config: BuildConfig, progress: Progress) -> Index:
    """Return the index that the settings refer to: an existing one, or one made now from their dump."""
    if config.index:
        return open_index(config.index)
    index = official_index(config)
    if index is not None:
        return index  # the dump itself is no longer needed
    remote = remote_of(config)
    if config.sample:
        path = sample_path()
    elif config.conceptnet_db:
        path = config.conceptnet_db
    elif remote is None:
        path = Path(config.dump or "")
    else:
        from lrldata.conceptnet.download import download  # noqa: PLC0415 -- slow

        path = download(remote, config.cache, progress)
    if config.dump_sha256 and path.is_file() and (sha256 := fingerprint_file(path, config.cache)) != config.dump_sha256:
        raise InputError(f"{path}: its SHA-256 is {sha256}, not {config.dump_sha256}.", "Download it again.")
    return make_index(path, config.cache, max_rejected=config.max_rejected, progress=progress)


def official_index(config: BuildConfig) -> Index | None:
    """Return the index of the official dump, or None if another input is set or it is not indexed yet."""
    if remote_of(config) is not OFFICIAL:
        return None
    index = existing_index(index_folder(config.cache, OFFICIAL.sha256 or ""))
    return index if index and index.source["sha256"] == OFFICIAL.sha256 else None


def remote_of(config: BuildConfig) -> RemoteDump | None:
    """Return the URL to download from, or None if the input is a local file."""
    if config.sample or config.conceptnet_db or config.index:
        return None
    if config.dump is None or (config.dump == OFFICIAL.url and config.dump_sha256 in (None, OFFICIAL.sha256)):
        return OFFICIAL
    if config.dump.lower().startswith(("http://", "https://")):
        try:
            urlsplit(config.dump)
        except ValueError as error:
            raise UsageError(f"{config.dump}: not a valid URL ({error}).") from error
        return RemoteDump(config.dump, sha256=config.dump_sha256)
    return None
