"""Other programs give the same numbers: minicons, PEFT and lm-evaluation-harness. Skipped if they are not installed.

`make test-oracles` installs them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import IDS, model_of

import lrltrain
from lrldata.errors import ModelError
from lrldata.language import find
from lrldata.progress import Progress
from lrltrain.evaluation.items import LABELS
from lrltrain.evaluation.pseudo_perplexity import likelihoods
from lrltrain.evaluation.record import Run
from lrltrain.models import find_base, load_model, load_tokenizer, mini_path
from lrltrain.modules.families import FAMILIES
from lrltrain.modules.files import save_adapter
from lrltrain.modules.insert import AdapterStack, insert
from lrltrain.modules.settings import LowRanks
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.prompt import prompt
from lrltrain.training.batches import Batch
from lrltrain.training.packing import PackedAttention
from lrltrain.training.step import Step
from lrltrain.training.weights import Rates, Weights

pytestmark = pytest.mark.filterwarnings("ignore")  # these programs cause warnings in each other
REASON = "is not installed: `make test-oracles`"
SENTENCES = [
    "Drumul spre casă este lung, dar frumos.",
    "Bilioteca universitară s-a deschis astăzi.",
    "Il-belt Valletta hija l-kapitali ta' Malta.",
    "One word",
    "Internaționalizare",
]


@pytest.mark.parametrize(("formula", "metric"), [("corrected", "original"), ("within_word_l2r", "within_word_l2r")])
def test_pseudo_perplexity_equals_that_of_minicons(formula: Any, metric: str) -> None:
    scorer = pytest.importorskip("minicons.scorer", reason=f"minicons {REASON}")
    base = find_base("lrl-mini")
    model, tokenizer = load_model(base), load_tokenizer(base)
    tokens = {token for ids in tokenizer(SENTENCES)["input_ids"] for token in ids}
    assert tokenizer.unk_token_id not in tokens, "minicons scores unknown tokens too"
    ours = likelihoods(model, tokenizer, SENTENCES, "mlm", formula=formula)
    theirs = scorer.MaskedLMScorer(model, "cpu", tokenizer=tokenizer, PLL_metric=metric)
    encoded = tokenizer(SENTENCES, padding="longest")  # minicons would call a method that transformers 5 no longer has
    sums = theirs.sequence_score(encoded, reduction=lambda scores: scores.sum().item(), PLL_metric=metric)
    np.testing.assert_allclose(ours.log_likelihood, sums, atol=1e-4, rtol=1e-4)
    assert ours.tokens.tolist() == [len(scored) for *_, scored, _ in theirs.prepare_text(encoded, PLL_metric=metric)]
    other = likelihoods(model, tokenizer, SENTENCES, "mlm", formula="paper").log_likelihood
    assert not np.allclose(other, sums, atol=1e-1), "another formula gives different numbers"


@pytest.mark.parametrize("kind", sorted(FAMILIES))
@pytest.mark.parametrize("matrices", [("q", "v"), ("v",)])
def test_peft_loads_the_lora_weights_written_for_it(kind: str, matrices: tuple[str, ...], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason=f"PEFT {REASON}")
    settings = LowRanks(rank=4, alpha=12, matrices=matrices, leave_out=(1,))
    stack = AdapterStack(model_of(kind), settings, ["own"])
    with torch.no_grad():
        for number, parameter in enumerate(stack.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    save_adapter(tmp_path, model_of(kind), stack)
    ours, plain = model_of(kind), model_of(kind)(IDS).logits
    lrltrain.load_adapter(ours, tmp_path)
    theirs = peft.PeftModel.from_pretrained(model_of(kind), tmp_path, subfolder="peft").eval()
    expected = ours(IDS).logits
    assert (expected - plain).abs().max() > 0.01
    torch.testing.assert_close(theirs(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-4)
    merged = theirs.merge_and_unload()
    torch.testing.assert_close(merged(input_ids=IDS).logits, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["bert", "llama", "gemma3_text"])
def test_an_adapter_of_a_model_that_peft_wraps_is_saved_and_removed(kind: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason=f"PEFT {REASON}")
    stack = AdapterStack(model_of(kind), LowRanks(rank=4, alpha=12), ["own"])
    with torch.no_grad():
        for number, parameter in enumerate(stack.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    (tmp_path / "a").mkdir()
    save_adapter(tmp_path / "a", model_of(kind), stack)
    model, plain = model_of(kind), model_of(kind)(IDS).logits
    lrltrain.load_adapter(model, tmp_path / "a")
    expected = model(IDS).logits
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear", r=2))
    with pytest.raises(ModelError, match=r"PEFT wraps this model\. Call load_adapter on the transformers model"):
        lrltrain.load_adapter(wrapped, tmp_path / "a")
    lrltrain.save_adapter(wrapped, tmp_path / "b")
    loaded = peft.PeftModel.from_pretrained(model_of(kind), tmp_path / "b", subfolder="peft").eval()
    torch.testing.assert_close(loaded(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-4)
    lrltrain.unload_adapter(wrapped)
    torch.testing.assert_close(model(IDS).logits, plain, atol=1e-5, rtol=1e-4)


def test_lora_equals_that_of_peft_after_two_steps() -> None:
    """The first step changes only B, which starts at zero; the second step changes both matrices."""
    peft = pytest.importorskip("peft", reason=f"PEFT {REASON}")
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    torch.manual_seed(1)
    plain = LlamaForCausalLM(LlamaConfig(vocab_size=64, intermediate_size=48, max_position_embeddings=40, **sizes))
    plain.requires_grad_(False)
    state = {name: value.clone() for name, value in plain.state_dict().items()}
    ids = torch.randint(0, 64, (3, 12), generator=torch.Generator().manual_seed(2))
    rate = 1e-2

    stack = AdapterStack(plain, LowRanks(4, 12), ["a"])
    stack.initialize(3)
    initial = {name: value.detach().clone() for name, value in stack.named_parameters()}
    insert(plain, stack)
    weights = Weights(list(stack.named_parameters()), 1, stacked=True)
    weights.optimizer(Rates(rate, 0.0, 0.01))
    weights.set_rate(rate)
    step = Step(plain, weights, PackedAttention("clm", 0))
    losses = []
    for _ in range(2):
        step.accumulate(_batch_of(ids), torch.full((1,), 1 / (ids.numel() - len(ids))))
        losses.append(step.update()[0].item())
    step.release()

    other = LlamaForCausalLM(plain.config)
    other.load_state_dict(state)
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "v_proj"], lora_dropout=0.0)
    theirs = peft.get_peft_model(other, config)
    matrices = _matching_matrices(theirs, stack)
    with torch.no_grad():
        for name, (parameter, _) in matrices.items():
            parameter.copy_(initial[name][0])
    optimizer = torch.optim.AdamW([weight for weight, _ in matrices.values()], lr=rate, weight_decay=0.01)
    for expected in losses:
        loss = theirs(input_ids=ids, labels=ids).loss
        assert loss.item() == pytest.approx(expected, abs=1e-5)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weight for weight, _ in matrices.values()], 1.0)
        optimizer.step()
    for name, (parameter, ours) in matrices.items():
        assert not torch.equal(ours, initial[name]), f"{name} is trained"
        torch.testing.assert_close(ours[0], parameter.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(plain(ids).logits, theirs(ids).logits, atol=1e-5, rtol=1e-4)


def _batch_of(ids: torch.Tensor) -> Batch:
    """Return complete rows as a batch in which every next token is a label."""
    rows, length = ids.shape
    positions = torch.arange(length).expand(rows, -1)
    tensors = {
        "input_ids": ids,
        "segments": torch.ones_like(ids),
        "position_ids": positions,
        "label_indices": torch.arange(rows * length).view(rows, length)[:, :-1].reshape(-1),
        "labels": ids[:, 1:].reshape(-1),
    }
    return Batch(tensors, np.array([rows * (length - 1)]), ids.numel())


def _matching_matrices(theirs: Any, stack: AdapterStack) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return PEFT's parameter and ours for each matrix, by our name."""
    their_parameters, pairs = dict(theirs.named_parameters()), {}
    for name, ours in stack.named_parameters():
        part, layer, matrix = name.split(".")
        path = f"layers.{layer}.self_attn.{'q_proj' if part == 'queries' else 'v_proj'}.{matrix}.default.weight"
        (key,) = (full_name for full_name in their_parameters if full_name.endswith(path))
        pairs[name] = (their_parameters[key], ours.detach())
    return pairs


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    folder = tmp_path / "sib200" / "uig_Arab"
    folder.mkdir(parents=True)
    for split, count in (("train", 14), ("test", 21)):
        rows = [f"{n}\t{LABELS['topic'][n % 7]}\t{split} text {n} of {LABELS['topic'][n % 7]}" for n in range(count)]
        (folder / f"{split}.tsv").write_text("\n".join(["index_id\tcategory\ttext", *rows]) + "\n", "utf-8")
    return tmp_path / "sib200"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return the folder of a small LLaMA with random weights and the tokenizer of lrl-mini."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415

    folder = tmp_path / "tiny"
    special_tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(mini_path() / "tokenizer.json"), **special_tokens)
    tokenizer.backend_tokenizer.post_processor = None
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _run_prompt(topics: Path, tiny: Path, **options: Any) -> Run:
    flags = {"lang": "ug", "data": topics, "model": str(tiny), "out": topics.parent / "out"} | options
    (run,) = prompt(load_prompt_config(None, flags), Progress(quiet=True))
    return run


