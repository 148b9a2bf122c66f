"""`lrldata stats`."""

from pathlib import Path
from typing import Annotated

import typer

from lrldata.cli.options import Json
from lrldata.cli.run import show_or_dump
from lrldata.output import show as draw


def stats_command(
    folder: Annotated[Path, typer.Argument(help="A dataset folder, e.g. lrl-workspace/datasets/ro/conceptnet.")],
    samples: Annotated[int, typer.Option(min=0, help="Number of sentences to show.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the ledger, relations, lengths and samples of a dataset."""
    from lrldata.cli import tables
    from lrldata.dataset import open_dataset
    from lrldata.ledger import from_json
    from lrldata.review.summary import summary_of

    manifest, rows = open_dataset(folder)
    statistics = tables.statistics(manifest, rows)
    if speakers := summary_of(folder.resolve()):
        statistics["speakers"] = speakers
    examples = rows.select("text").head(samples).collect()["text"].to_list()
    if as_json:
        show_or_dump(True, statistics | {"samples": examples}, "")
    else:
        draw(tables.dataset(statistics, from_json(manifest["ledger"]), examples))
