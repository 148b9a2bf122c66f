"""Odd and damaged values for tools/fuzz.py, drawn from a seeded random generator. Pure."""

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


def mutated(rng: Random, value: Any) -> Any:
    """Return a copy of a JSON-like value with one to three of its parts removed, renamed, changed or replaced."""
    copy = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        parent = copy
        while isinstance(parent, dict | list) and parent:
            key: Any = rng.choice(list(parent)) if isinstance(parent, dict) else rng.randrange(len(parent))
            if isinstance(parent[key], dict | list) and parent[key] and rng.random() < 0.8:
                parent = parent[key]
                continue
            choice = rng.random()
            if choice < 0.15:
                del parent[key]
            elif choice < 0.25 and isinstance(parent, dict):
                parent[odd_text(rng)] = parent.pop(key)
            elif choice < 0.35 and isinstance(parent[key], int) and not isinstance(parent[key], bool):
                parent[key] += rng.choice([-1, 1, 10**9])
            else:
                parent[key] = deepcopy(rng.choice(ODD))
            break
    return copy


def odd_text(rng: Random, longest: int = 40) -> str:
    """Return a random text with unusual characters."""
    return "".join(rng.choices(TEXT, k=rng.randint(0, longest)))


def damaged(rng: Random, data: bytes) -> bytes:
    """Return the bytes with some of them flipped, cut off or repeated."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    offset = rng.randrange(len(changed) + 1)
    return bytes(rng.choice([changed, changed[:offset], changed + changed[:offset], changed[offset:]]))


def as_json(rng: Random, value: Any) -> bytes:
    """Return a mutated value as JSON: with a matching hash, an outdated hash or none, and sometimes damaged."""
    variant = rng.random()
    changed = mutated(rng, value)
    if variant < 0.4 and isinstance(changed, dict):
        changed = sealed(changed)
    elif variant < 0.7 and isinstance(changed, dict):
        changed = {key: item for key, item in changed.items() if key != "sha256"}
    data = json.dumps(changed).encode()
    return damaged(rng, data) if variant > 0.9 else data


def toml(value: Any) -> str:
    """Write settings as TOML; the result may be invalid."""

    def format_value(setting: Any) -> str:
        if isinstance(setting, dict):
            return (
                "{" + ", ".join(f"{json.dumps(str(key))} = {format_value(item)}" for key, item in setting.items()) + "}"
            )
        if isinstance(setting, list):
            return "[" + ", ".join(map(format_value, setting)) + "]"
        return {None: '""', True: "true", False: "false"}.get(setting) or json.dumps(setting).replace(
            "NaN", "nan"
        ).replace("Infinity", "inf")

    return "\n".join(f"{json.dumps(str(key))} = {format_value(setting)}" for key, setting in dict(value).items())
