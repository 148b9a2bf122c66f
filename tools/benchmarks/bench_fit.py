"""Training speed against a plain setup, with a randomly initialised model of XLM-R base's size.

    python tools/benchmarks/bench_fit.py TEXT [--lines 16] [--rounds 4]

Both train the same adapter on the same lines with the same masks, in one process, in turn:

plain   as most people write it: a line per row, padded to the longest of the batch, the loss of all logits
lrl     the step of this package: the same lines packed into rows, the loss at the labelled positions
bf16    the same with the frozen weights in bf16, as `--precision bf16` holds them, on a processor that is quicker in it

The loss of each batch must be equal to 1e-4, in bf16 to 1e-1. `products` replays every matrix product of a step of lrl
alone: the floor that no way of computing the same gradients in fp32 on this machine can go below. Real tokens are those
that are not padding. Dropout is off, or losses could not be compared. tools/gpu_check.py times what a GPU can do.
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
from lrltrain.methods import AttachedMethod, attach
from lrltrain.models import find_base, load_tokenizer, word_starts
from lrltrain.precision import half_precision_slowdown
from lrltrain.training.batches import Batch, Block, Layout, Masking, Vocabulary
from lrltrain.training.loss import IGNORED
from lrltrain.training.packing import probe_packing
from lrltrain.training.step import Step
from lrltrain.training.weights import MAX_GRADIENT_NORM, Rates, Weights

CLOSE, ROUGHLY = 1e-4, 1e-1
WIDTH = 256
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm"}


def main() -> None:
    """Time both, check that they agree, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="a text of any language, an example a line")
    parser.add_argument("--method", default="seq_bn_inv", choices=["seq_bn", "seq_bn_inv", "lora"])
    parser.add_argument("--lines", type=int, default=16, help="lines a batch")
    parser.add_argument("--rounds", type=int, default=4, help="batches that are timed, after one that is not")
    parser.add_argument("--layers", type=int, default=12)
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    tokenizer = load_tokenizer(find_base("lrl-mini"))
    vocabulary = Vocabulary.of(tokenizer, word_starts(tokenizer))
    batches = make_batches(read_lines(given.text), tokenizer, vocabulary, given)
    model, attached = make_model(given, device)
    plain, ours = [batch["plain"] for batch in batches], [batch["lrl"] for batch in batches]
    found = {"plain": run(plain_step(model, attached, device), plain, device)}
    quicker = device.type == "cuda" or half_precision_slowdown(torch.bfloat16) < 1
    for way in ("lrl", "bf16") if quicker else ("lrl",):
        if way == "bf16":
            hold_in_bf16(model)
        steps = our_steps(model, attached, vocabulary)  # which puts hooks into the model
        found[way] = run(our_step(steps, device), ours, device)
        if way == "lrl":
            found["products"] = replayed(our_step(steps, device), ours, device), []
        steps.release()
    report(batches, found, device, given)


def run(step: Callable[[Any], float], batches: list[Any], device: torch.device) -> tuple[list[float], list[float]]:
    """Return the seconds of the step of each batch but the first, and the losses of all."""
    timed_steps = [timed(lambda: step(batch), device) for batch in batches]  # noqa: B023
    return [seconds for seconds, _ in timed_steps[1:]], [loss for _, loss in timed_steps]


def replayed(step: Callable[[Any], float], batches: list[Any], device: torch.device) -> list[float]:
    """Return the seconds of the matrix products alone of the step of each batch but the first."""
    seconds = []
    for batch in batches[1:]:
        replay = products(lambda: step(batch))  # noqa: B023 -- called at once; what it records is large, and goes again
        replay()
        seconds.append(timed(replay, device)[0])
    return seconds


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text."""
    return [line for line in path.read_text("utf-8").split("\n") if line.strip()]


def make_batches(lines: list[str], tokenizer: Any, vocabulary: Vocabulary, given: Any) -> list[dict[str, Any]]:
    """Make each batch twice, from the same lines with the same masks: as rows of lines, and as blocks."""
    draw = np.random.default_rng(0)
    chosen = draw.permutation(len(lines))[: given.lines * (given.rounds + 1)]
    encoded = tokenizer([lines[each] for each in chosen], truncation=True, max_length=WIDTH)["input_ids"]
    masking = Masking("mlm")
    made = []
    for start in range(0, len(encoded), given.lines):
        pieces = [np.asarray(ids) for ids in encoded[start : start + given.lines]]
        masked = [masking.apply(piece, vocabulary, draw) for piece in pieces]
        longest = max(map(len, pieces))
        ids = np.full((len(pieces), longest), vocabulary.pad)
        labels = np.full_like(ids, IGNORED)
        for row, (inputs, wanted) in enumerate(masked):
            ids[row, : len(inputs)], labels[row, : len(inputs)] = inputs, wanted
        blocks = [Block(*each, [len(piece)], 0) for each, piece in zip(masked, pieces, strict=True)]
        plain = {
            "input_ids": ids,
            "labels": labels,
            "attention_mask": (np.arange(longest) < np.array([[len(p)] for p in pieces])).astype(int),
        }
        made.append(
            {
                "plain": {name: torch.from_numpy(value) for name, value in plain.items()},
                "lrl": Layout(vocabulary, "line", True, WIDTH)([blocks]),
                "tokens": sum(map(len, pieces)),
                "padded": ids.size,
            }
        )
    return made


def make_model(given: Any, device: torch.device) -> tuple[Any, AttachedMethod]:
    """Return XLM-R base's architecture with random weights and an adapter."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=250_002,
        num_hidden_layers=given.layers,
        max_position_embeddings=514,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = XLMRobertaForMaskedLM(config).train()
    attached = attach(model, FitConfig(lang="ro", method=given.method), ["x"], [0])
    return model.to(device), attached


