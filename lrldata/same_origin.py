"""Recognize requests that a page of another origin made a browser send to a server on this machine. Pure.

Such a page cannot remove the headers that the browser adds (`Origin`, `Sec-Fetch-Site`), nor choose `Host`, which is
the name in the address. A name that resolves to this machine (DNS rebinding) is recognized by `Host`.
"""

import re

from aiohttp import web

_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::([0-9]{1,5}))?")
_OWN = {"same-origin", "none"}  # `none`: the user typed the address


def refusal(request: web.Request) -> str | None:
    """Return why a server on this machine must not answer a request; None if it may."""
    hosts = [host.lower() for host in request.headers.getall("Host", [])]
    host = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if host is None or int(host[1] or 80) > 65535 or not request.raw_path.startswith(("/", "*")):
        return "This server only answers to 127.0.0.1 and localhost."
    origins = {origin.lower() for origin in request.headers.getall("Origin", [])}
    sites = {site.lower() for site in request.headers.getall("Sec-Fetch-Site", [])}
    if not (origins <= {f"http://{hosts[0]}"} and sites <= _OWN):
        return "This server does not answer pages of another origin."
    return None
