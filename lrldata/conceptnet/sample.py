"""The built-in sample: some four hundred facts about Romanian, and a hundred each about Bulgarian and Maltese.

They are in the dump's format, and written for this project.
"""

from importlib.resources import as_file, files
from pathlib import Path


def sample_path() -> Path:
    """Return the path of the sample. It is not ConceptNet data, and what is built from it says so."""
    with as_file(files("lrldata.conceptnet").joinpath("sample.csv")) as path:
        return path
