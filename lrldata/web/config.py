"""Settings of a build from documents: frozen and validated; unknown keys are errors."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lrldata.errors import UsageError
from lrldata.settings import Listed, LocalPath, OutputFolder, PathOrId, check, read_toml, several
from lrldata.threads import cores

GIGABYTE = 1_000_000_000
INPUTS = {"input", "sample"}
SOURCES = ("conceptnet", "glotcc", "web")
REPOSITORY = "cis-lmu/GlotCC-V1"  # Kargaran et al. (2024), arXiv 2410.23825


class WebConfig(BaseModel):
    """The settings of `lrldata build --source glotcc` (or `web`), named after its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lang: Listed
    source: Literal["glotcc", "web"]
    input: LocalPath | None = None
    revision: str = "main"
    sample: bool = False
    text_column: str | None = None
    url_column: str | None = None
    lid: PathOrId = "compact"
    protect: Annotated[list[LocalPath], BeforeValidator(several)] = []
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
    out: OutputFolder = Path("lrl-workspace")
    cache: OutputFolder = Field(default_factory=lambda: user_cache_path("lrl"))
    dry_run: bool = False
    force: bool = False

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if self.source == "web" and self.input is None:
            raise UsageError("--input is missing.", "Use --source web --input FOLDER.")
        if self.verdicts and self.unit == "documents":
            raise UsageError(
                "--verdicts cannot be combined with --unit documents.", "Speakers judge lines or sentences."
            )
        if self.sample and (self.input is not None or self.source == "web"):
            raise UsageError("--sample cannot be combined with --input.", "Use one of them.")
        return self

    def recipe(self) -> dict[str, Any]:
        """Return the settings that shape the rows, as JSON-like values; model and benchmarks are recorded elsewhere."""
        optional = {"documents"} if self.documents != "paragraphs" else set()
        optional |= {"handles"} if self.handles else set()
        return self.model_dump(include={"text_column", "url_column", "max_bytes", "unit", "skip_bad"} | optional)


def is_web(file: Path | None, flags: Mapping[str, Any]) -> bool:
    """Return whether to build from documents, by the flag or else the settings file. Raises UsageError."""
    source = flags.get("source") or (read_toml(file).get("source") if file else None)
    if source not in (None, *SOURCES):
        matches = difflib.get_close_matches(str(source), SOURCES, n=1)
        hint = f"Did you mean {matches[0]!r}?" if matches else f"Known: {', '.join(SOURCES)}."
        raise UsageError(f"--source: {str(source)!r:.60} is not known.", hint)
    return source in ("glotcc", "web")


def load_web_config(file: Path | None, flags: dict[str, Any]) -> WebConfig:
    """Read settings from a TOML file; `flags` take precedence. Raises UsageError."""
    if unsupported := sorted(flags.keys() - WebConfig.model_fields.keys()):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unsupported)
        raise UsageError(f"{options}: not for --source {flags.get('source', 'web')}.", "See `lrldata build --help`.")
    values = read_toml(file) if file else {}
    if INPUTS & flags.keys():  # an input on the command line replaces the one in the file
        values = {key: value for key, value in values.items() if key not in INPUTS}
    return check(WebConfig, values, flags, file, "Use --lang mt --source glotcc.")
