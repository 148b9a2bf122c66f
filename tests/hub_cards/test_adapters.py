"""Adapters on the Hub: users who have only `adapters` load them by name and tag, and the snippets in cards run."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clients import TOKEN, environment
from huggingface_hub import ModelCard
from manifests import change
from oracle import HAS_ADAPTERS
from safetensors.torch import load_file
from stores import commits, git, store, tags
from transformers import AutoTokenizer
from warm import FIXED, Warm

from hub_cards.artifacts import open_workspace
from hub_cards.cards.licenses import lacking
from hub_cards.cards.lint import lint
from hub_cards.cards.source import source_of
from hub_cards.local_hub import Hub, start
from hub_cards.publish.local import repository_of
from lrldata.errors import StorageError
from lrldata.manifest import DamagedError, sealed, sha256_of, write_json

FAST = "--base lrl-mini --steps 4 --batch-size 4 --max-length 64 --learning-rate 5e-3 --reduction-factor 4".split()
FAST += ["--eval-blocks", "8"]
pytestmark = pytest.mark.xdist_group("adapters")  # so that their shared adapters are trained once
Publish = Callable[..., subprocess.CompletedProcess[str]]
METHODS = ("seq_bn_inv", "lora", "full", "fusion")
BASE = "lrl-mini"


@pytest.fixture(scope="module")
def trained(sample_workspace: Path, tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Path:
    """Return a workspace with a dataset, an adapter of each kind that is published differently, and a score."""
    out = tmp_path_factory.mktemp("trained") / "ws"
    shutil.copytree(sample_workspace, out)
    adapters = out / "adapters" / "ro" / BASE

    def call(*arguments: object) -> None:
        result = warm.run([*map(str, arguments), "--out", str(out), "--quiet"], out, os.environ | FIXED)
        assert result.returncode == 0, result.stderr

    cache = ("--cache", sample_workspace.parent / "cache")
    for method in ("seq_bn_inv", "seq_bn", "lora", "full"):
        call("fit", "--lang", "ro", "--method", method, *FAST, *cache)
    fused = f"{adapters / 'conceptnet-seq_bn_inv'},{adapters / 'conceptnet-seq_bn'}"
    call("fit", "--lang", "ro", "--method", "fusion", "--adapters", fused, *FAST, *cache)
    data = ("--data", out / "datasets" / "ro" / "conceptnet", "--limit", "8", "--resamples", "100")
    call("eval", "--adapter", adapters / "conceptnet-seq_bn_inv", *data)
    return out


PUSH = ("push-hub", "--lang", "ro", "--namespace", "my-org", "--out")


@pytest.fixture
def publish(lrl: Callable[..., subprocess.CompletedProcess[str]]) -> Publish:
    return lambda workspace, *options: lrl(*PUSH, workspace, *options)


@pytest.fixture(scope="module")
def published(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Serve a Hub to which the workspace has been published."""
    from clients import ACCOUNTS  # noqa: PLC0415

    root = tmp_path_factory.mktemp("published")
    with start(root / "hub", accounts=ACCOUNTS) as hub:
        with Warm("hub_cards", environment(hub, root / "home", TOKEN)) as lrl:
            result = lrl.run([*PUSH, str(trained)], root, lrl.environment)
        assert result.returncode == 0, result.stderr
        yield hub


