"""Read samples.json of a dataset, as a build writes it. Pure."""

from pathlib import Path

from pydantic import ValidationError

from lrldata.dataset import SAMPLES, OpenDataset
from lrldata.errors import StorageError
from lrldata.report.samples import Samples


def read_samples(opened: OpenDataset, folder: Path) -> Samples | None:
    """Return the contents of a dataset's samples.json, or None if it has none. Raises StorageError."""
    if SAMPLES not in opened.files:
        return None
    try:
        return Samples.model_validate_json(opened.files[SAMPLES])
    except ValidationError as error:
        fault = error.errors()[0]
        location = ".".join(map(str, fault["loc"]))
        raise StorageError(
            f"{folder / SAMPLES}: not a valid samples.json ({location}: {fault['msg']}).",
            "Run `lrldata build` again to repair it.",
        ) from error
