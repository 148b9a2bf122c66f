"""Estimates of what a fit would take, for `--dry-run`: counted where that is quick, otherwise extrapolated."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from lrldata.errors import InputError
from lrldata.progress import Progress
from lrltrain.config import FitConfig
from lrltrain.costs import ALONE, BYTES_PER_TRAINED, fit_seconds, shape_from, step_memory
from lrltrain.fitting.plan import adapter_name, is_made, prepare
from lrltrain.fitting.runs import refuse_in_use, refuse_other_base
from lrltrain.methods import attach
from lrltrain.models import check_length, load_model
from lrltrain.precision import bytes_per_value, device_name
from lrltrain.text import HELD_OUT
from lrltrain.tokens import encode
from lrltrain.training.corpus import pack
from lrltrain.training.processes import process_count
from lrltrain.trust import no_remote_code

SAMPLE = 2  # thousands of lines to tokenize
EFFICIENCY = {"cpu": 0.6, "cuda": 0.25}  # relative to the speed of one large matrix product


def estimate(config: FitConfig, progress: Progress) -> dict[str, Any]:
    """Report what `fit` would do with this configuration, without doing it. Raises LrlError if `fit` would."""
    plan = prepare(config)
    if not is_made(plan):
        refuse_other_base(plan.folder.resolve(), plan.base, overwrite=config.overwrite)
        refuse_in_use(plan.folder.resolve(), plan.recipe, config)
    if next(plan.text.lines("validation"), None) is None:
        raise InputError(f"{plan.text.name}: no line of text for validation.", "Give more text.")
    special_tokens = plan.tokenizer.num_special_tokens_to_add()
    with progress.waiting("Tokenizing a sample"):
        lines, lengths = 0, []
        for batch in islice(plan.text.lines("train"), SAMPLE):
            lines += len(batch)
            encoded = encode(plan.tokenizer, batch, verbose=False)["input_ids"]
            lengths += [piece for ids in encoded for piece in _pieces(len(ids), special_tokens, config)]
    rows = plan.text.provenance.get("rows", {}).get("train") or sum(map(len, plan.text.lines("train")))
    tokens = round(sum(lengths) / max(1, lines) * rows)
    blocks_of_sample = len(lengths) if config.batching == "line" else len(pack(lengths, config.max_length))
    blocks = max(1, round(blocks_of_sample / max(1, lines) * rows))
    blocks_per_step = config.batch_size * config.accumulate * process_count()

    with progress.waiting("Counting parameters"):
        model = _empty_model(plan.base.location, plan.base.revision, plan.base.objective)
        if config.method == "fusion":  # attaching it requires the weights of its adapters
            model = load_model(plan.base)
        model.config.name_or_path = plan.base.id
        check_length(config.max_length, model, plan.base.id)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        with torch.device("meta" if config.method != "fusion" else "cpu"):
            attached = attach(model, config, [adapter_name(plan.language, config)], [config.seed])
    trained = sum(parameter.numel() for _, parameter in attached.parameters)
    base_shape = shape_from(model.config)
    shape = replace(base_shape, weights=parameters, decoder=plan.base.objective == "clm")
    tokens_per_step = round(tokens / blocks * blocks_per_step)
    validated = min(config.eval_blocks, blocks * _share_of_validation(plan.text.provenance))
    on_gpu = torch.cuda.is_available()
    speed = EFFICIENCY["cuda" if on_gpu else "cpu"] * _flops()
    seconds_per_layer = ALONE if on_gpu else 0.0
    share = 1 / process_count()  # of each step and evaluation
    seconds = fit_seconds(
        config,
        shape,
        tokens_per_step * share,
        speed=speed,
        seconds_per_layer=seconds_per_layer,
        eval_blocks=validated * share,
    )
    size = bytes_per_value(config.precision)
    frozen = 0 if config.method == "full" else parameters
    memory = size * frozen + BYTES_PER_TRAINED * trained
    memory += round(step_memory(config, shape, config.batch_size * config.max_length, size))
    return {
        "text": plan.text.name,
        "lines": rows,
        "tokens": tokens,
        "blocks": blocks,
        "steps": config.steps,
        "epochs": round(config.steps * blocks_per_step / blocks, 1),
        "tokens_to_train_on": tokens_per_step * config.steps,
        "base_model": f"{plan.base.id}, {parameters:,} parameters",
        "trainable_parameters": trained,
        "memory_bytes": memory,
        "device": device_name(),
        "seconds": round(seconds, 1),
        "writes": str(plan.folder),
    }


def _share_of_validation(provenance: Mapping[str, Any]) -> float:
    """Return the number of lines for validation per line to train on."""
    rows = provenance.get("rows", {})
    return rows["validation"] / max(1, rows["train"]) if rows.get("validation") else 1 / HELD_OUT


def _pieces(length: int, special_tokens: int, config: FitConfig) -> Iterator[int]:
    """Yield the lengths of the pieces that a line is trained in; with batching by line, a long line is truncated."""
    if config.batching == "line":
        yield min(length, config.max_length)
        return
    for begin in range(0, max(1, length - special_tokens), config.max_length - special_tokens):
        yield min(length - special_tokens - begin, config.max_length - special_tokens) + special_tokens


def _empty_model(location: str, revision: str | None, objective: str) -> Any:
    """Build a model without its weights."""
    model_class = AutoModelForMaskedLM if objective == "mlm" else AutoModelForCausalLM
    with torch.device("meta"), no_remote_code():
        return model_class.from_config(AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False))


def _flops() -> float:
    """Measure this device: floating-point operations per second in one matrix product."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 8_192 if device == "cuda" else 1_024
    matrix = torch.rand(size, size, device=device, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    (matrix @ matrix).sum().item()
    began = time.perf_counter()
    for _ in range(3):
        (matrix @ matrix).sum().item()
    return 3 * 2 * size**3 / (time.perf_counter() - began)
