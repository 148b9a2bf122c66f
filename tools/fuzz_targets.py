"""The targets of tools/fuzz.py: for each kind of input, a function that sets up a folder and returns a feed function.

A feed function takes a seeded random generator and processes one malformed input. It raises LrlError if the input is
rejected.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzz_mutations import as_json, damaged, mutated, odd_text, toml

from lrldata.errors import LrlError

Feed = Callable[[Random], object]


def build_sample(folder: Path) -> Path:
    """Build the sample and return the folder of its dataset."""
    from lrldata.conceptnet.build import build
    from lrldata.conceptnet.config import load_config
    from lrldata.progress import Progress

    flags = {"lang": "ro", "sample": True, "out": folder / "ws", "cache": folder / "cache"}
    return build(load_config(None, flags), Progress(quiet=True))[0].path


def manifests(folder: Path) -> Feed:
    """Return a function that feeds manifests of datasets."""
    from hub_cards.publish.local import render
    from lrldata.dataset import open_shards
    from lrldata.manifest import DATASET, is_unchanged

    dataset = build_sample(folder)
    file = dataset / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))

    def feed(rng: Random) -> object:
        file.write_bytes(as_json(rng, manifest))
        is_unchanged(dataset, DATASET, manifest["recipe"])
        opened = open_shards(dataset, "samples.json")
        return render(dataset, "my-org", folder / "cards") if rng.random() < 0.2 else opened.rows().head(1).collect()

    return feed


def records(folder: Path) -> Feed:
    """Return a function that feeds records and plans of grids."""
    from lrltrain.grid.act import _clear_corrupted
    from lrltrain.grid.job import Job
    from lrltrain.grid.records import Record, records_of
    from lrltrain.grid.show import status

    job = Job("fit", {"lang": "ro", "source": "web", "model": "m", "method": "lora"}, {"lang": "ro"}, (), "0" * 16)
    stored = records_of(str(folder / "ws"), folder / "cache")
    stored.write_plan([job, job], 2)
    stored.write(Record(job.id, job.name, "done", files={"adapters/ro/m/web-lora/a": (1, 2, "0" * 64)}))
    files = {path: json.loads(path.read_text("utf-8")) for path in stored.folder.rglob("*.json")}

    def feed(rng: Random) -> object:
        for path, value in files.items():
            path.write_bytes(as_json(rng, value) if rng.random() < 0.7 else json.dumps(value).encode())
        record = stored.read(job.id)
        if record is not None:
            stored.is_done(job, verify=rng.random() < 0.5)
            _clear_corrupted(job, record, stored)
        return status(*stored.read_plan(), stored)

    return feed


def settings(folder: Path) -> Feed:
    """Return a function that feeds settings files of all commands."""
    from hub_cards.config import load_push_config
    from lrldata.conceptnet.config import load_config
    from lrldata.web.config import load_web_config
    from lrltrain.config import load_eval_config, load_fit_config
    from lrltrain.grid.config import load_grid_config
    from lrltrain.prompting.config import load_prompt_config

    loaders: list[tuple[Callable[[Path, dict[str, Any]], Any], dict[str, Any]]] = [
        (load_config, {"lang": "ro", "min-weight": 1.5, "scripts": "Latn", "dump": "https://a/b"}),
        (load_web_config, {"lang": "ro", "source": "web", "input": "x", "protect": ["a"], "memory": 1_000_000}),
        (load_fit_config, {"lang": "ro", "source": "conceptnet", "text": ["a"], "steps": 5, "learning-rate": 1e-4}),
        (load_eval_config, {"lang": "ro", "adapter": ["a"], "task": "topic", "seeds": [1, 2], "limit": 3}),
        (load_push_config, {"lang": "ro", "namespace": "a", "method": ["lora"], "version": "1.0.0", "endpoint": "http://x"}),
        (load_prompt_config, {"lang": "ro", "model": "a", "data": "x", "endpoint": "http://x", "extra": {"a": 1}}),
        (load_grid_config, {"languages": "ro", "out": "s3://a/b", "build": {"conceptnet": {"sample": True}},
                            "fit": [{"sources": ["conceptnet"], "models": ["m"], "methods": ["lora"]}], "eval": {}}),
    ]  # fmt: skip
    file = folder / "settings.toml"

    def feed(rng: Random) -> object:
        load, value = rng.choice(loaders)
        text = toml(mutated(rng, value))
        data = text.encode("utf-8", "surrogatepass")
        file.write_bytes(damaged(rng, data) if rng.random() < 0.3 else data)
        return load(file, {})

    return feed


def cards(folder: Path) -> Feed:
    """Return a function that feeds cards with manual edits."""
    from hub_cards.cards.card import Card, CardError
    from hub_cards.cards.lint import lint
    from hub_cards.cards.merge import merge
    from lrldata.card import in_yaml

    build_sample(folder)
    metadata = {"language": ["ro"], "license": "mit", "tags": ["a"], "configs": [{"config_name": "a", "default": True}]}
    card = Card(metadata, {"use": "text", "limits": "more"})

    def feed(rng: Random) -> object:
        try:
            head = in_yaml(mutated(rng, metadata))
        except (ValueError, TypeError):
            head = odd_text(rng)
        body = rng.choice([card.text.partition("\n---\n")[2], odd_text(rng, 200), card.text])
        readme = f"---\n{head}---\n{body}"
        if rng.random() < 0.5:
            offset = rng.randrange(len(readme))
            readme = (
                readme[:offset]
                + rng.choice(["<!-- lrl:begin use -->", "---\n", "&a *a", odd_text(rng)])
                + readme[offset:]
            )
        lint(readme, ["README.md"])
        try:
            return merge(
                card, readme, card.record() if rng.random() < 0.5 else None, rng.choice(["ask", "ours", "theirs"])
            )
        except CardError as error:
            raise LrlError(str(error)) from error

    return feed


def keys(folder: Path) -> Feed:
    """Return a function that feeds the keys of a bucket and their metadata."""
    from lrldata.remote import Mirror

    class Store:
        protocol = "memory"
        found: dict[str, dict[str, Any]]

        def invalidate_cache(self) -> None:
            pass

        def find(self, _path: str, *, detail: bool) -> dict[str, dict[str, Any]]:
            assert detail
            return self.found

        def get_file(self, _path: str, target: str) -> None:
            Path(target).write_bytes(b"evil")

    store = Store()
    mirror = Mirror("memory://ws", store, "ws", folder / "mirror")
    mirror.folder.mkdir()
    ordinary = ["a", "b", "grid", "jobs", "x.json"]
    parts = ["..", ".", "", "a", "b", "...", "grid", "jobs", ".x", "~", "C:", "\\", "a\x00", "ţ", "\n", "x" * 300]

    def feed(rng: Random) -> object:
        allowed = ordinary if rng.random() < 0.4 else parts
        names = ["/".join(rng.choices(allowed, k=rng.randint(1, 7))) for _ in range(rng.randint(1, 4))]
        store.found = {f"ws/{name}": {"size": rng.choice([4, 4, 4, 10**18]), "ETag": odd_text(rng)} for name in names}
        return mirror.fetch([""])

    return feed


def models(folder: Path) -> Feed:
    """Return a function that feeds fastText models, most of them with a changed header."""
    from importlib.resources import files

    from lrldata.langid.modelfile import read_layout

    original = Path(str(files("lrldata.langid").joinpath("compact.ftz"))).read_bytes()
    file = folder / "model.ftz"

    def feed(rng: Random) -> object:
        changed = bytearray(original)
        if rng.random() < 0.8:
            offset = 4 * rng.randrange(30)
            changed[offset : offset + 4] = rng.choice([0, -1, 1, 2**31 - 1, rng.randrange(2**31)]).to_bytes(
                4, "little", signed=True
            )
        else:
            changed = bytearray(damaged(rng, original))
        file.write_bytes(changed)
        return read_layout(file)

    return feed


def answers(folder: Path) -> Feed:
    """Return a function that feeds answers of an endpoint and files of stored answers."""
    from lrltrain.prompting.answers import answer_in, error_in, label_in, parse
    from lrltrain.prompting.cache import EMPTY, FAILED, open_answers, read_answers

    choice = {"message": {"content": "positive"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    body = {"choices": [choice], "error": {"message": "x", "code": "y"}, "usage": usage}
    file = folder / "answers.jsonl"

    def feed(rng: Random) -> object:
        data = json.dumps(mutated(rng, body)).encode()
        try:
            parsed = parse(damaged(rng, data) if rng.random() < 0.3 else data)
        except ValueError as error:
            raise LrlError(str(error)) from error
        answer = answer_in(parsed, rng.choice(["chat", "completion"]))
        error_in(parsed)
        label_in(answer.text, {"positive": ["positive"], "negative": ["negative"]})
        file.unlink(missing_ok=True)
        with open_answers(file) as answer_file:
            answer_file.keep("key", answer)
        assert read_answers(file) == ({} if answer.finish in FAILED | EMPTY else {"key": answer})
        file.write_bytes(damaged(rng, file.read_bytes()))
        with open_answers(file) as answer_file:
            answer_file.get("key")
        return answer

    return feed


def documents(folder: Path) -> Feed:
    """Return a function that feeds files of documents: JSONL, Parquet or text, some of them compressed."""
    import gzip

    import polars as pl

    from lrldata.web.read import Columns, find_shards, read_parts

    rows = [{"text": "Un text.\nDouă.", "url": "https://a/b", "quality-warnings": ["noisy"]}, {"text": None}] * 3
    inputs = folder / "in"
    inputs.mkdir()
    pl.DataFrame(rows).write_parquet(folder / "whole.parquet")
    parquet = (folder / "whole.parquet").read_bytes()

    def feed(rng: Random) -> object:
        lines = "\n".join(json.dumps(mutated(rng, row)) for row in rows).encode()
        name, data = rng.choice(
            [
                ("a.jsonl", lines),
                ("a.parquet", parquet),
                ("a.txt", odd_text(rng, 300).encode("utf-8", "surrogatepass")),
            ]
        )
        data = damaged(rng, data) if rng.random() < 0.6 else data
        if name != "a.parquet" and rng.random() < 0.3:
            compressed = gzip.compress(data)
            name, data = f"{name}.gz", damaged(rng, compressed) if rng.random() < 0.5 else compressed
        for path in inputs.iterdir():
            path.unlink()
        (inputs / name).write_bytes(data)
        columns = Columns(rng.choice([None, None, "text", "url"]))
        return [len(part) for shard in find_shards(inputs, None) for part in read_parts(shard, columns)]

    return feed