def plain_step(model: Any, attached: AttachedMethod, device: torch.device) -> Callable[..., float]:
    """Return the plain step, whose rate is zero so that losses can be compared."""
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
    """Hold what does not train in bf16."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()


def our_steps(model: Any, attached: AttachedMethod, vocabulary: Vocabulary) -> Step:
    """Return the steps of this package, whose rate is zero too."""
    attention = probe_packing(model, "mlm", vocabulary.starts.size)
    weights = Weights(attached.parameters, 1, stacked=True)
    weights.optimizer(Rates(0.0, 0.0, 0.0))
    return Step(model, weights, attention)


def our_step(steps: Step, device: torch.device) -> Callable[..., float]:
    """Return the step of this package."""

    def step(batch: Batch) -> float:
        steps.accumulate(batch, torch.tensor(1.0 / batch.counts, dtype=torch.float32, device=device))
        return float(steps.update()[0])

    return step


def timed(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return the seconds that a call takes, and what it returns."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    result = function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, result


def products(function: Callable[[], Any]) -> Callable[[], None]:
    """Record the shapes of all matrix products of a call, and return a function that computes these alone.

    Attention is one fused operation: its products are counted as those of queries with keys and of weights with
    values, twice more of each in the backward pass.
    """
    recorded: list[tuple[Any, ...]] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            if name.rstrip("_") in PRODUCTS:
                one, other = args[-2:] if name.startswith(("addmm", "baddbmm")) else args[:2]
                recorded.append((one, other))
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
            for one, other in recorded:
                one @ other

    return replay


def report(
    batches: list[Any], found: dict[str, tuple[list[float], list[float]]], device: torch.device, given: Any
) -> None:
    """Print speeds, ratios and whether the losses agree."""
    times, losses = ({way: both[place] for way, both in found.items()} for place in (0, 1))
    tokens = [batch["tokens"] for batch in batches[1:]]
    speed = {way: sum(tokens) / sum(times[way]) for way in times}
    apart = {
        way: max(abs(one - other) for one, other in zip(losses["plain"], losses[way], strict=True))
        for way in ("lrl", "bf16")
        if way in losses
    }
    blocks = [batch["lrl"].tensors["input_ids"].numel() for batch in batches[1:]]
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}; {given.method}, {given.lines} lines a batch, {sum(tokens) / len(tokens):.0f} real tokens\n")
    print("| way | real tokens/s | seconds a step | padding | against plain |\n| --- | ---: | ---: | ---: | ---: |")
    padded = sum(batch["padded"] for batch in batches[1:])
    for way, laid_out in (("plain", padded), *((each, sum(blocks)) for each in apart)):
        seconds = statistics.median(times[way])
        padding, against = 1 - sum(tokens) / laid_out, speed[way] / speed["plain"]
        print(f"| {way} | {speed[way]:,.0f} | {seconds:.2f} | {padding:.1%} | {against:.2f} x |")
    print(f"| products of lrl alone | {speed['products']:,.0f} | {statistics.median(times['products']):.2f} | | |")
    floor = statistics.median(one / other for one, other in zip(times["lrl"], times["products"], strict=True))
    print(f"\nstep / its matrix products: {floor:.2f} (target at most 1.25)")
    print(f"speed against plain: {speed['lrl'] / speed['plain']:.2f} x (target at least 2.5)")
    for way, most in (("lrl", CLOSE), ("bf16", ROUGHLY)):
        told = f"{apart[way]:.1e} (at most {most:.0e})" if way in apart else "not timed: this processor is slower in it"
        print(f"largest difference of a loss, {way}: {told}")
    if apart["lrl"] > CLOSE or apart.get("bf16", 0.0) > ROUGHLY:
        raise SystemExit("the losses differ")


if __name__ == "__main__":
    main()
