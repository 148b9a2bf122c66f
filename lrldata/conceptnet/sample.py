"""The built-in sample: about four hundred facts about Romanian and a hundred each about Bulgarian and Maltese.

The facts were written for this project, in the format of the dump.
"""

from importlib.resources import as_file, files
from pathlib import Path


def sample_path() -> Path:
    """Return the path of the sample. It is not ConceptNet data, and datasets built from it say so."""
    with as_file(files("lrldata.conceptnet").joinpath("sample.csv")) as path:
        return path
