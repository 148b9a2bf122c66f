"""Compare training speed with a plain setup, on a randomly initialized model the size of XLM-R base.

    python tools/benchmarks/bench_fit.py TEXT [--lines 16] [--rounds 4]

All methods train the same adapter on the same lines with the same masks, in one process:

plain   a typical loop: one line per row, padded to the longest in the batch, loss over all logits
lrl     the step of this package: the same lines packed into rows, loss at the labelled positions
dropout the same as lrl, with XLM-R's dropout rate of 0.1, which is the default of `lrltrain fit`
bf16    the same as lrl with frozen weights in bf16, as with `--precision bf16`, if the processor is faster in bf16

The losses of each batch must agree to 1e-4, in bf16 to 1e-1; dropout is off for all methods but one, so that they can
be compared. `products` replays only the matrix products of a step of lrl: the lower limit for computing the same
gradients in fp32 on this machine. Real tokens exclude padding. For GPUs, see tools/gpu_check.py.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from lrltrain.config import FitConfig
from lrltrain.dropout import replace_constants
from lrltrain.methods import AttachedMethod, attach
from lrltrain.models import find_base, load_tokenizer, word_starts
from lrltrain.precision import half_precision_slowdown
from lrltrain.training.batches import Batch, Block, Layout, Masking, Vocabulary
from lrltrain.training.loss import IGNORED
from lrltrain.training.packing import probe_packing
from lrltrain.training.step import Step
from lrltrain.training.weights import MAX_GRADIENT_NORM, Rates, Weights

CLOSE, ROUGHLY = 1e-4, 1e-1
DROPOUT = 0.1
WIDTH = 256
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm"}


def main() -> None:
    """Time the methods, check that their losses agree, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="text in any language, one example per line")
    parser.add_argument("--method", default="seq_bn_inv", choices=["seq_bn", "seq_bn_inv", "lora"])
    parser.add_argument("--lines", type=int, default=16, help="lines per batch")
    parser.add_argument("--rounds", type=int, default=4, help="number of timed batches, after a warm-up batch")
    parser.add_argument("--layers", type=int, default=12)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    tokenizer = load_tokenizer(find_base("lrl-mini"))
    vocabulary = Vocabulary.of(tokenizer, word_starts(tokenizer))
    batches = make_batches(read_lines(args.text), tokenizer, vocabulary, args)
    model, attached = make_model(args, device)
    plain, ours = [batch["plain"] for batch in batches], [batch["lrl"] for batch in batches]
    results = {"plain": run(plain_step(model, attached, device), plain, device)}
    bf16_is_faster = device.type == "cuda" or half_precision_slowdown(torch.bfloat16) < 1
    for method in ("lrl", "bf16") if bf16_is_faster else ("lrl",):
        if method == "bf16":
            hold_in_bf16(model)
        steps = our_steps(model, attached, vocabulary)  # this adds hooks to the model
        results[method] = run(our_step(steps, device), ours, device)
        if method == "lrl":
            results["products"] = replayed(our_step(steps, device), ours, device), []
            replace_constants(model, DROPOUT)
            results["dropout"] = run(our_step(steps, device), ours, device)[0], []
            replace_constants(model, 0.0)
        steps.release()
    report(batches, results, device, args)


def run(step: Callable[[Any], float], batches: list[Any], device: torch.device) -> tuple[list[float], list[float]]:
    """Return the seconds per step of all batches but the first, and the losses of all batches."""
    timed_steps = [timed(lambda: step(batch), device) for batch in batches]  # noqa: B023
    return [seconds for seconds, _ in timed_steps[1:]], [loss for _, loss in timed_steps]


def replayed(step: Callable[[Any], float], batches: list[Any], device: torch.device) -> list[float]:
    """Return the seconds of only the matrix products of the step, for all batches but the first."""
    seconds = []
    for batch in batches[1:]:
        replay = products(lambda: step(batch))  # noqa: B023 -- called immediately; the recorded tensors are large and freed
        replay()
        seconds.append(timed(replay, device)[0])
    return seconds


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text that are not blank."""
    return [line for line in path.read_text("utf-8").split("\n") if line.strip()]


def make_batches(lines: list[str], tokenizer: Any, vocabulary: Vocabulary, args: Any) -> list[dict[str, Any]]:
    """Make each batch in both layouts, from the same lines with the same masks: one line per row, and packed blocks."""
    generator = np.random.default_rng(0)
    order = generator.permutation(len(lines))[: args.lines * (args.rounds + 1)]
    encoded = tokenizer([lines[number] for number in order], truncation=True, max_length=WIDTH)["input_ids"]
    masking = Masking("mlm")
    batches = []
    for start in range(0, len(encoded), args.lines):
        pieces = [np.asarray(ids) for ids in encoded[start : start + args.lines]]
        masked = [masking.apply(piece, vocabulary, generator) for piece in pieces]
        longest = max(map(len, pieces))
        ids = np.full((len(pieces), longest), vocabulary.pad)
        labels = np.full_like(ids, IGNORED)
        for row, (inputs, targets) in enumerate(masked):
            ids[row, : len(inputs)], labels[row, : len(inputs)] = inputs, targets
        blocks = [Block(*block, [len(piece)], 0) for block, piece in zip(masked, pieces, strict=True)]
        plain = {
            "input_ids": ids,
            "labels": labels,
            "attention_mask": (np.arange(longest) < np.array([[len(p)] for p in pieces])).astype(int),
        }
        batches.append(
            {
                "plain": {name: torch.from_numpy(value) for name, value in plain.items()},
                "lrl": Layout(vocabulary, "line", True, WIDTH)([blocks]),
                "tokens": sum(map(len, pieces)),
                "padded": ids.size,
            }
        )
    return batches


def make_model(args: Any, device: torch.device) -> tuple[Any, AttachedMethod]:
    """Return a model of XLM-R base's architecture with random weights, and its adapter."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=250_002,
        num_hidden_layers=args.layers,
        max_position_embeddings=514,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = XLMRobertaForMaskedLM(config).train()
    attached = attach(model, FitConfig(lang="ro", method=args.method), ["x"], [0])
    return model.to(device), attached


