"""Train and measure models of real sizes on this machine's GPU, in bf16 and in fp32, and compare.

    python tools/gpu_check.py [--small] [--steps 60]

A LLaMA of 135 million parameters and an encoder of XLM-R base's size, with random weights and lrl-mini's tokenizer, so
that nothing is fetched. Prints a row a run in Markdown, and exits with 1 where the two precisions end at losses that
differ by more than 0.02, or a run fails. Without a GPU it takes the same way on the CPU; --small makes that quick.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, XLMRobertaConfig, XLMRobertaForMaskedLM

from lrldata.build import build
from lrldata.config import load_config
from lrldata.progress import Progress
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.fit import device_name, fit
from lrltrain.models import mini_path
from lrltrain.scores import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET = Progress(quiet=True)
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
ENCODER = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
DECODER = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "intermediate_size": 1536}
RUNS = (("seq_bn_inv", "bf16"), ("seq_bn_inv", "fp32"), ("seq_bn", "bf16"), ("lora", "bf16"))
APART = 0.02  # nats, between the validation losses of bf16 and of fp32


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="models of two small layers")
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    print(f"{device_name()}, torch {torch.__version__}\n")
    print("| model | method | precision | loss before | loss after | perplexity | seconds |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as top:
        failed = check(Path(top), given.steps, small=given.small)
    sys.exit(failed)


def check(top: Path, steps: int, *, small: bool) -> bool:
    """Do all runs, and return whether one failed or two differ."""
    build(load_config(None, {"lang": "ro", "sample": True, "out": top / "ws", "cache": top / "cache"}), QUIET)
    tokenizer = AutoTokenizer.from_pretrained(mini_path())
    words = {"vocab_size": len(tokenizer)}
    models: dict[str, Callable[[], Any]] = {
        "decoder": lambda: LlamaForCausalLM(LlamaConfig(**words, **(SMALL if small else DECODER))),
        "encoder": lambda: XLMRobertaForMaskedLM(
            XLMRobertaConfig(**words, **(SMALL if small else ENCODER), max_position_embeddings=514)
        ),
    }
    failed = False
    for name, make in models.items():
        torch.manual_seed(1)
        make().save_pretrained(top / name)
        tokenizer.save_pretrained(top / name)
        losses = {run: train(top, name, *run, steps) for run in RUNS}
        failed |= not all(after < before for before, after in losses.values())
        failed |= abs(losses[RUNS[0]][1] - losses[RUNS[1]][1]) > APART
    return failed


def train(top: Path, name: str, method: str, precision: str, steps: int) -> tuple[float, float]:
    """Train and measure one adapter, print its row, and return the validation loss before and after."""
    data, out = str(top / "ws/datasets/ro/conceptnet"), top / f"{name}-{method}-{precision}"
    shared = {"base": str(top / name), "out": out, "precision": precision}
    flags = shared | {"lang": "ro", "method": method, "dataset": data, "cache": top / "cache", "steps": steps}
    sizes = {"batch_size": 16, "max_length": 128, "learning_rate": 1e-3, "eval_every": steps}
    began = time.perf_counter()
    made = fit(load_fit_config(None, flags | sizes), QUIET)
    seconds, trained = time.perf_counter() - began, made.manifest["trained"]
    asked = shared | {"adapter": [made.path], "data": data, "limit": 16, "resamples": 100}
    (score,) = evaluate(load_eval_config(None, asked), QUIET)
    before, after = trained["validation_loss_before"], trained["validation_loss"]
    row = (name, method, precision, f"{before:.3f}", f"{after:.3f}", f"{score.after.value:,.1f}", f"{seconds:.1f}")
    print(f"| {' | '.join(row)} |", flush=True)
    return before, after


if __name__ == "__main__":
    main()
