"""The card of a model repository: an adapter, a fusion, a fully fine-tuned model or lrl-mini. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_cards.cards.card import Card
from hub_cards.cards.energy import estimate
from hub_cards.cards.licenses import SOURCES, License, titled
from hub_cards.cards.measured import entries, rows
from hub_cards.cards.perplexities import perplexity_entries, perplexity_rows
from hub_cards.cards.rebuild import MINI, fit_command, fused_names, revision_of
from hub_cards.cards.render import INPUTS_LISTED, code, linked, sections
from hub_cards.cards.source import Source
from lrldata.card import Markdown, inline
from lrldata.language import find, find_recorded

METHODS = {
    "seq_bn": "a bottleneck after each layer's feed-forward block (Pfeiffer et al. 2020)",
    "seq_bn_inv": "a bottleneck after each layer and an invertible one at the embeddings (MAD-X, Pfeiffer et al. 2020)",
    "lora": "low-rank matrices added to the query and value projections (LoRA, Hu et al. 2022)",
    "full": "full fine-tuning of all weights",
    "fusion": "AdapterFusion over several language adapters (Pfeiffer et al. 2021)",
}
SETTINGS = {"seq_bn": ["reduction_factor"], "seq_bn_inv": ["reduction_factor"], "lora": ["lora_r", "lora_alpha"]}
# How `adapters` 1.3 loads a model of each type: with its own classes, or with `init` for models of transformers. It
# does not support CamemBERT, and gives the queries, keys and values of ModernBERT a random bias.
OWN_CLASSES = {"bert", "distilbert", "electra", "llama", "mistral", "roberta", "xlm-roberta"}
BY_INIT = {"gemma2", "gemma3_text", "qwen2", "qwen3"}
SMALL = 1_000_000  # tokens of training text below which the card warns
UNMASKED = 2  # words of at most this many characters are not masked in the example


def results_of(manifest: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a folder of scores that a card needs."""
    keys = ("metric", "data", "sentences", "after", "before", "ratio")
    context = {"task": manifest["task"], "of": manifest["data"], "language": result["language"]}
    return {key: result[key] for key in keys} | context | {key: manifest.get(key) for key in ("text", "settings")}


def adapter_card(
    manifest: Mapping[str, Any],
    manifest_sha256: str,
    run: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    *,
    source: str,
    text: Source,
    base: str,
    licence: License,
    repository: str,
    version: str,
    members: Sequence[Mapping[str, str]] = (),
) -> Card:
    """Return the card of an adapter; `base` is the id of its base model on the Hub.

    `members` has the name, language and source of each adapter that a fusion combines, as far as they are known.
    """
    language = find_recorded(manifest["language"])
    method, settings, trained = manifest["method"], manifest["settings"], manifest["trained"]
    about_base = {**manifest["base"], "id": base, "link": f"https://huggingface.co/{base}"}
    perplexities = perplexity_rows(results, manifest)
    sample = next(iter(text.samples), "")
    values = {
        "language": language,
        "repository": repository,
        "version": version,
        "method": method,
        "method_in_words": METHODS[method],
        "kind_of_model": {"full": "A language model", "fusion": "A fusion of language adapters"}.get(
            method, "A language adapter"
        ),
        "auto_class": "AutoModelForMaskedLM" if about_base["objective"] == "mlm" else "AutoModelForCausalLM",
        "base": about_base,
        "trained": trained,
        "settings": settings,
        "adapters_by": _adapters_by(about_base["architecture"]),
        "method_settings": {name.replace("_", " "): settings[name] for name in SETTINGS.get(method, [])},
        "made_with": manifest["made_with"],
        "manifest_sha256": manifest_sha256,
        "weights": [entry for entry in manifest["outputs"] if Path(entry["path"]).suffix in (".bin", ".safetensors")],
        "run": run,
        "energy": estimate(run) if run else None,
        "results": perplexities,
        "tasks": rows(results, manifest["language"]["code"]),
        "headline": next((result for result in perplexities if result["before"]), None),
        "source": source,
        "text_of": _text_of(source, text),
        "text_repository": text.repository,
        "build_first": text.command,
        "text_elsewhere": _is_elsewhere(manifest, text),
        "data_in_words": _data_in_words(manifest, source, text),
        "masked": _masked(sample or f"{language.native_name or language.name}: MASK."),
        "begun": " ".join(sample.split()[:3]) or language.native_name or language.name,
        "fused": fused_names(manifest),
        "curve": any(entry["path"] == "loss.png" for entry in manifest["outputs"]),
        "peft": any(entry["path"].startswith("peft/") for entry in manifest["outputs"]),
        "invertible": _invertible(manifest),
        "command": fit_command(manifest, source, base, text.repository, text.version),
        "chain": _chain(manifest, text, members),
        "members": members,
        "cited": _cited(source, text, members),
        "others": len(manifest.get("group", [""])) - 1,
        "resumed": manifest.get("resumed", []),
        "small_base": manifest["base"]["id"] == MINI,
        "small": trained["corpus"]["train"]["tokens"] < SMALL,
        "licence": titled(licence),
    }
    return Card(
        _metadata(manifest, results, source, text, base, licence, repository, members),
        sections("adapter_card", **values),
    )


