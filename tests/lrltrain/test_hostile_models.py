"""Models are data: whatever their files say, none of their code is run, even if standard input says yes."""

import errno
import io
import json
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models import model_of
from safetensors.torch import load_file
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AutoConfig,
    FNetConfig,
    FNetForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    dynamic_module_utils,
)
from transformers.integrations import hub_kernels

from lrldata.errors import LrlError, ModelError
from lrldata.progress import Progress
from lrltrain.config import FitConfig, load_fit_config
from lrltrain.curve import draw_losses
from lrltrain.fitting.fit import fit
from lrltrain.methods import attach
from lrltrain.models import Base, find_base, load_model, load_tokenizer, mini_path
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.local import find_local, open_local
from lrltrain.prompting.template import Prompts, open_template
from lrltrain.trust import DEEPEST, LARGEST, faults, no_remote_code

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CODE = """
import pathlib
pathlib.Path({canary!r}).write_text("run")
from transformers import PretrainedConfig, PreTrainedTokenizerFast, XLMRobertaForMaskedLM

def generate(*_, **__): pass

class Config(PretrainedConfig): model_type = "planted"

class Tokenizer(PreTrainedTokenizerFast): pass
"""
CONFIG, TOKENIZER = "config.json", "tokenizer_config.json"
OWN = {"AutoConfig": "planted.Config", "AutoModelForMaskedLM": "planted.Model"}
REFUSED = [
    (CONFIG, {"auto_map": OWN}, "auto_map asks for"),
    (CONFIG, {"model_type": "planted", "auto_map": OWN}, "auto_map asks for"),
    (
        CONFIG,
        {"text_config": {"deeper": [{"auto_map": {"AutoConfig": "org/other--planted.Config"}}]}},
        "deeper.0.auto_map",
    ),
    (CONFIG, {"custom_pipelines": {"x": {"impl": "planted.Pipeline"}}}, "custom_pipelines asks for"),
    (CONFIG, {"_attn_implementation": "org/kernel"}, "_attn_implementation is .org/kernel"),
    (CONFIG, {"_attn_implementation_internal": "org/kernel@main:forward"}, "_attn_implementation_internal is"),
    (CONFIG, {"attn_implementation": {"": "sdpa", "text_config": "org/kernel:f"}}, "attn_implementation is"),
    (CONFIG, {"attn_implementation": "sdpa|org/kernel"}, "attn_implementation is"),
    (CONFIG, {"text_config": {"_attn_implementation": "org/kernel"}}, "text_config._attn_implementation is"),
    (CONFIG, {"_experts_implementation": "org/kernel"}, "_experts_implementation is"),
    (CONFIG, {"mask_implementation": "org/own"}, "mask_implementation is"),
    ("generation_config.json", {"attn_implementation": "my_own"}, "attn_implementation is"),
    (CONFIG, {"kernel_config": {"RMSNorm": "org/kernel:RMSNorm"}}, "kernel_config is"),
    (CONFIG, {"trust_remote_code": True}, "trust_remote_code asks for"),
    (CONFIG, {"vision_config": {"use_remote_code": "yes"}}, "vision_config.use_remote_code asks"),
    (CONFIG, {"model_type": "planted.Config"}, "model_type is"),
    (CONFIG, {"architectures": ["org/model--planted.Model"]}, "architectures is"),
    (CONFIG, {"architectures": [{"a": 1}, 5]}, "architectures is"),
    (CONFIG, {"tokenizer_class": "planted.Tokenizer"}, "tokenizer_class is"),
    (CONFIG, {"configuration_files": ["config.json", "config.4.0.0.json"]}, "auto_map asks for"),
    (CONFIG, {"configuration_files": ["config.9.json"]}, "is missing"),
    (CONFIG, {"configuration_files": ["config.json", "config./../../x.json"]}, "configuration_files names"),
    (CONFIG, {"configuration_files": 5}, "configuration_files is not"),
    (CONFIG, {"configuration_files": ["config.json"] * 101}, "is not a list of at most 100 file names"),
    (TOKENIZER, {"auto_map": ["planted.Tokenizer", "planted.Tokenizer"]}, "auto_map asks for"),
    (TOKENIZER, {"auto_map": {"AutoTokenizer": [None, "planted.Tokenizer"]}, "tokenizer_class": "Own"}, "auto_map"),
    (TOKENIZER, {"tokenizer_class": "a/b"}, "tokenizer_class is"),
    ("generation_config.json", {"custom_generate": "org/model"}, "custom_generate asks for"),
    ("processor_config.json", {"auto_map": OWN}, "auto_map asks for"),
    ("adapter_config.json", {"auto_mapping": {"parent_library": "planted"}}, "auto_mapping asks for"),
    ("adapter_config.json", {"base_model_name_or_path": "org/other"}, "base_model_name_or_path is"),
    ("custom_generate/generate.py", None, "contains code that transformers would run"),
]
FINE = [
    {"auto_map": None},
    {"auto_map": {}},
    {"_attn_implementation": None, "_attn_implementation_autoset": True},
    {"_attn_implementation": "sdpa", "text_config": {"attn_implementation": "flash_attention_2"}},
    {"attn_implementation": {"": "eager", "text_config": None}, "_attn_implementation_internal": "paged|sdpa"},
    {"_experts_implementation": "grouped_mm"},
    {"trust_remote_code": False, "kernel_size": [3, 3], "use_mamba_kernels": True, "attn_impl": "torch"},
    {"architectures": None, "model_type": "kosmos-2.5", "tokenizer_class": ["ATokenizer", "ATokenizerFast"]},
    {"cache_implementation": "hybrid", "quantization_config": {"quant_method": "awq"}},
    {"_name_or_path": "org/model", "id2label": {"0": "a/b.c"}},
]


