"""The card of a dataset repository, which has one language and one configuration per source. Pure."""

from collections.abc import Mapping
from typing import Any

from hub_cards.cards.card import Card
from hub_cards.cards.licenses import License, titled
from hub_cards.cards.rebuild import rebuild_command
from hub_cards.cards.render import INPUTS_LISTED, sections
from lrldata.card import configuration, size_category
from lrldata.conceptnet.dump import OFFICIAL
from lrldata.language import find_recorded
from lrldata.ledger import judged_unit_of, reasons_of, unit_of
from lrldata.review.wording import agreement, headline

ORIGINS = {"conceptnet": "conceptnet5/conceptnet5", "glotcc": "cis-lmu/GlotCC-V1"}


def dataset_card(parts: Mapping[str, Mapping[str, Any]], repository: str, version: str) -> Card:
    """Return the card of a repository.

    `parts` has the `manifest`, some `samples` and the values of the `licence` of each configuration. No other
    information is needed, so a card can be made without the rows. The first configuration is the default.
    """
    described = [_describe(name, part) for name, part in parts.items()]
    language = find_recorded(described[0]["manifest"]["language"])
    values = {
        "parts": described,
        "cited": [part["name"] for part in described if not part["manifest"].get("sample")],
        "inputs_listed": INPUTS_LISTED,
        "language": language,
        "note": _note(described, language.note or ""),
        "repository": repository,
        "version": version,
    }
    return Card(
        _metadata(described, language.name, language.hub_code, repository),
        sections("dataset_card", **values),
    )


def _metadata(parts: list[dict[str, Any]], language: str, code: str, repository: str) -> dict[str, Any]:
    entries, described = [], []
    for number, part in enumerate(parts):
        entry, info = configuration(part["manifest"], part["name"], f"{part['name']}/")
        entries.append({"config_name": part["name"], **({"default": True} if number == 0 else {}), **entry})
        described.append(info)
    licences = list(dict.fromkeys(part["terms"] for part in parts))
    others = [licence for licence in licences if licence.id == "other"]
    # The Hub's metadata has only one licence name and one link.
    several = License("other", "several-licences", f"https://huggingface.co/datasets/{repository}#licence")
    other_fields = (others[0] if len(others) == 1 else several).metadata() if others else {}
    ids = list(dict.fromkeys(licence.id for licence in licences))
    origins = [
        "original" if part["manifest"].get("sample") else ORIGINS[part["name"]]
        for part in parts
        if part["manifest"].get("sample") or part["name"] in ORIGINS
    ]
    return {
        "language": [code, *(["en"] if code != "en" and any(_in_english(part["manifest"]) for part in parts) else [])],
        "license": ids[0] if len(ids) == 1 else ids,
        **{key: value for key, value in other_fields.items() if key != "license"},
        "pretty_name": f"{language}: text for language adaptation",
        "size_categories": [size_category(sum(sum(part["manifest"]["rows"].values()) for part in parts))],
        "task_categories": ["fill-mask", "text-generation"],
        "task_ids": ["masked-language-modeling", "language-modeling"],
        **({"source_datasets": list(dict.fromkeys(origins))} if origins else {}),
        "tags": ["low-resource-languages", "language-adaptation", *(part["name"] for part in parts), "lrl"],
        "configs": entries,
        "dataset_info": described if len(described) > 1 else described[0],
    }


def _note(parts: list[dict[str, Any]], note: str) -> str:
    """Return the note in the table of languages on how ConceptNet codes the language; empty without such a part."""
    return note if any(part["name"] == "conceptnet" for part in parts) else ""


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
        "found": _findings(part, manifest["language"]["name"]),
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


def _findings(part: Mapping[str, Any], language: str) -> list[str]:
    """Return the findings of speakers as sentences; an empty list if no speaker has judged the part."""
    speakers = part.get("speakers")
    if not speakers:
        return []
    unit = judged_unit_of(part["manifest"])
    return [sentence for sentence in (headline(speakers, language, unit), agreement(speakers)) if sentence]
