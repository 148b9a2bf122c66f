"""What was asked of the server: a line of JSON a request, in the order of their ends. IO.

    {"n": 7, "method": "POST", "path": "/api/datasets/a/b/commit/main", "status": 200, "wrote": true}

`n` counts requests in the order of their beginnings and goes on after a restart; `status` is null where no answer
was sent; `wrote` says that something on disk may be another thing than before; `fault` names one that was asked for.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from hub_cards.local_hub.answers import WROTE

# Values of other names are left out: a query may hold a signature, or whatever a client put there.
_SHOWN = {"recursive", "expand", "expand[]", "blobs", "cursor", "limit", "owner", "create_pr", "include_prs", "part"}


class Journal:
    """The journal in a file; `redact` takes tokens out of a text, and `on_entry` is called with each entry."""

    def __init__(
        self, path: Path, redact: Callable[[str], str], on_entry: Callable[[Mapping[str, Any]], None] = lambda _: None
    ) -> None:
        self.path, self._on_entry = path, on_entry
        self._redact = redact
        self._count = max((entry["n"] for entry in entries(path)), default=0)

    def begin(self) -> int:
        """Return the number of a request that begins."""
        self._count += 1
        return self._count

    def end(self, number: int, request: web.Request, status: int | None, fault: str | None) -> None:
        """Write down a request that has ended."""
        entry: dict[str, Any] = {
            "n": number,
            "method": request.method,
            "path": self._redact(shown(request.path, request.query_string)),
            "status": status,
            "wrote": bool(request.get(WROTE)),
        }
        if fault:
            entry["fault"] = fault
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._on_entry(entry)


def shown(path: str, query: str) -> str:
    """Return a path with its query, without what may be secret."""
    pairs = [(key, value if key in _SHOWN else "...") for key, value in parse_qsl(query, keep_blank_values=True)]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def entries(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a journal; a last line that a killed server left unfinished is not one."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
