"""Accept requests from programs on this machine, and reject those from web pages open in a browser. Pure.

Any page can make a browser send requests to this server. However, it cannot remove the headers that the browser adds
(`Origin`, `Sec-Fetch-Site`), send a `Host` other than the name in its address, or add a custom header without a
preflight request. So:

- `Host` must be a name of this interface, which rejects pages whose name resolves to it (DNS rebinding);
- requests from pages of another origin are rejected, even to read, because every request is counted and logged;
- requests that control the server, below /_local, need the header `X-Local-Hub: control`, and their bodies must be
  JSON.
"""

import re

from aiohttp import web

from hub_cards.local_hub.answers import refused

CONTROL = "/_local"
HEADER = {"X-Local-Hub": "control"}
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::([0-9]{1,5}))?")
_OWN = {"same-origin", "none"}  # `none`: the user typed the address


def check_sender(request: web.Request) -> None:
    """Raise 403 for a request to a host name that is not this server's, or from a page of another origin."""
    hosts = request.headers.getall("Host", [])
    host = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
    if host is None or int(host[1] or 80) > 65535 or not request.raw_path.startswith(("/", "*")):
        raise refused(403, "This server only answers to 127.0.0.1 and localhost")
    origins = {origin.lower() for origin in request.headers.getall("Origin", [])}
    sites = {site.lower() for site in request.headers.getall("Sec-Fetch-Site", [])}
    if not (origins <= {f"http://{hosts[0].lower()}"} and sites <= _OWN):
        raise refused(403, "This server does not answer pages of another origin")


def is_control(request: web.Request) -> bool:
    """Return whether a request controls the server; such requests are neither counted nor logged."""
    return request.path == CONTROL or request.path.startswith(f"{CONTROL}/")


def check_control(request: web.Request) -> None:
    """Raise 403 or 415 for a request that a page could have sent without a preflight request."""
    if any(request.headers.getall(name, []) != [value] for name, value in HEADER.items()):
        header = ", ".join(f"{name}: {value}" for name, value in HEADER.items())
        raise refused(403, f"Requests below {CONTROL} need the header {header}")
    if request.body_exists and request.content_type != "application/json":
        raise refused(415, "The body must be sent as application/json")
