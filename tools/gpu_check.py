"""Check correctness and speed of training on this machine's GPU, without network or data.

    python tools/gpu_check.py [--out DIR] [--minutes 4] [--small]

Needs torch, transformers and, of the packages that lrl requires, numpy, polars, pyarrow, pydantic, platformdirs and
xxhash. Measures speed first, with tools/gpu_speed.py, for half of the time. Then checks equality on small models with
random weights: losses on the GPU and the CPU, for an encoder and a decoder, each method, one and 16 adapters, in bf16
and fp32; a stopped and resumed run; a group and its adapters trained separately; the perplexity of both models; task
adapters of three seeds trained together, and each separately on the CPU. Prints Markdown, writes DIR/gpu_check.json,
and exits with 1 if a check fails or the time was up. Without a GPU, everything runs small on the CPU,
but by the code path of the GPU: frozen weights in bf16, repeating shapes.
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
CLOSE = {"fp32": 2e-3, "bf16": 3e-2}  # tolerance for losses of about 9 nats after STEPS steps
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
TASKS: tuple[Task, ...] = ("topic", "ner")
METHODS = ("seq_bn_inv", "seq_bn", "lora", "full")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for gpu_check.json")
    parser.add_argument("--minutes", type=float, default=4.0, help="time after which no further measurement starts")
    parser.add_argument("--small", action="store_true", help="use small models, as without a GPU")
    args = parser.parse_args()
    began = time.monotonic()
    on_gpu = torch.cuda.is_available()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{name_of_device()}, {versions}\n\n## Speed\n", flush=True)
    speed = [*measure(began + 30 * args.minutes, small=args.small or not on_gpu)]
    print("\n## Equality\n\n| check | largest difference | at most | |\n| --- | ---: | ---: | --- |", flush=True)
    checks, is_late = [], False
    for check in equality(torch.device("cuda" if on_gpu else "cpu")):
        checks.append(check)
        if is_late := time.monotonic() > began + 60 * args.minutes:
            print("\nThe time limit was reached; checks after this one were skipped. Allow more --minutes.")
            break
    failed = [check for check in checks if not check["equal"]]
    print(f"\n{len(checks) - len(failed)} of the {len(checks)} checks that ran passed.")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        report = {"device": name_of_device(), "versions": versions, "equality": checks, "speed": speed}
        (args.out / "gpu_check.json").write_text(json.dumps(report, indent=1), "utf-8")
    sys.exit(bool(failed) or is_late)


def equality(device: torch.device) -> Any:
    """Run the checks; print and yield the row of each."""
    for task in TASKS if find_spec("sklearn") else TASKS[1:]:
        separate = [task_losses(SMALL, task, "fp32", torch.device("cpu"), [seed]) for seed in range(3)]
        for precision in ("fp32", "bf16"):
            together = task_losses(SMALL, task, precision, device, range(3))
            yield row(
                f"{task}, {precision}: seeds together and each on the CPU",
                together,
                np.concatenate(separate),
                precision,
            )
    for kind in ("encoder", "decoder"):
        for method in METHODS:
            for count in (1,) if method == "full" else (16, 1):
                for precision in ("fp32", "bf16"):
                    on_device = losses(kind, method, precision, device, seeds=range(count))
                    on_cpu = reference(kind, method, count)
                    yield row(f"{kind}, {method}, {precision}, K = {count}: GPU and CPU", on_device, on_cpu, precision)
        for precision in ("fp32", "bf16"):
            group = losses(kind, "seq_bn_inv", precision, device, seeds=range(3))
            separate = [losses(kind, "seq_bn_inv", precision, device, seeds=[seed]) for seed in range(3)]
            yield row(f"{kind}, {precision}: a group and separate runs", group, np.concatenate(separate), precision)
        resumed = losses(kind, "seq_bn_inv", "fp32", device, seeds=range(2), stop=True)
        yield row(
            f"{kind}: resumed and uninterrupted run",
            resumed,
            losses(kind, "seq_bn_inv", "fp32", device, range(2)),
            "fp32",
        )
        yield row(
            f"{kind}: perplexity, bf16",
            *(perplexity(kind, *setup) for setup in ((device, "bf16"), ("cpu", "fp32"))),
            "bf16",
        )


@cache
def reference(kind: str, method: str, count: int) -> Any:
    """Return the losses on the CPU by its usual code path."""
    return losses(kind, method, "fp32", torch.device("cpu"), seeds=range(count), plain=True)


def row(name: str, values: Any, expected: Any, precision: str) -> dict[str, Any]:
    """Compare two arrays of losses, print the row, and return it."""
    difference, tolerance = float(np.abs(np.asarray(values) - np.asarray(expected)).max()), CLOSE[precision]
    equal = bool(np.isfinite(difference) and difference <= tolerance)
    print(f"| {name} | {difference:.1e} | {tolerance:.0e} | {'' if equal else 'NOT EQUAL'} |", flush=True)
    return {"what": name, "difference": difference, "at_most": tolerance, "equal": equal}


def model_of(kind: str) -> tuple[Any, Objective]:
    """Return a small model with random weights, lrl-mini's vocabulary and no dropout, and its objective."""
    torch.manual_seed(3)
    words = len(AutoTokenizer.from_pretrained(mini_path()))
    if kind == "decoder":
        return LlamaForCausalLM(LlamaConfig(vocab_size=words, **SMALL)), "clm"
    overrides = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 130}
    return XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=words, **SMALL, **overrides)), "mlm"


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
    """Train for STEPS steps and return the validation losses, of shape (adapters, evaluations).

    `plain` selects the CPU's usual code path, without padding to repeating shapes. `stop` interrupts the run at its
    first checkpoint and resumes it.
    """
    model, objective = model_of(kind)
    half = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    model.to(device, torch.float32 if method == "full" else half)
    config = FitConfig.model_validate({"lang": "ro", "method": method, "reduction_factor": 4})
    names = [f"a{seed}" for seed in seeds]
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    vocabulary = Vocabulary.of(tokenizer, word_starts(tokenizer))
    with tempfile.TemporaryDirectory() as folder:

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
                Member(name, *(blocks(seed, kind, objective, vocabulary) for kind in (0, 1)), Path(folder, name))
                for name, seed in zip(names, seeds, strict=True)
            ]
            layout = Layout(vocabulary, "packed", True, WIDTH, static=not plain)
            schedule = Schedule(steps, 4, SIZE, SIZE, 1, Rates(5e-3, 0.1, 0.01))
            outcomes = Loop(members, step, layout, schedule).run()
            step.release()
            take_out(model)
            return [[entry["eval_loss"] for entry in outcome.state.log if "eval_loss" in entry] for outcome in outcomes]

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
    """Return a function that saves a checkpoint and then interrupts the run."""

    def saving(loop: Loop) -> None:
        save(loop)
        raise KeyboardInterrupt

    return saving


