"""The options of the commands as keyword arguments of the Python API."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from lrldata.language import Language
from lrldata.workspace import Dataset

PathLike = str | Path
Precision = Literal["auto", "fp32", "bf16"]
Method = Literal["seq_bn", "seq_bn_inv", "lora", "full", "fusion"]


class FitOptions(TypedDict, total=False):
    """The options of `lrltrain fit`, as keyword arguments; what is left out has its default."""

    source: str | Sequence[str]
    dataset: PathLike
    dataset_revision: str
    text: Sequence[PathLike]
    base: PathLike
    base_revision: str
    base_id: str
    base_folder: str
    variant: str
    method: Method | Sequence[Method]
    adapters: Sequence[PathLike]
    fuse_invertible: Literal["first", "none"]
    preset: str
    objective: Literal["mlm", "clm"]
    batching: Literal["packed", "joined", "line"]
    max_length: int
    batch_size: int
    accumulate: int
    steps: int
    learning_rate: float
    warmup: float
    weight_decay: float
    reduction_factor: float
    lora_r: int
    lora_alpha: int
    mask_probability: float
    whole_word: bool
    dropout: float
    seed: int | Sequence[int]
    eval_every: int
    eval_blocks: int
    eval_batch_size: int
    precision: Precision | Literal["fp16"]
    torch_compile: bool
    tracker: Sequence[Literal["tensorboard", "trackio", "wandb"]]
    group: int | Literal["auto"]
    out: PathLike
    cache: PathLike
    overwrite: bool
    resume: bool
    config: PathLike
    quiet: bool


class EvalOptions(TypedDict, total=False):
    """The options of `lrltrain eval`, as keyword arguments; what is left out has its default."""

    task: Literal["pppl", "topic", "sentiment", "ner", "all"]
    baselines: Sequence[str]
    base: PathLike
    base_revision: str
    base_id: str
    lang: str | Language
    data: PathLike | Dataset
    labels: Literal["task", "data"]
    corpus: PathLike
    transfer_from: str | Language
    transfer_adapter: PathLike
    seeds: Sequence[int]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    reduction_factor: float
    learn_fusion: bool
    formula: Literal["corrected", "paper", "within_word_l2r"]
    limit: int
    batch_tokens: int
    max_length: int
    resamples: int
    seed: int
    precision: Precision
    out: PathLike
    overwrite: bool
    config: PathLike
    quiet: bool


class PromptOptions(TypedDict, total=False):
    """The options of `lrltrain prompt`, as keyword arguments; what is left out has its default."""

    task: Literal["topic", "sentiment"]
    data: PathLike
    labels: Literal["task", "data"]
    model: PathLike
    adapter: PathLike
    answers: PathLike
    model_revision: str
    model_id: str
    endpoint: str
    key_env: str
    allow_http: bool
    form: Literal["chat", "completion"]
    shots: int
    template: PathLike
    limit: int
    seed: int
    normalise: Literal["sum", "mean"]
    batch_tokens: int
    max_length: int
    precision: Precision
    concurrency: int
    timeout: float
    patience: float
    temperature: float
    max_tokens: int
    extra: dict[str, Any]
    price_in: float
    price_out: float
    out: PathLike
    cache: PathLike
    overwrite: bool
    config: PathLike
    quiet: bool
