"""Options and imports that the commands share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from lrldata.errors import UsageError
from lrldata.imports import many_imports
from lrldata.progress import Progress

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars, no log lines.")]
Out = Annotated[Path | None, typer.Option(help="The workspace.", show_default="lrl-workspace")]
BaseRevision = Annotated[str | None, typer.Option(help="Revision of the base model on the Hub.")]
BaseId = Annotated[str | None, typer.Option(help="Public id of a base model given as a folder.")]
BASES = ("lrl-mini", "FacebookAI/xlm-roberta-base", "google-bert/bert-base-multilingual-cased")  # for shell completion


@contextmanager
def libraries(progress: Progress) -> Iterator[None]:
    """Import slow libraries with a progress message. Raises UsageError if a library is not installed."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        with progress.waiting("Loading libraries"), many_imports():
            yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"training needs {error.name}.", "In a checkout of lrl, use `pip install '.[train]'`."
        ) from error
