"""The command that makes a dataset again, by its manifest. Pure."""

from collections.abc import Mapping
from typing import Any

from hub_cards.cards.render import in_lines
from lrldata.conceptnet.dump import OFFICIAL
from lrldata.language import find_recorded
from lrldata.web.config import GIGABYTE
from lrldata.web.decontaminate import NAMED, has_benchmarks

ALL_SCRIPTS = ["any"]


def rebuild_command(manifest: Mapping[str, Any]) -> str:
    """Return the command that makes a dataset again."""
    language, source = manifest["language"], manifest["source"]
    words = ["lrldata", "build", "--lang", language["code"], "--source", source]
    words += _of_graph(manifest) if source == "conceptnet" else _of_documents(manifest)
    return in_lines(words + (["--verdicts", "VERDICTS"] if manifest.get("verdicts") else []))


def _of_graph(manifest: Mapping[str, Any]) -> list[str]:
    language, settings, words = manifest["language"], manifest["settings"], []
    templates = manifest.get("templates", {}).get("name", "english")
    if templates != "english":
        own = "" if templates == "paper" else ".toml"
        words += ["--templates", "native" if templates.startswith("native/") else f"{templates}{own}"]
    edges = "target" if templates.startswith("native/") else "start" if templates == "paper" else "any"
    words += _options(settings, {"edges": edges, "min_weight": 0.0, "split": "pair", "seed": 42})
    scripts = settings.get("scripts", [])
    if scripts != (language.get("scripts") or ALL_SCRIPTS):
        words += ["--scripts", ",".join(scripts)]
    if manifest.get("sample"):
        words.append("--sample")
    elif manifest["inputs"][0]["sha256"] != OFFICIAL.sha256:
        name, digest = manifest["inputs"][0]["name"], manifest["inputs"][0]["sha256"]
        database = not name.endswith((".csv", ".gz"))
        words += ["--conceptnet-db", name] if database else ["--dump", name, "--dump-sha256", digest]
    return words


def _of_documents(manifest: Mapping[str, Any]) -> list[str]:
    inputs, settings = manifest["inputs"], manifest["settings"]
    if manifest.get("sample"):
        words = ["--sample"]
    elif manifest.get("repository"):
        words = ["--revision", manifest["repository"]["revision"]]
    else:
        words = ["--input", inputs[0]["name"] if len(inputs) == 1 else "FOLDER"]
    usual = {"text_column": None, "url_column": None, "lid": "compact", "max_bytes": GIGABYTE, "unit": "lines"}
    words += _options(settings, usual | {"documents": "paragraphs"})
    words += ["--scripts", ",".join(settings["scripts"])] if "scripts" in settings else []
    words += [f"--{key.replace('_', '-')}" for key in ("handles", "skip_bad") if settings.get(key)]
    protected = [each["name"] for each in manifest.get("protected", [])]
    if files := [name for name in protected if name != NAMED]:
        words += ["--protect", ",".join(files)]
    left_out = NAMED not in protected and has_benchmarks(find_recorded(manifest["language"]))
    return [*words, "--no-benchmarks"] if left_out else words


def _options(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """Return the options that are not what they are without being given."""
    changed = [key for key, value in usual.items() if settings.get(key, value) != value]
    return [word for key in changed for word in (f"--{key.replace('_', '-')}", str(settings[key]))]
