"""Task adapters on a GPU: losses of seeds that train together, and the time per step.

Used by tools/gpu_check.py. Speed is measured on named-entity recognition (NER), in a model the size of XLM-R base with
random weights: 8 items of 8 to 40 tokens per seed and step, as in the paper, and an evaluation on dev after each epoch.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from lrltrain.evaluation.features import Features
from lrltrain.evaluation.heads import TaskHeads, TaskModel
from lrltrain.evaluation.inputs import Inputs
from lrltrain.evaluation.items import LABELS, Items, Task
from lrltrain.evaluation.training import TaskTraining, TaskTrainingArgs
from lrltrain.modules.insert import AdapterStack, insert
from lrltrain.modules.settings import Bottlenecks

WORDS = 4_000
BATCH = 8
EPOCHS = 2, 6  # of two runs; the difference between their times excludes preparation


def task_losses(
    sizes: dict[str, int],
    task: Task,
    precision: str,
    device: torch.device,
    seeds: Sequence[int],
) -> Any:
    """Train a small model without dropout and return the losses of each seed, of shape (seeds, epochs)."""
    torch.manual_seed(3)
    overrides = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 130}
    encoder = XLMRobertaModel(XLMRobertaConfig(vocab_size=WORDS, **sizes, **overrides), add_pooling_layer=False)
    training = training_of(encoder, task, precision, device, seeds, epochs=3)
    results = fit(training, task, 60, seeds)
    return np.array([result.loss for result in results])


def task_speed(
    make: Callable[[], Any], device: torch.device, items: int, count: int, *, graphs: bool
) -> dict[str, Any]:
    """Time a step of `count` seeds that train together, print the row, and return it."""
    seconds = []
    for epochs in (EPOCHS[0], *EPOCHS):  # the first run loads kernels, and is not counted
        training = training_of(make(), "ner", "bf16", device, range(count), epochs)
        training.graphs.on &= graphs
        began = time.perf_counter()
        fit(training, "ner", items, range(count))
        seconds.append(time.perf_counter() - began)
    step = 1e3 * (seconds[-1] - seconds[-2]) / (EPOCHS[1] - EPOCHS[0]) / -(-items // BATCH)
    execution = "as graphs" if training.graphs.on else "eager"
    print(f"| XLM-R base | ner, {execution} | {count} | bf16 | {step:.2f} | {step / count:.2f} | | |", flush=True)
    return {"model": "XLM-R base", "method": f"ner, {execution}", "k": count, "ms": step, "ms_of_one": step / count}


def training_of(
    encoder: Any, task: Task, precision: str, device: torch.device, seeds: Sequence[int], epochs: int
) -> TaskTraining:
    """Insert new task adapters into an encoder and return their training."""
    encoder.requires_grad_(False)
    adapters = AdapterStack(encoder, Bottlenecks(reduction_factor=4), [f"seed-{seed}" for seed in seeds])
    for place, seed in enumerate(seeds):
        adapters.initialize(seed, place)
    insert(encoder, adapters)
    config = encoder.config
    head = TaskHeads(seeds, config.hidden_size, len(LABELS[task]), config.hidden_dropout_prob, tokens=task == "ner")
    args = TaskTrainingArgs(epochs, BATCH, 1e-3, 0.01, 0.05, precision)
    return TaskTraining(TaskModel(encoder.to(device), head.to(device)), LABELS[task], args)


def fit(training: TaskTraining, task: Task, count: int, seeds: Sequence[int]) -> Any:
    """Train on generated items whose labels can be computed from their tokens."""
    splits = [made_up(task, split_size, seed) for seed, split_size in enumerate((count, count // 4))]
    inputs = [Inputs(features, 1, training.device) for features, _ in splits]
    return training.fit(inputs[0], inputs[1], splits[1][1], task, seeds, lambda *_: None)


def made_up(task: Task, count: int, seed: int) -> tuple[Features, Items]:
    """Return items of random tokens, labelled by the remainders of the token ids."""
    generator = np.random.default_rng(seed)
    ids = [generator.integers(10, WORDS, size) for size in generator.integers(8, 41, count)]
    names = LABELS[task]
    if task == "ner":
        labels = [tokens % len(names) for tokens in ids]
        gold: Any = tuple(tuple(names[number] for number in row) for row in labels)
        return Features(ids, labels, [np.arange(len(tokens)) for tokens in ids]), Items(("",) * count, gold, gold)
    labels = [tokens[1] % len(names) for tokens in ids]
    return Features(ids, labels), Items(("",) * count, tuple(names[number] for number in labels))
