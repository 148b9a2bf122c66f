"""The settings of `lrl push-hub`: immutable and validated; unknown keys are errors."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hub_cards.cards.lint import is_repository
from hub_cards.cards.merge import Prefer
from lrldata.settings import Listed, OutputFolder, check, read_toml, refuse_recipient, several
from lrltrain.config import Method

_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")


class PushConfig(BaseModel):
    """The settings of `lrl push-hub`, named after its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lang: Listed | None = None
    all: bool = False
    namespace: str | None = None
    kind: Annotated[list[Literal["dataset", "adapter"]], BeforeValidator(several)] = []
    source: Annotated[list[str], BeforeValidator(several)] = []
    method: Annotated[list[Method], BeforeValidator(several)] = []
    version: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    base_id: str | None = None
    card: Prefer = "ask"
    scores: Literal["all", "here"] = "all"
    replace_data: bool = False
    collection: bool = True
    private: bool = False
    patience: float = Field(default=600.0, ge=0.0)
    endpoint: str | None = None
    allow_http: bool = False
    out: OutputFolder = Path("lrl-workspace")
    dry_run: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> "PushConfig":
        if self.version and not _VERSION.fullmatch(self.version):
            raise ValueError("--version: must be three numbers, such as 2.0.0")
        if self.all == bool(self.lang):
            raise ValueError("give either --lang CODE (or several, with commas) or --all")
        if self.base_id and not ("/" in self.base_id and is_repository(self.base_id)):
            raise ValueError("--base-id: must be an id on the Hub, such as ORG/NAME")
        if self.endpoint and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", self.endpoint):
            raise ValueError("--endpoint or HF_ENDPOINT: must be an address, such as http://127.0.0.1:8000")
        if self.namespace is not None and ("/" in self.namespace or not is_repository(self.namespace)):
            raise ValueError("--namespace: must be the name of a user or an organisation")
        return self


def load_push_config(file: Path | None, flags: dict[str, Any]) -> PushConfig:
    """Read a settings file and override it with the given flags. Raises UsageError."""
    values = read_toml(file) if file else {}
    if "endpoint" not in flags:
        refuse_recipient(file, values.get("endpoint"), "the token", "Give --endpoint, or set HF_ENDPOINT.")
    return check(PushConfig, values, flags, file)
