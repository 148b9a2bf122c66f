"""Speed of whole loops on a GPU: training with its host side, typical training, pseudo-perplexity. For gpu_check.py.

The plain loop is one as most people write it: hooks, lines padded to the longest, all logits, eager, fp32. It trains on
the same lines as the steps of gpu_speed.py. The whole loop is that of `lrltrain fit`, which also makes each batch.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_timing import LINES, lengths_of, median, print_header, print_row
from torch.nn import functional

from lrltrain.config import FitConfig
from lrltrain.evaluation.pseudo_perplexity import Copies, sums
from lrltrain.methods import attach
from lrltrain.models import find_base, load_tokenizer, word_starts
from lrltrain.modules.insert import AdapterStack, take_out
from lrltrain.training.batches import VALIDATION_SEED, Blocks, Layout, Masking, Vocabulary
from lrltrain.training.corpus import Corpus, Counts
from lrltrain.training.loop import Loop, Member, Schedule
from lrltrain.training.packing import probe_packing
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

SENTENCE = 36  # tokens


def plain_step(make: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """Time a step of one adapter in the plain loop."""
    torch.manual_seed(0)
    model = make()
    model.train()
    attached = attach(model, FitConfig(lang="ro", method="seq_bn_inv"), ["x"], [0])
    parameters = [parameter for _, parameter in attached.parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    generator = torch.Generator().manual_seed(0)
    lengths = torch.from_numpy(lengths_of(0))
    ids = torch.randint(5, model.config.vocab_size, (len(lengths), int(lengths.max())), generator=generator)
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
    labels = ids.where((torch.rand(ids.shape, generator=generator) < 0.15) & (mask == 1), -100)

    def run() -> None:
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        model(**{name: value.to(device) for name, value in batch.items()}).loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    seconds = median(run, device)
    return print_row("XLM-R base, plain loop", "seq_bn_inv", 1, "fp32", seconds, None, None)


def loop_step(make: Callable[[], Any], device: torch.device, count: int, *, small: bool) -> dict[str, Any]:
    """Time a step of `count` adapters in the loop of a fit, from the difference of two runs that validate equally."""
    torch.manual_seed(0)
    model = make()
    model.to(torch.bfloat16)
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    vocabulary = Vocabulary.of(tokenizer, word_starts(tokenizer))
    attention = probe_packing(model, "mlm", model.config.vocab_size)
    names = [str(number) for number in range(count)]
    config = FitConfig.model_validate({"lang": "ro", "method": "seq_bn_inv"})
    lasted = []
    runs = (2, 2, 12) if small else (20, 20, 120)  # the first one loads kernels
    for steps in runs:
        attached = attach(model, config, names, list(range(count)))
        weights = Weights(attached.parameters, count, stacked=isinstance(attached.stack, AdapterStack))
        step = Step(model, weights, attention, graphs=device.type == "cuda")
        layout = Layout(vocabulary, "line", attention.separates_segments, 256, static=True)
        schedule = Schedule(steps, steps, LINES, LINES, 1, Rates(1e-4, 0.05, 0.01))
        with tempfile.TemporaryDirectory() as folder:
            members = [
                Member(name, *(_blocks(number, vocabulary, kept=kept) for kept in (False, True)), Path(folder, name))
                for number, name in enumerate(names)
            ]
            began = time.perf_counter()
            Loop(members, step, layout, schedule).run()
            lasted.append(time.perf_counter() - began)
        step.release()
        take_out(model)
    seconds = (lasted[-1] - lasted[-2]) / (runs[-1] - runs[-2])
    return print_row("XLM-R base, whole loop", "seq_bn_inv", count, "bf16", seconds, None, None)


def _blocks(seed: int, vocabulary: Vocabulary, *, kept: bool) -> Blocks:
    """Return blocks of one line each, of random tokens: 2,000 for training, and 16 for validation, which are `kept`."""
    batches = 1 if kept else 125
    generator = np.random.default_rng((seed, kept))
    lengths = np.concatenate([lengths_of(seed + number) for number in range(batches)])
    tokens = generator.integers(5, len(vocabulary.starts) - 1, int(lengths.sum())).astype(np.uint16)
    offsets, count = np.concatenate([[0], np.cumsum(lengths)]), len(lengths)
    corpus = Corpus(tokens, offsets, np.arange(count + 1), Counts(count, count, count))
    return Blocks(corpus, vocabulary, Masking("mlm"), VALIDATION_SEED if kept else seed, kept=kept)


def pseudo_perplexity(make: Callable[[], Any], device: torch.device, *, small: bool) -> dict[str, Any]:
    """Compare the masked copies per second of `lrltrain eval`, in fp32 and bf16, and of a loop over single copies."""
    model = make().eval()
    words = model.config.vocab_size
    sentences = 2 if small else 114
    generator = np.random.default_rng(0)
    positions = np.arange(1, SENTENCE - 1)
    asked = [Copies(generator.integers(5, words, SENTENCE), positions, positions + 1) for _ in range(sentences)]
    ids = torch.from_numpy(np.stack([sentence.ids for sentence in asked])).to(device)

    @torch.inference_mode()
    def single_copies() -> None:
        for place in range(1, 9):
            logits = model(input_ids=ids[:1]).logits[0, place]
            float(functional.log_softmax(logits, dim=-1)[ids[0, place]])

    rates = {"one_at_a_time": 8 / median(single_copies, device, rounds=3)}
    copies = sentences * len(positions)
    for precision in ("fp32", "bf16"):
        run = lambda: sums(model, asked, "mlm", mask=4, pad=1, precision=precision)  # noqa: B023, E731
        rates[precision] = copies / median(run, device, rounds=3)
    ratios = [
        f"{rates[name]:,.0f} in {name} ({rates[name] / rates['one_at_a_time']:.0f} x)" for name in ("fp32", "bf16")
    ]
    single = f"{rates['one_at_a_time']:,.0f} copies/s one at a time (fp32)"
    print(f"\nPseudo-perplexity: {single}; {' and '.join(ratios)} as `lrltrain eval` computes it.\n")
    print_header()
    return {"pseudo_perplexity": rates}
