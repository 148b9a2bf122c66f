"""Settings of a build: frozen and validated; unknown keys are errors. Flags override the settings file."""

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from lrldata.errors import LanguageError
from lrldata.language import find
from lrldata.settings import Listed, LocalPath, OutputFolder, PathOrId, check, read_toml

INPUTS = {"dump", "dump_sha256", "conceptnet_db", "index", "sample"}
SHA256 = r"^\s*[0-9a-fA-F]{64}\s*$"
Edges = Literal["target", "start", "any"]


class BuildConfig(BaseModel):
    """The settings of `lrldata build`, named after its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lang: Listed
    source: Literal["conceptnet"] = "conceptnet"
    dump: PathOrId | None = None
    dump_sha256: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=SHA256)] | None = None
    conceptnet_db: LocalPath | None = None
    index: LocalPath | None = None
    sample: bool = False
    templates: PathOrId = "english"
    edges: Edges = "any"
    min_weight: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    scripts: Listed | None = None
    split: Literal["pair", "random"] = "pair"
    seed: int = 42
    verdicts: LocalPath | None = None
    max_rejected: float = Field(default=0.001, ge=0.0, le=1.0)
    out: OutputFolder = Path("lrl-workspace")
    cache: OutputFolder = Field(default_factory=lambda: user_cache_path("lrl"))
    dry_run: bool = False
    force: bool = False

    @model_validator(mode="before")
    @classmethod
    def _default_edges_to_the_templates(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        # A native sentence with a foreign term would not be wholly in the language.
        templates = str(values.get("templates", ""))
        edges = {"native": "target", "paper": "start"}.get(templates, "target" if _is_native(templates) else None)
        return {"edges": edges, **values} if edges else values

    @model_validator(mode="after")
    def _allow_one_input(self) -> "BuildConfig":
        inputs = [
            flag
            for flag, value in {
                "--dump": self.dump,
                "--conceptnet-db": self.conceptnet_db,
                "--index": self.index,
                "--sample": self.sample,
            }.items()
            if value
        ]  # fmt: skip
        if len(inputs) > 1:
            raise ValueError(f"{' and '.join(inputs)} are mutually exclusive: give one input")
        if self.dump_sha256 and not self.dump:
            raise ValueError("--dump-sha256 requires --dump")
        return self

    def recipe(self) -> dict[str, Any]:
        """Return the settings that shape the rows as JSON-like values, apart from the scripts and sentences."""
        shaping = {"edges", "min_weight", "split"}
        return self.model_dump(include=shaping | ({"seed"} if self.split == "random" else set()))


def _is_native(templates: str) -> bool:
    """Return whether this is a template file in another language than English. An invalid one is reported later."""
    with suppress(OSError, ValueError, LanguageError):
        if templates.endswith(".toml"):
            table = tomllib.loads(Path(templates).expanduser().read_text("utf-8-sig"))
            return find(str(table.get("language", "en"))).code != "en"
    return False


def load_config(file: Path | None, flags: dict[str, Any]) -> BuildConfig:
    """Read settings from a TOML file and override them with the given flags. Raises UsageError."""
    values = read_toml(file) if file else {}
    if INPUTS & flags.keys():  # an input on the command line replaces the one in the file
        values = {key: value for key, value in values.items() if key not in INPUTS}
    return check(BuildConfig, values, flags, file, "Use --lang ro, --lang ro,mt,ug or --lang paper.")
