"""What may reach the page: requests of this page only, to one of its own names; and what it may load: only itself.

A page elsewhere whose name resolves to this machine (DNS rebinding) sends that name as Host, and is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253})(?::\d{1,5})?\Z")
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def names_of(host: str) -> frozenset[str]:
    """By what a server that listens at an address may be called; at a loopback one by all names of that."""
    address = ipaddress.ip_address(host)
    if address.is_loopback:
        return LOOPBACK_NAMES | {_bracketed(host)}
    return frozenset({_bracketed(host)})


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def refusal_of(headers: list[tuple[bytes, bytes]], names: frozenset[str]) -> str | None:
    """Why a request is refused; None if it is not. Ports are free, as a tunnel has its own."""
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    found = _HOST.match(hosts[0]) if len(hosts) == 1 else None
    if found is None or found[1].lower() not in names:
        return f"Host: allowed: {', '.join(sorted(names))}; open the address that `testbed dashboard` prints"
    sites = {value for name, value in headers if name == b"sec-fetch-site"}
    modes = {value for name, value in headers if name == b"sec-fetch-mode"}
    if sites & {b"cross-site", b"same-site"} and modes != {b"navigate"}:
        return "asked for by another page; open this one in a tab of its own"
    return None


class Guard:
    """Refuses such requests with 403, and puts the headers on every answer."""

    def __init__(self, app: App, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        refusal = refusal_of(scope["headers"], self._names)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
            return
        text = f"refused: {refusal}\n".encode()
        head = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
        await send_guarded({"type": "http.response.start", "status": 403, "headers": head})
        await send_guarded({"type": "http.response.body", "body": text})
