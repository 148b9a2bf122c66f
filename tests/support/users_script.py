"""What a user may write with the Python API: `make check` holds it to `mypy --strict`."""

import polars as pl

import hub_cards
import lrldata
import lrltrain

dataset = lrldata.build("ro", source="conceptnet", sample=True)
several: list[lrldata.Dataset] = lrldata.build(["ro", "mt"], sample=True)
adapter = lrltrain.fit(dataset, base="lrl-mini", method="seq_bn_inv", steps=200)
adapters: list[lrltrain.Adapter] = lrltrain.fit(several, base="lrl-mini")
frame: pl.DataFrame = lrltrain.evaluate(adapter, task="pppl").to_frame()
rows: int = dataset.rows["train"]
hub_cards.push("ro", namespace="my-org", dry_run=True)
page: str = str(lrltrain.report("lrl-workspace").page)
