"""Settings of `lrltrain prompt`: frozen, checked, with unknown keys an error."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lrldata.settings import LocalPath, PathOrId, check, read_toml, refuse_recipient
from lrltrain.config import PublicId, Seed

Task = Literal["topic", "sentiment"]
Form = Literal["chat", "completion"]
Normalise = Literal["sum", "mean"]
KEY = "OPENAI_API_KEY"
ANSWER = 32  # tokens; a label has fewer, and a model that explains itself names its label early

Price = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class PromptConfig(BaseModel):
    """What `lrltrain prompt` is asked to do. The names are those of its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lang: str
    task: Task = "topic"
    data: LocalPath
    labels: Literal["task", "data"] = "task"
    answers: LocalPath | None = None
    export_lm_eval: LocalPath | None = None
    model: PathOrId = Field(min_length=1)
    adapter: LocalPath | None = None
    model_revision: str | None = None
    model_id: PublicId | None = None
    endpoint: str | None = None
    key_env: str | None = Field(default=None, min_length=1)
    allow_http: bool = False
    form: Form | None = None
    shots: int = Field(default=0, ge=0, le=1_000)
    template: LocalPath | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: Seed = 42
    normalise: Normalise = "sum"
    batch_tokens: int | None = Field(default=None, ge=1)
    max_length: int | None = Field(default=None, ge=32)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    concurrency: int = Field(default=8, ge=1, le=1_000)
    timeout: Seconds = 60.0
    patience: float = Field(default=300.0, ge=0.0, allow_inf_nan=False)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    max_tokens: int | None = Field(default=None, ge=1)
    extra: dict[str, Any] = {}
    price_in: Price | None = None
    price_out: Price | None = None
    out: LocalPath = Path("lrl-workspace")
    cache: LocalPath = Field(default_factory=lambda: user_cache_path("lrl"))
    dry_run: bool = False
    overwrite: bool = False

    @model_validator(mode="before")
    @classmethod
    def _model_elsewhere(cls, values: Any) -> Any:
        """Name a model that need not be here: of recorded answers the one that gave them, of an export any."""
        if not isinstance(values, dict) or "model" in values:
            return values
        if values.get("answers") is not None:
            if not values.get("model_id"):
                raise ValueError("--answers wants --model-id NAME: the model that gave them")
            return values | {"model": values["model_id"]}
        return values | ({"model": "any"} if values.get("export_lm_eval") is not None else {})

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        here = ("adapter", "model_revision", "model_id", "normalise", "batch_tokens", "max_length", "precision")
        there = ("key_env", "allow_http", "concurrency", "timeout", "patience", "temperature", "max_tokens", "extra")
        priced = (*there, "price_in", "price_out")
        asked = {*here, *priced, "endpoint", "form", "shots", "dry_run", "export_lm_eval"} - {"model_id"}
        for name in asked if self.answers else here if self.endpoint else priced:
            if name in self.model_fields_set:
                whose = "a model on this machine, not of an endpoint" if self.endpoint else "an --endpoint"
                whose = "a model that is asked, not of recorded --answers" if self.answers else whose
                raise ValueError(f"--{name.replace('_', '-')} is an option of {whose}")
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("--price-in and --price-out belong together: a price for each million tokens")
        return self

    @property
    def wanted_form(self) -> Form:
        """Return how to ask: an endpoint in a chat, a model on this machine by a text to be continued."""
        return self.form or ("chat" if self.endpoint else "completion")

    @property
    def prices(self) -> list[float] | None:
        """Return what a million tokens cost, read and written; None where it is not known."""
        if self.price_in is None or self.price_out is None:
            return None
        return [self.price_in, self.price_out]

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape the predictions, without the template, as JSON-like values."""
        names = {"shots", "limit", "seed"}
        if self.answers is not None:
            return self.model_dump(mode="json", include=names)
        if self.endpoint is None:
            names |= {"normalise", "max_length", "precision"}
        return self.model_dump(mode="json", include=names) | {"form": self.wanted_form}

    @property
    def draw(self) -> int | None:
        """Return what tells the answers of this seed from those of others: None where they would be the same."""
        usual = type(self).model_fields["seed"].default
        return self.seed if self.temperature and self.seed != usual else None

    def request(self) -> dict[str, Any]:
        """Return what each request says beside the prompt; --extra stands above it, and its null takes away."""
        said: dict[str, Any] = {
            "model": self.model,
            "temperature": self.temperature or 0.0,
            "max_tokens": self.max_tokens or ANSWER,
        }
        if self.wanted_form == "completion":
            said["stop"] = ["\n\n"]  # after which a model that continues a text makes up the next example
        return {key: value for key, value in (said | self.extra).items() if value is not None}


def load_prompt_config(file: Path | None, flags: dict[str, Any]) -> PromptConfig:
    """Read settings file and flags, the flags above. Raises UsageError."""
    values = read_toml(file) if file else {}
    if os.environ.get(KEY) and not flags.keys() & {"endpoint", "key_env"}:
        hint = f"Give --endpoint, or --key-env {KEY}, if it is to have that key; else unset {KEY}."
        refuse_recipient(file, values.get("endpoint"), f"the key in {KEY}", hint)
    return check(PromptConfig, values, flags, file)