@pytest.fixture(autouse=True)
def canary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Answer every question with yes, and check that the planted code was never run and no kernel was fetched."""
    file = tmp_path / "canary"
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    monkeypatch.setattr(hub_kernels, "_kernels_available", True, raising=False)
    monkeypatch.setattr(hub_kernels, "get_kernel", lambda *_, **__: file.write_text("kernel"), raising=False)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    yield file
    assert not file.exists()


@pytest.mark.parametrize("key", ["vocab_file", "merges_file", "sentencepiece_model_file", "source_spm"])
def test_a_tokenizer_does_not_read_other_files_on_this_machine(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    (tmp_path / "keys.txt").write_text("AKIA-SECRET\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    content = json.loads((mini / TOKENIZER).read_text("utf-8"))
    for path in (str(tmp_path / "keys.txt"), "keys.txt", f"{mini}/{os.path.relpath(tmp_path, mini)}/keys.txt"):
        (mini / TOKENIZER).write_text(json.dumps(content | {key: path}), "utf-8")
        with pytest.raises(ModelError, match=f"{key} is .*a file on this machine outside the model's folder"):
            find_base(str(mini))
    (mini / TOKENIZER).write_text(json.dumps(content | {key: str(mini / "tokenizer.json")}), "utf-8")
    find_base(str(mini))
    saved = {key: "/where/it/was/saved.model", "special_tokens_map_file": str(tmp_path / "keys.txt")}
    (mini / TOKENIZER).write_text(json.dumps(content | saved), "utf-8")  # as in many models
    find_base(str(mini))


def test_a_session_may_load_its_own_code_afterwards() -> None:
    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    assert before > 0, "transformers asks the user"
    load_model(find_base("lrl-mini"))
    assert before == dynamic_module_utils.TIME_OUT_REMOTE_CODE


@pytest.fixture
def mini(tmp_path: Path, canary: Path) -> Path:
    """Return a copy of lrl-mini that also contains code."""
    return with_code(shutil.copytree(mini_path(), tmp_path / "mini"), canary)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small decoder with the tokenizer of lrl-mini."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=8002, max_position_embeddings=256, **sizes)).save_pretrained(folder)
    for name in ("tokenizer.json", TOKENIZER, "special_tokens_map.json"):
        shutil.copy(mini_path() / name, folder / name)
    return folder


def with_code(folder: Path, canary: Path) -> Path:
    (folder / "planted.py").write_text(CODE.format(canary=str(canary)))
    (folder / "config.4.0.0.json").write_text(json.dumps(read(folder) | {"auto_map": OWN}))
    return folder


def read(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    return json.loads((folder / name).read_text("utf-8")) if (folder / name).exists() else {}


def plant(folder: Path, name: str, change: dict[str, Any] | None) -> None:
    """Change values in a file of a model; with None, write a copy of the planted code."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        (folder / "planted.py").read_bytes() if change is None else json.dumps(read(folder, name) | change).encode()
    )


@pytest.mark.parametrize(("name", "change", "message"), REFUSED)
def test_a_file_that_names_code_is_refused_before_a_library_reads_it(
    mini: Path, name: str, change: dict[str, Any] | None, message: str
) -> None:
    base = find_base(str(mini))
    plant(mini, name, change)
    for load in (lambda _: find_base(str(mini)), load_tokenizer, load_model):
        with pytest.raises(ModelError, match=rf"{Path(name).stem}.*{message}"):
            load(base)


