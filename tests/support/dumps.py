"""Lines of a dump in ConceptNet's format."""

import json


def node(uri: str) -> str:
    """Expand an abbreviated node: `ro:casă/n` becomes /c/ro/casă/n; paths and http addresses stay as they are."""
    return uri if uri.startswith(("/", "http")) else "/c/" + uri.replace(":", "/", 1)


def line(relation: str, start: str, end: str, weight: float = 1.0, **metadata: str) -> str:
    """Return one line of a dump in ConceptNet's format."""
    start, end = node(start), node(end)
    fields = {"dataset": "/d/test", "license": "cc:by/4.0", "sources": [{"contributor": "/s/test"}]} | metadata
    text = json.dumps(fields | {"weight": weight}, ensure_ascii=False)
    return f"/a/[/r/{relation}/,{start}/,{end}/]\t/r/{relation}\t{start}\t{end}\t{text}"
