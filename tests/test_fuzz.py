"""Inputs of all kinds that nobody should write: each ends in words, and nothing is written outside its folder.

tools/fuzz.py does the same for as long as one likes.
"""

from importlib.util import find_spec

import fuzz
import pytest

ROUNDS = {"cards": 400, "settings": 400, "keys": 300, "answers": 300, "models": 150, "documents": 120}
MODULES = {"lrltrain": "torch", "hub_cards": "markdown_it", "lrldata": "polars"}


@pytest.mark.parametrize("target", fuzz.TARGETS, ids=lambda target: target.name)
def test_an_input_of_any_content_is_taken_or_refused_in_words(target: fuzz.Target) -> None:
    if find_spec(MODULES[target.needs]) is None:
        pytest.skip(f"{target.needs} is not installed with what it needs")
    rounds = ROUNDS.get(target.name, 150)
    tally = fuzz.run(target, iter(range(1_000, 1_000 + rounds)))
    assert not tally.faults, "\n".join(tally.faults[:3])
    assert tally.ended["taken"] > 0.02 * rounds
    assert tally.ended["refused"] > 0.1 * rounds


def test_a_fault_and_a_file_outside_are_found() -> None:
    def prepare(folder):  # noqa: ANN001, ANN202
        def feed(draw):  # noqa: ANN001, ANN202
            if draw.random() < 0.7:
                raise KeyError("x")
            if draw.random() < 0.2:
                (folder / ".." / "escaped").write_text("x")

        return feed

    tally = fuzz.run(fuzz.Target("broken", prepare), iter(range(20)))
    assert any("KeyError" in fault for fault in tally.faults)
    assert any("wrote outside its folder" in fault for fault in tally.faults)
