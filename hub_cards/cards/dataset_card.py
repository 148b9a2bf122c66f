"""The card of a dataset repository: one language, a configuration per source. Pure."""

from collections.abc import Mapping
from typing import Any

from hub_cards.cards.card import Card
from hub_cards.cards.licenses import License
from hub_cards.cards.render import in_lines, sections, titled
from lrldata.card import configuration, size_category
from lrldata.conceptnet.dump import OFFICIAL
from lrldata.language import find_recorded
from lrldata.ledger import judged_unit_of, reasons_of, unit_of
from lrldata.review.wording import agreement, headline
from lrldata.web.config import GIGABYTE
from lrldata.web.decontaminate import NAMED, has_benchmarks

ORIGINS = {"conceptnet": "conceptnet5/conceptnet5", "glotcc": "cis-lmu/GlotCC-V1"}
ALL_SCRIPTS = ["any"]


def dataset_card(parts: Mapping[str, Mapping[str, Any]], repository: str, version: str) -> Card:
    """Return the card of a repository.

    `parts` has for each configuration its `manifest`, some `samples` and the values of its `licence`; nothing else is
    known of a configuration, so that a card can be made where the rows are not. The first is the default one.
    """
    described = [_describe(name, part) for name, part in parts.items()]
    language = find_recorded(described[0]["manifest"]["language"])
    values = {
        "parts": described,
        "cited": [part["name"] for part in described if not part["manifest"].get("sample")],
        "language": language,
        "repository": repository,
        "version": version,
    }
    return Card(
        _metadata(described, language.name, language.hub_code),
        sections("dataset_card", **values),
    )


def _metadata(parts: list[dict[str, Any]], language: str, code: str) -> dict[str, Any]:
    entries, described = [], []
    for number, part in enumerate(parts):
        entry, info = configuration(part["manifest"], part["name"], f"{part['name']}/")
        entries.append({"config_name": part["name"], **({"default": True} if number == 0 else {}), **entry})
        described.append(info)
    licences = list(dict.fromkeys(part["terms"] for part in parts))
    named: dict[str, Any] = {}
    for licence in licences:
        named |= {key: value for key, value in licence.metadata().items() if key != "license"}
    ids = list(dict.fromkeys(licence.id for licence in licences))
    origins = [
        "original" if part["manifest"].get("sample") else ORIGINS[part["name"]]
        for part in parts
        if part["manifest"].get("sample") or part["name"] in ORIGINS
    ]
    return {
        "language": [code, *(["en"] if code != "en" and any(_in_english(part["manifest"]) for part in parts) else [])],
        "license": ids[0] if len(ids) == 1 else ids,
        **named,
        "pretty_name": f"{language}: text for language adaptation",
        "size_categories": [size_category(sum(sum(part["manifest"]["rows"].values()) for part in parts))],
        "task_categories": ["fill-mask", "text-generation"],
        "task_ids": ["masked-language-modeling", "language-modeling"],
        **({"source_datasets": list(dict.fromkeys(origins))} if origins else {}),
        "tags": ["low-resource-languages", "language-adaptation", *(part["name"] for part in parts), "lrl"],
        "configs": entries,
        "dataset_info": described if len(described) > 1 else described[0],
    }


def _in_english(manifest: Mapping[str, Any]) -> bool:
    templates = manifest.get("templates", {})
    return templates.get("language") == "en" or bool(templates.get("fallback_relations"))


def _describe(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    manifest = part["manifest"]
    ledger = manifest["ledger"]
    came_in = ledger["in"]["rows"] or 1
    shards = [entry for entry in manifest["outputs"] if entry["path"].startswith("data/")]
    return {
        "name": name,
        "manifest": manifest,
        "samples": part["samples"],
        "speakers": part.get("speakers"),
        "found": _found(part, manifest["language"]["name"]),
        "terms": License(**part["licence"]),
        "licence": titled(License(**part["licence"])),
        "shards": shards,
        "official": manifest["inputs"][0]["sha256"] == OFFICIAL.sha256,
        "bytes": sum(entry["bytes"] for entry in shards),
        "kept": ledger["kept"]["rows"] / came_in,
        "dropped": [
            {
                "reason": reason,
                "why": reasons_of(name).get(reason, reason),
                "rows": tally["rows"],
                "share": tally["rows"] / came_in,
            }
            for reason, tally in ledger["dropped"].items()
        ],
        "replaced": {kind: number for kind, number in manifest.get("replaced", {}).items() if number},
        "unit": unit_of(manifest),
        "unsaid": ledger.get("unsaid_relations", {}),
        "command": rebuild_command(manifest),
    }


def _found(part: Mapping[str, Any], language: str) -> list[str]:
    """Say what speakers found, in sentences; nothing where none has looked."""
    speakers = part.get("speakers")
    if not speakers:
        return []
    unit = judged_unit_of(part["manifest"])
    return [sentence for sentence in (headline(speakers, language, unit), agreement(speakers)) if sentence]


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
    edges = "target" if templates.startswith("native/") else "any"
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
