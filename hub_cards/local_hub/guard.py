"""Accept requests from programs on this machine, and reject those from web pages open in a browser. Pure.

Requests from pages of another origin are rejected, even to read, because every request is counted and logged. Requests
that control the server, below /_local, also need the header `X-Local-Hub: control`, and their bodies must be JSON,
because no page can send a custom header to another origin without a preflight request.
"""

from aiohttp import web

from hub_cards.local_hub.answers import refused
from lrldata.same_origin import refusal

CONTROL = "/_local"
HEADER = {"X-Local-Hub": "control"}


def check_sender(request: web.Request) -> None:
    """Raise 403 for a request to a host name that is not this server's, or from a page of another origin."""
    if reason := refusal(request):
        raise refused(403, reason)


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
