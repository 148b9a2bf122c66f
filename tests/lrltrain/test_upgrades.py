"""A workspace that outlives versions and machines: what is finished stays so, and what is wrong is named."""

from pathlib import Path
from typing import Any

import pytest
from test_fit_again import settings  # noqa: F401 -- a fixture

import lrldata
from hub_cards.artifacts import open_workspace
from lrldata.errors import StorageError
from lrldata.manifest import DATASET, MANIFEST, read_manifest, write_manifest
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter
from lrltrain.config import load_fit_config
from lrltrain.fitting import plan as plans
from lrltrain.fitting.fit import fit
from lrltrain.training.loop import Loop

QUIET = Progress(quiet=True)
SMALL: dict[str, Any] = {"base": "lrl-mini", "method": "lora", "steps": 4, "batch_size": 2, "max_length": 32}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    lrldata.build("ro", sample=True, out=tmp_path / "ws", cache=tmp_path / "cache", quiet=True)
    return tmp_path / "ws"


def asked(workspace: Path, **more: Any) -> Any:
    return load_fit_config(None, SMALL | {"lang": "ro", "out": workspace, "cache": workspace.parent / "cache"} | more)


def rebuilt(workspace: Path, **more: Any) -> None:
    """Make the dataset's manifest that of another version of a library, which gave the same rows."""
    folder = workspace / "datasets" / "ro" / "conceptnet"
    manifest = read_manifest(folder, DATASET) or {}
    made_with = manifest["made_with"] | {"polars": "9.0"}
    write_manifest(folder / MANIFEST, DATASET, manifest | {"made_with": made_with, "recipe": "0" * 64} | more)


def test_a_dataset_that_is_built_again_to_the_same_rows_is_the_same(workspace: Path) -> None:
    made = fit(asked(workspace), QUIET)
    tokens = sorted((workspace.parent / "cache" / "tokens").iterdir())
    rebuilt(workspace)
    assert fit(asked(workspace), QUIET).status == "unchanged"
    held = open_workspace(workspace)
    (adapter,) = held.adapters["ro"]
    linked = held.dataset_of(adapter.manifest["inputs"][0]["manifest_sha256"])
    assert linked == held.datasets["ro"][0], "its card names the dataset, its licence and its version"
    assert fit(asked(workspace, variant="b"), QUIET).status == "fitted"
    assert sorted((workspace.parent / "cache" / "tokens").iterdir()) == tokens, "read from the cache"
    manifest = read_manifest(workspace / "datasets" / "ro" / "conceptnet", DATASET) or {}
    rebuilt(workspace, history=[manifest["history"][0] | {"content": "1" * 64}])
    with pytest.raises(StorageError, match=r"already holds an adapter \(inputs\)"):
        fit(asked(workspace), QUIET)
    assert made.manifest["inputs"][0]["content"] == manifest["history"][0]["content"]


def test_a_run_goes_on_after_an_upgrade_of_tokenizers(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as stopped:
        evaluate, seen = Loop._evaluate, list[int]()  # noqa: SLF001

        def stop(self: Loop, step: int, *given: Any) -> Any:
            seen.append(step)
            if step == 4:
                raise KeyboardInterrupt
            return evaluate(self, step, *given)

        stopped.setattr(Loop, "_evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(asked(workspace, eval_every=2), QUIET)
    now = plans.made_with("transformers", "tokenizers", "torch")
    monkeypatch.setattr(plans, "made_with", lambda *_: now | {"tokenizers": "9.0"})
    monkeypatch.setattr(plans, "tokenizer_fingerprint", lambda _: "written otherwise")
    with pytest.raises(
        StorageError, match=r"was not finished \(tokenizers .* \(now 9\.0\)\)\. Use --resume to continue"
    ):
        fit(asked(workspace, eval_every=2), QUIET)
    made = fit(asked(workspace, eval_every=2, resume=True), QUIET)
    assert made.manifest["resumed"][0]["made_with"] == now


def test_an_adapter_without_its_picture_is_used_and_not_made_again(workspace: Path) -> None:
    made = fit(asked(workspace), QUIET)
    for name in ("loss.png", "log.json", "run.json"):
        (made.path / name).unlink()
        assert open_adapter(made.path)["name"] == made.name
        assert fit(asked(workspace), QUIET).status == "unchanged"
    weights = made.path / "adapter.safetensors"
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(StorageError, match=r"Git LFS pointer.*`git lfs pull`\. Copy it again from"):
        open_adapter(made.path)
    with pytest.raises(StorageError, match=r"same settings, but damaged: adapter\.safetensors is a Git LFS pointer"):
        fit(asked(workspace), QUIET)
