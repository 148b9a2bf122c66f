"""Training in a session that computes other things: what is set in it changes nothing, and nothing of it is changed."""

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


def fitted(dataset: lrldata.Dataset, out: Path) -> str:
    adapter = lrltrain.fit(dataset, out=out, cache=out / "cache", quiet=True, **SMALL)
    return sha256_of(adapter.path / "adapter.safetensors")


@pytest.fixture(scope="module")
def alone(dataset: lrldata.Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    return fitted(dataset, tmp_path_factory.mktemp("alone"))


@contextmanager
def in_double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def in_bf16_products() -> Iterator[None]:
    """Set what torch 2.9 and later would have, of which its older functions then refuse to speak."""
    products = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    before = [each.fp32_precision for each in products]
    products[0].fp32_precision, products[1].fp32_precision = "tf32", "bf16"
    try:
        yield
        assert [each.fp32_precision for each in products] == ["tf32", "bf16"]
    finally:
        for each, precision in zip(products, before, strict=True):
            each.fp32_precision = precision


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
def test_what_is_set_in_a_session_changes_no_byte(
    session: Any, dataset: lrldata.Dataset, alone: str, tmp_path: Path
) -> None:
    with session():
        before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
        assert fitted(dataset, tmp_path) == alone
        assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")) == before


@pytest.mark.parametrize("given", [{"RANK": "3"}, {"RANK": "1", "WORLD_SIZE": "1"}, {"RANK": "1", "WORLD_SIZE": ""}])
def test_a_process_that_trains_alone_writes_whatever_its_rank(
    given: dict[str, str], dataset: lrldata.Dataset, alone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert fitted(dataset, tmp_path) == alone


@pytest.mark.parametrize("given", [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "2", "RANK": "0"}, {"WORLD_SIZE": "two"}])
def test_processes_that_torchrun_has_not_started_are_refused(
    given: dict[str, str], dataset: lrldata.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"WORLD_SIZE=(2|two) is set without RANK and MASTER_ADDR\..*with torchrun"):
        fitted(dataset, tmp_path)


def test_random_numbers_of_a_session_stay_its_own(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    fitted(dataset, tmp_path)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("raised", [torch.OutOfMemoryError, KeyboardInterrupt])
def test_an_error_that_a_notebook_keeps_keeps_no_model(
    dataset: lrldata.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    made: list[weakref.ref[Any]] = []

    def load(*arguments: Any) -> Any:
        model = load_model(*arguments)
        made.append(weakref.ref(model))
        return model

    def stop(_: Step) -> None:
        raise raised

    left: list[Any] = []
    monkeypatch.setattr("lrltrain.fitting.fit.load_model", load)
    monkeypatch.setattr(Step, "update", stop)
    # The way of a GPU, of which memory is short: with a thread that makes batches.
    monkeypatch.setattr("lrltrain.training.loop.prefetched", lambda items, _: prefetched(items, torch.device("cuda")))
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: left.append([model() for model in made]))
    hours_of_work, earlier = [1], ValueError("which the caller handles")
    try:
        raise earlier
    except ValueError:
        with pytest.raises((LrlError, KeyboardInterrupt)) as kept:
            fitted(dataset, tmp_path)
    assert kept.value is not None
    assert left[-1] == [None], "when memory is given back"
    assert earlier.__traceback__ is not None
    assert earlier.__traceback__.tb_frame.f_locals["hours_of_work"] is hours_of_work


def test_threads_wait_for_one_another(dataset: lrldata.Dataset, alone: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda name: fitted(dataset, tmp_path / name), ("a", "b")))
    assert made == [alone, alone]


def test_an_adapter_is_loaded_in_single_precision(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    adapter = lrltrain.fit(dataset, out=tmp_path, cache=tmp_path / "cache", quiet=True, **SMALL)
    model = AutoModelForMaskedLM.from_pretrained(MINI)
    with in_double_precision(), torch.inference_mode():
        stack = adapter.load(model)
    assert {weight.dtype for weight in stack.parameters()} == {torch.float32}
    assert not any(weight.is_inference() for weight in stack.parameters()), "it can be trained further"
    split = [SimpleNamespace(device=torch.device("cuda", number)) for number in (0, 1)]
    with pytest.raises(ModelError, match="split across several devices"):
        insert._device_of(SimpleNamespace(parameters=lambda: split))  # noqa: SLF001 -- there are no two devices here
    with pytest.raises(ModelError, match="offloaded"):
        adapter.load(cpu_offload(AutoModelForMaskedLM.from_pretrained(MINI), torch.device("cpu")))


def test_data_and_models_are_named_as_people_have_them(dataset: lrldata.Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    pair = lrldata.build(["ro", "mt"], sample=True, out=folder, cache=tmp_path / "cache", quiet=True)
    adapters = lrltrain.fit(pair, cache=tmp_path / "cache", quiet=True, **SMALL)
    both = lrltrain.evaluate(adapters, limit=2, quiet=True)
    each = [lrltrain.evaluate(one, limit=2, quiet=True).texts[0].after.value for one in adapters]
    assert [score.after.value for score in both.texts] == each
    given = lrltrain.evaluate(adapters[0], data=pair[0], limit=2, quiet=True)
    assert given.texts[0].after.value == each[0]
    own = {**SMALL, "base": Path(lrltrain.__file__).parent / "mini"}
    assert (
        lrltrain.fit(dataset.language, dataset=dataset.path, out=tmp_path / "own", quiet=True, **own).status == "fitted"
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
