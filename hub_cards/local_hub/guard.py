"""Who may send requests at all: programs on this machine, and not a page that somebody has open in a browser. Pure.

Any page can have a browser send requests to this server. What it cannot do is to leave out what the browser adds
(`Origin`, `Sec-Fetch-Site`), to send `Host` with another name than that of its address, or, without asking this
server first, to add a header of its own. So:

- `Host` must be a name of this interface: a page whose name leads here is refused (DNS rebinding);
- a request that a page of another origin has sent is refused, to read as well: each one is counted and written down;
- what controls the server, below /_local, needs the header `X-Local-Hub: control`, and a body must be JSON.
"""

import re

from aiohttp import web

from hub_cards.local_hub.answers import refused

CONTROL = "/_local"
HEADER = {"X-Local-Hub": "control"}
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::([0-9]{1,5}))?")
_OWN = {"same-origin", "none"}  # `none`: a person typed the address


def check_sender(request: web.Request) -> None:
    """Raise 403 for a request under a name that is not ours, or from a page of another origin."""
    hosts = request.headers.getall("Host", [])
    named = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
    if named is None or int(named[1] or 80) > 65535 or not request.raw_path.startswith(("/", "*")):
        raise refused(403, "This server answers to 127.0.0.1 and localhost alone")
    origins = {origin.lower() for origin in request.headers.getall("Origin", [])}
    sites = {site.lower() for site in request.headers.getall("Sec-Fetch-Site", [])}
    if not (origins <= {f"http://{hosts[0].lower()}"} and sites <= _OWN):
        raise refused(403, "This server answers no page of another origin")


def is_control(request: web.Request) -> bool:
    """Return whether a request controls the server; such are neither counted nor written down."""
    return request.path == CONTROL or request.path.startswith(f"{CONTROL}/")


def check_control(request: web.Request) -> None:
    """Raise 403 or 415 for a request that a page could have sent without asking first."""
    if any(request.headers.getall(name, []) != [value] for name, value in HEADER.items()):
        header = ", ".join(f"{name}: {value}" for name, value in HEADER.items())
        raise refused(403, f"Requests below {CONTROL} need the header {header}")
    if request.body_exists and request.content_type != "application/json":
        raise refused(415, "The body must be sent as application/json")
