"""Is training right on this machine's GPU, and how fast is it? One command, no network, no data.

    python tools/gpu_check.py [--out DIR] [--minutes 4] [--small]

First speed, by tools/gpu_speed.py, for half of the time. Then equality, on small models with random weights: losses on
the GPU against those on the CPU, for an encoder and a decoder, each method, one adapter and sixteen, in bf16 and fp32;
a run that was stopped and goes on; a group against its adapters alone; the perplexity of both; task adapters of three
seeds together against each alone on the CPU. Prints Markdown, writes
DIR/gpu_check.json, and exits with 1 where something is not equal. Without a GPU all of it runs small on the CPU, by the
GPU's own path: frozen weights in bf16, shapes that repeat.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from gpu_speed import measure, name_of_device
from gpu_tasks import task_losses
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, XLMRobertaConfig, XLMRobertaForMaskedLM

from lrltrain.config import FitConfig, Objective
from lrltrain.evaluation.items import Task
from lrltrain.evaluation.pseudo_perplexity import likelihoods
from lrltrain.methods import attach
from lrltrain.models import find_base, load_tokenizer, mini_path, word_starts
from lrltrain.modules.insert import AdapterStack, take_out
from lrltrain.training.batches import VALIDATION_SEED, Blocks, Layout, Masking, Vocabulary
from lrltrain.training.corpus import Corpus, Counts
from lrltrain.training.loop import Loop, Member, Schedule
from lrltrain.training.packing import probe_packing
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

STEPS, WIDTH, SIZE = 12, 64, 4
CLOSE = {"fp32": 2e-3, "bf16": 3e-2}  # of losses of some 9 nats, after STEPS steps
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
TASKS: tuple[Task, ...] = ("topic", "ner")
METHODS = ("seq_bn_inv", "seq_bn", "lora", "full")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for gpu_check.json")
    parser.add_argument("--minutes", type=float, default=4.0, help="after which no further measurement is begun")
    parser.add_argument("--small", action="store_true", help="small models, as without a GPU")
    given = parser.parse_args()
    began = time.monotonic()
    on_gpu = torch.cuda.is_available()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{name_of_device()}, {versions}\n\n## Speed\n", flush=True)
    speed = [*measure(began + 30 * given.minutes, small=given.small or not on_gpu)]
    print("\n## Equality\n\n| what | largest difference | at most | |\n| --- | ---: | ---: | --- |", flush=True)
    checks = []
    for check in equality(torch.device("cuda" if on_gpu else "cpu")):
        checks.append(check)
        if time.monotonic() > began + 60 * given.minutes:
            print("\nTime is up: what would have followed was left out.")
            break
    failed = [check for check in checks if not check["equal"]]
    print(f"\n{len(checks) - len(failed)} of {len(checks)} checks are equal.")
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        told = {"device": name_of_device(), "versions": versions, "equality": checks, "speed": speed}
        (given.out / "gpu_check.json").write_text(json.dumps(told, indent=1), "utf-8")
    sys.exit(bool(failed))


def equality(device: torch.device) -> Any:
    """Yield each check, and print its row."""
    for task in TASKS if find_spec("sklearn") else TASKS[1:]:
        alone = [task_losses(SMALL, task, "fp32", torch.device("cpu"), [seed]) for seed in range(3)]
        for precision in ("fp32", "bf16"):
            together = task_losses(SMALL, task, precision, device, range(3))
            yield row(f"{task}, {precision}: seeds against each on the CPU", together, np.concatenate(alone), precision)
    for kind in ("encoder", "decoder"):
        for method in METHODS:
            for count in (1,) if method == "full" else (16, 1):
                for precision in ("fp32", "bf16"):
                    here = losses(kind, method, precision, device, seeds=range(count))
                    there = reference(kind, method, count)
                    yield row(f"{kind}, {method}, {precision}, K = {count}: against the CPU", here, there, precision)
        for precision in ("fp32", "bf16"):
            group = losses(kind, "seq_bn_inv", precision, device, seeds=range(3))
            alone = [losses(kind, "seq_bn_inv", precision, device, seeds=[seed]) for seed in range(3)]
            yield row(
                f"{kind}, {precision}: a group against its adapters alone", group, np.concatenate(alone), precision
            )
        stopped = losses(kind, "seq_bn_inv", "fp32", device, seeds=range(2), stop=True)
        yield row(f"{kind}: stopped and gone on", stopped, losses(kind, "seq_bn_inv", "fp32", device, range(2)), "fp32")
        yield row(
            f"{kind}: perplexity, bf16",
            *(perplexity(kind, *way) for way in ((device, "bf16"), ("cpu", "fp32"))),
            "bf16",
        )


@cache
def reference(kind: str, method: str, count: int) -> Any:
    """Return the losses by the CPU's own path."""
    return losses(kind, method, "fp32", torch.device("cpu"), seeds=range(count), plain=True)


