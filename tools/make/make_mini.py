"""Train lrl-mini, the small base model of the demo and the tests: an XLM-R with 1.9 million parameters.

    python tools/make/make_mini.py ../shared/data/text OUT --minutes 15

Reads `TEXT/LANG_Script/*.txt` (one sentence, verse or paragraph per line) and trains a SentencePiece unigram
vocabulary, then the model by masked language modelling (Devlin et al. 2019; XLM-R: Conneau et al. 2020) with Muon
(Jordan et al. 2024), which needs fewer steps. Romanian, Bulgarian, Maltese and Uyghur are excluded so that adapters
have a language to learn. Their letters are in the vocabulary, because XLM-R's vocabulary has nearly every letter too,
but the model has seen no text in these languages. The weights are stored in half precision.
"""

import argparse
import hashlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import sentencepiece
import torch
from sampled_text import NOT_TEXT
from tokenizers import Tokenizer
from transformers import AutoConfig, PreTrainedTokenizerBase, XLMRobertaForMaskedLM, XLMRobertaTokenizerFast
from transformers.convert_slow_tokenizer import XLMRobertaConverter

from lrltrain.artifact import save_model

EXCLUDED = {"ron_Latn", "bul_Cyrl", "mlt_Latn", "uig_Arab"}
BYTES_PER_LANGUAGE = 3_000_000  # a limit, so that Danish and Sundanese do not dominate Uzbek
PIECES = 8_000
TOKENS_PER_BATCH = 8_192
LONGEST = 256
MASKED = 0.15
VECTOR_RATE, MATRIX_RATE = 4e-3, 0.02  # learning rates: AdamW for embeddings and vectors, Muon for the layers' matrices


def main() -> None:
    """Train the vocabulary and the model, and write them with a record of their sources."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0, help="training time")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = random.Random(args.seed)

    files = sorted(path for path in args.text.glob("*/*.txt") if path.name not in NOT_TEXT)
    training_files = [path for path in files if path.parent.name not in EXCLUDED]
    lines = {path: path.read_text("utf-8").split("\n") for path in files}
    corpus = list(balanced({path: lines[path] for path in training_files}, generator))
    letters = {letter for path in files if path.parent.name in EXCLUDED for letter in frequent(lines[path])}

    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(corpus, "".join(sorted(letters)), args.out)
    config = AutoConfig.for_model(
        "xlm-roberta",
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=LONGEST + 2,
        type_vocab_size=1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    model = XLMRobertaForMaskedLM(config)
    tokens, losses = train(model, tokenizer, corpus, args.minutes * 60, generator)
    save_model(model.half(), args.out)
    finish(args.out, training_files, tokens, losses, args)


def balanced(lines: dict[Path, list[str]], generator: random.Random) -> Iterator[str]:
    """Yield lines of each language in random order, up to BYTES_PER_LANGUAGE of each."""
    by_language: dict[str, list[str]] = {}
    for path, text_lines in lines.items():
        by_language.setdefault(path.parent.name, []).extend(line.strip() for line in text_lines if line.strip())
    for language in sorted(by_language):
        bytes_left = BYTES_PER_LANGUAGE
        pool = by_language[language]
        generator.shuffle(pool)
        for line in pool:
            if (bytes_left := bytes_left - len(line.encode())) < 0:
                break
            yield line


def frequent(lines: list[str]) -> set[str]:
    """Return the letters that occur at least 20 times in a text."""
    text = "".join(lines)
    return {letter for letter in set(text) if letter.isalpha() and text.count(letter) >= 20}


def make_tokenizer(corpus: list[str], letters: str, out: Path) -> PreTrainedTokenizerBase:
    """Train a SentencePiece vocabulary and convert it to XLM-R's fast tokenizer."""
    prefix = out / "sentencepiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_prefix=str(prefix),
        vocab_size=PIECES,
        model_type="unigram",
        character_coverage=0.9995,
        required_chars=letters,
        input_sentence_size=150_000,
        shuffle_input_sentence=True,
        minloglevel=1,
    )
    # transformers 5 no longer reads vocab_file in the constructor, so its converter is called directly.
    source = SimpleNamespace(vocab_file=f"{prefix}.model", convert_tokens_to_ids={"<s>": 0, "</s>": 2}.__getitem__)
    tokenizer = XLMRobertaTokenizerFast(
        tokenizer_object=XLMRobertaConverter(source).converted(), model_max_length=LONGEST
    )
    tokenizer.save_pretrained(out)
    for leftover in (prefix.with_suffix(".model"), prefix.with_suffix(".vocab"), out / "sentencepiece.bpe.model"):
        leftover.unlink(missing_ok=True)  # tokenizer.json contains everything
    assert Tokenizer.from_file(str(out / "tokenizer.json")).get_vocab_size() == len(tokenizer) == PIECES + 2
    return tokenizer


