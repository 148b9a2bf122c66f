"""Studies of `lrltrain grid`: frozen and validated; unknown keys are errors.

    languages = "paper"                 # like --lang: ro,mt,ug | paper | all
    out = "lrl-workspace"

    [build.glotcc]                      # one table per source: options of `lrldata build`
    max-bytes = 100_000_000

    [[fit]]                             # each table: a product of sources, models, methods and seeds
    sources = ["glotcc"]
    models = ["FacebookAI/xlm-roberta-base"]
    methods = ["seq_bn_inv", "lora"]
    preset = "paper-glotcc"             # and any other option of `lrltrain fit`

    [eval]                              # options of `lrltrain eval`, for all tasks
    tasks = ["pppl", "topic"]
    [eval.topic]                        # and for one task
    learning-rate = 1e-4

    [push]                              # optional: options of `lrl push-hub`
    namespace = "my-org"

In string values, {lang}, {flores}, {source} and {workspace} are replaced by those of the job.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from platformdirs import user_cache_path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lrldata.remote import DEFAULT, as_folder, is_remote
from lrldata.settings import OutputFolder, check, read_toml, refuse_recipient
from lrltrain.config import Method, Seed

TaskName = Literal["pppl", "topic", "sentiment", "ner"]
Source = Literal["conceptnet", "glotcc", "web"]
Options = dict[str, Any]
OF_THE_STUDY = {"lang": "languages", "source": "sources", "base": "models", "method": "methods", "out": "out"}
OF_ALL_TASKS = {"seeds", "tasks", "baselines", "lang", "adapter", "base", "out"}
PUSHED = {  # options of `lrl push-hub` that a study may set
    *("namespace", "kind", "source", "method", "version", "license", "license_name", "license_link", "base_id"),
    *("card", "scores", "replace_data", "collection", "private", "patience", "endpoint"),
}


def _without_scheme(workspace: str) -> str:
    return workspace if is_remote(workspace) else str(as_folder(workspace))


def _known_to_push(options: Options) -> Options:
    for name in sorted(options.keys() - PUSHED):
        near = difflib.get_close_matches(name, PUSHED, n=1)
        raise ValueError(f"unknown key {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return options


class Fits(BaseModel):
    """Adapters to train: the product of sources, models, methods and seeds, for `languages` or all of the study's.

    `tasks` are the tasks that measure them, by default all. `fuse` is the method of the adapters that a fusion fuses.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    languages: str | list[str] | None = None
    sources: list[Source] = Field(min_length=1)
    models: list[str] = Field(min_length=1)
    methods: list[Method] = Field(min_length=1)
    fuse: Literal["seq_bn", "seq_bn_inv"] = "seq_bn_inv"
    tasks: list[TaskName] | None = None
    seeds: list[Seed] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check_seeds_and_options(self) -> Self:
        for name in sorted(OF_THE_STUDY.keys() & self.options.keys()):
            raise ValueError(f"{name}: is set by the study; did you mean {OF_THE_STUDY[name]!r}?")
        seed = self.options.get("seed")
        if isinstance(seed, list) or (self.seeds and seed is not None):
            raise ValueError("seed: must be one number; use seeds = [1, 2, 3] to train several")
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: contains a seed twice")
        return self

    @property
    def variants(self) -> dict[str, Options]:
        """Return the options of each training seed by the name of its variant, which is empty for a single seed."""
        if not self.seeds:
            return {"": {}}
        if len(self.seeds) == 1:
            return {"": {"seed": self.seeds[0]}}
        return {f"seed-{seed}": {"seed": seed, "variant": f"seed-{seed}"} for seed in self.seeds}

    @property
    def options(self) -> Options:
        """Return the other keys of the table: options of `lrltrain fit`."""
        return dict(self.model_extra or {})


class Evals(BaseModel):
    """The tasks that measure each adapter, and each base model without one."""

    model_config = ConfigDict(extra="allow", frozen=True)

    tasks: list[TaskName] = ["pppl"]
    seeds: list[Seed] = Field(default=[1, 2, 3], min_length=1)
    baselines: list[Literal["none"]] = ["none"]

    @model_validator(mode="after")
    def _check_tables(self) -> Self:
        if "seed" in (self.model_extra or {}):
            raise ValueError("seed: unknown key; did you mean 'seeds'?")
        for name, table in (self.model_extra or {}).items():
            if not isinstance(table, dict):
                continue
            if name not in get_args(TaskName):
                near = difflib.get_close_matches(name, get_args(TaskName), n=1)
                raise ValueError(f"{name}: no such task" + (f"; did you mean {near[0]}?" if near else ""))
            if fixed := sorted(OF_ALL_TASKS & table.keys()):
                raise ValueError(f"{name}.{fixed[0]}: applies to all tasks; set it in [eval], unless the study sets it")
        return self

    def options(self, task: str) -> Options:
        """Return the options of `lrltrain eval` for a task: its own options override those of all tasks."""
        extra = self.model_extra or {}
        return {key: value for key, value in extra.items() if not isinstance(value, dict)} | self.own(task)

    def own(self, task: str) -> Options:
        """Return the options in the table of a task."""
        return dict((self.model_extra or {}).get(task, {}))


class GridConfig(BaseModel):
    """A whole study.

    `threads` is the number of threads of each job. It is fixed, whatever the machine has, because the order of a sum
    changes its last bits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    languages: str | list[str]
    build: dict[Source, Options] = {}
    fit: list[Fits] = []
    eval: Evals | None = None
    report: bool = True
    threads: int = Field(default=1, ge=1)
    push: Annotated[Options, AfterValidator(_known_to_push)] | None = None
    out: Annotated[str, AfterValidator(_without_scheme)] = DEFAULT
    cache: OutputFolder = Field(default_factory=lambda: user_cache_path("lrl"))

    @property
    def lang(self) -> str:
        """Return the languages in the form that `--lang` takes."""
        return as_lang(self.languages)


def as_lang(languages: str | list[str]) -> str:
    """Return languages in the form that `--lang` takes: separated by commas."""
    return languages if isinstance(languages, str) else ",".join(languages)


def load_grid_config(study: Path | Mapping[str, Any], flags: Mapping[str, Any]) -> GridConfig:
    """Read a study from a file or a mapping; `flags` override it. Raises UsageError."""
    file = study if isinstance(study, Path) else Path("study")  # the name in error messages
    values = _underscored(read_toml(study) if isinstance(study, Path) else dict(study))
    push = values.get("push")
    if isinstance(push, dict):
        refuse_recipient(file, push.get("endpoint"), "the token", "Set HF_ENDPOINT instead.")
    return check(GridConfig, values, flags, file)


def _underscored(value: Any) -> Any:
    """Replace hyphens by underscores in the keys of a table and of the tables within it."""
    if isinstance(value, dict):
        return {key.replace("-", "_"): _underscored(item) for key, item in value.items()}
    return [_underscored(item) for item in value] if isinstance(value, list) else value
