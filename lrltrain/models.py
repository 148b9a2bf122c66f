"""Base models: found, loaded, and named by their public id."""

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
from transformers import __version__ as transformers_version
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.utils import logging

from lrldata.errors import LrlError, ModelError, UsageError, first_line, is_panic
from lrldata.output import note
from lrltrain.config import Objective
from lrltrain.hub_cache import drop_damaged
from lrltrain.names import BUILT_IN, declared_id, snapshot_of
from lrltrain.reading import check_tokenizer, contents_of, reading_of
from lrltrain.tokenizer_file import PROBE, read_as_in_file
from lrltrain.trust import check_files, no_remote_code

MINI = BUILT_IN
_OF_QUANTIZED = {  # what weights are called that are kept in few bits, beside the weights themselves
    *("weight_scale", "weight_scale_2", "weight_scale_inv", "weight_zero_point", "weight_packed", "input_scale"),
    *("k_scale", "v_scale", "qweight", "qzeros", "scales", "g_idx", "absmax", "quant_map", "SCB"),
}


@dataclass(frozen=True)
class Base:
    """A base model: `id` is its public name, `location` where it is loaded from.

    Of one that is a folder, `content` is a hash of its weights, `weights` of those that are read, and `reading` of its
    configuration and tokenizer.
    """

    id: str
    location: str
    revision: str | None
    objective: Objective
    architecture: str
    content: str | None = None
    reading: str | None = None
    weights: str | None = None

    def may_be_of(self, manifest: Mapping[str, Any]) -> bool:
        """Return whether it may be the model that an adapter's manifest names: by its weights, else by its commit."""
        named, weights = manifest["base"], manifest.get("weights")
        content, revision = named.get("content"), named.get("revision")
        if self.revision is not None and revision == self.revision:
            return True
        if self.content and content:
            return content == self.content or (weights is not None and weights == self.weights)
        return bool(self.content) or None in (revision, self.revision)

    def as_json(self) -> dict[str, Any]:
        """Return what a manifest says of it; never the location, which is this machine's own."""
        left_out = {"location", "weights"} | (set() if self.reading else {"reading"})  # on the Hub a revision says it
        return {key: value for key, value in asdict(self).items() if key not in left_out}


def mini_path() -> Path:
    """Return the folder of lrl-mini, the small model that comes with the package."""
    return Path(str(files("lrltrain").joinpath("mini")))


def find_base(name: str, revision: str | None = None, public: str | None = None, objective: Any = None) -> Base:
    """Find a base model: `lrl-mini`, a folder or a Hub id.

    A folder's public id is `public` if given, else what the folder itself knows (a snapshot in the Hub's cache, its
    `_name_or_path`), else its name. Raises ModelError for what is no model, or one that cannot be trained so.
    """
    if name == MINI and public not in (None, MINI):
        raise UsageError(f"--base-id {public}: {MINI} has its own id.")
    location = str(mini_path()) if name == MINI else name
    folder = Path(location)
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ModelError(f"{name}: is an adapter, not a base model.", "Name the model that it was trained on.")
    with _loading(name):
        checked = check_files(name, location, revision)
        declared: Any = checked.config.get("model_type")
        if declared in CONFIG_MAPPING_NAMES:  # before there is one: those of some types load other models
            _objectives(name, declared, objective)
        config = AutoConfig.from_pretrained(location, revision=checked.commit or revision, trust_remote_code=False)
    can = _objectives(name, config.model_type, objective)
    content = weights = reading = None
    if folder.is_dir():
        snapshot = snapshot_of(folder)
        if snapshot:
            public, revision = public or snapshot[0], snapshot[1]
        elif name == MINI:
            public = MINI
        else:
            public = public or declared_id(checked.config)
        content, weights = contents_of(folder)
        reading = reading_of(folder)
        public = public or folder.resolve().name
    else:
        public, revision = public or name, checked.commit or revision
        if revision:
            drop_damaged(name, revision)
    return Base(public, location, revision, objective or can[0], config.model_type, content, reading, weights)


def _objectives(name: str, kind: str, wanted: Objective | None) -> list[Objective]:
    """Return what a model of this type can be trained for, the wanted objective among it. Raises ModelError."""
    can: list[Objective] = ["mlm"] if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES else []
    if not can and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:  # an encoder would see the tokens that it is to predict
        can = ["clm"]
    if not can or (wanted and wanted not in can):
        if wanted and can:
            raise ModelError(
                f"{name}: a model of type {kind!r} is trained as {can[0]}, and not as {wanted}.",
                "Leave --objective out.",
            )
        raise ModelError(
            f"{name}: a model of type {kind!r} has no language modelling head.",
            "Use an encoder such as FacebookAI/xlm-roberta-base or a decoder of the LLaMA family.",
        )
    return can