def row(name: str, one: Any, other: Any, precision: str) -> dict[str, Any]:
    """Compare losses, and print the row."""
    apart, most = float(np.abs(np.asarray(one) - np.asarray(other)).max()), CLOSE[precision]
    equal = bool(np.isfinite(apart) and apart <= most)
    print(f"| {name} | {apart:.1e} | {most:.0e} | {'' if equal else 'NOT EQUAL'} |", flush=True)
    return {"what": name, "difference": apart, "at_most": most, "equal": equal}


def model_of(kind: str) -> tuple[Any, Objective]:
    """Return a small model with random weights and lrl-mini's vocabulary, without dropout."""
    torch.manual_seed(3)
    words = len(AutoTokenizer.from_pretrained(mini_path()))
    if kind == "decoder":
        return LlamaForCausalLM(LlamaConfig(vocab_size=words, **SMALL)), "clm"
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 130}
    return XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=words, **SMALL, **off)), "mlm"


def losses(
    kind: str,
    method: str,
    precision: str,
    device: torch.device,
    seeds: Sequence[int],
    *,
    plain: bool = False,
    stop: bool = False,
) -> Any:
    """Train STEPS steps and return the validation losses of each adapter, (adapters, evaluations).

    `plain` takes the CPU's own path: single precision, shapes as they come.
    """
    model, objective = model_of(kind)
    half = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    model.to(device, torch.float32 if method == "full" else half)
    config = FitConfig.model_validate({"lang": "ro", "method": method, "reduction_factor": 4})
    names = [f"a{seed}" for seed in seeds]
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    vocabulary = Vocabulary.of(tokenizer, word_starts(tokenizer))
    with tempfile.TemporaryDirectory() as top:

        def train(steps: int) -> Any:
            torch.manual_seed(5)
            attention = probe_packing(model, objective, len(vocabulary.starts))
            attached = attach(model, config, names, list(seeds))
            step = Step(
                model,
                Weights(attached.parameters, len(names), stacked=isinstance(attached.stack, AdapterStack)),
                attention,
                autocast=half if method == "full" and precision != "fp32" else None,
                graphs=device.type == "cuda" and not plain,
            )
            members = [
                Member(name, *(blocks(seed, kind, objective, vocabulary) for kind in (0, 1)), Path(top, name))
                for name, seed in zip(names, seeds, strict=True)
            ]
            layout = Layout(vocabulary, "packed", True, WIDTH, static=not plain)
            schedule = Schedule(steps, 4, SIZE, SIZE, 1, Rates(5e-3, 0.1, 0.01))
            done = Loop(members, step, layout, schedule).run()
            step.release()
            take_out(model)
            return [[entry["eval_loss"] for entry in each.progressed.log if "eval_loss" in entry] for each in done]

        if stop:
            original, Loop._save = Loop._save, stopping(Loop._save)  # noqa: SLF001
            try:
                train(STEPS)
            except KeyboardInterrupt:
                take_out(model)
            finally:
                Loop._save = original  # noqa: SLF001
        return np.array(train(STEPS))


def stopping(save: Any) -> Any:
    """Return what saves a checkpoint, and then stops the run."""

    def saving(loop: Loop) -> None:
        save(loop)
        raise KeyboardInterrupt

    return saving


def blocks(seed: int, kind: int, objective: Objective, vocabulary: Vocabulary) -> Blocks:
    """Return blocks of tokens that follow one another by a rule, which is another one for each seed."""
    draw = np.random.default_rng((seed, kind))
    count = 24 if kind else 160
    lengths = draw.integers(6, 28, count)
    starts = draw.integers(10, 4_000, count)
    lines = [
        (start + 7 * (seed + 1) * np.arange(size)) % 4_000 + 10 for start, size in zip(starts, lengths, strict=True)
    ]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    corpus = Corpus(
        np.concatenate(lines).astype(np.uint16), offsets, np.arange(0, count + 1, 2), Counts(count, count, count // 2)
    )
    return Blocks(corpus, vocabulary, Masking(objective), VALIDATION_SEED if kind else seed)


def perplexity(kind: str, device: Any, precision: str) -> Any:
    """Return the mean (pseudo-)log-likelihood a token of some sentences, as `lrltrain eval` counts it."""
    model, objective = model_of(kind)
    model.to(device).eval()
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    if kind == "decoder":
        tokenizer.pad_token = tokenizer.eos_token
    sentences = ["Casa este mare și albă.", "Omul a venit ieri seară.", "Apa din râu e rece."]
    found = likelihoods(model, tokenizer, sentences, objective, max_length=64, precision=precision)
    return found.log_likelihood / found.tokens


if __name__ == "__main__":
    main()
