"""Train a masked language modelling head for an encoder without one, by `lrltrain`'s training loop.

The encoder stays frozen. The head is BERT's: dense layer, GELU, layer norm, a decoder tied to the word embeddings, and
a bias. The dense layer is initialized with the identity, and the bias with the logarithm of each token's share of the
training text.
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

VALIDATED = 32  # blocks used for validation


@dataclass(frozen=True)
class HeadTraining:
    """The settings of the head's training; `bytes_per_language` limits the text of each language to balance them."""

    steps: int = 2_000
    batch_size: int = 16
    max_length: int = 128
    learning_rate: float = 1e-3
    bytes_per_language: int = 1_000_000
    seed: int = 42
    precision: str = "fp32"  # fp32 | bf16, which is faster on processors with bfloat16 instructions


def train_head(encoder: Path, data: Path, work: Path, training: HeadTraining) -> tuple[Any, dict[str, Any]]:
    """Return the encoder with its trained head, and the entries for its manifest. A killed run resumes.

    `data` contains text/LANG_Script/*.txt; tokens and checkpoints are kept below `work`.
    """
    torch.manual_seed(training.seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    text = _balanced_text(data, work, training.bytes_per_language)
    config = FitConfig(lang="mul", text=[text], max_length=training.max_length)
    text_data = open_text(config, languages()[0])  # the language is not used for plain text
    corpora = [
        tokenize(text_data, split, tokenizer, batching="packed", max_length=training.max_length, cache=work)
        for split in ("train", "validation")
    ]
    model = _with_head(encoder, corpora[0])
    recipe = {
        "encoder": sha256_of(encoder / "model.safetensors"),
        "text": text_data.provenance,
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
        SpacedBlocks(corpora[1], vocabulary, masking, VALIDATION_SEED),
        run,
    )
    head = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    attention = probe_packing(model, "mlm", model.config.vocab_size)
    autocast = torch.bfloat16 if training.precision == "bf16" else None
    step = Step(model, Weights(head, 1, stacked=False), attention, autocast=autocast)
    evaluate_every = max(1, training.steps // 10)
    size = training.batch_size
    schedule = Schedule(training.steps, evaluate_every, size, size, 1, Rates(training.learning_rate, 0.05, 0.0))
    layout = Layout(vocabulary, "packed", attention.separates_segments, training.max_length)
    with Progress().steps("Training the head", training.steps) as (advance, print_line):
        (outcome,) = Loop([member], step, layout, schedule, None, ProgressCallbacks(advance, print_line)).run()
    step.weights.put(0, outcome.best)
    step.release()
    losses = [(entry["step"], entry["eval_loss"]) for entry in outcome.state.log if "eval_loss" in entry]
    best = {"best_step": outcome.state.best_step, "best_loss": outcome.state.best_loss}
    tokens = {"tokens": corpora[0].counts.tokens, "validation_losses": losses}
    return model, {**recipe, "trained": {**best, **tokens, "parameters": sum(value.numel() for _, value in head)}}


def _with_head(encoder: Path, corpus: Corpus) -> Any:
    """Return the model to train, with all parameters frozen except the head's."""
    encoder_model = AutoModel.from_pretrained(encoder, add_pooling_layer=False)
    encoder_model.config.hidden_dropout_prob = encoder_model.config.attention_probs_dropout_prob = 0.0
    model = BertForMaskedLM(encoder_model.config)
    model.bert.load_state_dict(encoder_model.state_dict())
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


class SpacedBlocks(Blocks):
    """Evenly spaced blocks of a validation split; evaluating the whole split would take longer than training."""

    def __len__(self) -> int:
        return min(VALIDATED, len(self.corpus))

    def __getitem__(self, index: int) -> Block:
        return super().__getitem__(index * len(self.corpus) // len(self))


def _balanced_text(data: Path, work: Path, most: int) -> Path:
    """Write up to `most` bytes of text in each language into one file, with lines in the order of their hashes."""
    folders = sorted(path for path in (data / "text").iterdir() if path.is_dir())
    lines = [line for folder in folders for line in sampled(folder, most)]
    path = work / f"text-{most}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join(sorted(lines, key=lot)) + "\n")
    return path
