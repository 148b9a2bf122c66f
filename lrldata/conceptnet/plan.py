"""The plan of a build, for `--dry-run`. IO."""

from pathlib import Path

from lrldata.conceptnet.build import check_language, folder_of
from lrldata.conceptnet.config import BuildConfig
from lrldata.conceptnet.dump import local_path
from lrldata.conceptnet.index import Index, index_folder, open_index
from lrldata.conceptnet.sample import sample_path
from lrldata.conceptnet.source import official_index, remote_of
from lrldata.conceptnet.template_sets import phrasebook
from lrldata.errors import InputError
from lrldata.language import parse
from lrldata.manifest import DATASET, read_manifest
from lrldata.steps import Step


def plan(config: BuildConfig) -> list[Step]:
    """List what `build` would read, download and write, with sizes, without doing any of it."""
    languages = parse(config.lang)
    steps, index = _plan_input(config)
    for language in languages:
        phrasebook(config.templates, language)
        check_language(config, language)
        folder = folder_of(config, language)
        manifest = read_manifest(folder, DATASET)
        size = sum(entry["bytes"] for entry in manifest["outputs"]) if manifest else None
        note = "replaces the dataset there unless it is unchanged" if manifest else "new"
        if size is None and language.paper:
            size, note = int(language.paper.conceptnet_mb * 1e6), "new; about as large as the paper's training text"
        if index is not None:
            note += f"; {index.edges_of(language.conceptnet or ''):,} edges touch the language"
        steps.append(Step("write", str(folder), size, note))
    return steps


def _plan_input(config: BuildConfig) -> tuple[list[Step], Index | None]:
    index = open_index(config.index) if config.index else official_index(config)
    if index is not None:
        return [Step("read", str(index.edges), index.edges.stat().st_size, "index")], index
    remote = remote_of(config)
    if remote is None:
        path = sample_path() if config.sample else config.conceptnet_db or Path(config.dump or "")
        if not path.is_file():
            raise InputError(f"{path}: no such file.", "Give the dump with --dump FILE, or try --sample.")
        return [Step("read", str(path), path.stat().st_size), Step("write", str(config.cache), None, "index")], None
    target = local_path(remote, config.cache)
    first = (
        Step("read", str(target), target.stat().st_size)
        if target.is_file()
        else Step("download", remote.url, remote.bytes, f"to {target}")
    )
    return [first, Step("write", str(index_folder(config.cache, remote.sha256 or "?")), None, "index")], None
