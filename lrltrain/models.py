"""Find and load base models, which are named by their public id."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
from transformers import __version__ as transformers_version
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils import logging

from lrldata.errors import LrlError, ModelError, UsageError, first_line, is_of_machine, is_panic
from lrldata.output import note
from lrltrain.config import Objective
from lrltrain.dropout import rates_of, replace_constants, replace_rates
from lrltrain.hub_cache import drop_damaged
from lrltrain.names import BUILT_IN, id_of_folder, snapshot_of
from lrltrain.passes import SUITABLE, check_masking
from lrltrain.reading import check_has_tokenizer, check_tokenizer, contents_of, reading_of
from lrltrain.rotary import apply_later_keys
from lrltrain.tokenizer_file import PROBE, read_as_in_file
from lrltrain.trust import check_files, no_remote_code

MINI = BUILT_IN
_INSTALL = "Install the package that is missing, or use another version of the model, such as an unquantized one."
_GIVE = f"Give a folder with config.json, weights and tokenizer, or a reachable Hub id; {MINI} comes with the package."
_QUANTIZATION_TENSORS = {  # names of the additional tensors of quantized weights
    *("weight_scale", "weight_scale_2", "weight_scale_inv", "weight_zero_point", "weight_packed", "input_scale"),
    *("k_scale", "v_scale", "qweight", "qzeros", "scales", "g_idx", "absmax", "quant_map", "SCB"),
}


@dataclass(frozen=True)
class Base:
    """A base model: `id` is its public name, and it is loaded from `location`.

    If it is a folder, `content` is a hash of all weight files, `weights` a hash of those that transformers reads, and
    `reading` a hash of its configuration and tokenizer.
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
        """Return whether this may be the base model of an adapter's manifest, by its weights, else by its commit."""
        base, weights = manifest["base"], manifest.get("weights")
        content, revision = base.get("content"), base.get("revision")
        if self.revision is not None and revision == self.revision:
            return True
        if self.content and content:
            return content == self.content or (weights is not None and weights == self.weights)
        return bool(self.content) or None in (revision, self.revision)

    def as_json(self) -> dict[str, Any]:
        """Return the fields that a manifest records; never the location, which is specific to this machine."""
        excluded = {"location", "weights"} | (set() if self.reading else {"reading"})  # a Hub revision determines it
        return {key: value for key, value in asdict(self).items() if key not in excluded}


def mini_path() -> Path:
    """Return the folder of lrl-mini, the small model that comes with the package."""
    return Path(str(files("lrltrain").joinpath("mini")))


def find_base(
    name: str, revision: str | None = None, public: str | None = None, objective: Objective | None = None
) -> Base:
    """Find a base model: `lrl-mini`, a folder or a Hub id.

    A folder's public id is `public` if given, else the one recorded in the folder (by a snapshot in the Hub's cache, or
    as `_name_or_path`), else the folder's name. Raises ModelError if it is not a model, does not fit the objective, or
    is a folder although a revision is given.
    """
    if name == MINI and public not in (None, MINI):
        raise UsageError(f"--base-id {public}: {MINI} has its own id.")
    location = str(mini_path()) if name == MINI else name
    folder = Path(location)
    if revision is not None and folder.is_dir():
        raise ModelError(
            f"{name}: has no revisions, because it is not loaded from the Hub.",
            "Omit the revision.",
        )
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ModelError(f"{name}: is an adapter, not a base model.", "Give the model that it was trained on.")
    with _loading(name):
        checked = check_files(name, location, revision)
        declared: Any = checked.config.get("model_type")
        if declared in CONFIG_MAPPING_NAMES:  # checked first, as configurations of some types load other models
            _objective_of(name, declared, objective)
        config = AutoConfig.from_pretrained(location, revision=checked.commit or revision, trust_remote_code=False)
    supported = _objective_of(name, config.model_type, objective)
    content = weights = reading = None
    if folder.is_dir():
        snapshot = snapshot_of(folder)
        revision = snapshot[1] if snapshot else None
        public = MINI if name == MINI else public or id_of_folder(folder, checked.config)
        content, weights = contents_of(folder)
        reading = reading_of(folder)
    else:
        public, revision = public or name, checked.commit or revision
        if revision:
            drop_damaged(name, revision)
    return Base(public, location, revision, supported, config.model_type, content, reading, weights)


def _objective_of(name: str, kind: str, requested: Objective | None) -> Objective:
    """Return the objective for models of this type. Raises ModelError if there is none, or another is requested."""
    if kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        what = "an encoder-decoder or a speech model"  # transformers lists both under the same head
        raise ModelError(f"{name}: a model of type {kind!r} is {what}, which is not supported.", SUITABLE)
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:  # first: trained as a decoder, it would see the tokens to predict
        supported: Objective = "mlm"
    elif kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        supported = "clm"
    else:
        raise ModelError(f"{name}: a model of type {kind!r} has no language modelling head.", SUITABLE)
    if requested not in (None, supported):
        raise ModelError(
            f"{name}: a model of type {kind!r} can be trained with objective {supported}, not {requested}.",
            "Omit --objective.",
        )
    return supported


