"""Speed of training and evaluation on a GPU: milliseconds per step with K adapters, and the lower limit.

Used by tools/gpu_check.py. Measures a model the size of XLM-R base with random weights and 250,002 words, with 16 lines
of 48 tokens on average per adapter and step, as in the paper; task adapters with one and three seeds on it; and LLaMAs
with 135 million and, if memory allows, 8 billion weights. `floor` is the time of only the matrix products of a step, at
the speed of one large product on this device. `plain loop` and `whole loop` are in gpu_loops.py.
"""

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from gpu_loops import loop_step, plain_step, pseudo_perplexity
from gpu_tasks import task_speed
from gpu_timing import lengths_of, median, print_header, print_row
from transformers import LlamaConfig, LlamaForCausalLM, XLMRobertaConfig, XLMRobertaForMaskedLM

from lrltrain.config import FitConfig, Objective
from lrltrain.methods import attach
from lrltrain.models import find_base, load_tokenizer, word_starts
from lrltrain.modules.families import family_of, layers_of
from lrltrain.modules.insert import AdapterStack
from lrltrain.training.batches import Batch, Block, Layout, Masking, Vocabulary
from lrltrain.training.packing import probe_packing
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
LLAMA = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
LARGE = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
LEFT = 15.0  # seconds that a measurement may take; none starts with less time left


def measure(until: float, *, small: bool) -> Iterator[dict[str, Any]]:
    """Run the measurements that can start in time; print and yield the row of each."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = operations_per_second(device, 512 if small else 8_192)
    print(f"One large matrix product: {rate / 1e12:.3g} TFLOP/s.\n")
    print_header()
    encoder = make_encoder(small)
    llama = lambda: make_llama(LLAMA, 1_536, 49_152, small=small)  # noqa: E731
    runs: list[tuple[str, Any, str, int, bool]] = [
        ("XLM-R base", encoder, "seq_bn_inv", count, False) for count in (1, 16, 30, 4)
    ]
    if device.type == "cuda" and not small and torch.cuda.mem_get_info()[0] > 40 * 2**30:
        large = lambda: make_llama(LARGE, 14_336, 128_256, small=False)  # noqa: E731
        runs += [("LLaMA 8B", large, "seq_bn_inv", 1, False)]
    runs += [("XLM-R base", encoder, method, count, False) for method in ("seq_bn", "lora") for count in (1, 16)]
    runs += [("XLM-R base", encoder, "full", 1, False)]
    runs += [("LLaMA 135M", llama, "seq_bn_inv", count, False) for count in (1, 16)]
    runs += [("XLM-R base", encoder, "seq_bn_inv", count, True) for count in (16, 1)]
    runs += [("LLaMA 135M", llama, "seq_bn_inv", 1, True)]
    skipped = 0
    for name, make, method, count, compiled in runs:
        if time.monotonic() + LEFT > until:
            skipped += 1
            continue
        yield guarded(lambda: one_step(name, make, method, count, device, rate, compiled=compiled))  # noqa: B023
        if (method, count, compiled) == ("seq_bn_inv", 30, False):
            yield guarded(lambda: plain_step(encoder, device))
            for adapters in (1, 16):
                yield guarded(lambda: loop_step(encoder, device, adapters, small=small))  # noqa: B023
            yield guarded(lambda: pseudo_perplexity(encoder, device, small=small))
            items = 64 if small else 1_024
            for seeds, graphs in ((1, False), (1, True), (3, True)):
                yield guarded(lambda: task_speed(without_head(encoder), device, items, seeds, graphs=graphs))  # noqa: B023
    if skipped:
        print(f"\nThe time limit was reached; {skipped} of {len(runs)} kinds of steps were not measured.")


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
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
    label = f"{name}, compiled" if compiled else name
    return print_row(label, method, count, "bf16", seconds, floor, memory)


def lines(count: int, words: int, objective: Objective, separates_segments: bool) -> Batch:
    """Return a batch with the lines of each adapter, laid out like `line` batching on a GPU."""
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    vocabulary = Vocabulary.of(tokenizer, word_starts(tokenizer))
    generator = np.random.default_rng(0)
    highest = min(words, len(vocabulary.starts)) - 1

    def line(length: int) -> Block:
        ids, labels = Masking(objective).apply(
            generator.integers(5, highest, length), vocabulary, generator, at_least_one=True
        )
        return Block(ids, labels, [length], 0)

    groups = [[line(int(length)) for length in lengths_of(number)] for number in range(count)]
    return Layout(vocabulary, "line", separates_segments, 256, static=True)(groups)


def layers_weights(model: Any) -> Iterator[torch.Tensor]:
    """Yield the weight matrices of the layers, which are multiplied with every token."""
    for _, layer in layers_of(model, family_of(model)):
        yield from (parameter for parameter in layer.parameters() if parameter.ndim == 2)


def operations_per_second(device: torch.device, size: int) -> float:
    """Return the floating-point operations per second of one large product in bf16 (fp32 on a CPU)."""
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)
    return 2 * size**3 / median(lambda: matrix @ matrix, device)


def name_of_device() -> str:
    """Return the name of the GPU, or the CPU's number of threads if there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
