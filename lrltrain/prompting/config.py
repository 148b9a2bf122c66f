"""Settings of `lrltrain prompt`: frozen and validated; unknown keys are an error."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lrldata.settings import LocalPath, OutputFolder, PathOrId, check, read_toml, refuse_recipient
from lrltrain.config import PublicId, Seed

Task = Literal["topic", "sentiment"]
Form = Literal["chat", "completion"]
Normalise = Literal["sum", "mean"]
KEY = "OPENAI_API_KEY"
ANSWER = 32  # tokens; a label is shorter, and a model that explains itself names its label early

Price = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class PromptConfig(BaseModel):
    """The settings of `lrltrain prompt`, named like its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lang: str
    task: Task = "topic"
    data: PathOrId | None = None
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
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    concurrency: int = Field(default=8, ge=1, le=1_000)
    timeout: Seconds = 60.0
    patience: float = Field(default=300.0, ge=0.0, allow_inf_nan=False)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    max_tokens: int | None = Field(default=None, ge=1)
    extra: dict[str, Any] = {}
    price_in: Price | None = None
    price_out: Price | None = None
    out: OutputFolder = Path("lrl-workspace")
    cache: OutputFolder = Field(default_factory=lambda: user_cache_path("lrl"))
    dry_run: bool = False
    overwrite: bool = False

    @model_validator(mode="before")
    @classmethod
    def _default_model(cls, values: Any) -> Any:
        """Fill in a missing `model`: with --model-id for recorded answers, with a placeholder for an export."""
        if not isinstance(values, dict) or "model" in values:
            return values
        if values.get("answers") is not None:
            if not values.get("model_id"):
                raise ValueError("--answers needs --model-id NAME: the model that gave the answers")
            return values | {"model": values["model_id"]}
        return values | ({"model": "any"} if values.get("export_lm_eval") is not None else {})

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        local_only = ("adapter", "model_revision", "model_id", "normalise", "batch_tokens", "max_length", "precision")
        endpoint_only = (
            "key_env",
            "allow_http",
            "concurrency",
            "timeout",
            "patience",
            "temperature",
            "max_tokens",
            "extra",
        )
        endpoint_or_price = (*endpoint_only, "price_in", "price_out")
        others = ("endpoint", "form", "shots", "dry_run", "export_lm_eval")
        query_only = [name for name in (*local_only, *endpoint_or_price, *others) if name != "model_id"]
        for name in query_only if self.answers else local_only if self.endpoint else endpoint_or_price:
            if name in self.model_fields_set:
                owner = "a local model, not to an endpoint" if self.endpoint else "an --endpoint"
                owner = "a model that is queried, not to recorded --answers" if self.answers else owner
                raise ValueError(f"--{name.replace('_', '-')} applies only to {owner}")
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("--price-in and --price-out must be set together: prices per million tokens")
        return self

    @property
    def wanted_form(self) -> Form:
        """Return the form of the prompt; by default, `chat` for an endpoint and `completion` for a local model."""
        return self.form or ("chat" if self.endpoint else "completion")

    @property
    def prices(self) -> list[float] | None:
        """Return the prices of a million tokens read and written; None if unknown."""
        if self.price_in is None or self.price_out is None:
            return None
        return [self.price_in, self.price_out]

    def shaping(self) -> dict[str, Any]:
        """Return the settings that affect the predictions, except for the template, as JSON-like values."""
        names = {"shots", "limit", "seed"}
        if self.answers is not None:
            return self.model_dump(mode="json", include=names)
        if self.endpoint is None:
            names |= {"normalise", "max_length", "precision"}
        return self.model_dump(mode="json", include=names) | {"form": self.wanted_form}

    @property
    def draw(self) -> int | None:
        """Return the part of the cache key for this seed: None for the default seed, or without a temperature."""
        default = type(self).model_fields["seed"].default
        return self.seed if self.temperature and self.seed != default else None

    def request(self) -> dict[str, Any]:
        """Return the fields of each request apart from the prompt. --extra overrides them; its nulls remove fields."""
        body: dict[str, Any] = {
            "model": self.model,
            "temperature": self.temperature or 0.0,
            "max_tokens": self.max_tokens or ANSWER,
        }
        if self.wanted_form == "completion":
            body["stop"] = ["\n\n"]  # from there on, the model would invent the next example
        return {key: value for key, value in (body | self.extra).items() if value is not None}


def load_prompt_config(file: Path | None, flags: dict[str, Any]) -> PromptConfig:
    """Read a settings file and flags; flags take precedence. Raises UsageError."""
    values = read_toml(file) if file else {}
    if os.environ.get(KEY) and not flags.keys() & {"endpoint", "key_env"}:
        hint = f"To send that key, give --endpoint or --key-env {KEY}. Otherwise, unset {KEY}."
        refuse_recipient(file, values.get("endpoint"), f"the key in {KEY}", hint)
    return check(PromptConfig, values, flags, file)
