"""The licence under which an artifact may be published, from its sources. IO: the manifests of fused adapters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub_cards.artifacts import Adapter, Workspace
from hub_cards.cards.lint import rules
from hub_cards.cards.render import address, is_web
from hub_cards.cards.source import Source, source_of
from lrldata.card import Markdown, inline
from lrldata.errors import UsageError
from lrldata.manifest import ADAPTER


@dataclass(frozen=True)
class License:
    """A licence, by the Hub's identifier; `name` and `link` describe it if that is `other`."""

    id: str
    name: str | None = None
    link: str | None = None

    def metadata(self) -> dict[str, Any]:
        """Return the keys of a card's metadata."""
        details = {"license_name": self.name, "license_link": self.link} if self.id == "other" else {}
        return {"license": self.id, **details}


CC_BY_SA = License("cc-by-sa-4.0")
CC0 = License("cc0-1.0")
COMMON_CRAWL = License("other", "common-crawl-terms-of-use", "https://commoncrawl.org/terms-of-use")
SOURCES = {"conceptnet": CC_BY_SA, "glotcc": COMMON_CRAWL}  # GlotCC's packaging is CC0; its text is Common Crawl's
MINI_LICENCE = CC_BY_SA
MIT, APACHE = License("mit"), License("apache-2.0")
PERMISSIVE = (CC0, MIT, APACHE)  # derived works may use another licence
BASES = {  # as stated on their cards
    "lrl-mini": MINI_LICENCE,
    "FacebookAI/xlm-roberta-base": MIT,
    "FacebookAI/xlm-roberta-large": MIT,
    "xlm-roberta-base": MIT,
    "xlm-roberta-large": MIT,
    "google-bert/bert-base-multilingual-cased": APACHE,
    "bert-base-multilingual-cased": APACHE,
}
TITLES = {
    "cc-by-sa-4.0": "CC BY-SA 4.0",
    "cc-by-4.0": "CC BY 4.0",
    "cc0-1.0": "CC0 1.0",
    "apache-2.0": "Apache License 2.0",
    "mit": "MIT License",
    "common-crawl-terms-of-use": "Common Crawl Terms of Use",
}
LINKS = {
    "cc-by-sa-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
}


def titled(licence: License) -> Markdown:
    """Return a licence's human-readable name as Markdown, linked if it has a web link."""
    key = (licence.name or licence.id) if licence.id == "other" else licence.id
    title = inline(TITLES.get(key, licence.name or licence.id))
    link = licence.link if licence.link and is_web(licence.link) else LINKS.get(licence.id)
    return Markdown(f"[{title}]({address(link)})" if link else title)


def asked_for(identifier: str, name: str | None = None, link: str | None = None) -> License:
    """Return the licence that --license names. Raises UsageError if the Hub would not accept it."""
    if identifier not in rules()["licences"]:
        raise UsageError(
            f"--license: {identifier!r} is not a licence identifier of the Hub.",
            "Use an identifier such as cc-by-4.0, or `other` with --license-name and --license-link.",
        )
    if identifier == "other" and not (name and link and is_web(link)):
        raise UsageError("--license other requires --license-name and --license-link with a web address.")
    return License(identifier, name, link)


def of_dataset(manifest: Mapping[str, Any]) -> License | None:
    """Return the licence that a dataset has from its source; None if it is not known."""
    return CC0 if manifest.get("sample") else SOURCES.get(manifest["source"])


def of_adapter(adapter: Adapter, workspace: Workspace, text: Source) -> License | None:
    """Return the licence that an adapter has from its text; None if it cannot be determined.

    It cannot if the licence of a source is not known or if two sources have different licences that are not permissive.
    Permissive licences, such as CC0, give way to others. The weights of a fully fine-tuned model are derived from the
    base model's weights, so its licence counts too.
    """
    licences = [_of_input(entry, workspace, text) for entry in adapter.manifest["inputs"]]
    if adapter.method == "full":
        licences.append(BASES.get(adapter.manifest["base"]["id"]))
    if not licences or None in licences:
        return None
    binding = list(dict.fromkeys(licence for licence in licences if licence not in (None, *PERMISSIVE)))
    if len(binding) > 1:
        return None  # a person has to decide which licence applies
    return binding[0] if binding else CC0


def lacking(adapter: Adapter, workspace: Workspace) -> str:
    """Name an adapter that a fusion combines and that the workspace lacks; empty if it has them all."""
    fused = (entry for entry in adapter.manifest["inputs"] if entry["kind"] == ADAPTER)
    missing = (entry for entry in fused if workspace.adapter_of(entry["manifest_sha256"]) is None)
    return next((f"the fused adapter {entry['name']}, which is not in this workspace," for entry in missing), "")


def of_part(record: Mapping[str, Any] | None, name: str, manifest_sha256: str | None = None) -> License | None:
    """Return the licence of a published part; None if there is no such part, or it has another manifest."""
    part = record["parts"].get(name) if record else None
    if part is None or manifest_sha256 not in (None, part["manifest_sha256"]):
        return None
    return License(**part["facts"]["licence"])


def of_published(
    adapter: Adapter, repository: str, record: Mapping[str, Any] | None, tip: str | None
) -> License | None:
    """Return the licence of an adapter's text if it is the current content of the dataset's repository, else None."""
    inputs = adapter.manifest["inputs"]
    if len(inputs) != 1 or adapter.method == "full":
        return None
    (entry,) = inputs
    if entry["kind"] == "hub":
        identifier, _, source = entry["name"].rpartition("/")
        is_current = tip is not None and adapter.manifest.get("text", {}).get("commit") == tip
        return of_part(record, source) if identifier == repository and is_current else None
    return of_part(record, entry["name"], entry["manifest_sha256"]) if entry["kind"] == "dataset" else None


def _of_input(entry: Mapping[str, Any], workspace: Workspace, text: Source) -> License | None:
    if entry["kind"] == "dataset":
        return CC0 if text.sample else SOURCES.get(entry["name"])
    if entry["kind"] == ADAPTER:
        fused = workspace.adapter_of(entry["manifest_sha256"])
        return of_adapter(fused, workspace, source_of(fused, workspace)) if fused else None
    return None
