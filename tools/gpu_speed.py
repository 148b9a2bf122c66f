"""Speed of training and evaluation on a GPU: milliseconds per step with K adapters, and the lower limit.

Used by tools/gpu_check.py. Measures a model the size of XLM-R base with random weights and 250,002 words, with 16 lines
of 48 tokens per adapter and step, as in the paper; task adapters with one and three seeds on it; and LLaMAs with 135
million and, if memory allows, 8 billion weights. `floor` is the time of only the matrix products of a step, at the
speed of one large product on this device. `plain` is a typical training loop: hooks, padded lines, all logits, eager,
fp32.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from gpu_tasks import task_speed
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, XLMRobertaConfig, XLMRobertaForMaskedLM

from lrltrain.config import FitConfig, Objective
from lrltrain.methods import attach
from lrltrain.models import find_base, load_tokenizer, word_starts
from lrltrain.modules.families import family_of, layers_of
from lrltrain.modules.insert import AdapterStack
from lrltrain.training.batches import Batch, Block, Layout, Masking, Vocabulary
from lrltrain.training.loss import LabelledHead
from lrltrain.training.packing import probe_packing
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
LLAMA = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
LARGE = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
LINES, LENGTH, ROUNDS = 16, 48, 20
LEFT = 15.0  # seconds that a measurement may take; none starts with less time left


def measure(until: float, *, small: bool) -> Iterator[dict[str, Any]]:
    """Run the measurements that can start in time; print and yield the row of each."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = operations_per_second(device, 512 if small else 8_192)
    print(f"One large matrix product: {rate / 1e12:.3g} TFLOP/s.\n")
    print("| model | method | K | precision | ms per step | ms per step and adapter | floor | GB |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |", flush=True)
    encoder = make_encoder(small)
    runs: list[tuple[str, Any, str, int, bool]] = [
        ("XLM-R base", encoder, "seq_bn_inv", count, compiled)
        for count, compiled in ((1, False), (16, False), (30, False), (4, False), (16, True), (1, True))
    ]
    runs += [("XLM-R base", encoder, method, count, False) for method in ("seq_bn", "lora") for count in (1, 16)]
    runs += [("XLM-R base", encoder, "full", 1, False)]
    runs += [
        ("LLaMA 135M", lambda: make_llama(LLAMA, 1_536, 49_152, small=small), "seq_bn_inv", count, compiled)
        for count, compiled in ((1, False), (16, False), (1, True))
    ]
    for name, make, method, count, compiled in runs:
        if time.monotonic() + LEFT > until:
            print("\nThe time limit was reached; some measurements were skipped.")
            return
        yield guarded(lambda: one_step(name, make, method, count, device, rate, compiled=compiled))  # noqa: B023
        if (method, count, compiled) == ("seq_bn_inv", 30, False):
            yield guarded(lambda: plain_step(encoder, device))
            yield guarded(lambda: pseudo_perplexity(encoder, device, small=small))
            items = 64 if small else 1_024
            for seeds, graphs in ((1, False), (1, True), (3, True)):
                yield guarded(lambda: task_speed(without_head(encoder), device, items, seeds, graphs=graphs))  # noqa: B023
    if (
        device.type == "cuda"
        and not small
        and torch.cuda.mem_get_info()[0] > 40 * 2**30
        and time.monotonic() + 60 < until
    ):
        make = lambda: make_llama(LARGE, 14_336, 128_256, small=False)  # noqa: E731
        yield guarded(lambda: one_step("LLaMA 8B", make, "seq_bn_inv", 1, device, rate))


