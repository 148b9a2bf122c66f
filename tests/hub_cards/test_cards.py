"""What cards say is so: tried out, and counted again."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hub_cards.cards.dataset_card import dataset_card, rebuild_command
from hub_cards.cards.energy import estimate
from hub_cards.cards.render import duration, plain, share, short
from hub_cards.publish.artifacts import read_dataset
from lrldata.conceptnet.dump import OFFICIAL
from lrldata.errors import StorageError
from lrldata.manifest import sha256_of


@pytest.fixture(scope="module")
def folder(sample_workspace: Path) -> Path:
    return sample_workspace / "datasets" / "ro" / "conceptnet"


@pytest.fixture(scope="module")
def card(folder: Path) -> str:
    dataset = read_dataset(folder)
    part = {"manifest": dataset.manifest, "samples": dataset.samples, "licence": {"id": "cc0-1.0"}}
    return dataset_card({"conceptnet": part}, "my-org/lrl-ro", "1.0.0").text


def test_the_command_in_the_card_makes_the_same_bytes_again(card: str, tmp_path: Path) -> None:
    (command,) = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    words = shlex.split(command)
    out = ["--out", str(tmp_path / "ws"), "--cache", str(tmp_path / "cache")]
    subprocess.run([sys.executable, "-m", "lrldata.cli", *words[1:], *out], check=True, capture_output=True)
    shards = re.findall(r"\| `conceptnet/(data/\S+)` \| `(\w{64})` \|", card)
    assert len(shards) == 3
    for name, digest in shards:
        assert sha256_of(tmp_path / "ws" / "datasets" / "ro" / "conceptnet" / name) == digest


def test_the_ledger_in_the_card_adds_up(card: str, folder: Path) -> None:
    came_in, kept = map(int, re.findall(r"`conceptnet`: (\d+) edges came in, (\d+) ", card)[0])
    dropped = [int(rows) for rows in re.findall(r"^\| [^|]+ \| `\w+` \| (\d+) \| [\d.]+% \|$", card, re.MULTILINE)]
    assert len(dropped) == 8
    assert kept + sum(dropped) == came_in
    assert kept == pl.scan_parquet(folder / "data" / "*.parquet").select(pl.len()).collect().item()


def test_the_samples_in_the_card_are_rows_of_the_dataset(card: str, folder: Path) -> None:
    samples = re.findall(r"^- (.*)$", card.split("## Samples")[1].split("##", maxsplit=1)[0], re.MULTILINE)
    texts = set(pl.read_parquet(folder / "data" / "*.parquet")["text"])
    assert len(samples) == 8
    assert set(samples) <= texts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"templates": {"name": "native/ro"}}, "--templates native"),
        ({"templates": {"name": "mine"}}, "--templates mine.toml"),
        ({"settings": {"edges": "start", "split": "random", "seed": 7}}, "--edges start --split random --seed 7"),
        ({"settings": {"scripts": ["any"]}}, "--scripts any"),
        ({"sample": False}, "--dump sample.csv --dump-sha256"),
        ({"sample": False, "inputs": [{"name": "x.db", "sha256": "0"}]}, "--conceptnet-db x.db"),
    ],
)
def test_the_command_has_what_differs_from_the_defaults(folder: Path, changes: dict[str, Any], words: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert words in rebuild_command(manifest | changes).replace(" \\\n ", "")
    official = manifest | {"sample": False, "inputs": [{"name": "dump.csv.gz", "sha256": OFFICIAL.sha256}]}
    assert rebuild_command(official) == "lrldata build --lang ro --source conceptnet"


def test_markdown_in_a_text_is_text() -> None:
    assert plain("a | *b*\n# [c](d) `e` <f> & g") == r"a \| \*b\* \# \[c\](d) \`e\` &lt;f&gt; &amp; g"
    assert [plain(text) for text in ("+ a", "- b", "1. c", "2024 d")] == [r"\+ a", r"\- b", r"1\. c", "2024 d"]


def test_numbers_are_written_for_people() -> None:
    assert [short(value) for value in (620.5076, 4.6551, 0.000105, 12345.6)] == [
        "620.5",
        "4.66",
        "0.000105",
        "12,345.6",
    ]
    assert [share(value) for value in (0, 0.785, 0.0004, 1)] == ["0.0%", "78.5%", "0.04%", "100.0%"]
    assert [duration(value) for value in (19.4, 600, 9000)] == ["19 s", "10 min", "2.5 h"]


def test_energy_is_power_times_time() -> None:
    run = {"seconds": 3600.0, "device": "NVIDIA H100 80GB HBM3", "processes": 2}
    assert estimate(run).kwh == pytest.approx(1.4)
    assert estimate(run | {"device": "x86_64 CPU, 8 threads", "processes": 1}).kwh == pytest.approx(0.08)
    assert "not known" in estimate(run | {"device": "Some GPU"}).basis


def test_a_folder_that_is_no_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no finished dataset"):
        read_dataset(tmp_path)
