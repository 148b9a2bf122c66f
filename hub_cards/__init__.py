"""Cards and publication: turn the artifacts of a workspace into versioned repositories on the Hub.

    import hub_cards
    hub_cards.push("ro", namespace="my-org", dry_run=True)
    hub_cards.render_card("lrl-workspace/datasets/ro")

Names are imported on first use.
"""

from typing import TYPE_CHECKING, Any

from lrldata.imports import imported

if TYPE_CHECKING:
    from hub_cards.api import Pushed, check_card, push, render_card

__all__ = ["Pushed", "check_card", "push", "render_card"]


def __getattr__(name: str) -> Any:
    """Import a name of the API when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = imported(name, "hub_cards.api", "push")
    return value


def __dir__() -> list[str]:
    return __all__
