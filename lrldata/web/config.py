"""Settings of a build from documents: frozen, checked, with unknown keys an error."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lrldata.engine import cores
from lrldata.errors import UsageError
from lrldata.settings import Listed, LocalPath, PathOrId, check, read_toml

GIGABYTE = 1_000_000_000
SOURCES = ("conceptnet", "glotcc", "web")
REPOSITORY = "cis-lmu/GlotCC-V1"  # Kargaran et al. (2024), arXiv 2410.23825


class WebConfig(BaseModel):
    """What `lrldata build --source glotcc` (or `web`) is asked to do. The names are those of its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lang: Listed
    source: Literal["glotcc", "web"]
    input: LocalPath | None = None
    revision: str = "main"
    sample: bool = False
    text_column: str | None = None
    url_column: str | None = None
    lid: PathOrId = "compact"
    protect: list[LocalPath] = []
    benchmarks: bool = True
    max_bytes: int = Field(default=GIGABYTE, ge=1)
    unit: Literal["sentences", "lines", "documents"] = "lines"
    documents: Literal["paragraphs", "lines"] = "paragraphs"
    scripts: Listed | None = None
    handles: bool = False
    verdicts: LocalPath | None = None
    skip_bad: bool = False
    workers: int = Field(default_factory=cores, ge=1)
    memory: int = Field(default=500_000_000, ge=1_000_000)
    scratch: LocalPath | None = None
    out: LocalPath = Path("lrl-workspace")
    cache: LocalPath = Field(default_factory=lambda: user_cache_path("lrl"))
    dry_run: bool = False
    force: bool = False

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if self.source == "web" and self.input is None:
            raise UsageError("--input is missing.", "Use --source web --input FOLDER.")
        if self.verdicts and self.unit == "documents":
            raise UsageError("--verdicts: not with --unit documents.", "Speakers judge lines or sentences.")
        if self.sample and (self.input is not None or self.source == "web"):
            raise UsageError("--sample and --input: two inputs.", "Give one of them.")
        return self

    def recipe(self) -> dict[str, Any]:
        """Return the settings that shape the rows, as JSON-like values; model and benchmarks are told apart."""
        given = {"documents"} if self.documents != "paragraphs" else set()
        given |= {"handles"} if self.handles else set()
        return self.model_dump(include={"text_column", "url_column", "max_bytes", "unit", "skip_bad"} | given)


def is_web(file: Path | None, flags: Mapping[str, Any]) -> bool:
    """Return whether a build from documents is meant: by the flag, else by the settings file."""
    source = flags.get("source") or (read_toml(file).get("source") if file else None)
    if source not in (None, *SOURCES):
        near = difflib.get_close_matches(str(source), SOURCES, n=1)
        told = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(SOURCES)}."
        raise UsageError(f"--source: {str(source)!r:.60} is not known.", told)
    return source in ("glotcc", "web")


def load_web_config(file: Path | None, flags: dict[str, Any]) -> WebConfig:
    """Read settings from a TOML file and put the given flags above them. Raises UsageError."""
    if foreign := sorted(flags.keys() - WebConfig.model_fields.keys()):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in foreign)
        raise UsageError(
            f"{named}: not for --source {flags.get('source', 'web')}.", "`lrldata build --help` says what is."
        )
    return check(WebConfig, read_toml(file) if file else {}, flags, file, "Use --lang mt --source glotcc.")