def train(
    model: XLMRobertaForMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    corpus: list[str],
    seconds: float,
    generator: random.Random,
) -> tuple[int, list[float]]:
    """Train for `seconds` with a learning rate that decays to zero. Return the tokens seen and the loss per minute."""
    matrices = [parameter for parameter in model.roberta.encoder.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in model.parameters() if not any(parameter is matrix for matrix in matrices)]
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [
        (torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.0), MATRIX_RATE),
        (torch.optim.AdamW(others, lr=VECTOR_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True), VECTOR_RATE),
    ]
    noise = np.random.default_rng(generator.getrandbits(32))
    encoded = tokenizer(corpus, truncation=True, max_length=LONGEST)["input_ids"]
    print(f"{len(corpus):,} lines, {sum(map(len, encoded)):,} tokens", flush=True)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # one or two passes over the text cannot overfit
    began, seen, losses, recent = time.perf_counter(), 0, [], []
    step = 0
    while True:
        for batch in batches(encoded, generator):
            elapsed = (time.perf_counter() - began) / seconds
            if elapsed >= 1:
                return seen, losses
            for optimizer, peak in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = peak * min(1.0, (step + 1) / 100) * (1 - elapsed)
            inputs, labelled, original = mask(batch, tokenizer, noise)
            hidden = model.roberta(inputs, attention_mask=inputs.ne(tokenizer.pad_token_id))[0]
            loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[labelled]), original[labelled])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, _ in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            seen, step = seen + sum(map(len, batch)), step + 1
            recent.append(loss.item())
            if elapsed * seconds / 60 >= len(losses) + 1:
                losses.append(round(sum(recent) / len(recent), 3))
                recent = []
                print(f"step {step}: {seen:,} tokens, loss {losses[-1]}", flush=True)


def mask(
    batch: list[list[int]], tokenizer: PreTrainedTokenizerBase, noise: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the masked input, the mask of labelled positions and the original, each of shape (lines, length)."""
    longest = max(map(len, batch))
    ids = np.full((len(batch), longest), tokenizer.pad_token_id)
    for row, line in enumerate(batch):
        ids[row, : len(line)] = line
    original = ids.copy()
    selected = (noise.random(ids.shape) < MASKED) & (ids > tokenizer.unk_token_id)
    roll = noise.random(ids.shape)
    ids[selected & (roll < 0.8)] = tokenizer.mask_token_id
    randomized = selected & (roll >= 0.9)
    ids[randomized] = noise.integers(4, tokenizer.mask_token_id, size=int(randomized.sum()))
    return torch.from_numpy(ids), torch.from_numpy(selected), torch.from_numpy(original)


def batches(encoded: list[list[int]], generator: random.Random) -> Iterator[list[list[int]]]:
    """Yield one pass over the lines, in batches of lines of similar length with about TOKENS_PER_BATCH tokens."""
    order = sorted(range(len(encoded)), key=lambda line: len(encoded[line]) + generator.random())
    grouped: list[list[list[int]]] = [[]]
    for line in order:
        if len(grouped[-1]) * len(encoded[line]) > TOKENS_PER_BATCH:
            grouped.append([])
        grouped[-1].append(encoded[line])
    generator.shuffle(grouped)
    yield from grouped


def finish(out: Path, files: list[Path], tokens: int, losses: list[float], args: argparse.Namespace) -> None:
    """Write the sources of the model, and set the precision in its configuration to the one to load it in."""
    settings = json.loads((out / "config.json").read_text("utf-8"))
    settings["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    sources = {
        "id": "lrl-mini",
        "tool": "tools/make/make_mini.py",
        "seed": args.seed,
        "minutes": args.minutes,
        "tokens": tokens,
        "loss_a_minute": losses,
        "text": {
            f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files
        },
    }
    (out / "made_from.json").write_text(json.dumps(sources, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
