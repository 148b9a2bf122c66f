"""The settings of `lrltrain`: frozen and validated; unknown keys are errors.

Flags override the settings file, and the file overrides the preset.
"""

import re
from collections.abc import Collection, Iterable
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_cache_path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from lrldata.errors import UsageError
from lrldata.manifest import DATASET, read_manifest
from lrldata.settings import LocalPath, OutputFolder, PathOrId, check, read_toml, several
from lrltrain.names import LONGEST_NAME, NAME

Method = Literal["seq_bn", "seq_bn_inv", "lora", "full", "fusion"]
Objective = Literal["mlm", "clm"]
Batching = Literal["packed", "joined", "line"]
Formula = Literal["corrected", "paper", "within_word_l2r"]
PublicId = Annotated[str, StringConstraints(pattern=rf"^{NAME}(/{NAME})?$")]
FolderName = Annotated[str, StringConstraints(pattern=rf"^{NAME}$", max_length=LONGEST_NAME)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=1 << 32)]

ADAPTER_RATE, FULL_RATE = 5e-4, 5e-5
EVAL_BLOCKS = 1_000  # a limit: validating 100 MB of text would take far longer than the training in between
NOT_WEIGHT_SETTINGS = {"out", "cache", "dry_run", "overwrite", "resume", "tracker", "preset", "base", "base_id", "text"}
NOT_WEIGHT_SETTINGS |= {"dataset", "adapters", "lang", "eval_batch_size"}  # the recipe records what these refer to
NOT_WEIGHT_SETTINGS |= {"base_folder", "group", "variant"}
PER_ADAPTER_SETTINGS = {
    "lang",
    "source",
    "dataset",
    "dataset_revision",
    "text",
    "seed",
    "variant",
    "out",
    "overwrite",
    "resume",
}
UNGROUPED_METHODS = {"full", "fusion"}
TASK_OPTIONS = {"labels", "baselines", "corpus", "transfer_from", "transfer_adapter", "learn_fusion", "seeds", "epochs"}
TASK_OPTIONS |= {"batch_size", "learning_rate", "weight_decay", "warmup", "reduction_factor"}
TEXT_OPTIONS = {"formula", "batch_tokens", "resamples", "seed"}
MULTI_VALUED = ("lang", "source", "method", "seed")  # may have several values; each combination trains one adapter


