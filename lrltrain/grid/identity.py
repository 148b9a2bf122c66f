"""The identity of a job: a hash of everything that determines its output. IO: reads the sizes and times of files."""

from pathlib import Path
from typing import Any

from lrldata.language import find, is_added
from lrldata.manifest import fingerprint
from lrltrain.grid import places
from lrltrain.grid.inputs import local
from lrltrain.grid.job import Job

_PATHS = frozenset(
    "base conceptnet_db data dataset dump index input lid protect templates text transfer_adapter verdicts".split()
)
_IRRELEVANT = frozenset("batch_tokens cache eval_batch_size group memory out scratch tracker workers".split())


def identity(job: Job) -> str:
    """Return the hash of a job's settings, its inputs and the jobs it needs.

    Local files count by size and time, for speed, and a language that the user added by its entry.
    """
    settings = {key: value for key, value in job.settings.items() if key not in _IRRELEVANT}
    inputs = [
        (key, local(path))
        for key in _PATHS & settings.keys()
        for path in places.listed(settings[key])
        if not (key in places.INPUT_SETTINGS and places.is_made(path))
    ]
    files = sorted(
        _stat(path, "*.jsonl" if key == "verdicts" else "*") for key, path in inputs if path and path.exists()
    )
    described: list[Any] = [job.kind, dict(job.labels), settings, files, sorted(job.before)]
    described += [dict(job.given)] if job.given else []
    if (code := job.labels.get("lang")) and is_added(language := find(code)):
        described.append(language.model_dump(mode="json"))
    return fingerprint(described)[:16]


def _stat(path: Path, pattern: str) -> list[Any]:
    files = sorted(path.rglob(pattern)) if path.is_dir() else [path]
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]
