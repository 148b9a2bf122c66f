"""The options of the commands as keyword arguments of the Python API."""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from lrldata.language import Language
from lrldata.settings import AnyPath
from lrldata.workspace import Dataset
from lrltrain.config import Batching, Formula, Method, Objective

Precision = Literal["auto", "fp32", "bf16"]
Tracker = Literal["tensorboard", "trackio", "wandb"]


class FitOptions(TypedDict, total=False):
    """The options of `lrltrain fit` as keyword arguments; omitted options have their defaults."""

    source: str | Sequence[str] | None
    dataset: AnyPath | None
    dataset_revision: str | None
    text: Sequence[AnyPath] | None
    base: AnyPath | None
    base_revision: str | None
    base_id: str | None
    base_folder: str | None
    variant: str | None
    method: Method | Sequence[Method] | None
    adapters: Sequence[AnyPath] | None
    fuse_invertible: Literal["first", "none"] | None
    preset: str | None
    objective: Objective | None
    batching: Batching | None
    max_length: int | None
    batch_size: int | None
    accumulate: int | None
    steps: int | None
    learning_rate: float | None
    warmup: float | None
    weight_decay: float | None
    reduction_factor: float | None
    lora_r: int | None
    lora_alpha: int | None
    mask_probability: float | None
    whole_word: bool | None
    dropout: float | None
    seed: int | Sequence[int] | None
    eval_every: int | None
    eval_blocks: int | None
    eval_batch_size: int | None
    precision: Precision | Literal["fp16"] | None
    torch_compile: bool | None
    tracker: Tracker | Sequence[Tracker] | None
    group: int | Literal["auto"] | None
    out: AnyPath | None
    cache: AnyPath | None
    overwrite: bool | None
    resume: bool | None
    config: AnyPath | None
    quiet: bool | None


class EvalOptions(TypedDict, total=False):
    """The options of `lrltrain eval` as keyword arguments; omitted options have their defaults."""

    task: Literal["pppl", "topic", "sentiment", "ner", "all"] | None
    baselines: Sequence[str] | None
    base: AnyPath | None
    base_revision: str | None
    base_id: str | None
    lang: str | Language | None
    data: AnyPath | Dataset | None
    labels: Literal["task", "data"] | None
    corpus: AnyPath | None
    transfer_from: str | Language | None
    transfer_adapter: AnyPath | None
    seeds: Sequence[int] | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    warmup: float | None
    reduction_factor: float | None
    learn_fusion: bool | None
    formula: Formula | None
    limit: int | None
    batch_tokens: int | None
    max_length: int | None
    resamples: int | None
    seed: int | None
    precision: Precision | None
    out: AnyPath | None
    overwrite: bool | None
    config: AnyPath | None
    quiet: bool | None


class PromptOptions(TypedDict, total=False):
    """The options of `lrltrain prompt` as keyword arguments; omitted options have their defaults."""

    task: Literal["topic", "sentiment"] | None
    data: AnyPath | None
    labels: Literal["task", "data"] | None
    model: AnyPath | None
    adapter: AnyPath | None
    answers: AnyPath | None
    model_revision: str | None
    model_id: str | None
    endpoint: str | None
    key_env: str | None
    allow_http: bool | None
    form: Literal["chat", "completion"] | None
    shots: int | None
    template: AnyPath | None
    limit: int | None
    seed: int | None
    normalise: Literal["sum", "mean"] | None
    batch_tokens: int | None
    max_length: int | None
    precision: Precision | Literal["fp16"] | None
    concurrency: int | None
    timeout: float | None
    patience: float | None
    temperature: float | None
    max_tokens: int | None
    extra: dict[str, Any] | None
    price_in: float | None
    price_out: float | None
    out: AnyPath | None
    cache: AnyPath | None
    overwrite: bool | None
    config: AnyPath | None
    quiet: bool | None
