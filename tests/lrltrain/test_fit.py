"""`lrltrain fit` as users run it: adapters that load anywhere, runs that resume, errors that say what to do."""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from models import model_of
from oracle import HAS_ADAPTERS
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
)
from warm import FIXED, Warm

import lrltrain.fitting.fit as recipe
from lrldata.manifest import MANIFEST, damaged
from lrldata.progress import Progress
from lrltrain.artifact import open_adapter
from lrltrain.config import load_fit_config
from lrltrain.models import find_base, load_tokenizer, mini_path

CLOSE = 2e-5  # for logits of about 10, computed in another order
PLAIN = """
import sys
from pathlib import Path
import lrltrain
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM
folder, base, method = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
for kind in sys.argv[4:]:
    model = AutoModelForMaskedLM.from_pretrained(folder if method == "full" else base)
    if method != "full":
        lrltrain.load_adapter(model, folder)
    assert "adapters" not in sys.modules
    kept = load_file(folder / "reference.safetensors")
    logits = model.eval()(kept["input_ids"]).logits[..., kept["words"]]
    print(float((logits - kept["logits"]).abs().max()))
"""
RELOAD = """
import sys, json, torch
from pathlib import Path
from adapters import AutoAdapterModel
from safetensors.torch import load_file
folder, base, method = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
for kind in sys.argv[4:]:
    model = AutoAdapterModel.from_pretrained(folder if method == "full" else base)
    if method == "fusion":
        for each in sorted((folder / "adapters").iterdir()):
            model.load_adapter(str(each))
        model.load_adapter_fusion(str(folder), set_active=True)
    elif method != "full":
        model.load_adapter(str(folder), set_active=True, use_safetensors=kind == "safe")
    assert not any(name.startswith(("lrl", "lrltrain", "lrldata")) for name in sys.modules), "only adapters"
    kept = load_file(folder / "reference.safetensors")
    logits = model.eval()(kept["input_ids"]).logits[..., kept["words"]]
    print(float((logits - kept["logits"]).abs().max()))
"""


@pytest.fixture
def reload(scripts: Warm) -> Callable[..., list[float]]:
    """Load each kind of weights in fresh processes, one of which uses only `adapters` if that is installed.

    Returns the largest difference of each from the reference logits in the folder.
    """

    def run(folder: Path, method: str, *kinds: str) -> list[float]:
        differences = []
        for script in (PLAIN, *([RELOAD] if HAS_ADAPTERS else [])):
            result = scripts.run(
                [script, str(folder), str(mini_path()), method, *kinds], Path("/"), scripts.environment
            )
            assert result.returncode == 0, result.stderr
            differences += [float(value) for value in result.stdout.split()]
        return differences

    return run


@pytest.mark.parametrize("method", ["seq_bn", "seq_bn_inv", "lora", "full"])
def test_an_adapter_loads_in_a_fresh_process_and_gives_the_same_logits(fit: Any, reload: Any, method: str) -> None:
    folder = fit("--learning-rate", 5e-4 if method == "full" else 5e-3, method=method, steps=4)
    differences = reload(folder, method, "bin", "safe")
    assert differences
    assert max(differences) < CLOSE
    manifest = open_adapter(folder)
    assert not list(damaged(folder, manifest))
    assert manifest["trained"]["validation_loss"] < manifest["trained"]["validation_loss_before"]
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    settings = json.loads((folder / ("config.json" if method == "full" else "adapter_config.json")).read_text())
    assert settings.get("model_name", settings.get("_name_or_path", "lrl-mini")) == "lrl-mini"
    checkout = str(Path(__file__).resolve().parents[2])
    for file in folder.rglob("*.json"):
        assert checkout not in file.read_text("utf-8"), f"{file.name} names a path of this machine"


def test_fusion_of_two_adapters_loads_in_a_fresh_process(fit: Any, reload: Any) -> None:
    first, second = fit(method="seq_bn_inv"), fit(method="seq_bn")
    folder = fit("--adapters", f"{first},{second}", method="fusion", steps=4)
    assert max(reload(folder, "fusion", "bin")) < CLOSE
    inputs = open_adapter(folder)["inputs"]
    assert [entry["kind"] for entry in inputs] == ["dataset", "adapter", "adapter"]