class FitConfig(BaseModel):
    """The settings of `lrltrain fit`, named like its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lang: str
    source: str = Field(default="conceptnet", pattern=r"^[^<>:/\\|?*\x00-\x1f\x7f]+$", max_length=200)
    dataset: PathOrId | None = None
    dataset_revision: str | None = None
    text: Annotated[list[LocalPath], BeforeValidator(several)] = []
    base: PathOrId = "FacebookAI/xlm-roberta-base"
    base_revision: str | None = None
    base_id: PublicId | None = None
    base_folder: FolderName | None = None
    variant: Annotated[FolderName, Field(max_length=40)] | None = None
    method: Method = "seq_bn_inv"
    adapters: Annotated[list[LocalPath], BeforeValidator(several)] = []
    fuse_invertible: Literal["first", "none"] = "first"
    preset: str | None = None
    objective: Objective | None = None
    batching: Batching = "packed"
    max_length: int = Field(default=256, ge=8, le=1_000_000)
    batch_size: Count = 16
    accumulate: Count = 1
    steps: int = Field(default=2_000, ge=1)
    learning_rate: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    warmup: float = Field(default=0.05, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.01, ge=0.0, allow_inf_nan=False)
    reduction_factor: float = Field(default=16.0, ge=1.0, allow_inf_nan=False)
    lora_r: int = Field(default=8, ge=1, le=65_536)
    lora_alpha: int = Field(default=8, ge=1)
    mask_probability: float = Field(default=0.15, gt=0.0, lt=1.0)
    whole_word: bool = False
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    seed: Seed = 42
    eval_every: int | None = Field(default=None, ge=1)
    eval_blocks: int = Field(default=EVAL_BLOCKS, ge=1)
    eval_batch_size: Count | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    torch_compile: bool = False
    tracker: list[Literal["tensorboard", "trackio", "wandb"]] = []
    group: Literal["auto"] | Annotated[int, Field(ge=1, le=1_024)] = "auto"
    out: OutputFolder = Path("lrl-workspace")
    cache: OutputFolder = Field(default_factory=lambda: user_cache_path("lrl"))
    dry_run: bool = False
    overwrite: bool = False
    resume: bool = False

    @model_validator(mode="after")
    def _check_combination(self) -> "FitConfig":
        if self.text and self.dataset:
            raise ValueError("--text and --dataset are mutually exclusive: give one input")
        if (self.method == "fusion") != bool(self.adapters):
            raise ValueError("--method fusion needs --adapters DIR,DIR (two or more), and no other method accepts them")
        if self.method == "fusion" and len(self.adapters) < 2:
            raise ValueError("--method fusion needs two adapters or more: --adapters DIR,DIR")
        if self.fuse_invertible != "first" and self.method != "fusion":
            raise ValueError("--fuse-invertible works only with --method fusion")
        if len(set(self.adapters)) < len(self.adapters):
            raise ValueError("--adapters contains duplicates")
        if self.dataset_revision and not self.dataset:
            raise ValueError("--dataset-revision needs --dataset ID, a dataset on the Hub")
        if self.overwrite and self.resume:
            raise ValueError("--overwrite and --resume are mutually exclusive")
        return self

    @property
    def rate(self) -> float:
        """Return the peak learning rate: `learning_rate` if set, else the default of the method."""
        return self.learning_rate or (FULL_RATE if self.method == "full" else ADAPTER_RATE)

    @property
    def every(self) -> int:
        """Return the number of steps between evaluations, which save checkpoints; a tenth of all steps by default."""
        return min(self.eval_every or max(1, self.steps // 10), self.steps)

    @property
    def source_name(self) -> str:
        """Return the source's name in paths: `text` for plain text, else the source in letters, digits and _."""
        name = "text" if self.text and self.source == "conceptnet" else self.source
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]*", name):
            return name
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:80]
        return plain or f"source_{sha256(name.encode()).hexdigest()[:6]}"

    def group_key(self) -> str | None:
        """Return a key that is equal for runs that can be trained together; None if the method is trained alone."""
        return None if self.method in UNGROUPED_METHODS else self.model_dump_json(exclude=PER_ADAPTER_SETTINGS)

    def shaping(self) -> dict[str, Any]:
        """Return the settings that affect the weights, as JSON-like values; newer settings only if not the default."""
        defaults = {"fuse_invertible": "first", "eval_blocks": EVAL_BLOCKS}
        excluded = NOT_WEIGHT_SETTINGS | {name for name, value in defaults.items() if getattr(self, name) == value}
        return self.model_dump(mode="json", exclude=excluded) | {
            "learning_rate": self.rate,
            "eval_every": self.every,
        }


class EvalConfig(BaseModel):
    """The settings of `lrltrain eval`, named like its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Literal["pppl", "topic", "sentiment", "ner", "all"] = "pppl"
    adapter: list[LocalPath] = []
    baselines: list[str] = []
    base: PathOrId | None = None
    base_revision: str | None = None
    base_id: PublicId | None = None
    lang: str | None = None
    data: PathOrId | None = None
    labels: Literal["task", "data"] = "task"
    corpus: LocalPath | None = None
    transfer_from: str | None = None
    transfer_adapter: LocalPath | None = None
    seeds: list[Seed] = Field(default=[1, 2, 3], min_length=1)
    epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: float = Field(default=2e-5, gt=0.0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.01, ge=0.0, allow_inf_nan=False)
    warmup: float = Field(default=0.05, ge=0.0, lt=1.0)
    reduction_factor: float = Field(default=16.0, ge=1.0, allow_inf_nan=False)
    learn_fusion: bool = False
    formula: Formula = "corrected"
    limit: int | None = Field(default=None, ge=1)
    batch_tokens: int | None = Field(default=None, ge=1)
    max_length: int | None = Field(default=None, ge=8)
    resamples: int = Field(default=1_000, ge=100)
    seed: Seed = 42
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    out: OutputFolder = Path("lrl-workspace")
    overwrite: bool = False

    @model_validator(mode="after")
    def _check_combination(self) -> "EvalConfig":
        if not self.adapter and self.base is None and (self.task == "pppl" or not self.baselines):
            alone = "--base" if self.task == "pppl" else "--base with --baselines none"
            raise ValueError(f"give --adapter DIR (one or more), or {alone} to measure only a base model")
        if self.transfer_adapter and not self.transfer_from:
            raise ValueError("--transfer-adapter needs --transfer-from LANG, the language to learn the task in")
        if self.transfer_from and self.adapter and not self.transfer_adapter:
            raise ValueError("--transfer-from needs --transfer-adapter DIR, an adapter of that language to train on")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("--seeds contains duplicates")
        return self

    @property
    def text_data(self) -> str:
        """Return the data for perplexity; for a folder that holds all data, the FLORES-200 folder in it."""
        flores = Path(self.data or "", "flores200", "devtest")
        return str(flores) if self.data and flores.is_dir() else self.data or "flores"

    @property
    def task_data(self) -> str | None:
        """Return the location of the task data; None for the paper's data, on the Hub."""
        return None if self.data == "flores" else self.data

    @property
    def measures_text(self) -> bool:
        """Return whether perplexity is to be measured and there is text to measure it on."""
        return self.task == "pppl" or (self.task == "all" and (self.task_data is None or self.text_data != self.data))