def guarded(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run one measurement and return its row; if it fails, print the error and return it as the row."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 -- one failure must not stop the other measurements
        message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(f"| failed | {message} |", flush=True)
        return {"failed": message}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def make_encoder(small: bool) -> Callable[[], Any]:
    """Return a function that creates a model the size of XLM-R base on the device."""
    sizes = TINY if small else BASE
    config = XLMRobertaConfig(
        vocab_size=8_002 if small else 250_002,
        max_position_embeddings=514,
        type_vocab_size=1,
        **sizes,
    )

    def make() -> Any:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            return XLMRobertaForMaskedLM(config)

    return make


def without_head(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that creates the model without its language modelling head."""
    return lambda: make().base_model


def make_llama(sizes: dict[str, int], inner: int, words: int, *, small: bool) -> Any:
    """Return a LLaMA with random bf16 weights on the device."""
    config = (
        LlamaConfig(vocab_size=8_002, **TINY)
        if small
        else LlamaConfig(vocab_size=words, intermediate_size=inner, **sizes)
    )
    default_dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            return LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(default_dtype)


def one_step(
    name: str,
    make: Callable[[], Any],
    method: str,
    count: int,
    device: torch.device,
    rate: float,
    *,
    compiled: bool = False,
) -> dict[str, Any]:
    """Time a step of `count` adapters in bf16."""
    torch.manual_seed(0)
    model = make()
    objective: Objective = "clm" if "LLaMA" in name else "mlm"
    if method != "full":
        model.to(torch.bfloat16)
    model.train()
    config = FitConfig.model_validate({"lang": "ro", "method": method})
    words = model.config.vocab_size
    attention = probe_packing(model, objective, words)  # before attaching adapters, as each needs its own rows
    attached = attach(model, config, [str(number) for number in range(count)], list(range(count)))
    weights = Weights(attached.parameters, count, stacked=isinstance(attached.stack, AdapterStack))
    weights.optimizer(Rates(1e-4, 0.05, 0.01))
    half = torch.bfloat16 if method == "full" else None
    step = Step(model, weights, attention, autocast=half, graphs=device.type == "cuda")
    if compiled:
        for _, layer in layers_of(model, family_of(model)):
            layer.compile()
    batch = lines(count, words, objective, attention.separates_segments)
    shares = torch.from_numpy(1.0 / batch.counts).float().to(device)
    weights.set_rate(1e-4)

    def run() -> None:
        step.accumulate(batch, shares)
        step.update()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = median(run, device)
    step.release()
    inner = sum(parameter.numel() for parameter in layers_weights(model))
    head = words * model.config.hidden_size
    passes = 6 if method == "full" else 4  # operations per weight and token: two forward, twice that backward
    floor = (passes * inner * batch.tokens + passes * head * int(batch.counts.sum())) / rate
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    label = f"{name}, compiled" if compiled else name
    return print_row(label, method, count, "bf16", seconds, floor, memory)


def plain_step(make: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """Time a step of one adapter in a typical training loop: hooks, padded lines, all logits, eager, fp32."""
    torch.manual_seed(0)
    model = make()
    model.train()
    attached = attach(model, FitConfig(lang="ro", method="seq_bn_inv"), ["x"], [0])
    parameters = [parameter for _, parameter in attached.parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, model.config.vocab_size, (LINES, 2 * LENGTH), generator=generator)
    labels = ids.where(torch.rand(ids.shape, generator=generator) < 0.15, -100)
    mask = (torch.arange(2 * LENGTH)[None] < torch.linspace(16, 80, LINES).long()[:, None]).long()

    def run() -> None:
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        model(**{name: value.to(device) for name, value in batch.items()}).loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return print_row("XLM-R base, plain loop", "seq_bn_inv", 1, "fp32", median(run, device), None, 0.0)


def pseudo_perplexity(make: Callable[[], Any], device: torch.device, *, small: bool) -> dict[str, Any]:
    """Compare the masked copies per second of `lrltrain eval`'s method and of a loop over single copies."""
    model = make().eval()
    words, length = model.config.vocab_size, 36
    copies = 64 if small else 4_096
    ids = torch.randint(5, words, (copies, length), device=device)
    positions = torch.arange(copies, device=device) * length + length // 2

    @torch.inference_mode()
    def single_copies() -> None:
        for number in range(8):
            logits = model(input_ids=ids[number : number + 1]).logits[0, length // 2]
            float(functional.log_softmax(logits, dim=-1)[ids[number, length // 2]])

    slow = median(single_copies, device, rounds=3) / 8
    model.to(torch.bfloat16 if device.type == "cuda" else torch.float32)
    head = LabelledHead(model)

    @torch.inference_mode()
    def batched() -> None:
        with head.at(positions):
            hidden = model(input_ids=ids).logits[0]
        head.losses(hidden, ids.flatten()[positions]).sum().item()

    fast = median(batched, device, rounds=5) / copies
    head.release()
    summary = f"{1 / slow:,.0f} copies/s one at a time, {1 / fast:,.0f} in batches: {slow / fast:.0f} x"
    print(f"\nPseudo-perplexity: {summary}.\n")
    print("| model | method | K | precision | ms per step | ms per step and adapter | floor | GB |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |", flush=True)
    return {
        "pseudo_perplexity": {
            "one_at_a_time": 1 / slow,
            "in_batches": 1 / fast,
            "ratio": slow / fast,
        }
    }


def lines(count: int, words: int, objective: Objective, separates_segments: bool) -> Batch:
    """Return a batch with LINES lines of LENGTH tokens per adapter, laid out like `line` batching on a GPU."""
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    vocabulary = Vocabulary.of(tokenizer, word_starts(tokenizer))
    generator = np.random.default_rng(0)
    highest = min(words, len(vocabulary.starts)) - 1

    def line() -> Block:
        ids, labels = Masking(objective).apply(
            generator.integers(5, highest, LENGTH), vocabulary, generator, at_least_one=True
        )
        return Block(ids, labels, [LENGTH], 0)

    groups = [[line() for _ in range(LINES)] for _ in range(count)]
    return Layout(vocabulary, "line", separates_segments, 256, static=True)(groups)


def layers_weights(model: Any) -> Iterator[torch.Tensor]:
    """Yield the weight matrices of the layers, which are multiplied with every token."""
    for _, layer in layers_of(model, family_of(model)):
        yield from (parameter for parameter in layer.parameters() if parameter.ndim == 2)


def median(run: Callable[[], None], device: torch.device, rounds: int = ROUNDS) -> float:
    """Return the median time of a call in seconds, after three warm-up calls."""
    for _ in range(3):
        run()
    durations = []
    for _ in range(rounds if device.type == "cuda" else 3):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def operations_per_second(device: torch.device, size: int) -> float:
    """Return the floating-point operations per second of one large product in bf16 (fp32 on a CPU)."""
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)
    return 2 * size**3 / median(lambda: matrix @ matrix, device)


def print_row(
    name: str, method: str, count: int, precision: str, seconds: float, floor: float | None, memory: float
) -> dict[str, Any]:
    """Print a row and return it."""
    limit = "" if floor is None else f"{floor / count * 1e3:.2f}"
    print(
        f"| {name} | {method} | {count} | {precision} | {seconds * 1e3:.2f} | {seconds / count * 1e3:.2f} | {limit} "
        f"| {memory:.1f} |",
        flush=True,
    )
    row = {"model": name, "method": method, "k": count, "precision": precision, "ms_a_step": seconds * 1e3}
    return row | {"ms_an_adapter": seconds / count * 1e3, "floor_ms": floor and floor / count * 1e3, "gb": memory}


def name_of_device() -> str:
    """Return the name of the GPU, or the CPU's number of threads if there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