@pytest.mark.parametrize(("name", "change", "message"), REFUSED)
def test_a_model_to_prompt_is_checked_in_the_same_way(
    decoder: Path, tmp_path: Path, canary: Path, name: str, change: dict[str, Any] | None, message: str
) -> None:
    folder = with_code(shutil.copytree(decoder, tmp_path / "llama"), canary)
    config = prompting(folder)
    base, _ = find_local(config)
    plant(folder, name, change)
    for load in (lambda: find_local(config), lambda: open_local(config, base, Progress(quiet=True))):
        with pytest.raises(ModelError, match=rf"{Path(name).stem}.*{message}"):
            load()


@pytest.mark.parametrize("config", FINE, ids=lambda config: next(iter(config)))
def test_a_configuration_that_names_no_code_is_accepted(config: dict[str, Any]) -> None:
    assert list(faults(config)) == []


def test_a_model_that_names_a_standard_attention_is_loaded(mini: Path) -> None:
    plant(mini, CONFIG, {"_attn_implementation": "eager", "_attn_implementation_autoset": True})
    assert load_model(find_base(str(mini))).config.hidden_size == 128


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "is nested more than"),
        ('{"a": ' * (DEEPEST + 2) + "1" + "}" * (DEEPEST + 2), "is nested more than"),
        ('{"a": ' + "[" * (DEEPEST + 2) + "]" * (DEEPEST + 2) + "}", "is nested more than"),
        (" " * (LARGEST + 1), "is larger than"),
        ("[1]", "is not a JSON object"),
        ("{", "is not JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "is not JSON"),
        ("\udcff", "is not JSON"),
    ],
    ids=lambda value: value[:12],
)
@pytest.mark.parametrize("name", [CONFIG, TOKENIZER])
def test_an_invalid_configuration_is_refused(mini: Path, name: str, content: str, message: str) -> None:
    (mini / name).write_text(content, "utf-8", errors="surrogateescape")
    with pytest.raises(ModelError, match=rf"{name}: .*{message}"):
        find_base(str(mini))