def blocks(seed: int, kind: int, objective: Objective, vocabulary: Vocabulary) -> Blocks:
    """Return blocks of tokens in which each token follows from the previous one, by a rule that depends on the seed."""
    generator = np.random.default_rng((seed, kind))
    count = 24 if kind else 160
    lengths = generator.integers(6, 28, count)
    starts = generator.integers(10, 4_000, count)
    lines = [
        (start + 7 * (seed + 1) * np.arange(size)) % 4_000 + 10 for start, size in zip(starts, lengths, strict=True)
    ]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    corpus = Corpus(
        np.concatenate(lines).astype(np.uint16), offsets, np.arange(0, count + 1, 2), Counts(count, count, count // 2)
    )
    return Blocks(corpus, vocabulary, Masking(objective), VALIDATION_SEED if kind else seed)


def perplexity(kind: str, device: Any, precision: str) -> Any:
    """Return the mean (pseudo-)log-likelihood per token of each of three sentences, as computed by `lrltrain eval`."""
    model, objective = model_of(kind)
    model.to(device).eval()
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    if kind == "decoder":
        tokenizer.pad_token = tokenizer.eos_token
    sentences = ["Casa este mare și albă.", "Omul a venit ieri seară.", "Apa din râu e rece."]
    scored = likelihoods(model, tokenizer, sentences, objective, max_length=64, precision=precision)
    return scored.log_likelihood / scored.tokens


if __name__ == "__main__":
    main()
