"""Fixtures that the tests on real models share."""

from pathlib import Path

import pytest
from bases import BASES, base_model


@pytest.fixture(scope="session")
def smollm2() -> Path:
    return base_model("smollm2-135m", BASES, BASES)


@pytest.fixture(scope="session")
def e5() -> Path:
    return base_model("e5-small", BASES, BASES)


@pytest.fixture(scope="session")
def e5_mlm() -> Path:
    """Return the encoder with a barely trained head, for an end-to-end run of the tables."""
    data = Path(__file__).parents[3] / "shared" / "data"
    if not data.is_dir():
        pytest.skip("real data (../shared/data) is not available")
    return base_model("e5-small-mlm", BASES, data)
