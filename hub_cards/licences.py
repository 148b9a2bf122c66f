"""Under which licence an artifact may be published: it follows from its sources. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub_cards.lint import rules
from hub_cards.workspace import Adapter, Workspace
from lrldata.errors import UsageError
from lrldata.manifest import ADAPTER


@dataclass(frozen=True)
class Licence:
    """A licence by the Hub's identifier; `name` and `link` say more where that is `other`."""

    id: str
    name: str | None = None
    link: str | None = None

    def metadata(self) -> dict[str, Any]:
        """Return the keys of a card's metadata."""
        more = {"license_name": self.name, "license_link": self.link} if self.id == "other" else {}
        return {"license": self.id, **more}

    @property
    def title(self) -> str:
        """Return the licence's name for people, with its link where there is one."""
        title = TITLES.get(self.id, self.name or self.id)
        link = self.link or LINKS.get(self.id)
        return f"[{title}]({link})" if link else title


CC_BY_SA = Licence("cc-by-sa-4.0")
CC0 = Licence("cc0-1.0")
COMMON_CRAWL = Licence("other", "common-crawl-terms-of-use", "https://commoncrawl.org/terms-of-use")
SOURCES = {"conceptnet": CC_BY_SA, "glotcc": COMMON_CRAWL}  # GlotCC's packaging is CC0; its text is Common Crawl's
MINI_LICENCE = CC_BY_SA
TITLES = {
    "cc-by-sa-4.0": "CC BY-SA 4.0",
    "cc-by-4.0": "CC BY 4.0",
    "cc0-1.0": "CC0 1.0",
    "apache-2.0": "Apache License 2.0",
    "mit": "MIT License",
    "common-crawl-terms-of-use": "the terms of use of Common Crawl",
}
LINKS = {
    "cc-by-sa-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
}


def asked_for(identifier: str, name: str | None = None, link: str | None = None) -> Licence:
    """Return the licence of --license. Raises UsageError where the Hub would not take it."""
    if identifier not in rules()["licences"]:
        raise UsageError(
            f"--license: the Hub does not know {identifier!r}.",
            "Use an identifier such as cc-by-4.0, or `other` with --license-name and --license-link.",
        )
    if identifier == "other" and not (name and link):
        raise UsageError("--license other wants --license-name and --license-link.")
    return Licence(identifier, name, link)


def of_dataset(manifest: Mapping[str, Any]) -> Licence | None:
    """Return the licence that a dataset has from its source; None where it is not known."""
    return CC0 if manifest.get("sample") else SOURCES.get(manifest["source"])


def of_adapter(adapter: Adapter, workspace: Workspace) -> Licence | None:
    """Return the licence that an adapter has from the text it was trained on; None where one of them is not known.

    Of several sources the first that asks for anything counts (CC0 asks for nothing).
    """
    found = [_of_input(entry, workspace) for entry in adapter.manifest["inputs"]]
    if not found or None in found:
        return None
    asking = [licence for licence in found if licence not in (None, CC0)]
    if len(set(asking)) > 1:
        return None  # which of two licences holds is for a person to say
    return asking[0] if asking else CC0


def _of_input(entry: Mapping[str, Any], workspace: Workspace) -> Licence | None:
    if entry["kind"] == "dataset":
        held = workspace.dataset_of(entry["manifest_sha256"])
        return of_dataset(held.manifest) if held else SOURCES.get(entry["name"])
    if entry["kind"] == ADAPTER:
        fused = workspace.adapter_of(entry["manifest_sha256"])
        return of_adapter(fused, workspace) if fused else None
    return None
