"""Compare the speed of pseudo-perplexity with a loop over single copies, on a random model the size of XLM-R base.

    python tools/benchmarks/bench_pppl.py TEXT [--sentences 8]

Both compute the paper's formula on the same sentences, including special tokens. The loop masks one position, runs the
model on this single copy and computes the loss over all logits, like the paper's script. The values must agree to 1e-4.
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

import torch
from bench_fit import read_lines
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from lrltrain.evaluation.pseudo_perplexity import likelihoods
from lrltrain.models import find_base, load_tokenizer

CLOSE = 1e-4


def main() -> None:
    """Time both, check that they agree, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="text in any language, one sentence per line")
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--words", type=int, default=12, help="cut sentences after this number of words")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    sentences = [" ".join(line.split()[: args.words]) for line in read_lines(args.text)[: args.sentences]]
    torch.manual_seed(0)
    config = XLMRobertaConfig(vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1)
    model: Any = XLMRobertaForMaskedLM(config).eval().to(device)
    loop(model, tokenizer, sentences[:1], device)  # warm-up
    began = time.perf_counter()
    expected = loop(model, tokenizer, sentences, device)
    loop_seconds = time.perf_counter() - began
    began = time.perf_counter()
    scored = likelihoods(model, tokenizer, sentences, "mlm", formula="paper", max_length=256)
    seconds = time.perf_counter() - began
    computed = (-scored.log_likelihood / scored.tokens).tolist()
    difference = max(abs(first - second) for first, second in zip(expected, computed, strict=True))
    copies = int(scored.tokens.sum())
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{name}; {len(sentences)} sentences, {copies} masked copies, {copies / len(sentences):.0f} tokens/sentence\n"
    )
    print("| method | copies/s | relative speed |\n| --- | ---: | ---: |")
    print(f"| one copy at a time | {copies / loop_seconds:.2f} | 1.00 x |")
    print(f"| lrl, fp32 | {copies / seconds:.2f} | {loop_seconds / seconds:.2f} x |")
    if device.type == "cuda":
        more_sentences = sentences * 16
        began = time.perf_counter()
        likelihoods(model, tokenizer, more_sentences, "mlm", formula="paper", max_length=256, precision="bf16")
        copies_per_second = 16 * copies / (time.perf_counter() - began)
        print(f"| lrl, bf16 | {copies_per_second:.2f} | {copies_per_second * loop_seconds / copies:.2f} x |")
    print(f"\nlargest difference in a sentence's mean log-likelihood: {difference:.1e} (at most {CLOSE:.0e})")
    if difference > CLOSE:
        raise SystemExit("the values differ")


@torch.no_grad()
def loop(model: Any, tokenizer: Any, sentences: list[str], device: torch.device) -> list[float]:
    """Return the mean loss of each sentence, masking one position at a time, one copy per forward pass."""
    means = []
    for sentence in sentences:
        ids = tokenizer(sentence, return_tensors="pt")["input_ids"].to(device)
        losses = []
        for position in range(ids.shape[1]):
            copy, labels = ids.clone(), torch.full_like(ids, -100)
            copy[0, position] = tokenizer.mask_token_id
            labels[0, position] = ids[0, position]
            losses.append(model(input_ids=copy, labels=labels).loss.item())
        means.append(math.fsum(losses) / len(losses))
    return means


if __name__ == "__main__":
    main()
