"""Give an encoder without one a masked language modelling head, with `lrltrain`'s own loop; the encoder stays frozen.

The head is BERT's: dense, GELU, norm, a decoder tied to the word embeddings, and its bias. The dense layer begins as
the identity and the bias as the logarithm of each token's share of the training text.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sampled_text import lot, sampled
from transformers import AutoModel, AutoTokenizer, BertForMaskedLM

from lrldata.language import languages
from lrldata.manifest import fingerprint, made_with, sha256_of, write_text
from lrldata.progress import Progress
from lrltrain.config import FitConfig
from lrltrain.models import word_starts
from lrltrain.text import open_text
from lrltrain.training.batches import VALIDATION_SEED, Block, Blocks, Layout, Masking, Vocabulary
from lrltrain.training.corpus import Corpus, tokenize
from lrltrain.training.loop import Loop, Member, ProgressCallbacks, Schedule
from lrltrain.training.packing import probe_packing
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

VALIDATED = 32  # blocks


@dataclass(frozen=True)
class HeadTraining:
    """What shapes the head; `bytes_a_language` bounds the text of each, so that none crowds out the others."""

    steps: int = 2_000
    batch_size: int = 16
    max_length: int = 128
    learning_rate: float = 1e-3
    bytes_a_language: int = 1_000_000
    seed: int = 42
    precision: str = "fp32"  # fp32 | bf16, which is faster where the processor multiplies in it


def train_head(encoder: Path, data: Path, work: Path, training: HeadTraining) -> tuple[Any, dict[str, Any]]:
    """Return the encoder with its trained head, and what a manifest says of it. A run that was killed goes on.

    `data` has text/LANG_Script/*.txt; tokens and checkpoints are kept below `work`.
    """
    torch.manual_seed(training.seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    text = _balanced_text(data, work, training.bytes_a_language)
    config = FitConfig(lang="mul", text=[text], max_length=training.max_length)
    opened = open_text(config, languages()[0])  # of plain text, the language is not asked for
    corpora = [
        tokenize(opened, split, tokenizer, batching="packed", max_length=training.max_length, cache=work)
        for split in ("train", "validation")
    ]
    model = _with_head(encoder, corpora[0])
    recipe = {
        "encoder": sha256_of(encoder / "model.safetensors"),
        "text": opened.provenance,
        "training": asdict(training),
        "made_with": made_with("transformers", "tokenizers", "torch"),
    }
    vocabulary = Vocabulary.of(tokenizer, word_starts(tokenizer))
    masking = Masking("mlm")
    run = work / f"head-{fingerprint(recipe)[:16]}"
    run.mkdir(parents=True, exist_ok=True)
    member = Member(
        "head",
        Blocks(corpora[0], vocabulary, masking, training.seed),
        Few(corpora[1], vocabulary, masking, VALIDATION_SEED),
        run,
    )
    head = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    attention = probe_packing(model, "mlm", model.config.vocab_size)
    half = torch.bfloat16 if training.precision == "bf16" else None
    step = Step(model, Weights(head, 1, stacked=False), attention, autocast=half)
    every = max(1, training.steps // 10)
    size = training.batch_size
    schedule = Schedule(training.steps, every, size, size, 1, Rates(training.learning_rate, 0.05, 0.0))
    layout = Layout(vocabulary, "packed", attention.separates_segments, training.max_length)
    with Progress().steps("Training the head", training.steps) as (advance, say):
        (outcome,) = Loop([member], step, layout, schedule, None, ProgressCallbacks(advance, say)).run()
    step.weights.put(0, outcome.best)
    step.release()
    losses = [(entry["step"], entry["eval_loss"]) for entry in outcome.progressed.log if "eval_loss" in entry]
    told = {"best_step": outcome.progressed.best_step, "best_loss": outcome.progressed.best_loss}
    tokens = {"tokens": corpora[0].counts.tokens, "validation_losses": losses}
    return model, {**recipe, "trained": {**told, **tokens, "parameters": sum(value.numel() for _, value in head)}}


def _with_head(encoder: Path, corpus: Corpus) -> Any:
    """Return the model to train, all of it frozen but the head."""
    inner = AutoModel.from_pretrained(encoder, add_pooling_layer=False)
    inner.config.hidden_dropout_prob = inner.config.attention_probs_dropout_prob = 0.0
    model = BertForMaskedLM(inner.config)
    model.bert.load_state_dict(inner.state_dict())
    model.requires_grad_(False)
    prediction = model.cls.predictions
    counts = np.bincount(np.asarray(corpus.tokens, np.int64), minlength=model.config.vocab_size) + 1.0
    with torch.no_grad():
        torch.nn.init.eye_(prediction.transform.dense.weight)
        prediction.transform.dense.bias.zero_()
        prediction.decoder.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))
    for parameter in (*prediction.transform.parameters(), prediction.decoder.bias):
        parameter.requires_grad_(True)
    return model


class Few(Blocks):
    """Some blocks of a validation split, evenly spaced: on the whole, an evaluation would take longer than training."""

    def __len__(self) -> int:
        return min(VALIDATED, len(self.corpus))

    def __getitem__(self, index: int) -> Block:
        return super().__getitem__(index * len(self.corpus) // len(self))


def _balanced_text(data: Path, work: Path, most: int) -> Path:
    """Write the text of all languages into one file, up to so many bytes of each, in the order of a hash of lines."""
    folders = sorted(path for path in (data / "text").iterdir() if path.is_dir())
    lines = [line for folder in folders for line in sampled(folder, most)]
    path = work / f"text-{most}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join(sorted(lines, key=lot)) + "\n")
    return path
