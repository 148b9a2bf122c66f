"""Export test sets with their prompts as tasks for lm-evaluation-harness (0.4), which then uses the same prompts.

    lm_eval --model hf --model_args pretrained=MODEL --include_path DIR --tasks lrl_topic_sib200_ug

A task is a YAML file and a JSON Lines file with one item per line: the full prompt with its shots as `query`, the
answers for all labels as `choices`, and the index of the right one as `gold`. Both programs then predict the label with
the highest summed log-probability.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lrldata.errors import UsageError
from lrldata.manifest import fingerprint, write_text
from lrltrain.prompting.config import PromptConfig
from lrltrain.prompting.prompt import PromptJob, open_jobs
from lrltrain.reporting.formatting import unused_name


@dataclass(frozen=True)
class ExportedTask:
    """An exported task: its name, its file, and its number of items."""

    name: str
    file: Path
    items: int


def export(config: PromptConfig, folder: Path) -> list[ExportedTask]:
    """Write a task for each test set of `config` into a folder. Raises LrlError."""
    if config.wanted_form != "completion" or config.normalise != "sum":
        raise UsageError(
            "--export-lm-eval: the harness continues prompts, and sums the log-probabilities of a label's tokens.",
            "Leave out --form chat and --normalise mean.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    tasks: list[ExportedTask] = []
    for job in open_jobs(config):
        name = re.sub(r"\W+", "_", f"lrl_{config.task}_{job.test.name}_{job.test.language.code}")
        tasks.append(_write(unused_name(name, [task.name for task in tasks]), job, folder))
    return tasks


def _write(name: str, job: PromptJob, folder: Path) -> ExportedTask:
    items = folder / f"{name}.jsonl"
    write_text(items, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows_of(job)))
    file = folder / f"{name}.yaml"
    write_text(file, yaml.safe_dump(_task(name, items, job), sort_keys=False, allow_unicode=True))
    return ExportedTask(name, file, len(job.texts))


def rows_of(job: PromptJob) -> Sequence[dict[str, Any]]:
    """Return the items of a test set in the harness's format."""
    labels = list(job.prompts.template.words)
    choices = [job.prompts.answer(label) for label in labels]
    return [
        {"query": job.prompts.completion(text), "choices": choices, "gold": labels.index(label)}
        for text, label in zip(job.texts, job.gold, strict=True)
    ]


def _task(name: str, items: Path, job: PromptJob) -> dict[str, Any]:
    """Return the settings of a task. The delimiter is empty because each answer starts with its own space."""
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(items.resolve())}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{query}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {
            "version": 1.0,
            "language": job.test.language.code,
            "data": job.test.provenance,
            "template": fingerprint(job.prompts.template.as_json())[:16],
        },
    }
