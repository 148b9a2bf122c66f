"""Cards of hostile data: whatever names, samples and records contain is shown as text and never run."""

import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_cards.cards.adapter_card import adapter_card
from hub_cards.cards.card import Card, read
from hub_cards.cards.dataset_card import dataset_card
from hub_cards.cards.licenses import License
from hub_cards.cards.lint import lint
from hub_cards.cards.page import card_page
from hub_cards.cards.render import in_lines
from hub_cards.cards.source import Source
from hub_cards.publish.local import repository_of
from hub_cards.publish.plan import make_plan
from hub_cards.publish.record import read_record
from hub_cards.publish.state import RemoteRepository
from lrldata.card import folder_card, inline
from lrldata.errors import PublishError
from lrldata.language import find, languages

NAMES = (
    "<!-- lrl:begin about -->", "<!-- lrl:end use -->", "a\n<!-- lrl:end rebuild -->\n\n# b", "```\n# x", "a`b", "``",
    "x|y", "x\\|y", "](javascript:alert(1))", "<script>alert(1)</script>", "![x](http://e.org/x.png)", "\x1b[31mred",
    "\x00", "a\r\nb\u2028c", "\udcff", "\ud800", "'; $(id) #", '"); import os; ("', "<https://e.org>", "  ", "",
)  # fmt: skip
HEADINGS = (
    "Usage",
    "Contents",
    "Samples",
    "What was dropped",
    "How to reproduce it",
    "Known limitations",
)
HEADINGS += ("Licence", "Citation", "Results", "How it was trained", "Provenance", "Files")


def is_harmless(card: Card) -> None:
    """Assert that a card and its page have the structure that they have for ordinary data."""
    card.text.encode()
    assert dict(read(card.text).sections) == dict(card.sections)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", read(card.text).body)
    lint(card.text, {"README.md"})
    html = card_page(card.text, "my-org/x", "dataset", {}, {"a\udcff": 1})
    html.encode()
    body = html.partition("<body>")[2]
    assert not re.search(r'<script|<img|<style|style=|href="(?!https?:|#)', body)
    assert set(re.findall("<h2[^>]*>(.*?)</h2>", body)) <= {*HEADINGS}
    assert body.count("<h1") == 2
    for table in re.findall("<table>(.*?)</table>", body, re.DOTALL):
        assert len({row.count("<t") for row in re.findall("<tr>(.*?)</tr>", table, re.DOTALL)}) == 1


@pytest.fixture(scope="module")
def facts(sample_workspace: Path) -> dict[str, Any]:
    """Return the facts about the built-in dataset, extended by everything that a dataset card may show."""
    repository, _ = repository_of(sample_workspace / "datasets" / "ro" / "conceptnet", "my-org")
    extended: dict[str, Any] = json.loads(json.dumps(repository.parts["conceptnet"].facts))
    extended["manifest"] |= {"replaced": {"email": 3}, "protected": [{"name": "a"}, {"name": "b"}]}
    extended["manifest"]["ledger"]["unsaid_relations"] = {"IsA": 3}
    extended["manifest"]["templates"] |= {"reviewed": True, "reviewed_by": ["me"], "fallback_relations": ["IsA"]}
    return extended


def changed(facts: dict[str, Any], name: str) -> dict[str, Any]:
    """Put a name wherever a dataset card shows one."""
    copy: dict[str, Any] = json.loads(json.dumps(facts))
    manifest = copy["manifest"]
    manifest |= {"sample": False, "source": name, "replaced": {name: 1}, "protected": [{"name": name}, {"name": name}]}
    manifest["inputs"] = [{"name": name, "sha256": name}] * 2
    manifest["outputs"] = [{"path": f"data/{name}", "sha256": name, "bytes": 1}]
    manifest["ledger"] |= {"unsaid_relations": {name: 1}, "dropped": {name: {"rows": 1}}}
    manifest["columns"] = {name: "String"}
    manifest["made_with"] = {name: name}
    manifest["language"]["name"] = name
    manifest["templates"] |= {"name": name, "reviewed_by": [name], "fallback_relations": [name]}
    manifest["settings"] |= {"split": "random", "seed": name, "unit": "lines"}
    return copy | {"samples": [name], "licence": {"id": "other", "name": name, "link": name or "javascript:x"}}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_and_samples_of_a_dataset_are_text_in_its_card(facts: dict[str, Any], name: str) -> None:
    hostile = changed(facts, name)
    is_harmless(dataset_card({"conceptnet": hostile}, "my-org/lrl-ro", "1.0.0"))
    is_harmless(dataset_card({name: hostile, "web": hostile}, "my-org/lrl-ro", "1.0.0"))
    folder = folder_card(facts["manifest"] | {"source": name}, find("ro"))
    assert len(read(folder).body.splitlines()) == 5
    assert not read(folder).sections


