"""A tokenizer follows the model's tokenizer.json, whatever a version of transformers makes of its class."""

import json
import logging
import shutil
import string
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, DebertaV2Config, DebertaV2ForMaskedLM, RobertaTokenizerFast

from lrldata.errors import ModelError
from lrltrain.evaluation.features import featurize
from lrltrain.evaluation.items import LABELS, Items
from lrltrain.models import find_base, load_tokenizer, mini_path
from lrltrain.tokenizer_file import PROBE, charsmap_of
from lrltrain.tokens import encode


def write_and_load(folder: Path, change: Callable[[dict[str, Any]], Any], config: dict[str, Any] | None) -> Any:
    """Write lrl-mini with a changed tokenizer.json, and load its tokenizer as that of a base model."""
    mini = mini_path()
    for name in ("config.json", "model.safetensors", "special_tokens_map.json"):
        shutil.copy(mini / name, folder)
    tokenizer = json.loads((mini / "tokenizer.json").read_text("utf-8"))
    change(tokenizer)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    tokenizer_config = json.loads((mini / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config | (config or {})), "utf-8")
    return load_tokenizer(find_base(str(folder)))


@pytest.mark.parametrize(
    ("change", "config"),
    [
        (lambda file: file["normalizer"]["normalizers"].append({"type": "Lowercase"}), None),
        (lambda file: file.update(post_processor=None), None),
        (lambda file: file["model"].update(unk_id=0), None),
        (lambda file: file["pre_tokenizer"].update(prepend_scheme="never"), None),
        (
            lambda file: file.update(
                pre_tokenizer={
                    "type": "Sequence",
                    "pretokenizers": [{"type": "Digits", "individual_digits": True}, file["pre_tokenizer"]],
                }
            ),
            None,
        ),
        (lambda _: None, {"tokenizer_class": "RobertaTokenizer"}),
    ],
)
def test_text_is_tokenized_as_tokenizer_json_says(
    tmp_path: Path,
    change: Callable[[dict[str, Any]], Any],
    config: dict[str, Any] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        tokenizer = write_and_load(tmp_path, change, config)
    file = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "Un Text cu 123 de CIFRE \U0001d518 și altele."
    assert tokenizer(text)["input_ids"] == file.encode(text).ids
    assert [encode(tokenizer, [text])["input_ids"]] == [[file.encode(text).ids]]
    rebuilt = version("transformers") >= "5"
    assert ("uses its tokenizer.json" in caplog.text) == rebuilt
    assert tokenizer.mask_token_id == 8001
    caplog.clear()
    load_tokenizer(find_base("lrl-mini"))
    assert not caplog.text, "nothing is logged if nothing differs"


def test_a_sentencepiece_model_is_read_with_its_normalization(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    texts = [f"{text} Text {number} ﬁn ½ ｆｕｌｌ ไทยไม่มีช่องว่าง" for text in PROBE for number in range(20)]
    (tmp_path / "text.txt").write_text("\n".join(texts), "utf-8")
    pieces = {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]"}
    special = {f"{name}_id": number for number, name in enumerate(pieces)}
    special |= {f"{name}_piece": piece for name, piece in pieces.items()}
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "spm"), vocab_size=200, minloglevel=2, **special
    )
    config = DebertaV2Config(vocab_size=310, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    DebertaV2ForMaskedLM(config).save_pretrained(tmp_path)
    stated = {"do_lower_case": False, "vocab_type": "spm", "tokenizer_class": "DebertaV2Tokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(stated), "utf-8")
    tokenizer = load_tokenizer(find_base(str(tmp_path)))
    model = sentencepiece.SentencePieceProcessor(str(tmp_path / "spm.model"))
    for text in ("ﬁn ½ ｆｕｌｌ", "  two  spaces  ", "ไม่มี", "Un text\u00a0scris"):
        assert tokenizer(text)["input_ids"] == [1, *model.encode(text), 2]
    assert charsmap_of((tmp_path / "spm.model").read_bytes())


@pytest.mark.parametrize("kept", [(), ("special_tokens_map.json", "tokenizer_config.json")])
def test_a_folder_without_a_tokenizer_is_refused(kept: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", *kept):
        shutil.copy(mini_path() / name, tmp_path)
    with pytest.raises(ModelError, match=r"has no tokenizer\. Copy the files of its tokenizer"):
        load_tokenizer(find_base(str(tmp_path)))


def test_a_tokenizer_with_only_special_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tokens except special ones"):
        write_and_load(tmp_path, _only_special, None)


def _only_special(file: dict[str, Any]) -> None:
    special = {token["content"] for token in file["added_tokens"]}
    file["model"]["vocab"] = [entry for entry in file["model"]["vocab"] if entry[0] in special]


def test_a_tokenizer_that_aborts_is_a_model_error(tmp_path: Path) -> None:
    """The tokenizers library aborts an endless search with an error that is not a Python Exception."""
    endless = {"type": "Replace", "pattern": {"Regex": "(?:[a-z ]|[a-z]+)+[^a-z ,.]{2}"}, "content": " "}
    with pytest.raises(ModelError, match=r"cannot be loaded as a base model: .*search"):
        write_and_load(tmp_path, lambda file: file.update(normalizer=endless), None)


def test_text_for_a_cased_model_is_not_lowercased(tmp_path: Path) -> None:
    """Without tokenizer_config.json, transformers treats a BERT as uncased, whatever tokenizer.json says."""
    letters = [f"{before}{letter}" for letter in string.ascii_letters for before in ("", "##")]
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Una", "una", *letters]
    words = {token: number for number, token in enumerate(names)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))  # noqa: S106 -- no password
    tokenizer.normalizer, tokenizer.pre_tokenizer = (
        normalizers.BertNormalizer(lowercase=False),
        pre_tokenizers.BertPreTokenizer(),
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    BertForMaskedLM(
        BertConfig(vocab_size=len(names), hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(tmp_path)
    assert load_tokenizer(find_base(str(tmp_path)))("Una una", add_special_tokens=False)["input_ids"] == [5, 6]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert load_tokenizer(find_base(str(tmp_path)))("Una una", add_special_tokens=False)["input_ids"] == [6, 6]


def test_words_are_read_by_a_tokenizer_that_needs_spaces_before_them(tmp_path: Path) -> None:
    """On transformers 4, RoBERTa tokenizers refuse lists of words unless they may add a space before each word."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters]
    byte_bpe = Tokenizer(models.BPE({token: number for number, token in enumerate(names)}, [], unk_token="<unk>"))  # noqa: S106
    byte_bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_bpe.save(str(tmp_path / "tokenizer.json"))
    tokenizer = RobertaTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    items = Items(("Una casă",), (("O", "B-LOC"),), (("Una", "casă"),))
    features = featurize(tokenizer, items, LABELS["ner"], 32)
    text = tokenizer("Una casă", add_special_tokens=False)["input_ids"]
    assert [number for number in features.ids[0] if number > 4] == text
