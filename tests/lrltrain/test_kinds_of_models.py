"""Models and tokenizers that differ from XLM-R's in ways that would silently change numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from models import model_of
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    DistilBertConfig,
    DistilBertModel,
    Gemma2Config,
    Gemma2Model,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    MistralConfig,
    MistralForCausalLM,
    ModernBertConfig,
    PreTrainedTokenizerFast,
)

from lrldata.errors import ModelError, UsageError
from lrltrain.artifact import save_model
from lrltrain.evaluation.features import featurize
from lrltrain.evaluation.items import LABELS, Items
from lrltrain.evaluation.pseudo_perplexity import characters_of, copies
from lrltrain.evaluation.task_runs import dropout_of
from lrltrain.models import Base, check_length, find_base, load_model, load_tokenizer, longest_input, word_starts
from lrltrain.modules.insert import AdapterStack, FusedStack, insert
from lrltrain.modules.settings import Bottlenecks
from lrltrain.prompting.likelihood import Question, score
from lrltrain.tokens import special_tokens_around
from lrltrain.training.packing import probe_packing, waits_for_gpu, window_of

UNKNOWN = "<unk>"
SMALL: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


def test_segments_longer_than_the_attention_window_of_some_layers_are_not_packed() -> None:
    model = MistralForCausalLM(MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=12))
    assert probe_packing(model, "clm", 200, longest=12).first_position == 0
    assert probe_packing(model, "clm", 200, longest=13).first_position is None
    assert window_of(ModernBertConfig(**SMALL, local_attention=16)) == 8, "in each direction"
    assert window_of(LlamaConfig(**SMALL)) == float("inf")


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("llama", {}, False),
        ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, False),
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, True),
        ("xlm-roberta", {}, False),
        ("deberta-v2", {}, True),
    ],
)
def test_a_model_that_waits_for_the_gpu_is_not_captured(kind: str, options: dict[str, Any], expected: bool) -> None:
    assert waits_for_gpu(AutoConfig.for_model(kind, **SMALL, **options)) == expected


@pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 takes one mask for all layers")
@pytest.mark.parametrize(
    ("kind", "objective", "options", "reach"),
    [
        ("modernbert", "mlm", {"local_attention": 16}, 8),
        ("gemma3_text", "clm", {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2}, 7),
    ],
)
def test_segments_longer_than_the_window_are_packed_if_layers_have_their_own_masks(
    kind: str, objective: Any, options: dict[str, Any], reach: int
) -> None:
    model = model_of(kind, num_hidden_layers=4, initializer_range=0.5, **options)
    attention = probe_packing(model, objective, 64, longest=20)
    assert (attention.first_position, attention.reach) == (0, reach)
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 64, (30,), generator=generator)
    batch = {
        "input_ids": ids[None],
        "segments": torch.tensor([[1] * 18 + [2] * 12]),
        "position_ids": torch.cat([torch.arange(18), torch.arange(12)])[None],
    }
    with torch.no_grad():
        packed = model(**attention.inputs(batch)).logits[0]
        alone = torch.cat([model(input_ids=segment[None]).logits[0] for segment in (ids[:18], ids[18:])])
        too_far = model(**replace(attention, reach=reach + 1).inputs(batch)).logits[0]
    torch.testing.assert_close(packed, alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(too_far, alone, atol=1e-2), "one more token would be visible"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("uses_mask", [True, False])
def test_segments_are_packed_although_kernels_differ_in_half_precision(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, noise: float, *, uses_mask: bool
) -> None:
    """On a GPU, attention without a mask uses another kernel; here, the other kernel adds noise."""
    torch.manual_seed(0)
    sizes = SMALL | {"vocab_size": 400, "hidden_size": 64}
    model = LlamaForCausalLM(LlamaConfig(**sizes, initializer_range=0.2)).to(dtype).eval()
    model.lm_head.weight.data *= 10
    real = functional.scaled_dot_product_attention

    def attention(*inputs: Any, attn_mask: Any = None, is_causal: bool = False, **options: Any) -> torch.Tensor:
        if attn_mask is None:
            output = real(*inputs, is_causal=is_causal, **options)
            return output + noise * output.float().std().to(dtype) * torch.randn(output.shape).to(dtype)
        return real(*inputs, attn_mask=attn_mask if uses_mask else None, is_causal=not uses_mask, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", attention)
    first_position = probe_packing(model, "clm", 400).first_position
    exact = dtype == torch.float32 and noise
    assert first_position == (0 if uses_mask and not exact else None)


@pytest.mark.parametrize(
    ("kind", "longest"),
    [("bert", 40), ("distilbert", 40), ("electra", 40), ("xlm-roberta", 38), ("camembert", 38), ("roberta", 38)],
)
def test_a_model_reads_exactly_as_many_tokens_as_stated(kind: str, longest: int) -> None:
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2} if longest < 40 else {"pad_token_id": 0}
    sizes = SMALL | {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4} if kind == "distilbert" else SMALL
    config = AutoConfig.for_model(kind, **sizes, **special, max_position_embeddings=40)
    for model in (AutoModelForMaskedLM.from_config(config), AutoModel.from_config(config)):
        assert longest_input(model) == longest
        ids = torch.full((1, longest), 5)
        model(input_ids=ids)
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, longest + 1), 5))
        with pytest.raises(UsageError, match=f"kind reads {longest} tokens at most"):
            check_length(longest + 1, model, "kind")


@pytest.mark.parametrize("tied", [True, False])
def test_a_decoder_saved_without_its_head_has_one_if_the_head_is_tied(tmp_path: Path, *, tied: bool) -> None:
    torch.manual_seed(0)
    LlamaModel(LlamaConfig(**SMALL, tie_word_embeddings=tied)).save_pretrained(tmp_path)
    load_tokenizer(find_base("lrl-mini")).save_pretrained(tmp_path)
    base = find_base(str(tmp_path), objective="clm")
    if not tied:
        with pytest.raises(ModelError, match="lacks 1 weights"):
            load_model(base)
        return
    model = load_model(base)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def byte_level() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer that puts no space before a text, like RoBERTa's."""
    pieces = [UNKNOWN, *"helworĠ", "he", "hel", "wo", "wor", "Ġhel", "Ġwor"]
    merges = [("h", "e"), ("he", "l"), ("w", "o"), ("wo", "r"), ("Ġ", "hel"), ("Ġ", "wor")]
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(dict.fromkeys(pieces))}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN)


