"""Adapters on the Hub: loaded by name and tag by people who have only `adapters`, described in cards that run."""

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
from lrldata.manifest import sealed, sha256_of, write_json

FAST = "--base lrl-mini --steps 4 --batch-size 4 --max-length 64 --learning-rate 5e-3 --reduction-factor 4".split()
pytestmark = pytest.mark.xdist_group("adapters")  # so that what they share is trained once
Publish = Callable[..., subprocess.CompletedProcess[str]]
METHODS = ("seq_bn_inv", "lora", "full", "fusion")
BASE = "lrl-mini"


@pytest.fixture(scope="module")
def trained(sample_workspace: Path, tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Path:
    """Return a workspace with a dataset, adapters of every kind that publishes differently, and a score."""
    out = tmp_path_factory.mktemp("trained") / "ws"
    shutil.copytree(sample_workspace, out)
    adapters = out / "adapters" / "ro" / BASE

    def call(*arguments: object) -> None:
        done = warm.run([*map(str, arguments), "--out", str(out), "--quiet"], out, os.environ | FIXED)
        assert done.returncode == 0, done.stderr

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
    """Serve a Hub to which the workspace was published."""
    from clients import ACCOUNTS  # noqa: PLC0415

    root = tmp_path_factory.mktemp("published")
    with start(root / "hub", accounts=ACCOUNTS) as hub:
        with Warm("hub_cards", environment(hub, root / "home", TOKEN)) as lrl:
            done = lrl.run([*PUSH, str(trained)], root, lrl.environment)
        assert done.returncode == 0, done.stderr
        yield hub


@pytest.fixture(scope="module")
def read(published: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Run a script of somebody who has only the libraries, and return what it prints."""
    home = tmp_path_factory.mktemp("readers")
    with Warm("script", environment(published, home, "")) as running:

        def run(script: str, *arguments: str) -> str:
            done = running.run([script, *arguments], home, running.environment)
            assert done.returncode == 0, done.stderr
            return done.stdout

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
def test_an_adapter_is_loaded_from_the_hub_by_name_and_says_what_it_said(
    method: str, script: str, read: Callable[..., str]
) -> None:
    far = [float(each) for each in read(script, f"my-org/lrl-mini-ro-conceptnet-{method}").split()]
    assert (len(far), max(far) < 2e-5) == (2, True)


@pytest.fixture(scope="module")
def others(published: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Run `lrltrain` for somebody who has only what is on the Hub."""
    with Warm("lrltrain", environment(published, tmp_path_factory.mktemp("others"), "")) as running:
        yield running


def runnable(blocks: list[str]) -> str:
    """Return what of a card can run here: what needs the libraries `adapters` and PEFT only where they are."""
    lacking = [name for name, there in (("adapters", HAS_ADAPTERS), ("peft", find_spec("peft"))) if not there]
    return "\n".join(
        block for block in blocks if not any(re.search(rf"(from|import) {name}\b", block) for name in lacking)
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_snippet_of_a_card_runs(
    method: str, published: Hub, read: Callable[..., str], others: Warm, trained: Path, tmp_path: Path
) -> None:
    name = f"my-org/lrl-mini-ro-conceptnet-{method}"
    card = git(store(published.root, "models", name), "show", "v1.0.0:README.md")
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert sum("from adapters import" in block for block in blocks) == (method != "full")
    assert sum("lrltrain.load_adapter" in block for block in blocks) == (method != "full")
    code = runnable(blocks)
    assert code.count("import") >= 2
    *words, far = read(code).strip().splitlines()
    assert len(words) == 5, "five words for the mask"
    assert float(far.removeprefix("tensor(").removesuffix(")")) < 2e-5
    assert sum("from peft import" in block for block in blocks) == (method == "lora")

    (command,) = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "lrltrain"
    if method == "fusion":  # the card names the adapters; where they are is for the reader to know
        folder = trained / "adapters" / "ro" / BASE
        at = words.index("--adapters") + 1
        assert words[at] == "ro_conceptnet_seq_bn_inv,ro_conceptnet_seq_bn"
        words[at] = f"{folder / 'conceptnet-seq_bn_inv'},{folder / 'conceptnet-seq_bn'}"
    again = [*words[1:], "--out", str(tmp_path / "again"), "--cache", str(tmp_path), "--quiet"]
    done = others.run(again, tmp_path, others.environment)
    assert done.returncode == 0, done.stderr
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
    ("kind", "by"),
    [
        ("llama", "from adapters import"),
        ("modernbert", None),
        *([("qwen3", "import adapters\n")] if HAS_ADAPTERS else []),
    ],
)
def test_the_snippets_of_a_card_run_on_a_base_model_of_this_kind_from_the_hub(
    kind: str, by: str | None, sample_workspace: Path, tmp_path: Path, hub: Hub, fresh: Any, publish: Publish
) -> None:
    from models import model_of  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    from lrltrain.models import mini_path  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(mini_path())
    more = {"vocab_size": len(tokenizer), "max_position_embeddings": 128, "pad_token_id": tokenizer.pad_token_id}
    model_of(kind, **more).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    fresh(UPLOAD, str(tmp_path / "tiny"))
    out = shutil.copytree(sample_workspace, tmp_path / "ws")
    fit = ["fit", "--lang", "ro", "--base", "my-org/tiny", "--steps", "2", "--max-length", "64", "--quiet"]
    with Warm("lrltrain", environment(hub, tmp_path / "home", "")) as lrltrain:
        command = [*fit, "--out", str(out), "--cache", str(tmp_path / "cache")]
        done = lrltrain.run(command, tmp_path, lrltrain.environment)
    assert done.returncode == 0, done.stderr
    done = publish(out)
    assert done.returncode == 0, done.stderr
    name = "my-org/tiny-ro-conceptnet-seq_bn_inv"
    card = git(store(hub.root, "models", name), "show", "v1.0.0:README.md")
    assert ModelCard(card).data.base_model == "my-org/tiny"
    assert ModelCard(card).data.library_name == ("adapter-transformers" if by else None)
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert [by in block for block in blocks if "load_adapter" in block] == [True, False] if by else "adapters" in card
    printed = fresh(runnable(blocks))
    assert len(printed.strip().splitlines()) >= 5


def test_the_cards_keep_the_hub_s_rules_and_say_what_was_measured(published: Hub, trained: Path) -> None:
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
        assert data.license == ("cc-by-sa-4.0" if full else "cc0-1.0"), "lrl-mini's weights are in a full fine-tuning"
    text = git(store(published.root, "models", "my-org/lrl-mini-ro-conceptnet-seq_bn_inv"), "show", "v1.0.0:README.md")
    (score,) = (json.loads(file.read_text()) for file in trained.glob("scores/ro/lrl-mini/ro_*/*/scores.json"))
    result, before = ModelCard(text).data.eval_results
    assert result.metric_value == pytest.approx(score["after"]["value"], rel=1e-5)
    assert before.metric_value == pytest.approx(score["before"]["value"], rel=1e-5)
    assert (result.dataset_type, result.dataset_config, result.dataset_split, result.dataset_revision) == (
        "my-org/lrl-ro", "conceptnet", "test", "v1.0.0",
    )  # fmt: skip
    manifest = json.loads((trained / "datasets" / "ro" / "conceptnet" / "manifest.json").read_bytes())
    assert manifest["sha256"] in text, "the card traces to the dataset"


def test_a_new_score_is_a_new_card_and_new_weights_are_a_new_version(
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

    shutil.move(out / "scores", tmp_path / "scores")  # as on the machine of somebody else
    assert "Unchanged" in publish(out, *only).stdout

    adapter = out / "adapters" / "ro" / BASE / "conceptnet-seq_bn_inv"
    fit = ["fit", "--lang", "ro", "--method", "seq_bn_inv", *FAST, "--seed", "7", "--overwrite", "--quiet"]
    assert warm.run([*fit, "--out", str(out)], tmp_path, os.environ | FIXED).returncode == 0
    assert adapter.is_dir()
    assert publish(out, *only).returncode == 0
    assert sorted(tags(repository)) == ["v1.0.0", "v1.0.1", "v1.1.0"]
    assert "model-index" not in git(repository, "show", "v1.1.0:README.md"), "the score was of other weights"


def test_a_card_does_not_depend_on_what_lies_beside_the_adapter(
    trained: Path, tmp_path: Path, publish: Publish
) -> None:
    out = shutil.copytree(trained, tmp_path / "ws")
    assert publish(out, "--method", "lora").returncode == 0
    shutil.rmtree(out / "datasets")
    shutil.rmtree(out / "scores")
    done = publish(out, "--method", "lora")
    assert "Unchanged" in done.stdout, done.stdout + done.stderr


def test_two_folders_of_one_repository_and_a_score_that_was_edited_are_refused(
    trained: Path, tmp_path: Path, hub: Hub, publish: Publish
) -> None:
    out = shutil.copytree(trained, tmp_path / "ws")
    shutil.copytree(out / "adapters" / "ro" / BASE, out / "adapters" / "ro" / "old")
    twins = publish(out, "--kind", "adapter")
    assert twins.returncode == 2
    assert "two folders map to this repository" in twins.stderr
    shutil.rmtree(out / "adapters" / "ro" / "old")
    (file,) = out.glob("scores/ro/lrl-mini/ro_*/*/scores.json")
    score = json.loads(file.read_text("utf-8"))
    write_json(file, sealed(score | {"after": score["after"] | {"value": 0.001}}))
    edited = publish(out)
    assert edited.returncode == 1
    assert "does not match the sentences in the same folder" in edited.stderr
    assert not list(hub.root.glob("repos/*/*/*"))


def test_a_base_model_that_was_a_folder_wants_an_id(trained: Path, tmp_path: Path, hub: Hub, publish: Publish) -> None:
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


def test_a_line_of_the_text_is_on_the_card_where_the_text_is_public_alone(trained: Path) -> None:
    workspace = open_workspace(trained, {"ro"})
    (dataset,) = workspace.datasets["ro"]
    own = {key: value for key, value in dataset.manifest.items() if key != "sample"}
    brought = replace(workspace, datasets={"ro": (replace(dataset, manifest=own),)})
    adapter = workspace.adapters["ro"][0]
    record = {"history": [{"version": "1.0.0", "parts": {"conceptnet": dataset.manifest_sha256}}], "parts": {}}
    shown = [len(source_of(adapter, where).samples) for where in (workspace, brought)]
    assert shown == [1, 0], "the built-in sample, and a text of somebody's own"
    for public in (False, True):
        text = source_of(adapter, brought, "my-org/lrl-ro", record, public=public)
        assert (len(text.samples), text.version, text.command) == (public, "1.0.0", "")
    assert not source_of(adapter, brought, "my-org/lrl-ro", None, public=True).samples, "it is not published"
    assert source_of(adapter, brought).command.startswith("lrldata build --lang ro --source conceptnet --dump ")


def test_the_input_to_check_an_adapter_by_is_not_of_its_text(trained: Path) -> None:
    held = load_file(trained / "adapters" / "ro" / BASE / "conceptnet-lora" / "reference.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(trained / "adapters" / "ro" / BASE / "conceptnet-full")
    told = tokenizer.decode(held["input_ids"][0], skip_special_tokens=True)
    assert re.fullmatch(r"română ?: 1 2 3 [ 0-9]+", told)


def test_a_private_dataset_shows_no_line_on_public_adapters(
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
            inputs=[each | {"manifest_sha256": after} if before in each.values() else each for each in inputs],
        )
    licence = ("--license", "cc-by-4.0")
    assert publish(workspace, "--kind", "dataset", "--private", *licence).returncode == 0
    done = publish(workspace, "--kind", "adapter", "--method", "lora", *licence)
    assert done.returncode == 0, done.stderr
    rows = set(pl.read_parquet(folder / "data" / "*.parquet")["text"])
    published = git(store(hub.root, "models", f"my-org/{BASE}-ro-conceptnet-lora"), "show", "HEAD:lrl.json")
    assert not [row for row in rows if row in published]


def test_a_fusion_is_of_adapters_in_any_language(trained: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(trained, tmp_path / "ws")
    fused = workspace / "adapters" / "ro" / BASE / "conceptnet-fusion"
    moved = workspace / "adapters" / "mt" / BASE / "glotcc-seq_bn"
    moved.parent.mkdir(parents=True)
    (workspace / "adapters" / "ro" / BASE / "conceptnet-seq_bn").rename(moved)
    language = json.loads((moved / "manifest.json").read_text("utf-8"))["language"] | {"code": "mt", "name": "Maltese"}
    before = json.loads((moved / "manifest.json").read_text("utf-8"))["sha256"]
    inputs = [{"kind": "dataset", "name": "glotcc", "manifest_sha256": "0" * 64}]
    digest = change(moved, language=language, inputs=inputs, source="glotcc", text={})["sha256"]
    held = json.loads((fused / "manifest.json").read_text("utf-8"))["inputs"]
    change(fused, inputs=[each | {"manifest_sha256": digest} if before in each.values() else each for each in held])
    repository, _ = repository_of(fused, "my-org")
    card = repository.card({name: part.facts for name, part in repository.parts.items()}, "1.0.0")
    assert card.metadata["language"] == ["ro", "mt"]
    assert card.metadata["license_name"] == "common-crawl-terms-of-use"
    assert "of Maltese, trained on `glotcc`" in card.text
    assert "kargaran2024glotcc" in card.text
    assert "It was made from a text and from adapters" in card.text
    shutil.rmtree(moved)
    now = open_workspace(workspace)
    (fusion,) = (each for each in now.adapters["ro"] if each.method == "fusion")
    assert lacking(fusion, now) == "the fused adapter ro_conceptnet_seq_bn, which is not in this workspace,"


def test_a_fusion_of_adapters_of_one_name_from_two_workspaces_has_a_card(
    trained: Path, tmp_path: Path, lrl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    folder = shutil.copytree(trained / "adapters" / "ro" / BASE / "conceptnet-fusion", tmp_path / "fusion")
    inputs = json.loads((folder / "manifest.json").read_text("utf-8"))["inputs"]
    change(folder, inputs=[each | ({"name": "one"} if each["kind"] == "adapter" else {}) for each in inputs])
    done = lrl("card", folder)
    assert done.returncode == 0, done.stderr
    card = Path(done.stdout.split()[0]).read_text("utf-8")
    (given,) = re.findall(r"--adapters (\S+)", card)
    assert given == "ro_conceptnet_seq_bn_inv_0,ro_conceptnet_seq_bn_1"
