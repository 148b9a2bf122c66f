"""samples.json of a dataset, as a build writes it. Pure."""

from pathlib import Path

from pydantic import ValidationError

from lrldata.dataset import SAMPLES, Opened
from lrldata.errors import StorageError
from lrldata.report.samples import Samples


def read_samples(opened: Opened, folder: Path) -> Samples | None:
    """Return what samples.json of a dataset holds; None where there is none. Raises StorageError."""
    if SAMPLES not in opened.files:
        return None
    try:
        return Samples.model_validate_json(opened.files[SAMPLES])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StorageError(
            f"{folder / SAMPLES}: not as a build writes it ({where}: {first['msg']}).",
            "Run `lrldata build` again to repair it.",
        ) from error