def test_the_same_command_gives_the_same_bytes_and_does_nothing_when_repeated(fit: Any, tmp_path: Path) -> None:
    def contents() -> dict[str, object]:
        """Return the contents of the folder, without the run times."""
        files: dict[str, object] = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.json"
        }
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return files | {MANIFEST: {key: value for key, value in manifest.items() if key != "run"}}

    folder = fit()
    before = contents()
    written = (folder / MANIFEST).stat().st_mtime_ns
    fit()
    assert (folder / MANIFEST).stat().st_mtime_ns == written
    fit("--overwrite")
    assert contents() == before
    assert not list(tmp_path.rglob("*.run"))


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_same_weights(
    fit: Any, workspace: Path, tmp_path: Path, warm: Warm
) -> None:
    steps, eval_every = 12, 3
    arguments = ("--eval-every", eval_every)
    reference = fit(*arguments, steps=steps)
    expected = load_file(reference / "adapter.safetensors")
    expected_bytes = (reference / "pytorch_adapter.bin").read_bytes()
    rng = random.Random(4)
    out = tmp_path / "killed"
    command = [
        *("fit", "--lang", "ro", "--base", "lrl-mini", "--batch-size", "4"),
        *("--dataset", str(workspace / "datasets" / "ro" / "conceptnet"), "--max-length", "64", "--learning-rate"),
        *("5e-3", "--reduction-factor", "4", "--steps", str(steps), "--eval-every", str(eval_every), "--out", str(out)),
        *("--cache", str(workspace / "cache")),
    ]
    environment = os.environ | FIXED
    folder = out / "adapters" / "ro" / "lrl-mini" / "conceptnet-seq_bn_inv"
    run = folder.with_name(f".{folder.name}.run")
    for checkpoint in (3, 6, 9):  # while a checkpoint is written, or shortly after
        with warm.killed(command, tmp_path, environment) as is_running:
            while is_running() and not (run / f"checkpoint-{checkpoint}").exists():
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.1))
        assert not folder.exists(), "an unfinished adapter is not at the final path"
    result = warm.run(command, tmp_path, environment)
    assert result.returncode == 0, result.stderr
    assert "step 12 of 12" in result.stderr
    assert "step 3 of 12" not in result.stderr, "it resumed and did not start again"
    for name, value in load_file(folder / "adapter.safetensors").items():
        assert torch.equal(value, expected[name]), name
    assert (folder / "pytorch_adapter.bin").read_bytes() == expected_bytes
    assert not run.exists()


@pytest.mark.parametrize("method", ["seq_bn_inv", "full"])
def test_a_run_killed_after_its_last_step_trains_no_further(
    method: str, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path) -> Path:
        flags: dict[str, Any] = {"lang": "ro", "base": "lrl-mini", "method": method, "steps": 3, "batch_size": 4}
        flags |= {"dataset": str(workspace / "datasets/ro/conceptnet"), "cache": workspace / "cache", "max_length": 64}
        return recipe.fit(load_fit_config(None, flags | {"out": out}), Progress(quiet=True)).path

    whole = run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("lrltrain.fitting.writing.write_adapter", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped")
    stopped = run(tmp_path / "stopped")
    assert (stopped / "log.json").read_text() == (whole / "log.json").read_text()
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (stopped, whole)]
    assert manifests[0].pop("run") != manifests[1].pop("run"), "the run times differ"
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--lang", "xx-nonsense"], 2, "Unknown language"),
        (["--lang", "ro", "--method", "seqbn"], 2, "--method"),
        (["--lang", "ro", "--preset", "papr"], 2, "paper-conceptnet"),
        (["--lang", "ro", "--method", "fusion"], 2, "--adapters"),
        (["--lang", "ro", "--base", "no/such-model-here", "--text", __file__], 1, "lrl-mini"),
        (["--lang", "ro", "--base", "lrl-mini", "--objective", "clm", "--method", "nonsense"], 2, "--method"),
        (["--lang", "mt", "--base", "lrl-mini"], 1, "lrldata build --lang mt"),
        (["--lang", "ro", "--text", "no-such.txt", "--base", "lrl-mini"], 1, "no-such.txt"),
        (["--lang", "ro", "--base", "lrl-mini", "--text", __file__, "--max-length", "512"], 2, "256 tokens"),
        (["--lang", "ro", "--tracker", "trackio", "--text", __file__], 2, "pip install trackio"),
    ],
)
def test_invalid_arguments_are_reported_without_a_traceback(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], code: int, message: str
) -> None:
    result = lrltrain("fit", *arguments)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_the_error_for_a_typo_in_the_settings_file_names_the_key(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "fit.toml").write_text('lang = "ro"\nlearning-rat = 1.0\n')
    result = lrltrain("fit", "--config", "fit.toml")
    assert result.returncode == 2
    assert "'learning_rat'" in result.stderr
    assert "'learning_rate'" in result.stderr