def _metadata(
    manifest: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    source: str,
    text: Source,
    base: str,
    licence: License,
    repository: str,
    members: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    language, method = find_recorded(manifest["language"]), manifest["method"]
    pipeline = "fill-mask" if manifest["base"]["objective"] == "mlm" else "text-generation"
    full = method == "full"
    model_index = [
        {
            "name": repository.rsplit("/", maxsplit=1)[-1],
            "results": [
                *perplexity_entries(results, pipeline, manifest, text),
                *entries(results, language.code),
            ],
        }
    ]
    loader = _adapters_by(manifest["base"]["architecture"])
    library = "transformers" if full else "adapter-transformers" if loader else None
    corpus_name = "sample" if text.sample else source
    corpus = None if _is_unknown(source, text) else f"adapterhub:{language.hub_code}/{corpus_name}"
    return {
        "language": list(dict.fromkeys([language.hub_code, *(member["hub_code"] for member in members)])),
        **licence.metadata(),
        **({"library_name": library} if library else {}),
        **({"pipeline_tag": pipeline} if full else {}),
        "base_model": base,
        "base_model_relation": "finetune" if full else "adapter",
        **({"datasets": [text.repository]} if text.repository else {}),
        "tags": [
            *([] if full else filter(None, [library, corpus])),
            *(manifest["base"]["architecture"], method, "language-adaptation", "low-resource-languages", "lrl"),
        ],
        **({"model-index": model_index} if results else {}),
    }


def _adapters_by(architecture: str) -> str | None:
    """Return how `adapters` loads a base model of this type: `classes`, `init`, or None if it does not support it."""
    return "classes" if architecture in OWN_CLASSES else "init" if architecture in BY_INIT else None


def _is_elsewhere(manifest: Mapping[str, Any], text: Source) -> bool:
    """Return whether the text is a dataset that is not on the Hub and that no known command builds."""
    is_dataset = any(entry["kind"] == "dataset" for entry in manifest["inputs"])
    return is_dataset and not text.repository and not text.command


def _text_of(source: str, text: Source) -> str:
    if text.repository and not text.version:
        return f"the dataset {text.repository} on the Hub"
    if text.sample:
        return f"the built-in sample of {'sentences' if source == 'conceptnet' else 'web pages'}"
    names = {
        "conceptnet": "sentences generated from ConceptNet",
        "glotcc": "web text from GlotCC-V1",
        "web": "documents supplied by the publisher",
        "text": "plain text",
    }
    return names.get(source, f"text from {source}")


def _invertible(manifest: Mapping[str, Any]) -> str:
    """Return a sentence on the invertible adapter that a fusion uses; empty if its manifest does not record it."""
    if manifest["method"] != "fusion" or "fused_invertible" not in manifest:
        return ""
    name = manifest["fused_invertible"]
    if name is None:
        return "It uses no invertible adapter at the embeddings."
    return Markdown(
        f"Of the invertible adapters that it fuses, it uses only that of {code(name)}. As in the library `adapters`, "
        "the first one is used and the others are ignored."
    )


def _data_in_words(manifest: Mapping[str, Any], source: str, text: Source) -> Markdown:
    lines = f"{manifest['trained']['corpus']['train']['lines']:,} lines"
    if text.repository and text.version:
        link = f"https://huggingface.co/datasets/{text.repository}/tree/v{text.version}"
        return Markdown(f"{lines} of {linked(text.repository, link)}, {code(source)}, v{inline(text.version)}")
    return Markdown(f"{lines} of {inline(_text_of(source, text))}")


def _masked(sample: str) -> str:
    """Return a sentence with its last word that is long enough replaced by MASK."""
    words = sample.rstrip(" .!?।").split()
    position = next((number for number in range(len(words) - 1, 0, -1) if len(words[number]) > UNMASKED), None)
    if position is None:
        return "MASK."
    tail = sample.rstrip()[len(sample.rstrip(" .!?।")) :]
    return " ".join([*words[:position], "MASK", *words[position + 1 :]]) + tail


def _is_unknown(source: str, text: Source) -> bool:
    """Return whether a text is a dataset on the Hub whose name does not reveal the source."""
    return text.repository is not None and text.version is None and source not in SOURCES


def _cited(source: str, text: Source, members: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the sources that can be cited. The built-in sample and unknown sources cannot."""
    known_source = "" if text.sample or _is_unknown(source, text) else source
    return [name for name in dict.fromkeys([known_source, *(member["cited"] for member in members)]) if name]


def _chain(manifest: Mapping[str, Any], text: Source, members: Sequence[Mapping[str, str]]) -> list[Markdown]:
    """Return what the adapter was made from, from its direct inputs back to the origin, each step with its hash."""
    steps = []
    for entry in manifest["inputs"]:
        if entry["kind"] == "dataset":
            link = f"https://huggingface.co/datasets/{text.repository}/tree/v{text.version}"
            path = code(f"{entry['name']}/manifest.json")
            location = f" ({linked(text.repository, link)}, {path})" if text.repository else ""
            steps.append(f"a dataset, `sha256` in its manifest: {code(entry['manifest_sha256'])}{location}")
            steps += [
                f"{code(source['name'])}, from which that dataset was built: SHA-256 {code(source['sha256'])}"
                for source in text.inputs[:INPUTS_LISTED]
            ]
            if (more := len(text.inputs) - INPUTS_LISTED) > 0:
                steps.append(f"{more:,} more files, whose hashes are in that manifest")
        elif entry["kind"] == "adapter":
            name, digest = code(entry["name"]), code(entry["manifest_sha256"])
            member = next((member for member in members if member["manifest_sha256"] == entry["manifest_sha256"]), None)
            details = f" of {inline(member['language'])}, trained on {code(member['source'])}" if member else ""
            steps.append(f"the adapter {name}{details}, `sha256` in its manifest: {digest}")
        elif entry["kind"] == "hub":
            revision = code(revision_of(manifest, entry) or "newest")
            steps.append(f"the dataset {code(entry['name'])} on the Hub, revision {revision}")
        else:
            steps += [f"the file {code(name)}: SHA-256 {code(digest)}" for name, digest in entry["files"]]
    if manifest["base"].get("content"):
        steps.append(f"the base model's weights, a hash of their hashes: {code(manifest['base']['content'])}")
    return [Markdown(step) for step in steps]


def base_card(made_from: Mapping[str, Any], licence: License, repository: str, version: str) -> Card:
    """Return the card of lrl-mini, which is published with the adapters that were trained on it."""
    codes = sorted({path.split("/")[0] for path in made_from["text"]})
    languages = [find(code) for code in codes]
    metadata = {
        "language": sorted(language.hub_code for language in languages),
        **licence.metadata(),
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["xlm-roberta", "low-resource-languages", "lrl"],
    }
    values = {
        "made_from": made_from,
        "languages": [language.name for language in languages],
        "licence": titled(licence),
    }
    return Card(metadata, sections("base_card", repository=repository, version=version, **values))