def plain_step(model: Any, attached: AttachedMethod, device: torch.device) -> Callable[..., float]:
    """Return a plain training step with learning rate 0, so that losses can be compared."""
    parameters = [parameter for _, parameter in attached.parameters]
    optimizer = torch.optim.AdamW(parameters, lr=0.0)

    def step(batch: dict[str, torch.Tensor]) -> float:
        loss = model(**{name: value.to(device) for name, value in batch.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def hold_in_bf16(model: Any) -> None:
    """Convert the frozen weights to bf16."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()


def our_steps(model: Any, attached: AttachedMethod, vocabulary: Vocabulary) -> Step:
    """Return the Step of this package, also with learning rate 0."""
    attention = probe_packing(model, "mlm", vocabulary.starts.size)
    weights = Weights(attached.parameters, 1, stacked=True)
    weights.optimizer(Rates(0.0, 0.0, 0.0))
    return Step(model, weights, attention)


def our_step(steps: Step, device: torch.device) -> Callable[..., float]:
    """Return a training step of this package."""

    def step(batch: Batch) -> float:
        steps.accumulate(batch, torch.tensor(1.0 / batch.counts, dtype=torch.float32, device=device))
        return float(steps.update()[0])

    return step


def timed(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return the duration of a call in seconds, and its result."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    result = function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, result


def products(function: Callable[[], Any]) -> Callable[[], None]:
    """Record all matrix products of a call and return a function that computes only these.

    Fused attention counts as the products of queries with keys and of attention weights with values, and in the
    backward pass as five products.
    """
    recorded: list[tuple[Any, ...]] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            if name.rstrip("_") in PRODUCTS:
                left, right = args[-2:] if name.startswith(("addmm", "baddbmm")) else args[:2]
                recorded.append((left, right))
            elif name.startswith("_scaled_dot_product") and not name.endswith("backward"):
                query, key, value = args[:3]
                recorded.append((query, key.transpose(-1, -2)))
                weights = torch.empty(*query.shape[:-1], key.shape[-2], device=query.device, dtype=query.dtype)
                recorded.append((weights, value))
            elif name.startswith("_scaled_dot_product"):
                query, key = args[1:3]
                weights = torch.empty(*query.shape[:-1], key.shape[-2], device=query.device, dtype=query.dtype)
                recorded.extend([(query, key.transpose(-1, -2)), (weights, key), (weights.transpose(-1, -2), query)])
                recorded.extend([(query, key.transpose(-1, -2)), (weights.transpose(-1, -2), query)])
            return func(*args, **(kwargs or {}))

    with Recorder():
        function()

    def replay() -> None:
        with torch.no_grad():
            for left, right in recorded:
                left @ right

    return replay


def report(
    batches: list[Any], results: dict[str, tuple[list[float], list[float]]], device: torch.device, args: Any
) -> None:
    """Print speeds and ratios, and check that the losses agree."""
    times, losses = ({method: result[index] for method, result in results.items()} for index in (0, 1))
    tokens = [batch["tokens"] for batch in batches[1:]]
    speed = {method: sum(tokens) / sum(times[method]) for method in times}
    differences = {
        method: max(abs(first - second) for first, second in zip(losses["plain"], losses[method], strict=True))
        for method in ("lrl", "bf16")
        if method in losses
    }
    blocks = [batch["lrl"].tensors["input_ids"].numel() for batch in batches[1:]]
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}; {args.method}, {args.lines} lines per batch, {sum(tokens) / len(tokens):.0f} real tokens\n")
    print(
        "| method | real tokens/s | seconds per step | padding | relative speed |\n| --- | ---: | ---: | ---: | ---: |"
    )
    padded = sum(batch["padded"] for batch in batches[1:])
    packed = [method for method in ("lrl", "dropout", "bf16") if method in times]
    for method, positions in (("plain", padded), *((method, sum(blocks)) for method in packed)):
        seconds = statistics.median(times[method])
        padding, ratio = 1 - sum(tokens) / positions, speed[method] / speed["plain"]
        print(f"| {method} | {speed[method]:,.0f} | {seconds:.2f} | {padding:.1%} | {ratio:.2f} x |")
    print(f"| only the products of lrl | {speed['products']:,.0f} | {statistics.median(times['products']):.2f} | | |")
    floor = statistics.median(first / second for first, second in zip(times["lrl"], times["products"], strict=True))
    print(f"\ntime of a step relative to its products: {floor:.2f} (target: at most 1.25)")
    print(f"speed relative to plain: {speed['lrl'] / speed['plain']:.2f} x (target: at least 2.5)")
    for method, tolerance in (("lrl", CLOSE), ("bf16", ROUGHLY)):
        outcome = (
            f"{differences[method]:.1e} (at most {tolerance:.0e})"
            if method in differences
            else "not timed because this processor is slower in bf16"
        )
        print(f"largest difference in loss, {method}: {outcome}")
    if differences["lrl"] > CLOSE or differences.get("bf16", 0.0) > ROUGHLY:
        raise SystemExit("the losses differ")


if __name__ == "__main__":
    main()
