"""Classify texts with a causal language model on this machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lrldata.errors import ModelError, UsageError
from lrldata.manifest import fingerprint
from lrldata.progress import Progress
from lrltrain.artifact import LanguageAdapter, open_language_adapter
from lrltrain.evaluation.record import WITH
from lrltrain.memory import SMALLER, within_memory
from lrltrain.methods import check_base, load_adapted
from lrltrain.models import Base, check_length, find_base, load_model, load_tokenizer, longest_input
from lrltrain.precision import dtype_for, note_if_slow, precision_of
from lrltrain.prompting.config import PromptConfig
from lrltrain.prompting.likelihood import ask, score
from lrltrain.prompting.template import Prompts

LONGEST = 4_096  # tokens, for a model that states no limit


@dataclass(frozen=True)
class Local:
    """A loaded model in evaluation mode, with its tokenizer and the maximum number of input tokens."""

    config: PromptConfig
    model: Any
    tokenizer: Any
    longest: int

    def classify(
        self, name: str, prompts: Prompts, texts: Sequence[str], progress: Progress
    ) -> tuple[list[str | None], int, int]:
        """Return the most likely label of each text, the number of prompt tokens, and the number of truncated texts."""
        form = self.config.wanted_form
        prepared = [ask(prompts, text, self.tokenizer, form, self.longest) for text in texts]
        questions = [question for question, _ in prepared]
        with within_memory(SMALLER), progress.steps(f"Reading {name}", len(texts)) as (advance, _):
            scores = score(self.model, questions, self.config.batch_tokens, lambda done: advance(done, ""))
        labels = list(prompts.template.words)
        best = scores.best(self.config.normalise)
        tokens = sum(len(question.prompt) for question in questions)
        return [labels[number] for number in best], tokens, sum(cut for _, cut in prepared)


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine, and optionally an adapter to load into it."""

    base: Base
    adapter: LanguageAdapter | None = None

    def adapter_entries(self, shots: int) -> dict[str, Any]:
        """Return the entries about the adapter in a run's recipe, with the method, such as prompt-0+lora."""
        if self.adapter is None:
            return {}
        method = f"prompt-{shots}{WITH}{self.adapter.method}"
        return {"adapter": self.adapter.as_json(), "method": method, "source": self.adapter.source}


def find_local(config: PromptConfig) -> tuple[LocalModel, dict[str, Any]]:
    """Find the model and its adapter, and return them with the settings that depend on them. Raises LrlError."""
    adapter = open_language_adapter(config.adapter) if config.adapter else None
    trained_on = adapter.manifest["base"] if adapter else {}
    is_same = config.model == trained_on.get("id") and not Path(config.model).is_dir()
    revision = config.model_revision or (trained_on.get("revision") if is_same else None)
    base = find_base(config.model, revision, config.model_id)
    if base.objective != "clm":
        raise ModelError(
            f"{config.model}: an encoder, which cannot be prompted.",
            "Use a decoder; encoders are for `lrltrain eval`.",
        )
    if adapter:
        if adapter.method == "full":
            raise UsageError(f"{adapter.folder}: this is a whole model.", "Pass it as --model, without --adapter.")
        check_base(adapter.folder, adapter.manifest, _with_adapter_id(base, adapter))
    # The template is in a file of its own, which is not part of the model's identity.
    template = {"chat_template": fingerprint(_chat_template(base))} if config.wanted_form == "chat" else {}
    return LocalModel(base, adapter), {"precision": precision_of(config.precision), **template}


def _chat_template(base: Base) -> Any:
    return load_tokenizer(base).chat_template


def _with_adapter_id(base: Base, adapter: LanguageAdapter) -> Base:
    """Give a base model from a folder the id in the adapter's manifest; its weights are compared, not its name."""
    return replace(base, id=adapter.manifest["base"]["id"]) if base.content else base


def open_local(config: PromptConfig, local: LocalModel, progress: Progress) -> Local:
    """Load the model. Raises LrlError."""
    note_if_slow(config.precision)
    base, dtype = local.base, dtype_for("clm", precision_of(config.precision))
    with within_memory(SMALLER), progress.waiting(f"Loading {base.id}"):
        tokenizer = load_tokenizer(base)
        if adapter := local.adapter:
            model = load_adapted(adapter.folder, adapter.manifest, _with_adapter_id(base, adapter), dtype)
        else:
            model = load_model(base, dtype)
        model = model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu")).eval()
    check_length(config.max_length, model, base.id)
    model_limit = longest_input(model)
    return Local(
        config, model, tokenizer, config.max_length or (LONGEST if model_limit == math.inf else int(model_limit))
    )