def test_a_type_without_support_for_adapters_is_refused_before_the_text_is_read(tmp_path: Path) -> None:
    small = {"embedding_size": 8, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    AlbertForMaskedLM(AlbertConfig(vocab_size=8000, **small)).save_pretrained(tmp_path / "albert")
    load_tokenizer(find_base("lrl-mini")).save_pretrained(tmp_path / "albert")
    (tmp_path / "a.txt").write_text("una linie\n" * 50)
    flags = {"lang": "ro", "text": tmp_path / "a.txt", "base": str(tmp_path / "albert"), "method": "lora"}
    config = load_fit_config(None, flags | {"out": tmp_path, "cache": tmp_path / "cache"})
    with pytest.raises(ModelError, match="adapters are not supported for models of type 'albert'"):
        fit(config, Progress(quiet=True))
    assert not (tmp_path / "cache" / "tokens").exists()


def test_a_type_without_a_language_model_is_refused_before_it_loads_another_model(
    mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(mini, CONFIG, {"model_type": "lightglue", "keypoint_detector_config": {"_name_or_path": "org/other"}})
    monkeypatch.setattr("lrltrain.models.AutoConfig", None)
    with pytest.raises(ModelError, match="'lightglue' has no language modelling head"):
        find_base(str(mini))


def test_an_encoder_decoder_is_refused(mini: Path) -> None:
    plant(mini, CONFIG, {"model_type": "mt5"})
    with pytest.raises(ModelError, match="'mt5' is an encoder-decoder or a speech model, which is not supported"):
        find_base(str(mini))


def test_a_model_that_reads_padding_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(1)
    sizes = {"vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
    FNetForMaskedLM(FNetConfig(**sizes, max_position_embeddings=40)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="reads padding like text"):
        load_model(find_base(str(tmp_path)))


def test_quantized_weights_are_not_trained() -> None:
    model = model_of("llama")
    model.register_parameter("packed", torch.nn.Parameter(torch.ones(1, dtype=torch.int8), requires_grad=False))
    with pytest.raises(ModelError, match=r"base: its weights are quantized.*--method lora"):
        attach(model, FitConfig(lang="ro", method="full"), ["x"], [1])


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError(), PermissionError(errno.EACCES, "no")]
)
def test_an_error_of_the_machine_is_not_blamed_on_the_model(
    error: Exception, mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    base = find_base(str(mini))
    monkeypatch.setattr("lrltrain.models.AutoModelForMaskedLM.from_pretrained", fail)
    with pytest.raises(type(error)):
        load_model(base)


@pytest.mark.parametrize("name", ["mini/config.json", "http://127.0.0.1:1/config.json", "/no/such/folder", "../x", ""])
def test_a_name_that_is_neither_a_folder_nor_an_id_is_refused(
    mini: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(mini.parent)
    with pytest.raises(ModelError, match="neither a folder nor an id"):
        find_base(name)


def test_the_user_is_not_asked_whether_code_may_run(mini: Path) -> None:
    plant(mini, CONFIG, {"model_type": "planted", "auto_map": OWN})
    # As if a part of a model were loaded without the argument trust_remote_code.
    with no_remote_code(), pytest.raises(ValueError, match="custom code"):
        AutoConfig.from_pretrained(mini)


@pytest.mark.parametrize("change", [{"_attn_implementation": "org/kernel"}, {"auto_map": OWN}])
def test_a_model_on_the_hub_is_checked_in_the_same_way(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    repository = tmp_path / "hub" / "models--org--mini"
    shutil.copytree(mini, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for target in (
        "transformers.utils.hub.TRANSFORMERS_CACHE",
        "huggingface_hub.constants.HF_HUB_CACHE",
    ):  # in transformers 4 and 5
        monkeypatch.setattr(target, str(tmp_path / "hub"), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    base = find_base("org/mini")
    assert (base.id, base.revision) == ("org/mini", COMMIT)
    assert load_tokenizer(base).is_fast
    plant(repository / "snapshots" / COMMIT, CONFIG, change)
    for load in (lambda _: find_base("org/mini"), load_tokenizer, load_model):
        with pytest.raises(ModelError, match=rf"org/mini: {CONFIG}: {next(iter(change))}"):
            load(base)


class Payload:
    """An object that calls a function when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.canary, "run"))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_weights_run_no_code(mini: Path, canary: Path, *, zipped: bool) -> None:
    base = find_base(str(mini))
    weights = load_file(mini / "model.safetensors")
    (mini / "model.safetensors").unlink()
    torch.save(weights, mini / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert load_model(base).num_parameters() > 1_000_000, "a pickle of tensors is read"
    torch.save(weights | {"x": Payload(canary)}, mini / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(base)
    (mini / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(canary)))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(base)
    assert not canary.exists()


def prompting(folder: Path, **options: Any) -> Any:
    return load_prompt_config(None, {"lang": "yo", "data": "d", "model": str(folder)} | options)


@pytest.mark.parametrize(
    "template",
    [
        "{{ a.b.c }}",
        "{% for %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ 1 / 0 }}",
        "{{ range(10 ** 9) }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ],
)
def test_a_chat_template_that_fails_is_an_error_of_the_model(decoder: Path, tmp_path: Path, template: str) -> None:
    folder = shutil.copytree(decoder, tmp_path / "llama")
    plant(folder, TOKENIZER, {"chat_template": template})
    config = prompting(folder, form="chat")
    local = open_local(config, find_local(config)[0], Progress(quiet=True))
    prompts = Prompts(open_template(None, "topic"), "Yoruba")
    with pytest.raises(LrlError, match="chat template failed"):
        local.classify("x", prompts, ["text"], Progress(quiet=True))


@pytest.mark.parametrize("positions", ["many", -5, None, [1]])
def test_an_invalid_number_of_positions_is_ignored(
    decoder: Path, monkeypatch: pytest.MonkeyPatch, positions: Any
) -> None:
    config = prompting(decoder, max_length=100)
    local_model, _ = find_local(config)
    model = load_model(local_model.base)
    object.__setattr__(model.config, "max_position_embeddings", positions)  # transformers 5 checks ordinary assignments
    monkeypatch.setattr("lrltrain.prompting.local.load_model", lambda *_: model)
    assert open_local(config, local_model, Progress(quiet=True)).longest == 100


def test_another_base_model_with_the_same_name_is_checked_as_well(mini: Path) -> None:
    base = replace(find_base("lrl-mini"), location=str(mini))
    plant(mini, CONFIG, {"auto_map": OWN})
    with pytest.raises(ModelError, match=r"lrl-mini: config\.json: auto_map"):
        load_model(base)
    assert isinstance(base, Base)


def test_the_curve_of_a_malformed_log_is_drawn(tmp_path: Path) -> None:
    malformed: list[dict[str, Any]] = [{"step": "\udc00", "loss": "x"}, {"loss": 1.0}, {"step": 10**400, "loss": 1.0}]
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "eval_loss": float("nan")}, *malformed]
    # The converter would abort the process at this title.
    draw_losses(log, 1, "a\x00\x1b[31m\ufffe\udc00", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
