"""The claims in cards are true: their commands are run, and their numbers are counted again."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hub_cards.artifacts import read_dataset
from hub_cards.cards.dataset_card import dataset_card
from hub_cards.cards.energy import estimate
from hub_cards.cards.lint import lint
from hub_cards.cards.rebuild import rebuild_command
from hub_cards.cards.render import duration, plain, share, short
from lrldata.conceptnet.dump import OFFICIAL
from lrldata.errors import StorageError
from lrldata.manifest import sha256_of
from lrldata.web.config import REPOSITORY
from lrldata.web.decontaminate import NAMED

SAMPLE = Path(str(files("lrldata.web").joinpath("sample.jsonl")))


@pytest.fixture(scope="module")
def folder(sample_workspace: Path) -> Path:
    return sample_workspace / "datasets" / "ro" / "conceptnet"


@pytest.fixture(scope="module")
def card(folder: Path) -> str:
    dataset = read_dataset(folder)
    part = {"manifest": dataset.manifest, "samples": dataset.samples, "licence": {"id": "cc0-1.0"}}
    return dataset_card({"conceptnet": part}, "my-org/lrl-ro", "1.0.0").text


def test_the_command_in_the_card_reproduces_the_same_bytes(card: str, tmp_path: Path) -> None:
    (command,) = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    words = shlex.split(command)
    out = ["--out", str(tmp_path / "ws"), "--cache", str(tmp_path / "cache")]
    subprocess.run([sys.executable, "-m", "lrldata.cli", *words[1:], *out], check=True, capture_output=True)
    shards = re.findall(r"\| `conceptnet/(data/\S+)` \| `(\w{64})` \|", card)
    assert len(shards) == 3
    for name, digest in shards:
        assert sha256_of(tmp_path / "ws" / "datasets" / "ro" / "conceptnet" / name) == digest


def test_a_card_lists_few_of_many_input_files(folder: Path) -> None:
    dataset = read_dataset(folder)
    inputs = [{"name": f"page-{number}.txt", "sha256": "0" * 64} for number in range(10_000)]
    verdicts = {"right": 1, "wrong": 2, "sha256": "f" * 64}
    manifest = dataset.manifest | {"inputs": inputs, "verdicts": verdicts}
    part = {"manifest": manifest, "samples": dataset.samples, "licence": {"id": "cc0-1.0"}}
    text = dataset_card({"conceptnet": part}, "my-org/lrl-ro", "1.0.0").text
    assert lint(text) == []
    assert len(text) < 100_000
    assert "and 9,950 more, whose hashes are in `conceptnet/manifest.json`" in text
    assert f"the verdicts with the hash `{'f' * 64}`, which are not published" in text


def test_the_ledger_in_the_card_adds_up(card: str, folder: Path) -> None:
    total, kept = map(int, re.findall(r"`conceptnet`: (\d+) edges were read, and (\d+) ", card)[0])
    dropped = [int(rows) for rows in re.findall(r"^\| [^|]+ \| `\w+` \| (\d+) \| [\d.]+% \|$", card, re.MULTILINE)]
    assert len(dropped) == 8
    assert kept + sum(dropped) == total
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
        ({"templates": {"name": "english", "file": "english.toml", "language": "ro"}}, "--templates english.toml"),
        ({"templates": {"name": "paper"}, "settings": {"edges": "any"}}, "--templates paper --edges any"),
        ({"settings": {"edges": "start", "split": "random", "seed": 7}}, "--edges start --split random --seed 7"),
        ({"settings": {"scripts": ["any"]}}, "--scripts any"),
        ({"sample": False}, "--dump sample.csv --dump-sha256"),
        ({"sample": False, "inputs": [{"name": "x.db", "sha256": "0"}]}, "--conceptnet-db x.db"),
        ({"sample": False, "database": True, "inputs": [{"name": "x", "sha256": "0"}]}, "--conceptnet-db x"),
        ({"sample": False, "inputs": [{"name": "x.tsv", "sha256": "0"}]}, "--dump x.tsv --dump-sha256 0"),
        ({"max_rejected": 0.02}, "--max-rejected 0.02"),
    ],
)
def test_the_command_has_the_options_that_differ_from_the_defaults(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert words in rebuild_command(manifest | changes).replace(" \\\n ", "")
    official = manifest | {"sample": False, "inputs": [{"name": "dump.csv.gz", "sha256": OFFICIAL.sha256}]}
    assert rebuild_command(official) == "lrldata build --lang ro --source conceptnet"


SERBIAN = """Selo leži u dolini između dve planine, a kroz njega protiče reka koja se svakog proleća izliva.
Deca idu u školu preko starog mosta, koji su meštani sami popravili posle velike poplave.
Na trgu ispred opštine subotom je pijaca, na kojoj se prodaju sir, med i voće iz okolnih sela.
Stariji ljudi sede pod lipom i pričaju o tome kako je nekada ovuda prolazila železnička pruga.
"""


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """Return a folder that contains FOLDER, with several files in it, and other input files."""
    documents = [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()]
    texts = [document["content"] for document in documents if document["content"]]
    folder = tmp_path / "FOLDER"
    folder.mkdir()
    for number in range(2):
        rows = ({"text": text, "body": text, "link": f"https://x.org/{n}"} for n, text in enumerate(texts[number::2]))
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "one.txt").write_text("\n\n".join(texts), "utf-8")
    (tmp_path / "sr.txt").write_text(SERBIAN, "utf-8")
    (tmp_path / "bench.txt").write_text("\n".join(texts[0].splitlines()[:3]), "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        "--lang ro --source glotcc --sample",
        "--lang ro --source web --input FOLDER",
        "--lang ro --source glotcc --input FOLDER --text-column body --url-column link --lid compact",
        "--lang ro --source web --input one.txt --documents lines --unit documents",
        "--lang ro --source web --input FOLDER --unit sentences --handles --max-bytes 20000",
        "--lang ro --source web --input FOLDER --protect bench.txt --no-benchmarks",
        "--lang ro --source web --input FOLDER --skip-bad",
        "--lang sr --source web --input sr.txt --scripts Latn",
    ],
)
def test_the_command_for_documents_has_every_option_that_affects_the_rows(
    options: str, pages: Path, lrldata: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    if "--skip-bad" in options:
        (pages / "FOLDER" / "2.parquet").write_bytes(b"not Parquet")
    manifests = []
    for out in ("first", "again"):
        result = lrldata("build", *shlex.split(options), "--out", out, "--workers", 1)
        assert result.returncode == 0, result.stderr
        (path,) = (pages / out).rglob("manifest.json")
        manifests.append(json.loads(path.read_text("utf-8")))
        options = rebuild_command(manifests[0]).replace("\\\n", "").removeprefix("lrldata build")
    assert [manifest["recipe"] for manifest in manifests] == [manifests[0]["recipe"]] * 2
    assert manifests[0]["outputs"] == manifests[1]["outputs"]


def test_the_command_for_glotcc_on_the_hub_names_the_commit(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    commit, inputs = "0" * 40, [{"name": f"v1.0/ron-Latn/{n}.parquet", "sha256": "1"} for n in range(2)]
    changes = {"source": "glotcc", "sample": False, "inputs": inputs, "settings": {}, "protected": [{"name": NAMED}]}
    command = rebuild_command(manifest | changes | {"repository": {"id": REPOSITORY, "revision": commit}})
    assert command == f"lrldata build --lang ro --source glotcc --revision {commit}"


def test_markdown_in_a_text_is_escaped() -> None:
    assert plain("a | *b*\n# [c](d) `e` <f> & g") == r"a \| \*b\* \# \[c\](d) \`e\` &lt;f&gt; &amp; g"
    assert [plain(text) for text in ("+ a", "- b", "1. c", "2024 d")] == [r"\+ a", r"\- b", r"1\. c", "2024 d"]


def test_numbers_are_formatted_for_people() -> None:
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


@pytest.mark.parametrize(
    ("device", "watts"),
    [
        ("NVIDIA A100-SXM4-80GB", 400),
        ("Tesla V100-SXM2-16GB", 300),
        ("Tesla V100-PCIE-16GB", 250),
        ("NVIDIA H200 NVL", 600),
        ("NVIDIA GeForce RTX 4090", 450),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA RTX A4000", None),
        ("Quadro P1000", None),
        ("NVIDIA T400", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 3080 Ti", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
    ],
)
def test_the_rated_power_is_that_of_the_exact_device(device: str, watts: int | None) -> None:
    energy = estimate({"seconds": 3600.0, "device": device, "processes": 1})
    assert (energy.watts, "not known" in energy.basis) == (watts or 300, watts is None)


def test_a_folder_without_an_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no finished dataset"):
        read_dataset(tmp_path)
