"""Speed of pseudo-perplexity against the loop of one copy at a time, with a random model of XLM-R base's size.

    python tools/benchmarks/bench_pppl.py TEXT [--sentences 8]

Both compute the paper's formula on the same sentences, special tokens asked for too: the loop masks a position, runs
the model on that one copy and takes the loss of all its logits, as the paper's script does. Values must be equal to
1e-4.
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
    """Time both, check that they agree, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="a text of any language, a sentence per line")
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--words", type=int, default=12, help="sentences are cut after so many words")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    sentences = [" ".join(line.split()[: given.words]) for line in read_lines(given.text)[: given.sentences]]
    torch.manual_seed(0)
    config = XLMRobertaConfig(vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1)
    model: Any = XLMRobertaForMaskedLM(config).eval().to(device)
    loop(model, tokenizer, sentences[:1], device)  # warms up
    began = time.perf_counter()
    plain = loop(model, tokenizer, sentences, device)
    loop_seconds = time.perf_counter() - began
    began = time.perf_counter()
    measured = likelihoods(model, tokenizer, sentences, "mlm", formula="paper", max_length=256)
    seconds = time.perf_counter() - began
    ours = (-measured.log_likelihood / measured.tokens).tolist()
    apart = max(abs(one - other) for one, other in zip(plain, ours, strict=True))
    copies = int(measured.tokens.sum())
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{name}; {len(sentences)} sentences, {copies} masked copies, {copies / len(sentences):.0f} tokens a sentence\n"
    )
    print("| way | copies/s | against the loop |\n| --- | ---: | ---: |")
    print(f"| one copy at a time | {copies / loop_seconds:.2f} | 1.00 x |")
    print(f"| lrl, fp32 | {copies / seconds:.2f} | {loop_seconds / seconds:.2f} x |")
    if device.type == "cuda":
        many = sentences * 16
        began = time.perf_counter()
        likelihoods(model, tokenizer, many, "mlm", formula="paper", max_length=256, precision="bf16")
        fast = 16 * copies / (time.perf_counter() - began)
        print(f"| lrl, bf16 | {fast:.2f} | {fast * loop_seconds / copies:.2f} x |")
    print(f"\nlargest difference of a sentence's mean log-likelihood: {apart:.1e} (at most {CLOSE:.0e})")
    if apart > CLOSE:
        raise SystemExit("the values differ")


@torch.no_grad()
def loop(model: Any, tokenizer: Any, sentences: list[str], device: torch.device) -> list[float]:
    """Return each sentence's mean loss, masking one position after the other, one copy at a time."""
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
