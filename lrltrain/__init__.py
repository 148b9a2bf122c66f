"""Train language adapters and measure their effect.

    import lrldata, lrltrain
    dataset = lrldata.build("ro", source="conceptnet", sample=True)
    adapter = lrltrain.fit(dataset, base="lrl-mini", method="seq_bn_inv", steps=200)
    lrltrain.evaluate(adapter, task="pppl").to_frame()
    lrltrain.report("lrl-workspace")
    lrltrain.run_grid("recipes/paper.toml")

Names are imported on first use, because importing torch takes seconds.
"""

from typing import TYPE_CHECKING, Any

from lrldata.imports import imported
from lrldata.threads import limit_threads

if TYPE_CHECKING:
    from lrltrain.api import evaluate, fit, prompt, report
    from lrltrain.fitting.plan import Adapter
    from lrltrain.grid.api import Study, run_grid
    from lrltrain.modules.load import load_adapter, save_adapter, unload_adapter
    from lrltrain.scores import Scores

limit_threads()  # before torch is imported: torch reads the limit once, when it starts its threads

__all__ = [
    "Adapter",
    "Scores",
    "Study",
    "evaluate",
    "fit",
    "load_adapter",
    "prompt",
    "report",
    "run_grid",
    "save_adapter",
    "unload_adapter",
]

_MODULES = {
    "Adapter": "lrltrain.fitting.plan",
    "Scores": "lrltrain.scores",
    "Study": "lrltrain.grid.api",
    "run_grid": "lrltrain.grid.api",
    "load_adapter": "lrltrain.modules.load",
    "save_adapter": "lrltrain.modules.load",
    "unload_adapter": "lrltrain.modules.load",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first access."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = imported(name, _MODULES.get(name, "lrltrain.api"), "train")
    return value


def __dir__() -> list[str]:
    return __all__
