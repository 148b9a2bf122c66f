"""Make lrl-mini, the small base model of the demo and the tests: an XLM-R of 1.9 million parameters.

    python tools/make/make_mini.py ../shared/data/text OUT --minutes 15

Reads `TEXT/LANG_Script/*.txt` (one sentence, verse or paragraph a line), trains a SentencePiece unigram vocabulary and
then the model by masked language modelling (Devlin et al. 2019; XLM-R: Conneau et al. 2020), with Muon (Jordan et al.
2024), which needs fewer steps. Romanian, Bulgarian, Maltese and Uyghur are left out, so that an adapter has a language
to teach; their letters are in the vocabulary, as XLM-R too has nearly every letter, but the model has not seen them in
use. The weights are stored in half precision.
"""

import argparse
import hashlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, PreTrainedTokenizerBase, XLMRobertaForMaskedLM, XLMRobertaTokenizerFast

from lrltrain.artifact import save_model

LEFT_OUT = {"ron_Latn", "bul_Cyrl", "mlt_Latn", "uig_Arab"}
NOT_TEXT = {"thuyg20_latin.txt"}
BYTES_A_LANGUAGE = 3_000_000  # so that Danish and Sundanese do not crowd out Uzbek
PIECES = 8_000
TOKENS_A_BATCH = 8_192
LONGEST = 256
MASKED = 0.15
RATE, MATRIX_RATE = 4e-3, 0.02  # of AdamW for embeddings and vectors, of Muon for the layers' matrices


def main() -> None:
    """Train vocabulary and model, and write them with a note of what they were made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0, help="training time")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    draw = random.Random(given.seed)

    files = sorted(path for path in given.text.glob("*/*.txt") if path.name not in NOT_TEXT)
    trained_on = [path for path in files if path.parent.name not in LEFT_OUT]
    lines = {path: path.read_text("utf-8").split("\n") for path in files}
    corpus = list(balanced({path: lines[path] for path in trained_on}, draw))
    letters = {letter for path in files if path.parent.name in LEFT_OUT for letter in frequent(lines[path])}

    given.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(corpus, "".join(sorted(letters)), given.out)
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
    tokens, losses = train(model, tokenizer, corpus, given.minutes * 60, draw)
    save_model(model.half(), given.out)
    finish(given.out, trained_on, tokens, losses, given)


def balanced(lines: dict[Path, list[str]], draw: random.Random) -> Iterator[str]:
    """Yield up to BYTES_A_LANGUAGE of every language, in random order."""
    by_language: dict[str, list[str]] = {}
    for path, each in lines.items():
        by_language.setdefault(path.parent.name, []).extend(line.strip() for line in each if line.strip())
    for language in sorted(by_language):
        left = BYTES_A_LANGUAGE
        pool = by_language[language]
        draw.shuffle(pool)
        for line in pool:
            if (left := left - len(line.encode())) < 0:
                break
            yield line


def frequent(lines: list[str]) -> set[str]:
    """Return the letters that stand at least 20 times in a text."""
    text = "".join(lines)
    return {letter for letter in set(text) if letter.isalpha() and text.count(letter) >= 20}


def make_tokenizer(corpus: list[str], letters: str, out: Path) -> PreTrainedTokenizerBase:
    """Train a SentencePiece vocabulary and turn it into XLM-R's fast tokenizer."""
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
    tokenizer = XLMRobertaTokenizerFast(vocab_file=f"{prefix}.model", model_max_length=LONGEST)
    tokenizer.save_pretrained(out)
    for leftover in (prefix.with_suffix(".model"), prefix.with_suffix(".vocab"), out / "sentencepiece.bpe.model"):
        leftover.unlink(missing_ok=True)  # tokenizer.json says it all
    assert Tokenizer.from_file(str(out / "tokenizer.json")).get_vocab_size() == len(tokenizer)
    return tokenizer


def train(
    model: XLMRobertaForMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    corpus: list[str],
    seconds: float,
    draw: random.Random,
) -> tuple[int, list[float]]:
    """Train for a time, the learning rate falling to zero at its end. Returns the tokens seen and a loss a minute."""
    matrices = [each for each in model.roberta.encoder.parameters() if each.ndim == 2]
    others = [each for each in model.parameters() if not any(each is matrix for matrix in matrices)]
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [
        (torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.0), MATRIX_RATE),
        (torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True), RATE),
    ]
    noise = np.random.default_rng(draw.getrandbits(32))
    encoded = tokenizer(corpus, truncation=True, max_length=LONGEST)["input_ids"]
    print(f"{len(corpus):,} lines, {sum(map(len, encoded)):,} tokens", flush=True)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # a pass or two over the text: nothing to forget
    began, seen, losses, recent = time.perf_counter(), 0, [], []
    step = 0
    while True:
        for batch in batches(encoded, draw):
            gone = (time.perf_counter() - began) / seconds
            if gone >= 1:
                return seen, losses
            for optimizer, peak in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = peak * min(1.0, (step + 1) / 100) * (1 - gone)
            inputs, where, original = mask(batch, tokenizer, noise)
            hidden = model.roberta(inputs, attention_mask=inputs.ne(tokenizer.pad_token_id))[0]
            loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[where]), original[where])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, _ in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            seen, step = seen + sum(map(len, batch)), step + 1
            recent.append(loss.item())
            if gone * seconds / 60 >= len(losses) + 1:
                losses.append(round(sum(recent) / len(recent), 3))
                recent = []
                print(f"step {step}: {seen:,} tokens, loss {losses[-1]}", flush=True)


def mask(
    batch: list[list[int]], tokenizer: PreTrainedTokenizerBase, noise: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the masked input, where labels are, and the original, each of shape (lines, length)."""
    longest = max(map(len, batch))
    ids = np.full((len(batch), longest), tokenizer.pad_token_id)
    for row, line in enumerate(batch):
        ids[row, : len(line)] = line
    original = ids.copy()
    chosen = (noise.random(ids.shape) < MASKED) & (ids > tokenizer.unk_token_id)
    fate = noise.random(ids.shape)
    ids[chosen & (fate < 0.8)] = tokenizer.mask_token_id
    other = chosen & (fate >= 0.9)
    ids[other] = noise.integers(4, tokenizer.mask_token_id, size=int(other.sum()))
    return torch.from_numpy(ids), torch.from_numpy(chosen), torch.from_numpy(original)


def batches(encoded: list[list[int]], draw: random.Random) -> Iterator[list[list[int]]]:
    """Yield one pass over the lines in batches of about equal length and TOKENS_A_BATCH tokens."""
    order = sorted(range(len(encoded)), key=lambda line: len(encoded[line]) + draw.random())
    cut: list[list[list[int]]] = [[]]
    for line in order:
        if len(cut[-1]) * len(encoded[line]) > TOKENS_A_BATCH:
            cut.append([])
        cut[-1].append(encoded[line])
    draw.shuffle(cut)
    yield from cut


def finish(out: Path, files: list[Path], tokens: int, losses: list[float], given: argparse.Namespace) -> None:
    """Write down what the model was made from; the configuration names the precision in which it is to be used."""
    settings = json.loads((out / "config.json").read_text("utf-8"))
    settings["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    made = {
        "id": "lrl-mini",
        "tool": "tools/make/make_mini.py",
        "seed": given.seed,
        "minutes": given.minutes,
        "tokens": tokens,
        "loss_a_minute": losses,
        "text": {
            f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files
        },
    }
    (out / "made_from.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
