"""Language adapters: training them, and measuring what they did."""

from typing import TYPE_CHECKING, Any

from lrldata.threads import limit_threads

if TYPE_CHECKING:
    from lrltrain.modules.load import load_adapter

limit_threads()  # before torch is imported, which starts its threads as they are set then

__all__ = ["load_adapter"]


def __getattr__(name: str) -> Any:
    """Import what the API names when it is asked for: torch takes seconds."""
    if name != "load_adapter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lrltrain.modules.load import load_adapter  # noqa: PLC0415

    return load_adapter