ADAPTER: dict[str, Any] = {
    "language": {"code": "ro"},
    "base": {"objective": "mlm", "architecture": "bert"},
    "settings": {
        "batch_size": 1, "accumulate": 1, "processes": 1, "max_length": 8, "warmup": 0.1, "steps": 5,
        "reduction_factor": 2,
    },
    "trained": {
        "parameters": 1, "parameters_of_base": 9, "validation_loss": 1.0, "validation_loss_before": 2.0, "steps": 5,
        "best_step": 5, "tokens": 9, "batching": "line", "corpus": {"train": {"lines": 1, "tokens": 9, "unknown": 0}},
    },
    "outputs": [],
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("method", ["seq_bn", "fusion"])
def test_names_of_an_adapter_are_text_in_its_card(name: str, method: str) -> None:
    value = {"value": 1.0, "low": 1.0, "high": 1.0}
    result = {
        "metric": name,
        "data": name,
        "sentences": 3,
        "after": value,
        "before": value,
        "ratio": value,
        "task": "pppl",
    }
    manifest: dict[str, Any] = json.loads(json.dumps(ADAPTER)) | {"method": method, "made_with": {name: name}}
    manifest["base"] |= {"id": name, "revision": name, "content": name}
    manifest["settings"] |= {"learning_rate": name, "weight_decay": name, "seed": name, "precision": name}
    manifest |= {"variant": name, "group": [name, name], "resumed": [{"step": 3, "settings": {name: name}}]}
    if method == "fusion":
        manifest["outputs"] = [{"path": f"adapters/{name.replace('/', '')}_1/x"}]
    kinds = {"dataset": name, "hub": name, "text": name}
    if method == "fusion":
        kinds = {"adapter": f"{name}1", "adapter ": f"{name}2"}
    manifest["inputs"] = [
        {"kind": kind.strip(), "name": label, "manifest_sha256": name, "revision": name, "files": [[name, name]]}
        for kind, label in kinds.items()
    ]
    for repository in (None, name):
        card = adapter_card(
            manifest,
            "0" * 64,
            {"processes": 1, "device": name, "seconds": 9.0},
            [result | {"of": {"name": name, "split": name}}],
            source=name,
            text=Source([name], repository, name, [{"name": name, "sha256": name}]),
            base=name,
            licence=License("other", name, f"https://{name}"),
            repository="my-org/x",
            version="1.0.0",
        )
        is_harmless(card)


@pytest.mark.parametrize(
    ("more", "same", "says"),
    [
        ({}, True, ""),
        ({"variant": "b"}, True, "--variant b"),
        (
            {"group": ["a", "b", "c"]},
            False,
            "in a group with 2 other adapters. Because dropout is sampled for the whole group at once",
        ),
        (
            {"resumed": [{"step": 1200, "settings": {"learning_rate": 0.001}}]},
            False,
            "At step 1,200, the training was resumed with different settings (previously: learning rate 0.001), which",
        ),
    ],
)
def test_a_card_promises_the_same_bytes_only_if_the_command_produces_them(
    more: dict[str, Any], same: bool, says: str
) -> None:
    manifest: dict[str, Any] = json.loads(json.dumps(ADAPTER)) | {"method": "seq_bn", "made_with": {}, "inputs": []}
    manifest["base"] |= {"id": "a/b", "revision": None}
    manifest["settings"] |= {"learning_rate": 0.1, "weight_decay": 0.0, "seed": 1, "precision": "fp32"}
    run = {"processes": 1, "device": "x", "seconds": 9.0}
    options = {"source": "conceptnet", "base": "a/b", "repository": "my-org/x", "version": "1.0.0"}
    card = adapter_card(manifest | more, "0" * 64, run, [], text=Source(), licence=License("cc0-1.0"), **options)
    body = " ".join(card.text.replace("\\\n", " ").split())
    assert ("On the same machine, this produces the same bytes." in body) is same
    assert says in body


def test_escaping_does_not_change_the_names_of_languages() -> None:
    names = [name for row in languages() for name in (row.name, row.native_name, row.note) if name]
    assert [name for name in names if inline(name) != name] == []
    assert inline("x86_64 CPU, 8 threads, seq_bn_inv at 16.0") == "x86_64 CPU, 8 threads, seq_bn_inv at 16.0"


def test_a_shell_passes_the_words_of_a_command_on_unchanged() -> None:
    names = ["a b", "it's", *(name for name in NAMES if "\x00" not in name and name != "\ud800")]
    written = in_lines(["printf", "%s\\0", *names])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\ud800-\udfff]|<!--|^ {0,3}`", written, re.MULTILINE)
    result = subprocess.run(["bash", "-c", written], capture_output=True, check=True)
    assert result.stdout == b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in names)


VALUES: tuple[Any, ...] = (
    None, True, 1, -1, 1.5, "x", "", [], {}, [1], {"a": 1}, [[]], 10**400, "\ud800", float("inf"), {"a": {"b": None}},
)  # fmt: skip


def swapped(record: dict[str, Any], rng: random.Random) -> str:
    """Replace a value anywhere in a record by one of another type."""
    copy = json.loads(json.dumps(record))
    places = [(copy, key) for key in copy]
    for container, key in places:
        inner = container[key]
        places += [
            (inner, inner_key)
            for inner_key in (
                inner if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
            )
        ]
    container, key = rng.choice(places)
    container[key] = rng.choice(VALUES)
    return json.dumps(copy)


def flipped(record: dict[str, Any], rng: random.Random) -> str:
    """Flip one bit of a record."""
    data = bytearray(json.dumps(record, ensure_ascii=False).encode())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def record(facts: dict[str, Any], sample_workspace: Path) -> dict[str, Any]:
    """Return the record of a publication."""
    repository, _ = repository_of(sample_workspace / "datasets" / "ro" / "conceptnet", "my-org")
    part = replace(repository.parts["conceptnet"], facts=facts | {"samples": ["x"]})
    return dict(
        make_plan(replace(repository, parts={"conceptnet": part}, pictures=(), files=()), RemoteRepository()).record
    )


def records(record: dict[str, Any]) -> Iterator[str]:
    rng = random.Random(11)
    ways: tuple[Callable[[dict[str, Any], random.Random], str], ...] = (swapped, flipped)
    for number in range(300):
        yield ways[number % 2](record, rng)
    yield from ("[" * 100_000, '{"a":' * 100_000, "1" * 5000, "null", "[]", "", json.dumps(record | {"format": True}))
    yield json.dumps(record | {"version": "9" * 5000 + ".0.0"})
    yield json.dumps(record | {"card": {"metadata": {"a": json.loads("[" * 200 + "]" * 200)}, "sections": {}}})


def test_a_damaged_record_is_reported_and_a_readable_one_can_be_used(record: dict[str, Any]) -> None:
    assert read_record("o/r", json.dumps(record)) == record
    refused = 0
    for text in records(record):
        try:
            parsed = read_record("o/r", text)
        except PublishError as error:
            refused += "lrl.json on the Hub is damaged" in str(error)
            continue
        dataset_card({name: part["facts"] for name, part in parsed["parts"].items()}, "o/r", parsed["version"])
        json.dumps(parsed, ensure_ascii=False).encode()
    assert refused > 100
    with pytest.raises(PublishError, match=r"damaged \(parts\.conceptnet\.facts\)"):
        read_record("o/r", json.dumps(record).replace('"ledger"', '"leger"'))
