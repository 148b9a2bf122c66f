"""The cost of jobs before they run: estimates by formula, with all assumptions in one place.

According to its data sheet, an H100 computes 989e12 floating-point operations per second in bf16; a fifth of that is
assumed here. The seeds of a task share a step, which is assumed to take as long as the step of a single fit: this has
not been measured. Downloads, cleaning and tokenizing are not counted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lrldata.language import find
from lrltrain.config import FitConfig, load_fit_config
from lrltrain.costs import ALONE, BYTES_PER_TRAINED, GROUPED, LOGITS, Shape, fit_seconds, shape_of, step_memory
from lrltrain.evaluation.tasks import DEFAULTS
from lrltrain.grid.job import Job, task_of

if TYPE_CHECKING:
    from lrltrain.grid.config import TaskName

H100 = 0.2 * 989e12  # floating-point operations per second
TOKENS_PER_LINE = {"conceptnet": 12, "glotcc": 40, "web": 40}
TOKENS_PER_DOCUMENT = 400  # of web text that is not split into lines; many are truncated at 512
ITEMS = {"topic": 701, "sentiment": 3_000, "ner": 5_000}  # training items of the datasets that the paper uses
TOKENS_PER_ITEM = {"topic": 40, "sentiment": 40, "ner": 15}
FLORES, FLORES_TOKENS = 1_012, 40  # sentences, and tokens per sentence
MEASURED_TOKENS = 131_072  # in a batch when perplexity is measured on a GPU
BYTES_PER_ROW = {"conceptnet": 60}  # in Parquet, with the columns of a fact
DATASET_SHARE = 0.5  # the size of a dataset in Parquet, relative to its corpus
LOADED = 5  # bytes per weight while a model is loaded
LIBRARIES = 1 << 30  # bytes of memory that a process uses before it loads a model


@dataclass(frozen=True)
class Cost:
    """The cost of jobs: `gpu_seconds` on one H100, bytes on `disk` when they are done, and bytes that they read."""

    jobs: int = 0
    gpu_seconds: float = 0.0
    disk: int = 0
    reads: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.jobs + other.jobs,
            self.gpu_seconds + other.gpu_seconds,
            self.disk + other.disk,
            self.reads + other.reads,
        )


def cost_of(jobs: Iterable[Job], study: Iterable[Job] = ()) -> Cost:
    """Return the total cost of jobs; the seeds of a task share its steps.

    `study` contains the builds that they need: an adapter trained on whole documents sees ten times the tokens per
    step.
    """
    counted = list(jobs)
    seeds = Counter(map(task_of, counted))
    document_builds = {job.id for job in study if job.kind == "build" and job.settings.get("unit") == "documents"}
    return sum(
        (_cost(job, seeds[task_of(job)], documents=not document_builds.isdisjoint(job.needs)) for job in counted),
        Cost(),
    )


def memory_of(job: Job) -> int:
    """Return roughly how many bytes of memory a job needs."""
    if job.kind not in ("fit", "eval"):
        return LIBRARIES
    trains_all = job.kind == "fit" and job.labels["method"] == "full"
    return LIBRARIES + (BYTES_PER_TRAINED if trains_all else LOADED) * shape_of(job.labels["model"]).weights


def gpu_memory_of(job: Job) -> int:
    """Return roughly how many bytes of GPU memory a job needs: libraries, weights, and the activations of a step.

    A perplexity job keeps nothing for a backward pass, only the tokens of one layer and the logits of some positions. A
    task job holds the output of the frozen layers for all items.
    """
    shape = shape_of(job.labels["model"])
    if job.kind == "fit":
        config = load_fit_config(None, dict(job.settings))
        bytes_per_value = 4 if config.precision == "fp32" else 2
        return int(memory_of(job) + step_memory(config, shape, config.batch_size * config.max_length, bytes_per_value))
    if job.kind == "eval":
        task = job.labels["task"]
        if task == "pppl":
            return int(memory_of(job) + MEASURED_TOKENS * 40 * shape.hidden + 10 * LOGITS * shape.words)
        return int(memory_of(job) + 8 * shape.hidden * ITEMS[task] * TOKENS_PER_ITEM[task])
    return memory_of(job)


def _cost(job: Job, seeds: int, *, documents: bool) -> Cost:
    if job.kind == "build":
        return _build_cost(job)
    if job.kind == "fit":
        return _fit_cost(job, TOKENS_PER_DOCUMENT if documents else TOKENS_PER_LINE[job.labels["source"]])
    return _eval_cost(job, seeds) if job.kind == "eval" else Cost(1)


def _build_cost(job: Job) -> Cost:
    paper = find(job.labels["lang"]).paper
    if paper is None or job.labels["source"] == "web" or job.settings.get("sample"):
        return Cost(1)
    if job.labels["source"] == "conceptnet":
        return Cost(1, 0.0, paper.conceptnet_sentences * 10 // 8 * BYTES_PER_ROW["conceptnet"])
    read = min(paper.glotcc_mb * 1e6, float(job.settings.get("max_bytes", 1e9)))
    return Cost(1, 0.0, int(read * DATASET_SHARE), int(paper.glotcc_mb * 1e6))


def _fit_cost(job: Job, tokens_per_row: int) -> Cost:
    shape = shape_of(job.labels["model"])
    config = load_fit_config(None, dict(job.settings))
    block_tokens = tokens_per_row if config.batching == "line" else config.max_length
    tokens = config.batch_size * config.accumulate * min(block_tokens, config.max_length)
    seconds_per_layer = ALONE if config.group_key() is None or config.group == 1 else GROUPED
    seconds = fit_seconds(
        config, shape, tokens, speed=H100, seconds_per_layer=seconds_per_layer, eval_blocks=config.eval_blocks
    )
    return Cost(1, seconds, 2 * 4 * _adapter_weights(config, shape) if config.method != "full" else 4 * shape.weights)


def _eval_cost(job: Job, seeds: int) -> Cost:
    shape, task = shape_of(job.labels["model"]), cast("TaskName", job.labels["task"])
    if task == "pppl":
        copies = 1 if shape.decoder else FLORES_TOKENS
        operations = 2 * FLORES * copies * (FLORES_TOKENS * shape.inner + shape.weights - shape.inner)
        return Cost(1, operations / H100, 100_000)
    usual_epochs, usual_batch = DEFAULTS[task]
    epochs = int(job.settings.get("epochs", usual_epochs))
    batch = int(job.settings.get("batch_size", usual_batch))
    items = min(ITEMS[task], int(job.settings.get("limit", ITEMS[task])))
    operations = 4 * items * TOKENS_PER_ITEM[task] * shape.inner * epochs
    return Cost(1, max(operations / H100, ALONE * shape.layers * items / batch * epochs / seeds), 30_000)


def _adapter_weights(config: FitConfig, shape: Shape) -> int:
    """Return the number of weights of an adapter."""
    if config.method == "lora":
        return shape.layers * 2 * 2 * shape.hidden * config.lora_r
    bottleneck = shape.layers * 2 * shape.hidden * int(shape.hidden / config.reduction_factor)
    if config.method == "seq_bn_inv":
        return bottleneck + 4 * (shape.hidden // 2) ** 2 // 2
    return bottleneck + (3 * shape.layers * shape.hidden**2 if config.method == "fusion" else 0)


def tree(jobs: Iterable[Job]) -> Mapping[str, Mapping[str, list[Job]]]:
    """Return jobs by kind, and within a kind by the labels that name a group: source, model and method, or task."""
    groups: dict[str, dict[str, list[Job]]] = {}
    for job in jobs:
        name = ", ".join(job.labels[label] for label in _GROUP_LABELS.get(job.kind, ("source",)) if label in job.labels)
        groups.setdefault(job.kind, {}).setdefault(name, []).append(job)
    return groups


_GROUP_LABELS = {"fit": ("source", "model", "method"), "eval": ("task", "model")}
