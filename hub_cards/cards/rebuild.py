"""The commands that reproduce a dataset or an adapter, derived from its manifest. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_cards.cards.render import in_lines
from lrldata.conceptnet.dump import OFFICIAL
from lrldata.language import find_recorded
from lrldata.web.config import GIGABYTE
from lrldata.web.decontaminate import NAMED, has_benchmarks
from lrltrain.config import FitConfig

ALL_SCRIPTS = ["any"]
MINI = "lrl-mini"  # the base model that comes with lrltrain


def rebuild_command(manifest: Mapping[str, Any]) -> str:
    """Return the command that reproduces a dataset."""
    language, source = manifest["language"], manifest["source"]
    words = ["lrldata", "build", "--lang", language["code"], "--source", source]
    words += _graph_options(manifest) if source == "conceptnet" else _document_options(manifest)
    return in_lines(words + (["--verdicts", "VERDICTS"] if manifest.get("verdicts") else []))


def _templates(recorded: Mapping[str, Any]) -> tuple[str, str]:
    """Return the value of --templates, and the default of --edges that comes with it."""
    name = recorded.get("name", "english")
    if "file" not in recorded:  # also earlier versions' files, which only have a name
        if name.startswith("native/"):
            return "native", "target"
        if default := {"english": "any", "paper": "start"}.get(name):
            return name, default
    return recorded.get("file", f"{name}.toml"), "any" if recorded.get("language") == "en" else "target"


def _graph_options(manifest: Mapping[str, Any]) -> list[str]:
    language, settings = manifest["language"], manifest["settings"]
    templates, edges = _templates(manifest.get("templates", {}))
    words = [] if templates == "english" else ["--templates", templates]
    words += _changed_options(settings, {"edges": edges, "min_weight": 0.0, "split": "pair", "seed": 42})
    scripts = settings.get("scripts", [])
    if scripts != (language.get("scripts") or ALL_SCRIPTS):
        words += ["--scripts", ",".join(scripts)]
    if manifest.get("sample"):
        words.append("--sample")
    elif manifest["inputs"][0]["sha256"] != OFFICIAL.sha256:
        name, digest = manifest["inputs"][0]["name"], manifest["inputs"][0]["sha256"]
        # Earlier versions did not record whether the input is a database.
        is_database = manifest.get("database", name.endswith((".db", ".sqlite")))
        words += ["--conceptnet-db", name] if is_database else ["--dump", name, "--dump-sha256", digest]
    return words + (["--max-rejected", str(manifest["max_rejected"])] if "max_rejected" in manifest else [])


def _document_options(manifest: Mapping[str, Any]) -> list[str]:
    inputs, settings = manifest["inputs"], manifest["settings"]
    if manifest.get("sample"):
        words = ["--sample"]
    elif manifest.get("repository"):
        words = ["--revision", manifest["repository"]["revision"]]
    else:
        words = ["--input", inputs[0]["name"] if len(inputs) == 1 else "FOLDER"]
    defaults = {"text_column": None, "url_column": None, "lid": "compact", "max_bytes": GIGABYTE, "unit": "lines"}
    words += _changed_options(settings, defaults | {"documents": "paragraphs"})
    words += ["--scripts", ",".join(settings["scripts"])] if "scripts" in settings else []
    words += [f"--{key.replace('_', '-')}" for key in ("handles", "skip_bad") if settings.get(key)]
    protected = [text["name"] for text in manifest.get("protected", [])]
    if files := [name for name in protected if name != NAMED]:
        words += ["--protect", ",".join(files)]
    without_benchmarks = NAMED not in protected and has_benchmarks(find_recorded(manifest["language"]))
    return [*words, "--no-benchmarks"] if without_benchmarks else words


def _changed_options(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Return the options whose values differ from the defaults."""
    changed = [key for key, value in defaults.items() if settings.get(key, value) != value]
    return [word for key in changed for word in (f"--{key.replace('_', '-')}", str(settings[key]))]


def fit_command(
    manifest: Mapping[str, Any], source: str, base: str, repository: str | None, version: str | None
) -> str:
    """Return the command that trains an adapter again, with its dataset from the Hub if it is published there."""
    settings, language = manifest["settings"], manifest["language"]["code"]
    words = ["lrltrain", "fit"]
    if settings["processes"] > 1:
        words = ["torchrun", "--nproc-per-node", str(settings["processes"]), "-m", "lrltrain.cli", "fit"]
    words += ["--lang", language, "--source", _configuration(manifest, source)]
    words += ["--base", MINI if manifest["base"]["id"] == MINI else base]
    if manifest["base"]["revision"]:
        words += ["--base-revision", manifest["base"]["revision"]]
    words += ["--method", manifest["method"]]
    words += ["--variant", manifest["variant"]] if manifest.get("variant") else []
    for entry in manifest["inputs"]:
        if entry["kind"] == "text":
            words += ["--text", ",".join(name for name, _ in entry["files"])]
        elif entry["kind"] == "hub":
            words += ["--dataset", entry["name"].rpartition("/")[0]]
            revision = revision_of(manifest, entry)
            words += ["--dataset-revision", revision] if revision else []
        elif entry["kind"] == "dataset" and repository:
            words += ["--dataset", repository, "--dataset-revision", f"v{version}"]
    fused = [entry["name"] for entry in manifest["inputs"] if entry["kind"] == "adapter"]
    names = fused if len(set(fused)) == len(fused) else fused_names(manifest)  # two workspaces can share names
    words += ["--adapters", ",".join(names)] if names else []
    adapters = [Path(name) for name in names]
    defaults = FitConfig(lang=language, method=manifest["method"], adapters=adapters, steps=settings["steps"]).shaping()
    for key, value in settings.items():
        if (
            key in defaults
            and value != defaults[key]
            and key not in ("source", "dataset_revision", "base_revision", "method")
        ):
            flag = f"--{key.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
    if settings["steps"] != FitConfig.model_fields["steps"].default:
        words += ["--steps", str(settings["steps"])]
    return in_lines(words)


def _configuration(manifest: Mapping[str, Any], source: str) -> str:
    """Return the name of a configuration as on the Hub: in a folder's name, "_" replaces "-" and "."."""
    return next((entry["name"].rpartition("/")[2] for entry in manifest["inputs"] if entry["kind"] == "hub"), source)


def revision_of(manifest: Mapping[str, Any], entry: Mapping[str, Any]) -> str | None:
    """Return the commit of a Hub dataset that was read, or the requested revision if the commit is not known."""
    commit = manifest.get("text", {}).get("commit") or entry["revision"]
    return str(commit) if commit else None


def fused_names(manifest: Mapping[str, Any]) -> list[str]:
    """Return the names under which a fusion's folder stores its adapters, in the order of fusion."""
    folders = {entry["path"].split("/")[1] for entry in manifest["outputs"] if entry["path"].startswith("adapters/")}
    return sorted(folders, key=lambda name: int(name.rpartition("_")[2]))
