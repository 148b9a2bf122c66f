"""Speed of learning a task against a plain statement of the paper's scripts, on the same data, in one process.

    python tools/benchmarks/bench_tasks.py SIB200/LANG_Script [--base lrl-mini] [--plain-epochs 4]

plain   AutoAdapterModel with a classification head, Stack(language, task), AdapterTrainer, all padded to 256 tokens
lrl     `lrltrain.evaluation`: batches of similar length, the frozen part computed once, of the last layer what is read

Both train the same kind of adapter with the same settings, and keep the epoch that is best on dev. Examples a second
are of whole epochs, with the evaluation on dev. `--plain-epochs` lets plain run fewer, with the schedule of all of
them, to save time; then its score is not comparable, and is left out. It needs the library `adapters`: run it in the
environment that `make test-adapters` makes.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adapters import AdapterTrainer, AutoAdapterModel, SeqBnConfig
from adapters.composition import Stack
from datasets import Dataset
from transformers import TrainerCallback, TrainingArguments

from lrldata.language import find
from lrltrain.evaluation.features import featurize
from lrltrain.evaluation.heads import TaskHeads, TaskModel
from lrltrain.evaluation.inputs import Inputs
from lrltrain.evaluation.items import TaskData
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.stack import open_language_adapter, stack
from lrltrain.evaluation.tasks import open_task
from lrltrain.evaluation.training import TaskTraining, TaskTrainingArgs
from lrltrain.models import Base, find_base, load_tokenizer, quiet

WIDTH = 256


def main() -> None:
    """Time both and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder of SIB-200 in a language, as sib200/ron_Latn")
    parser.add_argument("--base", default="lrl-mini")
    parser.add_argument("--adapter", type=Path, help="a language adapter to stack on")
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--reduction-factor", type=float, default=2.0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plain-epochs", type=int, help="epochs of plain, to save time")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base = find_base(options.base)
    data = open_task("topic", str(options.data), find(options.data.resolve().name))
    rows: dict[str, list[tuple[float, float, float]]] = {"plain": [], "lrl": []}
    for seed in range(1, options.seeds + 1):
        how = TaskTrainingArgs(options.epochs, 16, options.learning_rate, 0.01, 0.05)
        rows["lrl"].append(ours(base, data, options.adapter, how, options.reduction_factor, seed))
        epochs = options.plain_epochs or options.epochs
        rows["plain"].append(plain(base, data, options.adapter, how, options.reduction_factor, epochs, seed))
    print(
        f"{torch.get_num_threads()} threads, {len(data.splits['train'].labels)} examples, seeds 1 to {options.seeds}\n"
    )
    print("| | examples/s | seconds | macro-F1 of each seed |\n| --- | ---: | ---: | --- |")
    for name, runs in rows.items():
        speed, seconds = (statistics.median(run[place] for run in runs) for place in (0, 1))
        whole = name == "lrl" or options.plain_epochs in (None, options.epochs)
        print(
            f"| {name} | {speed:.1f} | {seconds:.1f} | {', '.join(f'{run[2]:.3f}' for run in runs) if whole else ''} |"
        )
    print(f"\nratio {np.divide(*(statistics.median(run[0] for run in rows[name]) for name in ('lrl', 'plain'))):.2f}")


def ours(
    base: Base, data: TaskData, folder: Path | None, how: TaskTrainingArgs, reduction: float, seed: int
) -> tuple[float, float, float]:
    """Return examples a second, seconds and macro-F1 of our way, all preparation included."""
    began = time.perf_counter()
    tokenizer = load_tokenizer(base)
    adapter = open_language_adapter(folder) if folder else None
    stacked = stack(base, adapter, adapter, reduction, [seed])
    config = stacked.encoder.config
    head = TaskHeads([seed], config.hidden_size, len(data.labels), config.hidden_dropout_prob, tokens=False)
    model = TaskModel(stacked.encoder, head)
    inputs = [
        Inputs(
            featurize(tokenizer, data.splits[split], data.labels, WIDTH), tokenizer.pad_token_id, torch.device("cpu")
        )
        for split in ("train", "dev", "test")
    ]
    started = time.perf_counter()
    training = TaskTraining(model, data.labels, how)
    training.fit(inputs[0], inputs[1], data.splits["dev"], "topic", [seed], lambda *_: None)
    seconds = time.perf_counter() - started
    (found,) = training.predict(inputs[2])
    score = scores("topic", data.splits["test"].labels, found)["macro_f1"]
    return how.epochs * len(data.splits["train"].labels) / seconds, time.perf_counter() - began, score


class StopAfter(TrainerCallback):
    """Ends training after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop when the epoch is over, evaluation included."""
        _ = args, kwargs
        control.should_training_stop = (state.epoch or 0) >= self.epochs


def plain(
    base: Base, data: TaskData, folder: Path | None, how: TaskTrainingArgs, reduction: float, epochs: int, seed: int
) -> tuple[float, float, float]:
    """Return the same of a plain setup."""
    began = time.perf_counter()
    tokenizer = load_tokenizer(base)
    torch.manual_seed(seed)
    with quiet():
        model = AutoAdapterModel.from_pretrained(base.location)
        below = model.load_adapter(str(folder)) if folder else None
        model.add_adapter("task", config=SeqBnConfig(reduction_factor=reduction))
        model.add_classification_head("task", num_labels=len(data.labels))
        model.train_adapter("task")
        model.set_active_adapters(Stack(below, "task") if below else "task")
    sets: dict[str, Any] = {}
    for split, items in data.splits.items():
        encoded = tokenizer(list(items.texts), padding="max_length", truncation=True, max_length=WIDTH)
        labels = [data.labels.index(str(label)) for label in items.labels]
        sets[split] = Dataset.from_dict({**encoded, "labels": labels})

    def measure(prediction: Any) -> dict[str, float]:
        found = [data.labels[number] for number in prediction.predictions.argmax(-1)]
        return scores("topic", [data.labels[number] for number in prediction.label_ids], found)

    with tempfile.TemporaryDirectory() as scratch:
        trainer = AdapterTrainer(
            model,
            TrainingArguments(
                scratch,
                num_train_epochs=how.epochs,
                per_device_train_batch_size=how.batch_size,
                per_device_eval_batch_size=how.batch_size,
                learning_rate=how.learning_rate,
                weight_decay=how.weight_decay,
                warmup_ratio=how.warmup,
                eval_strategy="epoch",
                save_strategy="epoch",
                save_total_limit=2,
                load_best_model_at_end=True,
                metric_for_best_model="macro_f1",
                seed=seed,
                use_cpu=True,
                report_to="none",
                disable_tqdm=True,
                log_level="error",
                logging_strategy="no",
            ),
            train_dataset=sets["train"],
            eval_dataset=sets["dev"],
            compute_metrics=measure,
            callbacks=[StopAfter(epochs)],
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
        score = trainer.predict(sets["test"]).metrics["test_macro_f1"]
    return epochs * len(sets["train"]) / seconds, time.perf_counter() - began, score


if __name__ == "__main__":
    main()
