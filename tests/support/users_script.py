"""Code that a user of the Python API may write: `make check` checks it with `mypy --strict`."""

from pathlib import Path

import polars as pl

import hub_cards
import lrldata
import lrltrain

dataset = lrldata.build("ro", source="conceptnet", sample=True)
datasets: list[lrldata.Dataset] = lrldata.build(["ro", "mt"], sample=True)
adapter = lrltrain.fit(dataset, base="lrl-mini", method="seq_bn_inv", steps=200)
adapters: list[lrltrain.Adapter] = lrltrain.fit(datasets, base="lrl-mini")
frame: pl.DataFrame = lrltrain.evaluate(adapter, task="pppl").to_frame()
rows: int = dataset.rows["train"]
hub_cards.push("ro", namespace="my-org", dry_run=True)
page: str = str(lrltrain.report("lrl-workspace").page)
with_defaults = lrldata.build("ro", seed=None, dump=None, scripts=["Latn"])
mixed: list[lrldata.Dataset] = lrldata.build(["ro", lrldata.find_language("mt")], sample=True)
tracked = lrltrain.fit(dataset, tracker="wandb", seed=None)
fused = lrltrain.fit(dataset, method="fusion", adapters=[adapter, Path("another")])
both = lrltrain.evaluate([adapter, "adapters/ro/lrl-mini/conceptnet-lora"], data=dataset, corpus=dataset)
lrltrain.report(lrldata.open_workspace("lrl-workspace"))
study: int = lrltrain.run_grid({"languages": "ro"}, dry_run=True).jobs
hub_cards.push(["ro"], kind="dataset", scores="here")
hub_cards.render_card(dataset)
