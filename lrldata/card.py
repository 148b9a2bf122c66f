"""The card of a dataset folder: README.md from its manifest. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lrldata.languages import Language
from lrldata.ledger import REASONS

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_HUB_TYPES = {"String": "string", "Float64": "float64"}
_LICENCE = (
    "ConceptNet is published under CC BY-SA 4.0; the column `license` has the licence of each edge and "
    "`source_dataset` where ConceptNet has it from. Please cite Speer, Chin and Havasi (2017), "
    '"ConceptNet 5.5: An Open Multilingual Graph of General Knowledge".'
)
_SAMPLE_NOTE = (
    "> **This is a sample.** The facts were written for trying out `lrldata` and are not ConceptNet data.\n\n"
)


def size_category(rows: int) -> str:
    """Return the Hub's size category for a number of rows."""
    return next((name for limit, name in _SIZES if rows < limit), "10M<n<100M")


def conceptnet_card(manifest: Mapping[str, Any], language: Language, samples: Sequence[str]) -> str:
    """Write the card of a ConceptNet dataset: YAML for the Hub, then what it is, how it was made, and the ledger."""
    rows: Mapping[str, int] = manifest["rows"]
    filled = {split: count for split, count in rows.items() if count}  # the readers refuse an empty split
    ledger = manifest["ledger"]
    metadata = {
        "language": [language.hub_code],
        "license": "cc-by-sa-4.0",
        "pretty_name": f"ConceptNet sentences for {language.name}",
        "size_categories": [size_category(sum(rows.values()))],
        "task_categories": ["fill-mask", "text-generation"],
        "tags": ["conceptnet", "knowledge-graph", "low-resource-languages", "lrl"],
        "configs": [
            {
                "config_name": "conceptnet",
                "default": True,
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in filled],
            }
        ],
        "dataset_info": {
            "config_name": "conceptnet",
            "features": [{"name": name, "dtype": _HUB_TYPES[dtype]} for name, dtype in manifest["columns"].items()],
            "splits": [
                {"name": split, "num_bytes": manifest["num_bytes"][split], "num_examples": count}
                for split, count in filled.items()
            ],
            "download_size": sum(entry["bytes"] for entry in manifest["outputs"]),
            "dataset_size": sum(manifest["num_bytes"].values()),
        },
    }
    settings = manifest["settings"]
    dropped = [f"| {REASONS[reason]} | `{reason}` | {tally['rows']:,} |" for reason, tally in ledger["dropped"].items()]
    unsaid = [f"`{relation}` ({count:,})" for relation, count in ledger["unsaid_relations"].items()]
    lines = [
        "---",
        yaml.dump(metadata, Dumper=_DUMPER, allow_unicode=True, sort_keys=False, width=1000).rstrip(),
        "---",
        "",
        f"# ConceptNet sentences for {language.name}",
        "",
        _SAMPLE_NOTE if manifest["sample"] else "",
        _introduction(manifest, language),
        *([f"\n{language.note}"] if language.note else []),
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'dataset = load_dataset("PATH_OR_REPOSITORY")',
        "```",
        "",
        "| split | rows |",
        "| --- | ---: |",
        *[f"| {split} | {count:,} |" for split, count in rows.items()],
        "",
        (
            "All facts about one pair of terms are in one split, chosen by a hash of the pair."
            if settings["split"] == "pair"
            else f"The split is random (seed {settings.get('seed')}), as in the paper: facts of a pair may be parted."
        ),
        "",
        "## Samples",
        "",
        *[f"- {sample}" for sample in samples],
        "",
        "## What was thrown away",
        "",
        f"{ledger['in']['rows']:,} edges touch the language; {ledger['kept']['rows']:,} were kept.",
        "",
        "| why | reason | edges |",
        "| --- | --- | ---: |",
        *dropped,
        *([f"\nRelations without a sentence: {', '.join(unsaid)}."] if unsaid else []),
        "",
        "## Licence",
        "",
        _LICENCE,
        "",
    ]
    return "\n".join(lines)


def _introduction(manifest: Mapping[str, Any], language: Language) -> str:
    templates, count = manifest["templates"], sum(manifest["rows"].values())
    reviewers = ", ".join(templates["reviewed_by"])
    review = f"reviewed by {reviewers}" if templates["reviewed"] else "not yet reviewed by a speaker of the language"
    fallback = ", ".join(templates["fallback_relations"])
    graph = "of the sample" if manifest["sample"] else "of the knowledge graph ConceptNet 5.7"
    return (
        f"{count:,} facts {graph} that have a word of {language.name} "
        f"(`{language.code}`), each said in a sentence by the template set `{templates['name']}` ({review})."
        + (f" These relations are said in English: {fallback}." if fallback else "")
    )