def load_tokenizer(base: Base) -> Any:
    """Load the fast tokenizer of a base model and check it against the model's embeddings. Raises ModelError."""
    if Path(base.location).is_dir():
        check_has_tokenizer(base.id, Path(base.location))
    with _loading(base.id):
        check_files(base.id, base.location, base.revision)
        config = AutoConfig.from_pretrained(base.location, revision=base.revision, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(
            base.location, revision=base.revision, use_fast=True, trust_remote_code=False
        )
    if not tokenizer.is_fast:
        raise ModelError(
            f"{base.id}: has no fast tokenizer.", "Convert it with transformers, and give the resulting folder."
        )
    with _loading(base.id):
        file, differing = read_as_in_file(tokenizer, base.location, base.revision)
    if differing:
        rebuilt = f"the tokenizer that transformers {transformers_version} builds"
        note(f"{base.id}: uses its {file}; {rebuilt} differs ({differing} of {len(PROBE)} probes).")
    check_tokenizer(base.id, tokenizer, config, masked=base.objective == "mlm")
    tokenizer.truncation_side = "right"  # some chat models cut the beginning of a text
    if base.objective == "mlm" and tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(base: Base, dtype: torch.dtype = torch.float32, dropout: float | None = None) -> Any:
    """Load a base model with its trained language modelling head, on the CPU, in evaluation mode.

    `dropout` replaces every dropout rate of the model. Raises ModelError.
    """
    model_class = AutoModelForMaskedLM if base.objective == "mlm" else AutoModelForCausalLM
    with _loading(base.id), quiet():
        check_files(base.id, base.location, base.revision)
        config = AutoConfig.from_pretrained(base.location, revision=base.revision, trust_remote_code=False)
        apply_later_keys(config)
        if hasattr(config, "reference_compile"):  # ModernBERT, parts of which transformers 4 compiles
            config.reference_compile = False
        own_rates = rates_of(config)
        if dropout is not None:
            replace_rates(config, [dropout] * len(own_rates))
        caps = getattr(config.get_text_config(), "attn_logit_softcapping", None)  # ignored by other attention kernels
        result: Any = model_class.from_pretrained(
            base.location,
            revision=base.revision,
            config=config,
            dtype=dtype,
            **({"attn_implementation": "eager"} if caps else {}),
            output_loading_info=True,
            trust_remote_code=False,
            weights_only=True,  # reads only tensors from pickles (.bin) and runs no code
        )
    model, info = result
    if scales := [name for name in info["unexpected_keys"] if name.rpartition(".")[2] in _QUANTIZATION_TENSORS]:
        raise ModelError(
            f"{base.id}: its weights are quantized in a format that transformers does not read ({scales[0]}).",
            "Use the model's original, unquantized version.",
        )
    missing = [name for name in _untied(model, set(info["missing_keys"])) if "pooler" not in name]
    if missing:
        raise ModelError(
            f"{base.id}: lacks {len(missing)} weights of its language model, such as {missing[0]}.",
            "Use a checkpoint that was saved with its language modelling head.",
        )
    with _loading(base.id):
        check_masking(base.id, model.eval(), base.objective)
    if dropout is not None:
        replace_constants(model, dropout)
        model.own_dropout_rates = own_rates  # those of the model when it is saved
    model.config.name_or_path = base.id  # `adapters` writes it to adapter_config.json
    return model


def _untied(model: Any, missing: set[str]) -> list[str]:
    """Return the names of missing weights that do not share memory with a loaded weight, as those of a tied head do."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    loaded = {value.data_ptr() for name, value in parameters.items() if name not in missing}
    return sorted(name for name in missing if name not in parameters or parameters[name].data_ptr() not in loaded)


def longest_input(model: Any) -> float:
    """Return the maximum number of input tokens, infinity if the configuration does not state one."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:  # a configuration may hold any value
        return math.inf
    tables = (module for name, module in model.named_modules() if name.endswith("embeddings.position_embeddings"))
    padding = getattr(next(tables, None), "padding_idx", None)  # RoBERTa's positions start after it
    return positions if padding is None else positions - padding - 1


def check_length(length: int | None, model: Any, name: str) -> None:
    """Raise UsageError if `--max-length` exceeds what a model reads."""
    if length and length > longest_input(model):
        raise UsageError(f"--max-length {length}: {name} reads {longest_input(model)} tokens at most.")


def word_starts(tokenizer: Any) -> NDArray[np.bool_]:
    """Return which tokens of a vocabulary start a word. Shape (vocabulary,), bool.

    The marker depends on the tokenizer: the lower one eighth block in SentencePiece, Ġ in byte-level BPE; in WordPiece
    all tokens without ## start a word. In a script without spaces between words, a word is a whole phrase.
    """
    vocabulary = tokenizer.get_vocab()
    size = max(vocabulary.values()) + 1
    # The words of a WordPiece vocabulary may contain the letter Ġ.
    is_word_piece = type(tokenizer.backend_tokenizer.model).__name__ == "WordPiece"
    marks = [mark for mark in ("▁", "Ġ") if not is_word_piece and any(token.startswith(mark) for token in vocabulary)]
    starts = np.zeros(size, bool)
    for token, number in vocabulary.items():
        starts[number] = token.startswith(marks[0]) if marks else not token.startswith("##")
    starts[tokenizer.all_special_ids] = True
    return starts


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the libraries' progress bars and their irrelevant warnings (about a pooler or a tied head)."""
    verbosity, show_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        yield
    finally:
        logging.set_verbosity(verbosity)
        if show_bars:
            logging.enable_progress_bar()


def _is_refused(error: BaseException | None) -> bool:
    """Return whether an error was caused by the Hub refusing access to a model."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Run none of a model's own code, and report in one line why it cannot be loaded. Raises ModelError."""
    try:
        with no_remote_code():
            yield
    except LrlError:
        raise
    except BaseException as error:
        if is_of_machine(error) or not (isinstance(error, Exception) or is_panic(error)):
            raise
        if _is_refused(error):
            raise ModelError(
                f"{name}: the Hub does not let you read it: it is gated or private, or does not exist.",
                f"Accept its terms at https://huggingface.co/{name}, and log in with `hf auth login` or set HF_TOKEN.",
            ) from error
        hint = _INSTALL if isinstance(error, ImportError) else _GIVE
        raise ModelError(f"{name}: cannot be loaded as a base model: {first_line(error, 200)}.", hint) from error