def load_tokenizer(base: Base) -> Any:
    """Load the fast tokenizer of a base model, checked against the model's embeddings. Raises ModelError."""
    with _loading(base.id):
        check_files(base.id, base.location, base.revision)
        config = AutoConfig.from_pretrained(base.location, revision=base.revision, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(
            base.location, revision=base.revision, use_fast=True, trust_remote_code=False
        )
    if not tokenizer.is_fast:
        raise ModelError(f"{base.id}: has no fast tokenizer.", "Convert it with transformers, and name that folder.")
    with _loading(base.id):
        differ = read_as_in_file(tokenizer, base.location, base.revision)
    if differ:
        told = f"transformers {transformers_version} reads text in another way"
        note(f"note: {base.id}: its tokenizer.json is followed, from which {told} ({differ} of {len(PROBE)} probes).")
    check_tokenizer(base.id, tokenizer, config, masked=base.objective == "mlm")
    if base.objective == "mlm" and tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(base: Base, dtype: torch.dtype = torch.float32, dropout: float | None = None) -> Any:
    """Load a base model with its own, trained language modelling head, on the CPU, in evaluation mode.

    `dropout` replaces every dropout rate of the model. Raises ModelError.
    """
    maker = AutoModelForMaskedLM if base.objective == "mlm" else AutoModelForCausalLM
    with _loading(base.id), quiet():
        check_files(base.id, base.location, base.revision)
        config = AutoConfig.from_pretrained(base.location, revision=base.revision, trust_remote_code=False)
        if hasattr(config, "reference_compile"):  # of ModernBERT, which transformers 4 compiles in parts
            config.reference_compile = False
        caps = getattr(config.get_text_config(), "attn_logit_softcapping", None)  # which other kernels leave out
        loading: Any = maker.from_pretrained(
            base.location,
            revision=base.revision,
            config=config,
            dtype=dtype,
            **({"attn_implementation": "eager"} if caps else {}),
            output_loading_info=True,
            trust_remote_code=False,
            weights_only=True,  # of pickles (.bin) tensors are read, and nothing is run
        )
    model, loaded = loading
    if scales := [name for name in loaded["unexpected_keys"] if name.rpartition(".")[2] in _OF_QUANTIZED]:
        raise ModelError(
            f"{base.id}: its weights are quantized in a way that transformers does not read ({scales[0]}).",
            "Use the model as it was before it was quantized.",
        )
    missing = [name for name in _untied(model, set(loaded["missing_keys"])) if "pooler" not in name]
    if missing:
        raise ModelError(
            f"{base.id}: lacks {len(missing)} weights of its language model, as {missing[0]}.",
            "Use a checkpoint that was saved with its language modelling head.",
        )
    if dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
            elif hasattr(module, "dropout_prob"):  # attention by scaled_dot_product_attention keeps a number
                module.dropout_prob = dropout
            elif isinstance(getattr(module, "attention_dropout", None), float):
                module.attention_dropout = dropout
    model.config.name_or_path = base.id  # which `adapters` writes into adapter_config.json
    return model


def _untied(model: Any, missing: set[str]) -> list[str]:
    """Return the names of missing weights that are not those of a name that was there, as of a head that is tied."""
    named = dict(model.named_parameters(remove_duplicate=False))
    there = {value.data_ptr() for name, value in named.items() if name not in missing}
    return sorted(name for name in missing if name not in named or named[name].data_ptr() not in there)


def takes(model: Any, argument: str) -> bool:
    """Return whether a model's forward pass has an argument."""
    return argument in inspect.signature(model.forward).parameters


def no_cache(model: Any) -> dict[str, bool]:
    """Return what tells a decoder not to keep keys and values for tokens that follow; of an encoder, nothing."""
    return {"use_cache": False} if takes(model, "use_cache") else {}


def longest_input(model: Any) -> float:
    """Return how many tokens a model reads at most, infinity where its configuration does not say."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:  # a configuration may say anything
        return math.inf
    tables = (module for name, module in model.named_modules() if name.endswith("embeddings.position_embeddings"))
    padding = getattr(next(tables, None), "padding_idx", None)  # behind it RoBERTa's positions begin
    return positions if padding is None else positions - padding - 1


def check_length(wanted: int | None, model: Any, name: str) -> None:
    """Raise UsageError where `--max-length` is more than a model reads."""
    if wanted and wanted > longest_input(model):
        raise UsageError(f"--max-length {wanted}: {name} reads {longest_input(model)} tokens at most.")


def word_starts(tokenizer: Any) -> torch.Tensor:
    """Return which tokens of a vocabulary begin a word. Shape (vocabulary,), bool.

    By the mark of the tokenizer's kind: SentencePiece's lower one eighth block, byte-level BPE's Ġ, and in WordPiece
    all begin a word but those with ##. In a script that puts no spaces between words, a word is a whole phrase.
    """
    vocabulary = tokenizer.get_vocab()
    size = max(vocabulary.values()) + 1
    pieces = type(tokenizer.backend_tokenizer.model).__name__ == "WordPiece"  # which may have words with a letter Ġ
    marks = [mark for mark in ("▁", "Ġ") if not pieces and any(token.startswith(mark) for token in vocabulary)]
    starts = torch.zeros(size, dtype=torch.bool)
    for token, number in vocabulary.items():
        starts[number] = token.startswith(marks[0]) if marks else not token.startswith("##")
    starts[tokenizer.all_special_ids] = True
    return starts


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' warnings about what does not concern us (a pooler, a tied head), and bars, from the user."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _is_refused(error: BaseException | None) -> bool:
    """Return whether the Hub has refused a model, by what a library's error comes from."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Let nothing of a model be run as code, and say on one line why it cannot be loaded."""
    try:
        with no_remote_code():
            yield
    except LrlError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if _is_refused(error):
            raise ModelError(
                f"{name}: the Hub does not let you read it: it is gated or private, or does not exist.",
                f"Accept its terms at https://huggingface.co/{name}, and log in with `hf auth login` or set HF_TOKEN.",
            ) from error
        raise ModelError(
            f"{name}: cannot be loaded as a base model: {first_line(error, 200)}",
            "Give a folder with config.json, weights and tokenizer, or a Hub id that can be reached; "
            f"{MINI} comes with the package.",
        ) from error