def presets() -> list[str]:
    """Return the names of the built-in presets."""
    return sorted(file.name.removesuffix(".toml") for file in files("lrltrain").joinpath("presets").iterdir())


def load_fit_config(file: Path | None, flags: dict[str, Any]) -> FitConfig:
    """Read the preset, settings file and flags, each overriding the one before. Raises UsageError."""
    values = read_toml(file) if file else {}
    name = flags.get("preset", values.get("preset"))
    if name is not None:
        if name not in presets():
            raise UsageError(f"--preset: no preset {name!r}.", f"Available: {', '.join(presets())}.")
        values = read_toml(Path(str(files("lrltrain").joinpath("presets", f"{name}.toml")))) | values
    return _with_source(check(FitConfig, values, flags, file, "Use --lang CODE, as in --lang ug."))


def _with_source(config: FitConfig) -> FitConfig:
    """Return the settings with `source` set to that of the dataset folder, so that the user may omit it."""
    manifest = read_manifest(Path(config.dataset), DATASET) if config.dataset else None
    if manifest is None or manifest["source"] == config.source:
        return config
    if "source" in config.model_fields_set:
        conflict = f"--source {config.source}: {config.dataset} is a dataset of {manifest['source']}"
        raise UsageError(f"{conflict}.", "Omit --source.")
    return config.model_copy(update={"source": manifest["source"]})


def load_fit_configs(file: Path | None, flags: dict[str, Any]) -> list[FitConfig]:
    """Read the settings of every fit: one for each combination of the languages, sources, methods and seeds.

    Several values are a list, or a string separated by commas. With several seeds, each one is a variant. Raises
    UsageError.
    """
    values = (read_toml(file) if file else {}) | flags
    # A dataset's configurations may have commas in their names.
    keys = [key for key in MULTI_VALUED if key in values and not (key == "source" and values.get("dataset"))]
    choices_by_key = {key: _split_values(key, values[key]) for key in keys}
    several = {key: choices for key, choices in choices_by_key.items() if len(choices) > 1}
    fixed = flags | {key: choices[0] for key, choices in choices_by_key.items() if len(choices) == 1}
    combinations = [fixed | dict(zip(several, chosen, strict=True)) for chosen in product(*several.values())]
    if "seed" in several:
        prefix = f"{values['variant']}-seed" if values.get("variant") else "seed"
        combinations = [combination | {"variant": f"{prefix}-{combination['seed']}"} for combination in combinations]
    return [load_fit_config(file, combination) for combination in combinations]


def _split_values(key: str, value: Any) -> list[Any]:
    """Return the values in a setting. Raises UsageError if there are none."""
    if isinstance(value, list) and key == "method":  # an item of the list may contain commas
        value = ",".join(map(str, value))
    parts = [part for part in value.split(",") if part] if isinstance(value, str) else value
    if parts == []:
        raise UsageError(f"--{key}: no value given.")
    return list(parts) if isinstance(parts, list) else [parts]


def load_eval_config(file: Path | None, flags: dict[str, Any], own: Collection[str] | None = None) -> EvalConfig:
    """Read the settings file and the flags, which override it.

    The file may contain options of all tasks. Of the flags, those in `own` (by default all) must be options of the
    task. Raises UsageError.
    """
    config = check(EvalConfig, read_toml(file) if file else {}, flags, file)
    unused = (TASK_OPTIONS if config.task == "pppl" else set()) | (set() if config.measures_text else TEXT_OPTIONS)
    if names := sorted(unused.intersection(flags if own is None else own)):
        scope = "tasks: use it with --task topic, sentiment, ner or all"
        if config.task != "pppl":
            hint = "--seeds for the seeds of tasks" if names[0] == "seed" else "it with --task pppl"
            scope = f"perplexity: use {hint}"
        raise UsageError(f"--{names[0].replace('_', '-')} applies only to {scope}.")
    return config


def check_trackers(names: Iterable[str]) -> None:
    """Raise UsageError if an experiment tracker is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise UsageError(f"--tracker: {name} is not installed.", f"Use `pip install {name}`.")
