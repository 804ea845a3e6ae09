"""Who may ask: pages of this site and programs, not pages of other sites."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FROM_HERE = None, "same-origin", "none"  # Sec-Fetch-Site of a program, this site, the address bar
DOCS = "/docs"  # the page of the API, whose script stands in the page

_POLICY = (
    "default-src 'none'; script-src 'self'{inline}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests that name another host (as after a rebound DNS name) or that a page of
    another site sends, and has browsers keep answers from other sites, caches and frames. `names`:
    of this host, beside its addresses."""

    def __init__(self, app: ASGIApp, names: Collection[str]):
        self._app, self._names = app, frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        policy = _POLICY.format(inline=" 'unsafe-inline'" * (scope["path"] == DOCS))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS | {"Content-Security-Policy": policy})
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["path"])
        if not refusal:
            await self._app(scope, receive, send_with_headers)
            return
        body = json.dumps(dict(error=refusal)).encode()
        kind = [(b"content-type", b"application/json")]
        await send_with_headers(dict(type="http.response.start", status=403, headers=kind))
        await send(dict(type="http.response.body", body=body))

    def _refusal(self, headers: Headers, path: str) -> str:
        """Why a request is refused, or nothing."""
        host = headers.get("host", "")
        if not self._is_here(host):
            return f"this server is not {host!r}: start it with --allow-host if it is"
        foreign = headers.get("sec-fetch-site") not in FROM_HERE
        origin = headers.get("origin")
        if path.startswith("/api/") and (foreign or (origin and urlsplit(origin).netloc != host)):
            return "pages of other sites may not ask here"
        return ""

    def _is_here(self, host: str) -> bool:
        """Whether a Host header names this server. An address does: no DNS name can be made to
        stand for it."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
