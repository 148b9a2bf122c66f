"""Odd and damaged values for tools/fuzz.py, by a seeded source of chance. Pure."""

import json
import string
from copy import deepcopy
from random import Random
from typing import Any

from lrldata.manifest import sealed

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 0.5, float("nan"), float("inf"), "", "x", "../x", "/etc/passwd", "a/../../x", "\udc80",
    "\x1b[31m", "{{7*7}}", "<!-- lrl:begin x -->", "=1+1", "9" * 5_000, "ţ" * 300, [], {}, [[]],
    ["../x"], {"a": {"b": []}},
)  # fmt: skip
TEXT = string.printable + "ţعབ\u202e\x00\udc80"


def mutated(draw: Random, value: Any) -> Any:
    """Return a JSON-like value with one to three of its parts taken away, doubled or replaced."""
    copy = json.loads(json.dumps(value))
    for _ in range(draw.randint(1, 3)):
        at = copy
        while isinstance(at, dict | list) and at:
            key: Any = draw.choice(list(at)) if isinstance(at, dict) else draw.randrange(len(at))
            if isinstance(at[key], dict | list) and at[key] and draw.random() < 0.8:
                at = at[key]
                continue
            what = draw.random()
            if what < 0.15:
                del at[key]
            elif what < 0.25 and isinstance(at, dict):
                at[odd_text(draw)] = at.pop(key)
            elif what < 0.35 and isinstance(at[key], int) and not isinstance(at[key], bool):
                at[key] += draw.choice([-1, 1, 10**9])
            else:
                at[key] = deepcopy(draw.choice(ODD))
            break
    return copy


def odd_text(draw: Random, longest: int = 40) -> str:
    """Return a text of odd characters."""
    return "".join(draw.choices(TEXT, k=draw.randint(0, longest)))


def damaged(draw: Random, data: bytes) -> bytes:
    """Return bytes of which some are changed, cut off, or there twice."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    place = draw.randrange(len(changed) + 1)
    return bytes(draw.choice([changed, changed[:place], changed + changed[:place], changed[place:]]))


def as_json(draw: Random, value: Any) -> bytes:
    """Return JSON of a value that was changed: vouched for by its hash, or not, or damaged afterwards."""
    how = draw.random()
    changed = mutated(draw, value)
    if how < 0.4 and isinstance(changed, dict):
        changed = sealed(changed)
    elif how < 0.7 and isinstance(changed, dict):
        changed = {key: each for key, each in changed.items() if key != "sha256"}
    data = json.dumps(changed).encode()
    return damaged(draw, data) if how > 0.9 else data


def toml(value: Any) -> str:
    """Write settings as TOML, more or less."""

    def one(each: Any) -> str:
        if isinstance(each, dict):
            return "{" + ", ".join(f"{json.dumps(str(key))} = {one(inner)}" for key, inner in each.items()) + "}"
        if isinstance(each, list):
            return "[" + ", ".join(map(one, each)) + "]"
        return {None: '""', True: "true", False: "false"}.get(each) or json.dumps(each).replace("NaN", "nan").replace(
            "Infinity", "inf"
        )

    return "\n".join(f"{json.dumps(str(key))} = {one(each)}" for key, each in dict(value).items())