@pytest.mark.parametrize("shots", [0, 3])
def test_lm_evaluation_harness_makes_the_same_predictions_on_an_exported_task(
    topics: Path,
    tiny: Path,
    tmp_path: Path,
    shots: int,
    lrltrain: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("lm_eval", reason=f"lm-evaluation-harness {REASON}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    from lm_eval import simple_evaluate  # noqa: PLC0415
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415
    from lm_eval.tasks import TaskManager  # noqa: PLC0415

    template = tmp_path / "template.toml"  # makes the labels about equally likely to a model with random weights
    label_lines = "\n".join(
        f'"{label}" = ["{letter}"]' for label, letter in zip(LABELS["topic"], "abcdefg", strict=True)
    )
    lines = ['task = "topic"', 'instruction = "In {language}:"', 'question = "{text}"', 'answer = " {label}"']
    template.write_text("\n".join([*lines, "[labels]", label_lines]), "utf-8")
    result = lrltrain(
        *("prompt", "--lang", "ug", "--data", topics, "--shots", shots, "--template", template),
        *("--export-lm-eval", tmp_path / "tasks", "--json"),
    )
    assert result.returncode == 0, result.stderr
    (task,) = json.loads(result.stdout)["tasks"]
    assert (task["name"], task["items"]) == ("lrl_topic_sib200_ug", 21)
    evaluation = simple_evaluate(
        model=HFLM(pretrained=str(tiny), device="cpu", dtype="float32", batch_size=4),
        tasks=[task["name"]],
        task_manager=TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )
    samples = sorted(evaluation["samples"][task["name"]], key=lambda sample: sample["doc_id"])
    theirs = [int(np.argmax([float(response[0]) for response in sample["filtered_resps"]])) for sample in samples]
    ours = _run_prompt(topics, tiny, shots=shots, template=template)
    labels = list(ours.manifest["settings"]["template"]["labels"])
    assert [labels[index] for index in theirs] == ours.predictions["predicted"].to_list()
    assert len(set(theirs)) > 1, "the predictions differ between texts"
    assert evaluation["results"][task["name"]]["acc,none"] == pytest.approx(ours.result["accuracy"])
    assert find("ug").name in samples[0]["doc"]["query"]
