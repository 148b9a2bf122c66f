"""The tests' base models, built from packages once and kept in build/real."""

import os
from pathlib import Path

import pytest
from real_bases import make
from train_head import HeadTraining

from lrldata.errors import LrlError

BASES = Path(os.environ.get("LRL_REAL", Path(__file__).parents[2] / "build" / "real"))
SHORT_TRAINING = HeadTraining(steps=2, batch_size=4)


def base_model(name: str, out: Path, data: Path) -> Path:
    """Return a model's folder; skip the test if its packages are not available."""
    try:
        return make(name, out, data, SHORT_TRAINING)
    except LrlError as error:
        pytest.skip(str(error))