@pytest.fixture(scope="module")
def read(published: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Return a function that runs a script as a user who has only the libraries, and returns its output."""
    home = tmp_path_factory.mktemp("readers")
    with Warm("script", environment(published, home, "")) as runner:

        def run(script: str, *arguments: str) -> str:
            result = runner.run([script, *arguments], home, runner.environment)
            assert result.returncode == 0, result.stderr
            return result.stdout

        yield run


PLAIN = """
import sys
import lrltrain
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM
name = sys.argv[1]
for revision in (None, "v1.0.0"):
    model = AutoModelForMaskedLM.from_pretrained("my-org/lrl-mini")
    lrltrain.load_adapter(model, name, revision=revision)
    assert "adapters" not in sys.modules
    kept = load_file(hf_hub_download(name, "reference.safetensors", revision=revision))
    logits = model.eval()(kept["input_ids"]).logits[..., kept["words"]]
    print(float((logits - kept["logits"]).abs().max()))
"""
LOAD = """
import sys
from adapters import AutoAdapterModel
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
name = sys.argv[1]
for how in ({}, {"use_safetensors": True, "version": "v1.0.0"}):
    model = AutoAdapterModel.from_pretrained("my-org/lrl-mini")
    model.load_adapter(name, set_active=True, **how)
    assert not any(module.startswith(("lrl", "hub_cards")) for module in sys.modules)
    kept = load_file(hf_hub_download(name, "reference.safetensors", revision=how.get("version")))
    logits = model.eval()(kept["input_ids"]).logits[..., kept["words"]]
    print(float((logits - kept["logits"]).abs().max()))
"""


READERS = {"lrltrain": PLAIN} | ({"adapters": LOAD} if HAS_ADAPTERS else {})


@pytest.mark.parametrize("script", READERS.values(), ids=READERS)
@pytest.mark.parametrize("method", ["seq_bn_inv", "lora"])
def test_an_adapter_loaded_from_the_hub_by_name_predicts_what_it_predicted_before(
    method: str, script: str, read: Callable[..., str]
) -> None:
    differences = [float(difference) for difference in read(script, f"my-org/lrl-mini-ro-conceptnet-{method}").split()]
    assert (len(differences), max(differences) < 2e-5) == (2, True)


@pytest.fixture(scope="module")
def user_lrltrain(published: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Return a runner for `lrltrain` as a user who has only what is on the Hub."""
    with Warm("lrltrain", environment(published, tmp_path_factory.mktemp("others"), "")) as runner:
        yield runner


def runnable(blocks: list[str]) -> str:
    """Return the code that can run here, without the blocks that need `adapters` or PEFT if these are missing."""
    missing = [name for name, installed in (("adapters", HAS_ADAPTERS), ("peft", find_spec("peft"))) if not installed]
    return "\n".join(
        block for block in blocks if not any(re.search(rf"(from|import) {name}\b", block) for name in missing)
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_snippet_of_a_card_runs(
    method: str, published: Hub, read: Callable[..., str], user_lrltrain: Warm, trained: Path, tmp_path: Path
) -> None:
    name = f"my-org/lrl-mini-ro-conceptnet-{method}"
    card = git(store(published.root, "models", name), "show", "v1.0.0:README.md")
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert sum("from adapters import" in block for block in blocks) == (method != "full")
    assert sum("lrltrain.load_adapter" in block for block in blocks) == (method != "full")
    code = runnable(blocks)
    assert code.count("import") >= 2
    *words, difference = read(code).strip().splitlines()
    assert len(words) == 5, "five words for the mask"
    assert float(difference.removeprefix("tensor(").removesuffix(")")) < 2e-5
    assert sum("from peft import" in block for block in blocks) == (method == "lora")

    (command,) = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "lrltrain"
    if method == "fusion":  # the card names the adapters, and the reader supplies their folders
        folder = trained / "adapters" / "ro" / BASE
        position = words.index("--adapters") + 1
        assert words[position] == "ro_conceptnet_seq_bn_inv,ro_conceptnet_seq_bn"
        words[position] = f"{folder / 'conceptnet-seq_bn_inv'},{folder / 'conceptnet-seq_bn'}"
    again = [*words[1:], "--out", str(tmp_path / "again"), "--cache", str(tmp_path), "--quiet"]
    result = user_lrltrain.run(again, tmp_path, user_lrltrain.environment)
    assert result.returncode == 0, result.stderr
    weights = "model.safetensors" if method == "full" else "adapter.safetensors"
    (before,) = (
        trained.glob(f"adapters/ro/{BASE}/conceptnet-{method}/{weights}")
        if method != "fusion"
        else [trained / "adapters/ro" / BASE / "conceptnet-fusion/pytorch_model_adapter_fusion.bin"]
    )
    after = tmp_path / "again" / before.relative_to(trained)
    assert sha256_of(after) == sha256_of(before), "trained from the dataset on the Hub: the same bytes"


UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi(token="hf_test_write")
api.create_repo("my-org/tiny")
api.upload_folder(repo_id="my-org/tiny", folder_path=sys.argv[1])
"""


@pytest.mark.parametrize(
    ("kind", "loader"),
    [
        ("llama", "from adapters import"),
        ("modernbert", None),
        *([("qwen3", "import adapters\n")] if HAS_ADAPTERS else []),
    ],
)
def test_the_snippets_of_a_card_run_with_a_base_model_from_the_hub(
    kind: str, loader: str | None, sample_workspace: Path, tmp_path: Path, hub: Hub, fresh: Any, publish: Publish
) -> None:
    from models import model_of  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    from lrltrain.models import mini_path  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(mini_path())
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 128, "pad_token_id": tokenizer.pad_token_id}
    model_of(kind, **sizes).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    fresh(UPLOAD, str(tmp_path / "tiny"))
    out = shutil.copytree(sample_workspace, tmp_path / "ws")
    fit = ["fit", "--lang", "ro", "--base", "my-org/tiny", "--steps", "2", "--max-length", "64", "--quiet"]
    with Warm("lrltrain", environment(hub, tmp_path / "home", "")) as lrltrain:
        command = [*fit, "--out", str(out), "--cache", str(tmp_path / "cache")]
        result = lrltrain.run(command, tmp_path, lrltrain.environment)
    assert result.returncode == 0, result.stderr
    result = publish(out)
    assert result.returncode == 0, result.stderr
    name = "my-org/tiny-ro-conceptnet-seq_bn_inv"
    card = git(store(hub.root, "models", name), "show", "v1.0.0:README.md")
    assert ModelCard(card).data.base_model == "my-org/tiny"
    assert ModelCard(card).data.library_name == ("adapter-transformers" if loader else None)
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    loading = [block for block in blocks if "load_adapter" in block]
    uses_adapters = [bool(re.search(r"^(from|import) adapters\b", block, re.MULTILINE)) for block in loading]
    assert uses_adapters == ([True, False] if loader else [False])
    assert loader is None or loader in loading[0]
    *words, difference = fresh(runnable(blocks)).strip().splitlines()
    assert len(words) >= 4
    assert float(difference.removeprefix("tensor(").removesuffix(")")) < 2e-5


def test_the_cards_follow_the_hub_s_rules_and_report_what_was_measured(published: Hub, trained: Path) -> None:
    for method in METHODS:
        repository = store(published.root, "models", f"my-org/lrl-mini-ro-conceptnet-{method}")
        text = git(repository, "show", "v1.0.0:README.md")
        assert lint(text, set(git(repository, "ls-tree", "-r", "--name-only", "v1.0.0").split())) == []
        data = ModelCard(text).data
        full = method == "full"
        assert data.library_name == ("transformers" if full else "adapter-transformers")
        assert data.base_model == "my-org/lrl-mini"
        assert data.to_dict()["base_model_relation"] == ("finetune" if full else "adapter")
        assert data.datasets == ["my-org/lrl-ro"]
        assert data.license == ("cc-by-sa-4.0" if full else "cc0-1.0"), "a full fine-tuning contains lrl-mini's weights"
    text = git(store(published.root, "models", "my-org/lrl-mini-ro-conceptnet-seq_bn_inv"), "show", "v1.0.0:README.md")
    (score,) = (json.loads(file.read_text()) for file in trained.glob("scores/ro/lrl-mini/ro_*/*/scores.json"))
    result, before = ModelCard(text).data.eval_results
    assert result.metric_value == pytest.approx(score["after"]["value"], rel=1e-5)
    assert before.metric_value == pytest.approx(score["before"]["value"], rel=1e-5)
    assert (result.dataset_type, result.dataset_config, result.dataset_split, result.dataset_revision) == (
        "my-org/lrl-ro", "conceptnet", "test", "v1.0.0",
    )  # fmt: skip
    manifest = json.loads((trained / "datasets" / "ro" / "conceptnet" / "manifest.json").read_bytes())
    assert manifest["sha256"] in text, "the card names the dataset's manifest"


def test_a_new_score_changes_only_the_card_and_new_weights_make_a_new_minor_version(
    trained: Path, tmp_path: Path, hub: Hub, publish: Publish, warm: Warm
) -> None:
    out = shutil.copytree(trained, tmp_path / "ws")
    shutil.move(out / "scores", tmp_path / "scores")
    only = ("--kind", "adapter", "--method", "seq_bn_inv", "--no-collection")
    assert publish(out, *only).returncode == 0
    repository = store(hub.root, "models", "my-org/lrl-mini-ro-conceptnet-seq_bn_inv")
    assert not list(hub.root.glob("repos/datasets/*/*"))
    shutil.move(tmp_path / "scores", out / "scores")
    assert publish(out, *only).returncode == 0
    assert (commits(repository), sorted(tags(repository))) == (2, ["v1.0.0", "v1.0.1"])
    changed = git(repository, "diff", "--name-only", "v1.0.0", "v1.0.1").split()
    assert changed == ["README.md", "lrl.json"]

    shutil.move(out / "scores", tmp_path / "scores")  # as on somebody else's machine
    assert "Unchanged" in publish(out, *only).stdout

    adapter = out / "adapters" / "ro" / BASE / "conceptnet-seq_bn_inv"
    fit = ["fit", "--lang", "ro", "--method", "seq_bn_inv", *FAST, "--seed", "7", "--overwrite", "--quiet"]
    assert warm.run([*fit, "--out", str(out)], tmp_path, os.environ | FIXED).returncode == 0
    assert adapter.is_dir()
    assert publish(out, *only).returncode == 0
    assert sorted(tags(repository)) == ["v1.0.0", "v1.0.1", "v1.1.0"]
    assert "model-index" not in git(repository, "show", "v1.1.0:README.md"), "the score belongs to other weights"


def test_a_card_does_not_depend_on_the_other_folders_of_the_workspace(
    trained: Path, tmp_path: Path, publish: Publish
) -> None:
    out = shutil.copytree(trained, tmp_path / "ws")
    assert publish(out, "--method", "lora").returncode == 0
    shutil.rmtree(out / "datasets")
    shutil.rmtree(out / "scores")
    result = publish(out, "--method", "lora")
    assert "Unchanged" in result.stdout, result.stdout + result.stderr


def test_two_folders_for_one_repository_and_an_edited_score_are_refused(
    trained: Path, tmp_path: Path, hub: Hub, publish: Publish
) -> None:
    out = shutil.copytree(trained, tmp_path / "ws")
    shutil.copytree(out / "adapters" / "ro" / BASE, out / "adapters" / "ro" / "old")
    twins = publish(out, "--kind", "adapter")
    assert twins.returncode == 2
    assert "two folders map to this repository" in twins.stderr
    assert f"{out / 'adapters' / 'ro' / 'old'}" in twins.stderr
    assert "LocalFile" not in twins.stderr
    shutil.rmtree(out / "adapters" / "ro" / "old")
    (file,) = out.glob("scores/ro/lrl-mini/ro_*/*/scores.json")
    score = json.loads(file.read_text("utf-8"))
    write_json(file, sealed(score | {"after": score["after"] | {"value": 0.001}}))
    edited = publish(out)
    assert edited.returncode == 1
    assert "does not match the sentences in the same folder" in edited.stderr
    assert not list(hub.root.glob("repos/*/*/*"))


def test_a_base_model_that_was_a_folder_needs_an_id(trained: Path, tmp_path: Path, hub: Hub, publish: Publish) -> None:
    out = shutil.copytree(trained, tmp_path / "ws")
    folder = out / "adapters" / "ro" / BASE / "conceptnet-lora"
    base = json.loads((folder / "manifest.json").read_text("utf-8"))["base"]
    change(folder, base=base | {"id": "my-folder"})
    only = ("--kind", "adapter", "--method", "lora", "--no-collection")
    refused = publish(out, *only)
    assert refused.returncode == 2
    assert "--base-id" in refused.stderr
    assert publish(out, *only, "--base-id", "FacebookAI/xlm-roberta-base").returncode == 0
    repository = store(hub.root, "models", "my-org/xlm-roberta-base-ro-conceptnet-lora")
    assert ModelCard(git(repository, "show", "main:README.md")).data.base_model == "FacebookAI/xlm-roberta-base"


def test_a_card_shows_lines_of_the_text_only_if_the_text_is_public(trained: Path) -> None:
    workspace = open_workspace(trained, {"ro"})
    (dataset,) = workspace.datasets["ro"]
    manifest = {key: value for key, value in dataset.manifest.items() if key != "sample"}
    private = replace(workspace, datasets={"ro": (replace(dataset, manifest=manifest),)})
    adapter = workspace.adapters["ro"][0]
    record = {"history": [{"version": "1.0.0", "parts": {"conceptnet": dataset.manifest_sha256}}], "parts": {}}
    counts = [len(source_of(adapter, candidate).samples) for candidate in (workspace, private)]
    assert counts == [1, 0], "the built-in sample, and a user's own text"
    for public in (False, True):
        source = source_of(adapter, private, "my-org/lrl-ro", record, public=public)
        assert (len(source.samples), source.version, source.command) == (public, "1.0.0", "")
    assert not source_of(adapter, private, "my-org/lrl-ro", None, public=True).samples, "it is not published"
    twice = {**record, "history": [*record["history"], record["history"][0] | {"version": "1.1.0"}]}
    for versions, cited in ((None, "1.0.0"), ({"1.0.0", "1.1.0"}, "1.0.0"), ({"1.1.0"}, "1.1.0"), (set(), None)):
        assert source_of(adapter, private, "my-org/lrl-ro", twice, versions=versions).version == cited, "if it exists"
    assert source_of(adapter, private).command.startswith("lrldata build --lang ro --source conceptnet --dump ")


def test_the_reference_input_of_an_adapter_is_not_taken_from_its_text(trained: Path) -> None:
    reference = load_file(trained / "adapters" / "ro" / BASE / "conceptnet-lora" / "reference.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(trained / "adapters" / "ro" / BASE / "conceptnet-full")
    decoded = tokenizer.decode(reference["input_ids"][0], skip_special_tokens=True)
    assert re.fullmatch(r"română ?: 1 2 3 [ 0-9]+", decoded)


def test_no_line_of_a_private_dataset_is_shown_on_a_public_adapter(
    trained: Path, hub: Hub, publish: Publish, tmp_path: Path
) -> None:
    workspace = shutil.copytree(trained, tmp_path / "ws")
    folder = workspace / "datasets" / "ro" / "conceptnet"
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    before, after = manifest["sha256"], change(folder, sample=False)["sha256"]
    for path in workspace.glob("adapters/ro/*/*/manifest.json"):
        inputs = json.loads(path.read_text("utf-8"))["inputs"]
        change(
            path.parent,
            inputs=[entry | {"manifest_sha256": after} if before in entry.values() else entry for entry in inputs],
        )
    licence = ("--license", "cc-by-4.0")
    assert publish(workspace, "--kind", "dataset", "--private", *licence).returncode == 0
    result = publish(workspace, "--kind", "adapter", "--method", "lora", *licence)
    assert result.returncode == 0, result.stderr
    rows = set(pl.read_parquet(folder / "data" / "*.parquet")["text"])
    published = git(store(hub.root, "models", f"my-org/{BASE}-ro-conceptnet-lora"), "show", "HEAD:lrl.json")
    assert not [row for row in rows if row in published]


def test_a_fusion_may_combine_adapters_of_any_language(trained: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(trained, tmp_path / "ws")
    fused = workspace / "adapters" / "ro" / BASE / "conceptnet-fusion"
    moved = workspace / "adapters" / "mt" / BASE / "glotcc-seq_bn"
    moved.parent.mkdir(parents=True)
    (workspace / "adapters" / "ro" / BASE / "conceptnet-seq_bn").rename(moved)
    language = json.loads((moved / "manifest.json").read_text("utf-8"))["language"] | {"code": "mt", "name": "Maltese"}
    before = json.loads((moved / "manifest.json").read_text("utf-8"))["sha256"]
    inputs = [{"kind": "dataset", "name": "glotcc", "manifest_sha256": "0" * 64}]
    digest = change(moved, language=language, inputs=inputs, source="glotcc", text={})["sha256"]
    fused_inputs = json.loads((fused / "manifest.json").read_text("utf-8"))["inputs"]
    change(
        fused,
        inputs=[entry | {"manifest_sha256": digest} if before in entry.values() else entry for entry in fused_inputs],
    )
    repository, _ = repository_of(fused, "my-org")
    card = repository.card({name: part.facts for name, part in repository.parts.items()}, "1.0.0")
    assert card.metadata["language"] == ["ro", "mt"]
    assert card.metadata["license_name"] == "common-crawl-terms-of-use"
    assert "of Maltese, trained on `glotcc`" in card.text
    assert "kargaran2024glotcc" in card.text
    assert "It was made from a text and from adapters" in card.text
    shutil.rmtree(moved)
    reopened = open_workspace(workspace)
    (fusion,) = (adapter for adapter in reopened.adapters["ro"] if adapter.method == "fusion")
    assert lacking(fusion, reopened) == "the fused adapter ro_conceptnet_seq_bn, which is not in this workspace,"


def test_a_fusion_of_adapters_with_the_same_name_has_a_card(
    trained: Path, tmp_path: Path, lrl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    folder = shutil.copytree(trained / "adapters" / "ro" / BASE / "conceptnet-fusion", tmp_path / "fusion")
    inputs = json.loads((folder / "manifest.json").read_text("utf-8"))["inputs"]
    change(folder, inputs=[entry | ({"name": "one"} if entry["kind"] == "adapter" else {}) for entry in inputs])
    result = lrl("card", folder)
    assert result.returncode == 0, result.stderr
    card = Path(result.stdout.split()[0]).read_text("utf-8")
    (names,) = re.findall(r"--adapters (\S+)", card)
    assert names == "ro_conceptnet_seq_bn_inv_0,ro_conceptnet_seq_bn_1"


def test_a_card_of_an_adapter_with_an_incomplete_input_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "adapters" / "ro" / BASE / "conceptnet-seq_bn_inv", tmp_path / "adapter")
    change(folder, inputs=[{"kind": "dataset", "name": "conceptnet"}])
    with pytest.raises(StorageError, match=r"its content is invalid.*manifest_sha256"):
        repository_of(folder, "my-org")


def test_an_adapter_may_lack_the_record_of_time_and_machine(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "ws"
    shutil.copytree(trained, copy)
    folder = next(copy.glob("adapters/ro/*/conceptnet-seq_bn_inv"))
    (folder / "run.json").unlink()
    repository, _ = repository_of(folder, "my-org")
    assert repository.id.startswith("my-org/")
    (folder / "adapter.safetensors").unlink()
    message = r"adapter\.safetensors is missing.* Copy it again from the original, or train it again"
    with pytest.raises(DamagedError, match=message):
        repository_of(folder, "my-org")