def test_ner_words_are_read_with_the_spaces_between_them() -> None:
    tokenizer = byte_level()
    words = ("hel", "wor", "hel")
    features = featurize(tokenizer, Items((" ".join(words),), (("B-PER", "O", "O"),), (words,)), LABELS["ner"], 64)
    assert features.ids[0].tolist() == tokenizer("hel wor hel", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(features.ids[0].tolist()) == ["hel", "Ġwor", "Ġhel"]
    assert features.first is not None
    assert features.first[0].tolist() == [0, 1, 2]


def test_a_wordpiece_word_may_begin_with_the_marker_of_another_tokenizer() -> None:
    vocabulary = {UNKNOWN: 0, "Ġunju": 1, "il": 2, "##la": 3}  # June, in Maltese
    wordpiece = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    starts = word_starts(PreTrainedTokenizerFast(tokenizer_object=wordpiece, unk_token=UNKNOWN))
    assert starts.tolist() == [True, True, True, False]


def test_only_the_characters_of_scored_tokens_are_counted() -> None:
    ids, special = np.array([1, 3, 5, 3, 2]), np.zeros(10, bool)  # <s> UNK il UNK </s>
    special[:4] = True
    scored = copies(ids, "mlm", "corrected", special, np.ones(10, bool))
    assert scored.targets.tolist() == [2]
    assert characters_of(scored, [(0, 0), (0, 3), (4, 6), (7, 9), (0, 0)]) == 4, "il, and the spaces around it"
    decoder = copies(np.array([5, 6]), "clm", "corrected", special, np.ones(10, bool))
    assert characters_of(decoder, [(0, 4), (4, 9)]) == 5, (
        "without a start token, nothing predicts the first token of a text"
    )
    unknown = np.arange(10) == 3
    decoder = copies(ids, "clm", "corrected", unknown, np.ones(10, bool))
    assert decoder.targets.tolist() == [2, 4], "UNK is read, but not scored"
    assert characters_of(decoder, [(0, 0), (0, 3), (4, 6), (7, 9), (0, 0)]) == 4


@torch.no_grad()
def test_labels_do_not_tie_if_a_decoder_is_held_in_half_precision() -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SMALL)).to(torch.bfloat16).eval()
    model.get_output_embeddings().weight.mul_(1_000)  # spreads the logits as in large models
    rng = np.random.default_rng(0)
    questions = [Question(rng.integers(5, 200, 9), tuple(np.array([word]) for word in range(100))) for _ in range(4)]
    for log_likelihoods in score(model, questions).log_likelihood:
        assert len(set(log_likelihoods.tolist())) == 100
    assert "forward" not in vars(model.get_output_embeddings())


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {}),
        ("opt", {"ffn_dim": 64, "word_embed_proj_dim": 32}),  # bypasses its base model
        ("openai-gpt", {}),  # has no cache
        ("xglm", {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64}),
        ("mamba", {}),
        ("jamba", {"num_key_value_heads": 2, "mamba_d_state": 4, "attn_layer_offset": 1, "attn_layer_period": 2}),
        ("rwkv", {"attention_hidden_size": 32}),
        ("lfm2", {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}),
    ],
)
def test_labels_of_several_tokens_are_scored_after_prompts_of_different_lengths(
    kind: str, options: dict[str, Any]
) -> None:
    """Not every model can continue from a cached prompt; those that cannot raise no error, but give wrong numbers."""
    if kind == "jamba":
        options = options | {"num_experts": 2, "use_mamba_kernels": False}
    sizes = {key: value for key, value in SMALL.items() if kind != "mamba" or key != "num_attention_heads"}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes | options)).eval()
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, 0, 0.3)
    rng = np.random.default_rng(1)
    questions = [
        Question(rng.integers(5, 200, n), tuple(rng.integers(5, 200, k) for k in (1, 3, 4))) for n in (9, 4, 1)
    ]
    steps: list[int] = []
    scores = score(model, questions, advance=steps.append)
    assert steps[-1] == len(questions)
    for question, values, lengths in zip(questions, scores.log_likelihood, scores.tokens, strict=True):
        for answer, value, length in zip(question.answers, values, lengths, strict=True):
            ids = torch.from_numpy(np.concatenate([question.prompt, answer]))
            logits = model(input_ids=ids[None]).logits[0, len(question.prompt) - 1 : -1]
            assert value == pytest.approx(
                -float(functional.cross_entropy(logits, ids[-length:], reduction="sum")), 1e-4
            )


