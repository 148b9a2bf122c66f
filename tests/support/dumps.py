"""Lines of a dump, as ConceptNet writes them."""

import json


def node(uri: str) -> str:
    """Abbreviate: `ro:casă/n` is /c/ro/casă/n; anything with a slash first stays."""
    return uri if uri.startswith(("/", "http")) else "/c/" + uri.replace(":", "/", 1)


def line(relation: str, start: str, end: str, weight: float = 1.0, **metadata: str) -> str:
    """Write one line of a dump, as ConceptNet writes it."""
    start, end = node(start), node(end)
    fields = {"dataset": "/d/test", "license": "cc:by/4.0", "sources": [{"contributor": "/s/test"}]} | metadata
    text = json.dumps(fields | {"weight": weight}, ensure_ascii=False)
    return f"/a/[/r/{relation}/,{start}/,{end}/]\t/r/{relation}\t{start}\t{end}\t{text}"
