"""Adapters that differ only in their seed or variant: each has its own folder, row and repository."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hub_cards.artifacts import open_workspace
from hub_cards.cards.licenses import asked_for
from hub_cards.cards.source import Source
from hub_cards.publish.repository import adapter_repository
from lrldata.errors import UsageError
from lrltrain.config import load_fit_configs

Run = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("--base", "lrl-mini", "--method", "seq_bn", "--steps", 4, "--batch-size", 2, "--max-length", 32)


@pytest.mark.parametrize("in_file", [True, False])
def test_every_combination_of_languages_methods_and_seeds_is_configured(in_file: bool, tmp_path: Path) -> None:
    file = tmp_path / "fit.toml"
    file.write_text('lang = ["ug", "mt"]\nmethod = "lora,seq_bn"\nseed = [1, 2]\nvariant = "v"\n' if in_file else "")
    flags = {} if in_file else {"lang": "ug,mt", "method": ["lora", "seq_bn"], "seed": "1,2", "variant": "v"}
    configs = load_fit_configs(file, flags)
    assert [(config.lang, config.method, config.seed) for config in configs] == [
        (lang, method, seed) for lang in ("ug", "mt") for method in ("lora", "seq_bn") for seed in (1, 2)
    ]
    assert {config.variant for config in configs} == {"v-seed-1", "v-seed-2"}
    overridden = load_fit_configs(file, flags | {"lang": "yo", "seed": 3})
    assert [(config.lang, config.method, config.variant) for config in overridden] == [
        ("yo", "lora", "v"),
        ("yo", "seq_bn", "v"),
    ]
    dataset_flags = {"lang": "ug", "dataset": "org/name", "source": "a,b"}
    assert [config.source for config in load_fit_configs(None, dataset_flags)] == ["a,b"], (
        "it names one configuration of a dataset"
    )
    with pytest.raises(UsageError, match="--method: no value given"):
        load_fit_configs(None, {"lang": "ug", "method": ","})


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "mt.txt"
    file.write_text("\n".join(f"linja ta test numru {7 * number} bil-Malti" for number in range(200)))
    return file


def test_several_seeds_are_several_adapters_in_scores_reports_and_repositories(
    text: Path, tmp_path: Path, lrltrain: Run
) -> None:
    fit = ("fit", "--lang", "mt", "--text", text, *SMALL, "--dropout", 0, "--out", "out")
    assert lrltrain(*fit, "--seed", "1,2").returncode == 0
    home = tmp_path / "out" / "adapters" / "mt" / "lrl-mini"
    folders = [home / f"text-seq_bn-seed-{seed}" for seed in (1, 2)]
    one, two = (load_file(folder / "adapter.safetensors").values() for folder in folders)
    assert not all(map(torch.equal, one, two))

    assert lrltrain(*fit, "--seed", 2, "--variant", "alone").returncode == 0
    for value, single in zip(two, load_file(home / "text-seq_bn-alone" / "adapter.safetensors").values(), strict=True):
        torch.testing.assert_close(value, single, atol=1e-4, rtol=0)
    manifest = json.loads((folders[1] / "manifest.json").read_text())
    assert (manifest["variant"], manifest["name"], manifest["settings"]["seed"]) == (
        "seed-2",
        "mt_text_seq_bn_seed_2",
        2,
    )

    adapters = ",".join(map(str, folders))
    result = lrltrain("eval", "--adapter", adapters, "--data", text, "--lang", "mt", "--limit", 5, "--out", "out")
    assert "with mt_text_seq_bn_seed_2" in result.stdout
    assert lrltrain("report", "out").returncode == 0
    with (tmp_path / "out" / "report" / "results.csv").open() as file:
        rows = [(row["variant"], row["train_seeds"]) for row in csv.DictReader(file) if row["method"] == "seq_bn"]
    assert rows == [("", "2")]
    with (tmp_path / "out" / "report" / "runs.csv").open() as file:
        assert [row["train_seed"] for row in csv.DictReader(file) if row["method"] == "seq_bn"] == ["1", "2"]

    workspace = open_workspace(tmp_path / "out", ["mt"])
    names = [
        adapter_repository(adapter, workspace, asked_for("mit"), Source(), "lrl-mini", "org").id
        for adapter in workspace.adapters["mt"]
    ]
    assert names == [f"org/lrl-mini-mt-text-seq_bn-{variant}" for variant in ("alone", "seed-1", "seed-2")]


@pytest.mark.parametrize("seeds", ["1,x", "1,1", "1,-2"])
def test_invalid_seeds_are_a_usage_error(seeds: str, text: Path, lrltrain: Run) -> None:
    result = lrltrain("fit", "--lang", "mt", "--text", text, *SMALL, "--seed", seeds)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")


def test_a_report_outside_a_terminal_is_markdown(text: Path, tmp_path: Path, lrltrain: Run) -> None:
    assert lrltrain("fit", "--lang", "mt", "--text", text, *SMALL, "--out", "out").returncode == 0
    adapter = tmp_path / "out" / "adapters" / "mt" / "lrl-mini" / "text-seq_bn"
    assert lrltrain("eval", "--adapter", adapter, "--data", text, "--lang", "mt", "--limit", 3, "--out", "out").stdout
    output = lrltrain("report", "out", COLUMNS="").stdout
    assert output.startswith("# Results\n")
    assert max(map(len, output.splitlines())) < 1_000
