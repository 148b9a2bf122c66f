"""GlotCC-V1 on the Hub: the shards of a language at one revision, read over the network in blocks. IO."""

from functools import partial
from typing import BinaryIO

from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from lrldata.errors import DownloadError, NoDataError, UsageError
from lrldata.language import Language
from lrldata.network import network_errors
from lrldata.web.config import REPOSITORY
from lrldata.web.shards import Shard

FOLDER = "v1.0"
BLOCK = 8 << 20  # bytes per request
HINTS = "Try again: finished work is kept. Or use a local copy with --input FOLDER."


def hub_shards(language: Language, revision: str) -> tuple[list[Shard], str]:
    """Return the Parquet files of a language in GlotCC-V1, and the commit that `revision` names. Raises LrlError."""
    if language.glotcc is None:
        raise NoDataError(f"GlotCC-V1 has no {language.name} ({language.code}).", "See `lrldata langs`.")
    api = HfApi()
    with network_errors(f"{REPOSITORY} cannot be listed", HINTS):
        try:
            commit = api.dataset_info(REPOSITORY, revision=revision).sha or revision
            tree = api.list_repo_tree(
                REPOSITORY, f"{FOLDER}/{language.glotcc}", revision=commit, repo_type="dataset", recursive=True
            )
            files = [entry for entry in tree if isinstance(entry, RepoFile) and entry.path.endswith(".parquet")]
        except RevisionNotFoundError as error:
            raise UsageError(
                f"{REPOSITORY} has no revision {revision!r}.", "Name a branch, a tag or a commit."
            ) from error
        except RepositoryNotFoundError as error:
            raise DownloadError(f"The Hub has no dataset {REPOSITORY}, or you have no access to it.", HINTS) from error
        except EntryNotFoundError:
            files = []
    if not files:
        raise NoDataError(f"{REPOSITORY} holds nothing for {language.glotcc} at {commit}.", "See `lrldata langs`.")
    return [_shard(file, commit) for file in sorted(files, key=lambda file: file.path)], commit


def _shard(file: RepoFile, commit: str) -> Shard:
    place = f"datasets/{REPOSITORY}@{commit}/{file.path}"
    digest = file.lfs.sha256 if file.lfs else f"git:{file.blob_id}"
    return Shard(
        file.path,
        place,
        file.size,
        digest,
        partial(_open, place),
    )


def _open(place: str) -> BinaryIO:
    """Open a file on the Hub; it is fetched in blocks as it is read."""
    stream: BinaryIO = HfFileSystem().open(place, "rb", block_size=BLOCK, cache_type="readahead")
    return stream
