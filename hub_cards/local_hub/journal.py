"""A log of the requests to the server: one line of JSON per request, in the order in which they ended. IO.

    {"n": 7, "method": "POST", "path": "/api/datasets/a/b/commit/main", "status": 200, "wrote": true}

`n` numbers requests in the order in which they began, also across restarts. `status` is null if no response was sent.
`wrote` says whether something on disk may have changed. `fault` names the fault of the request, if any.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from hub_cards.local_hub.answers import WROTE
from lrldata.output import warn

# The values of other query keys are hidden: they may be a signature, or anything else that a client sends.
_SHOWN = {"recursive", "expand", "expand[]", "blobs", "cursor", "limit", "owner", "create_pr", "include_prs", "part"}


class Journal:
    """A journal in a file. `redact` removes tokens from text, and `on_entry` is called with each entry."""

    def __init__(
        self, path: Path, redact: Callable[[str], str], on_entry: Callable[[Mapping[str, Any]], None] = lambda _: None
    ) -> None:
        self.path, self._on_entry = path, on_entry
        self._redact = redact
        self._count = max((entry["n"] for entry in entries(path)), default=0)
        self._is_incomplete = False

    def begin(self) -> int:
        """Return the number of a new request."""
        self._count += 1
        return self._count

    def end(self, number: int, request: web.Request, status: int | None, fault: str | None) -> None:
        """Log a request that has ended."""
        entry: dict[str, Any] = {
            "n": number,
            "method": request.method,
            "path": self._redact(shown(request.path, request.query_string)),
            "status": status,
            "wrote": bool(request.get(WROTE)),
        }
        if fault:
            entry["fault"] = fault
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                # After a failure, the last line may lack its end.
                stream.write("\n" * self._is_incomplete + json.dumps(entry, ensure_ascii=False) + "\n")
        except OSError as error:  # the request itself may have succeeded
            if not self._is_incomplete:
                warn(f"{self.path}: requests are missing from this log: {(error.strerror or '').lower()}.")
            self._is_incomplete = True
        self._on_entry(entry)


def shown(path: str, query: str) -> str:
    """Return a path with its query, without values that may be secret."""
    pairs = [(key, value if key in _SHOWN else "...") for key, value in parse_qsl(query, keep_blank_values=True)]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def entries(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a journal, without lines that a kill or a full disk has cut short."""
    if not path.exists():
        return []
    return [entry for line in path.read_text("utf-8", "replace").split("\n")[:-1] if (entry := _read(line))]


def _read(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("n"), int) else None
