"""Training in a session that computes other things: neither the session nor training affects the other."""

import shutil
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from transformers import AutoModelForMaskedLM

import lrldata
import lrltrain
from lrldata.errors import LrlError, ModelError, UsageError
from lrldata.manifest import sha256_of
from lrltrain.models import load_model
from lrltrain.modules import insert
from lrltrain.training.prefetch import prefetched
from lrltrain.training.step import Step

MINI = Path(lrltrain.__file__).parent / "mini"
SMALL: dict[str, Any] = {"base": "lrl-mini", "method": "seq_bn", "steps": 2, "batch_size": 2, "max_length": 32}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> lrldata.Dataset:
    folder = tmp_path_factory.mktemp("session")
    return lrldata.build("ro", sample=True, out=folder, cache=folder / "cache", quiet=True)


def hash_of_fit(dataset: lrldata.Dataset, out: Path) -> str:
    adapter = lrltrain.fit(dataset, out=out, cache=out / "cache", quiet=True, **SMALL)
    return sha256_of(adapter.path / "adapter.safetensors")


@pytest.fixture(scope="module")
def expected_hash(dataset: lrldata.Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    return hash_of_fit(dataset, tmp_path_factory.mktemp("alone"))


@contextmanager
def in_double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def in_bf16_products() -> Iterator[None]:
    """Set precisions through the API of torch 2.9 and later; its older functions then raise errors."""
    if not hasattr(torch.backends.mkldnn, "matmul"):
        pytest.skip("this torch has no such settings")
    backends = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    before = [backend.fp32_precision for backend in backends]
    backends[0].fp32_precision, backends[1].fp32_precision = "tf32", "bf16"
    try:
        yield
        assert [backend.fp32_precision for backend in backends] == ["tf32", "bf16"]
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


@pytest.mark.parametrize(
    "session",
    [
        torch.no_grad,
        torch.inference_mode,
        in_double_precision,
        lambda: torch.autocast("cpu", torch.bfloat16),
        in_bf16_products,
        lambda: torch.device("meta"),
    ],
    ids=["no_grad", "inference_mode", "float64", "autocast", "products", "device"],
)
def test_settings_of_a_session_do_not_change_a_byte(
    session: Any, dataset: lrldata.Dataset, expected_hash: str, tmp_path: Path
) -> None:
    with session():
        before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
        assert hash_of_fit(dataset, tmp_path) == expected_hash
        assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")) == before


@pytest.mark.parametrize(
    "variables", [{"RANK": "3"}, {"RANK": "1", "WORLD_SIZE": "1"}, {"RANK": "1", "WORLD_SIZE": ""}]
)
def test_a_single_process_writes_its_adapter_whatever_its_rank(
    variables: dict[str, str],
    dataset: lrldata.Dataset,
    expected_hash: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hash_of_fit(dataset, tmp_path) == expected_hash


@pytest.mark.parametrize("variables", [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "2", "RANK": "0"}, {"WORLD_SIZE": "two"}])
def test_processes_that_were_not_started_by_torchrun_are_refused(
    variables: dict[str, str], dataset: lrldata.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"WORLD_SIZE=(2|two) is set without RANK and MASTER_ADDR\..*with torchrun"):
        hash_of_fit(dataset, tmp_path)


def test_the_random_state_of_a_session_is_unchanged(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    hash_of_fit(dataset, tmp_path)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("exception", [torch.OutOfMemoryError, KeyboardInterrupt])
def test_an_error_kept_by_a_notebook_holds_no_model(
    dataset: lrldata.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: type[BaseException]
) -> None:
    models: list[weakref.ref[Any]] = []

    def load(*arguments: Any) -> Any:
        model = load_model(*arguments)
        models.append(weakref.ref(model))
        return model

    def stop(_: Step) -> None:
        raise exception

    remaining: list[Any] = []
    monkeypatch.setattr("lrltrain.fitting.fit.load_model", load)
    monkeypatch.setattr(Step, "update", stop)
    # As on a GPU that runs out of memory: a thread prepares the batches.
    monkeypatch.setattr("lrltrain.training.loop.prefetched", lambda items, _: prefetched(items, torch.device("cuda")))
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: remaining.append([model() for model in models]))
    hours_of_work, earlier = [1], ValueError("which the caller handles")
    try:
        raise earlier
    except ValueError:
        with pytest.raises((LrlError, KeyboardInterrupt)) as error:
            hash_of_fit(dataset, tmp_path)
    assert error.value is not None
    assert remaining[-1] == [None], "no model is left when the memory is released"
    assert earlier.__traceback__ is not None
    assert earlier.__traceback__.tb_frame.f_locals["hours_of_work"] is hours_of_work


def test_threads_wait_for_one_another(dataset: lrldata.Dataset, expected_hash: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        hashes = list(threads.map(lambda name: hash_of_fit(dataset, tmp_path / name), ("a", "b")))
    assert hashes == [expected_hash, expected_hash]


def test_an_adapter_is_loaded_in_single_precision(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    adapter = lrltrain.fit(dataset, out=tmp_path, cache=tmp_path / "cache", quiet=True, **SMALL)
    model = AutoModelForMaskedLM.from_pretrained(MINI)
    with in_double_precision(), torch.inference_mode():
        stack = adapter.load(model)
    assert {weight.dtype for weight in stack.parameters()} == {torch.float32}
    assert not any(weight.is_inference() for weight in stack.parameters()), "it can be trained further"
    parameters = [SimpleNamespace(device=torch.device("cuda", number)) for number in (0, 1)]
    with pytest.raises(ModelError, match="split across several devices"):
        insert._device_of(SimpleNamespace(parameters=lambda: parameters))  # noqa: SLF001 -- there may not be two devices
    with pytest.raises(ModelError, match="offloaded"):
        adapter.load(cpu_offload(AutoModelForMaskedLM.from_pretrained(MINI), torch.device("cpu")))


def test_data_and_models_are_accepted_as_objects_or_paths(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    pair = lrldata.build(["ro", "mt"], sample=True, out=folder, cache=tmp_path / "cache", quiet=True)
    adapters = lrltrain.fit(pair, cache=tmp_path / "cache", quiet=True, **SMALL)
    both = lrltrain.evaluate(adapters, limit=2, quiet=True)
    expected = [lrltrain.evaluate(adapter, limit=2, quiet=True).texts[0].after.value for adapter in adapters]
    assert [score.after.value for score in both.texts] == expected
    elsewhere = lrltrain.fit(pair[0], out=tmp_path / "three", cache=tmp_path / "cache", quiet=True, **SMALL)
    apart = lrltrain.evaluate([adapters[0], elsewhere], limit=2, quiet=True)
    assert [score.path.relative_to(tmp_path).parts[0] for score in apart.texts] == ["two", "three"]
    own = shutil.copytree(adapters[0].path, tmp_path / "own-folder")
    mixed = [adapters[0].path, own]  # only one of them is in a workspace
    assert len(lrltrain.evaluate(mixed, data=pair[0], limit=2, quiet=True).texts) == 2
    with pytest.raises(UsageError, match="out: the adapters are in several workspaces"):
        lrltrain.evaluate([adapters[0].path, elsewhere.path], data=pair[0], limit=2, quiet=True)
    explicit = lrltrain.evaluate(adapters[0], data=pair[0], limit=2, quiet=True)
    assert explicit.texts[0].after.value == expected[0]
    options = {**SMALL, "base": Path(lrltrain.__file__).parent / "mini"}
    assert (
        lrltrain.fit(dataset.language, dataset=dataset.path, out=tmp_path / "own", quiet=True, **options).status
        == "fitted"
    )
    with pytest.raises(UsageError, match=r"data: .* is not a path"):
        lrltrain.evaluate(adapters[0], data=[pair[0].path], quiet=True)  # type: ignore[typeddict-item]
    with pytest.raises(UsageError, match=r"adapter: 5 is not an adapter"):
        lrltrain.evaluate(iter([*adapters, 5]))  # type: ignore[arg-type]
    with pytest.raises(LrlError, match="no such file or folder"):
        lrltrain.evaluate(adapters[0], data="./nope.txt", quiet=True)
    with pytest.raises(UsageError, match="out: s3://bucket/x is an address"):
        lrltrain.fit(dataset, out="s3://bucket/x", **SMALL)
    with pytest.raises(LrlError, match="no finished dataset"):
        lrltrain.fit(str(folder / "datasets" / "ro" / "conceptnett"), **SMALL)
