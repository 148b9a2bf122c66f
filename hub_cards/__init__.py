"""Cards for the Hub, and publication: from the manifests of a workspace to repositories with versions.

    import hub_cards
    hub_cards.push("ro", namespace="my-org", dry_run=True)
    hub_cards.render_card("lrl-workspace/datasets/ro")

Names are imported when they are used.
"""

from typing import TYPE_CHECKING, Any

from lrldata.imports import imported

if TYPE_CHECKING:
    from hub_cards.api import Pushed, check_card, push, render_card

__all__ = ["Pushed", "check_card", "push", "render_card"]


def __getattr__(name: str) -> Any:
    """Import what the API names when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = imported(name, "hub_cards.api", "push")
    return found


def __dir__() -> list[str]:
    return __all__