@torch.no_grad()
def test_the_coupling_of_gemma_2_sees_embeddings_before_they_are_scaled() -> None:
    """As in transformers 4 and in the library `adapters`. Newer versions scale embeddings in the embedding layer."""
    model = Gemma2Model(Gemma2Config(**SMALL, head_dim=8, num_key_value_heads=2)).eval()
    stack = AdapterStack(model, Bottlenecks(reduction_factor=4, invertible=True), ["x"])
    stack.initialize(1)
    assert stack.coupling is not None
    seen: list[torch.Tensor] = []
    insert(model, stack)
    model.layers[0].register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    ids = torch.arange(5, 12)[None]
    model(input_ids=ids)
    expected = stack.coupling(model.embed_tokens.weight[ids]) * 32**0.5
    torch.testing.assert_close(seen[0], expected)


def test_the_dropout_of_distilbert_is_found_under_its_own_name() -> None:
    model = DistilBertModel(DistilBertConfig(vocab_size=200, dim=32, n_layers=2, n_heads=4, hidden_dim=64, dropout=0.3))
    assert dropout_of(model.config) == 0.3
    model.config.attention_dropout = 0.2
    members = [AdapterStack(model, Bottlenecks(), [name]) for name in "ab"]
    assert {fusion.dropout.p for fusion in FusedStack(model, members).fusions.values()} == {0.2}


@pytest.mark.parametrize(
    "kind",
    ["opt", "xglm", "xlm", "gpt2", "bert", "distilbert", "modernbert", "llama", "falcon", "persimmon", "ernie4_5"],
)
def test_dropout_is_set_in_every_kind_of_model(kind: str, tmp_path: Path) -> None:
    """Some keep their rates as numbers with other names than those of modules."""
    names = {"opt": {"word_embed_proj_dim": 32, "ffn_dim": 64}, "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4}}
    names |= {
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
        "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2},
    }
    names |= {"xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64}}
    config = AutoConfig.for_model(kind, **{**SMALL, **names.get(kind, {}), "pad_token_id": 1})
    rates = {name: 0.3 for name, value in vars(config).items() if "drop" in name and isinstance(value, float)}
    config.update({name: rate for name, rate in rates.items() if "layerdrop" not in name})
    is_masked = kind in ("bert", "distilbert", "modernbert", "xlm")
    (AutoModelForMaskedLM if is_masked else AutoModelForCausalLM).from_config(config).save_pretrained(tmp_path)
    base = Base("test", str(tmp_path), None, "mlm" if is_masked else "clm", kind)
    ids = torch.arange(5, 45)[None]
    for dropout, same in ((0.0, True), (0.5, False), (None, not rates)):
        model = load_model(base, dropout=dropout).train()
        assert torch.equal(*(model(input_ids=ids).logits for _ in range(2))) == same, dropout
    save_model(load_model(base, dropout=0.0), tmp_path / "saved")
    saved, own = (AutoConfig.from_pretrained(folder).to_dict() for folder in (tmp_path / "saved", tmp_path))
    assert {name: saved[name] for name in rates} == {name: own[name] for name in rates}, "those of the base model"


def test_special_tokens_are_found_in_a_vocabulary_without_latin_letters() -> None:
    tokenizer = Tokenizer(models.BPE({"<s>": 0, "</s>": 1, "ሰ": 2}, []))
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    assert special_tokens_around(wrapped) == ([0], [1])
    empty = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"<s>": 0}, [])))
    with pytest.raises(ModelError, match="knows no text"):
        special_tokens_around(empty)
