"""Malformed inputs of all kinds: each is accepted or refused with a message, and no file is written elsewhere.

tools/fuzz.py runs the same checks for as long as you like.
"""

from importlib.util import find_spec

import fuzz
import pytest

ROUNDS = {"cards": 400, "settings": 400, "keys": 300, "answers": 300, "models": 150, "documents": 120}
MODULES = {"lrltrain": "torch", "hub_cards": "markdown_it", "lrldata": "polars"}


@pytest.mark.parametrize("target", fuzz.TARGETS, ids=lambda target: target.name)
def test_any_input_is_accepted_or_refused_with_a_message(target: fuzz.Target) -> None:
    if find_spec(MODULES[target.needs]) is None:
        pytest.skip(f"{target.needs} is not installed with its dependencies")
    rounds = ROUNDS.get(target.name, 150)
    tally = fuzz.run(target, iter(range(1_000, 1_000 + rounds)))
    assert not tally.faults, "\n".join(tally.faults[:3])
    assert tally.ended["taken"] > 0.02 * rounds
    assert tally.ended["refused"] > 0.1 * rounds


def test_an_exception_and_a_file_outside_the_folder_are_detected() -> None:
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
