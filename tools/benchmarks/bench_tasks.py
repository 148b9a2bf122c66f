"""Compare the speed of training a task adapter with a setup like the paper's scripts, on the same data.

    python tools/benchmarks/bench_tasks.py SIB200/LANG_Script [--base lrl-mini] [--plain-epochs 4]

plain   AutoAdapterModel with a classification head, Stack(language, task), AdapterTrainer, padding to 256 tokens
lrl     `lrltrain.evaluation`: batches of similar length, frozen layers computed once, only the needed part of the last

Both train the same kind of adapter with the same settings in one process, and keep the best epoch on dev. Examples per
second cover whole epochs including the evaluation on dev. `--plain-epochs` runs fewer epochs of plain, with the
schedule of all of them, to save time; its score is then not comparable and not shown. Run this in the environment of
`make test-adapters`, which has the library `adapters`.
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
from lrltrain.artifact import open_language_adapter
from lrltrain.evaluation.features import featurize
from lrltrain.evaluation.heads import TaskHeads, TaskModel
from lrltrain.evaluation.inputs import Inputs
from lrltrain.evaluation.items import TaskData
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.stack import stack
from lrltrain.evaluation.tasks import open_task
from lrltrain.evaluation.training import TaskTraining, TaskTrainingArgs
from lrltrain.models import Base, find_base, load_tokenizer, quiet

WIDTH = 256


def main() -> None:
    """Time both and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of SIB-200 in one language, such as sib200/ron_Latn")
    parser.add_argument("--base", default="lrl-mini")
    parser.add_argument("--adapter", type=Path, help="language adapter to stack the task adapter on")
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--reduction-factor", type=float, default=2.0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plain-epochs", type=int, help="run only this number of epochs of plain, to save time")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base = find_base(options.base)
    data = open_task("topic", str(options.data), find(options.data.resolve().name))
    rows: dict[str, list[tuple[float, float, float]]] = {"plain": [], "lrl": []}
    for seed in range(1, options.seeds + 1):
        training_args = TaskTrainingArgs(options.epochs, 16, options.learning_rate, 0.01, 0.05)
        rows["lrl"].append(ours(base, data, options.adapter, training_args, options.reduction_factor, seed))
        epochs = options.plain_epochs or options.epochs
        rows["plain"].append(plain(base, data, options.adapter, training_args, options.reduction_factor, epochs, seed))
    print(
        f"{torch.get_num_threads()} threads, {len(data.splits['train'].labels)} examples, seeds 1 to {options.seeds}\n"
    )
    print("| | examples/s | seconds per run | macro-F1 of each seed |\n| --- | ---: | ---: | --- |")
    for name, runs in rows.items():
        speed, seconds = (statistics.median(run[index] for run in runs) for index in (0, 1))
        full = name == "lrl" or options.plain_epochs in (None, options.epochs)
        print(
            f"| {name} | {speed:.1f} | {seconds:.1f} | {', '.join(f'{run[2]:.3f}' for run in runs) if full else ''} |"
        )
    print(f"\nratio {np.divide(*(statistics.median(run[0] for run in rows[name]) for name in ('lrl', 'plain'))):.2f}")


def ours(
    base: Base, data: TaskData, folder: Path | None, args: TaskTrainingArgs, reduction: float, seed: int
) -> tuple[float, float, float]:
    """Return the examples per second, total seconds and macro-F1 of our method, including all preparation."""
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
    training = TaskTraining(model, data.labels, args)
    training.fit(inputs[0], inputs[1], data.splits["dev"], "topic", [seed], lambda *_: None)
    seconds = time.perf_counter() - started
    (predicted,) = training.predict(inputs[2])
    score = scores("topic", data.splits["test"].labels, predicted)["macro_f1"]
    return args.epochs * len(data.splits["train"].labels) / seconds, time.perf_counter() - began, score


class StopAfter(TrainerCallback):
    """Stop training after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop at the end of the last epoch, after its evaluation."""
        _ = args, kwargs
        control.should_training_stop = (state.epoch or 0) >= self.epochs


def plain(
    base: Base,
    data: TaskData,
    folder: Path | None,
    training_args: TaskTrainingArgs,
    reduction: float,
    epochs: int,
    seed: int,
) -> tuple[float, float, float]:
    """Return the same figures for a plain setup."""
    began = time.perf_counter()
    tokenizer = load_tokenizer(base)
    torch.manual_seed(seed)
    with quiet():
        model = AutoAdapterModel.from_pretrained(base.location)
        language_adapter = model.load_adapter(str(folder)) if folder else None
        model.add_adapter("task", config=SeqBnConfig(reduction_factor=reduction))
        model.add_classification_head("task", num_labels=len(data.labels))
        model.train_adapter("task")
        model.set_active_adapters(Stack(language_adapter, "task") if language_adapter else "task")
    sets: dict[str, Any] = {}
    for split, items in data.splits.items():
        encoded = tokenizer(list(items.texts), padding="max_length", truncation=True, max_length=WIDTH)
        labels = [data.labels.index(str(label)) for label in items.labels]
        sets[split] = Dataset.from_dict({**encoded, "labels": labels})

    def measure(prediction: Any) -> dict[str, float]:
        predicted = [data.labels[number] for number in prediction.predictions.argmax(-1)]
        return scores("topic", [data.labels[number] for number in prediction.label_ids], predicted)

    with tempfile.TemporaryDirectory() as scratch:
        trainer = AdapterTrainer(
            model,
            TrainingArguments(
                scratch,
                num_train_epochs=training_args.epochs,
                per_device_train_batch_size=training_args.batch_size,
                per_device_eval_batch_size=training_args.batch_size,
                learning_rate=training_args.learning_rate,
                weight_decay=training_args.weight_decay,
                warmup_ratio=training_args.warmup,
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