def test_a_folder_in_use_is_refused_and_the_difference_is_named(
    fit: Any, lrltrain: Callable[..., subprocess.CompletedProcess[str]], workspace: Path, tmp_path: Path
) -> None:
    folder = fit()
    command = ["fit", "--lang", "ro", "--dataset", workspace / "datasets" / "ro" / "conceptnet", "--base", "lrl-mini"]
    command += ["--out", tmp_path / "out", "--cache", workspace / "cache"]
    result = lrltrain(*command, "--steps", 5)
    assert result.returncode == 1
    assert "--overwrite" in result.stderr
    assert "steps: 6 before, now 5" in result.stderr
    assert open_adapter(folder)["settings"]["steps"] == 6


def test_a_changed_or_unfinished_dataset_is_refused(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], workspace: Path, tmp_path: Path
) -> None:
    for fault in ("unfinished", "changed"):
        copy = tmp_path / fault
        subprocess.run(["cp", "-r", workspace / "datasets" / "ro" / "conceptnet", copy], check=True)
        if fault == "unfinished":
            (copy / MANIFEST).unlink()
        else:
            shard = next(copy.glob("data/train*"))
            shard.write_bytes(shard.read_bytes()[:-1] + b"!")
        result = lrltrain("fit", "--lang", "ro", "--base", "lrl-mini", "--dataset", copy)
        assert result.returncode == 1
        assert ("manifest.json is missing" if fault == "unfinished" else "does not match the manifest") in result.stderr


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_checkpoint(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], workspace: Path, tmp_path: Path
) -> None:
    result = lrltrain(
        *("fit", "--lang", "ro", "--base", "lrl-mini", "--dataset", workspace / "datasets" / "ro" / "conceptnet"),
        *("--steps", 20, "--eval-every", 1, "--learning-rate", 1e30, "--batch-size", 4, "--max-length", 64),
        *("--warmup", 0, "--out", tmp_path / "out", "--cache", workspace / "cache"),
    )
    assert result.returncode == 1
    assert "the loss is nan at step" in result.stderr
    assert "blocks [" in result.stderr
    assert "--learning-rate" in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "out").rglob("checkpoint-1/files.json"))


def test_models_of_other_types_are_trained_too(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], workspace: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    vocabulary_size = len(tokenizer)
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    distilbert = DistilBertConfig(
        vocab_size=vocabulary_size, dim=32, n_layers=2, n_heads=4, hidden_dim=64, pad_token_id=1
    )
    models = {
        "bert": BertForMaskedLM(BertConfig(**sizes, intermediate_size=64, pad_token_id=1)),
        "distilbert": DistilBertForMaskedLM(distilbert),
        "modernbert": model_of("modernbert", vocab_size=vocabulary_size, pad_token_id=1, max_position_embeddings=64),
        "electra": ElectraForMaskedLM(ElectraConfig(**sizes, intermediate_size=64, embedding_size=32, pad_token_id=1)),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        result = lrltrain(
            *(
                "fit",
                "--lang",
                "ro",
                "--dataset",
                workspace / "datasets" / "ro" / "conceptnet",
                "--base",
                tmp_path / name,
            ),
            *("--steps", 3, "--batch-size", 4, "--max-length", 64, "--learning-rate", 1e-3, "--reduction-factor", 4),
            *("--out", tmp_path, "--cache", workspace / "cache"),
        )
        assert result.returncode == 0, result.stderr
        manifest = open_adapter(tmp_path / "adapters" / "ro" / name / "conceptnet-seq_bn_inv")
        assert manifest["base"]["id"] == name
        assert ("lines of a block" in result.stderr) == (manifest["trained"]["batching"] == "joined")
        assert (name != "modernbert" or transformers.__version__ < "5") or manifest["trained"]["batching"] == "packed"


def test_a_warning_states_the_share_of_unknown_tokens(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "cherokee.txt").write_text("\n".join(f"ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᎤᏍᏗ {number}" for number in range(400)), "utf-8")
    result = lrltrain(
        *("fit", "--lang", "chr", "--base", "lrl-mini", "--text", "cherokee.txt", "--steps", 1, "--batch-size", 2),
        *("--max-length", 64, "--out", tmp_path / "out"),
    )
    assert result.returncode == 0, result.stderr
    assert "% of the tokens of Cherokee are unknown to lrl-mini" in result.stderr


def test_a_dry_run_counts_and_writes_nothing(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], workspace: Path, tmp_path: Path
) -> None:
    result = lrltrain(
        *("fit", "--lang", "ro", "--base", "lrl-mini", "--dataset", workspace / "datasets" / "ro" / "conceptnet"),
        *("--dry-run", "--json", "--out", tmp_path / "out", "--reduction-factor", 4),
    )
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["trainable_parameters"] == 41_792
    assert plan["lines"] == 270
    assert plan["steps"] == 2_000
    assert not (tmp_path / "out").exists()
