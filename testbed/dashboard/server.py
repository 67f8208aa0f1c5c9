"""The web server of the page: a few fixed files and one stream of events; no part of a URL names a file."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.resources import files
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from testbed.dashboard.guard import Guard, names_of
from testbed.dashboard.watcher import Watcher
from testbed.errors import CrashError, TransportError
from testbed.failures import in_one_line, traceback_of

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8050
_PAGE = {
    "/": ("index.html", "text/html"),
    "/dashboard.css": ("dashboard.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/main.js": ("main.js", "text/javascript"),
    "/charts.js": ("charts.js", "text/javascript"),
    "/panels.js": ("panels.js", "text/javascript"),
    "/uplot.js": ("vendor/uPlot.iife.min.js", "text/javascript"),
    "/uplot.css": ("vendor/uPlot.min.css", "text/css"),
    "/uplot-license.txt": ("vendor/uPlot-LICENSE.txt", "text/plain"),
}


def application(watcher: Watcher, names: frozenset[str]) -> Guard:
    """The page and its stream, for requests to one of these names."""

    async def events(_: Request) -> Response:
        if watcher.is_full:
            return PlainTextResponse("too many pages are open; close one\n", status_code=503)
        return StreamingResponse(watcher.stream(), media_type="text/event-stream")

    @contextlib.asynccontextmanager
    async def looking(_: Starlette) -> AsyncIterator[None]:
        tasks = watcher.start()
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    routes = [Route(url, _answer(*page), methods=["GET"]) for url, page in _PAGE.items()]
    app = Starlette(routes=[*routes, Route("/events", events, methods=["GET"])], lifespan=looking)
    return Guard(app, names)


def _answer(name: str, media_type: str) -> Callable[[Request], Response]:
    """Answers with a file of this package, which is read here, once."""
    content = files("testbed.dashboard").joinpath("page", *name.split("/")).read_bytes()

    def answer(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer


def listen(host: str, port: int | None) -> socket.socket:
    """A socket at a numeric address; without a port at the default one, or a free one where that is taken.

    Raises TransportError.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise TransportError(
            f"--host: got {host!r}; allowed: an IP address of this machine, {DEFAULT_HOST} by default"
        ) from None
    if address.is_unspecified or address.is_multicast:
        raise TransportError(
            f"--host: got {host}; allowed: one address of this machine, as requests are checked to be meant for it"
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    problem: OSError | None = None
    for number in (DEFAULT_PORT, 0) if port is None else (port,):
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            return found
        except OSError as err:
            found.close()
            problem = err
    reason = problem.strerror if problem is not None else ""
    raise TransportError(
        f"--host {host} --port {port}: cannot listen there: {reason}; choose another port, or --port 0"
    )


def serve(
    directories: Sequence[Path],
    *,
    host: str = DEFAULT_HOST,
    port: int | None = None,
    plan_command: Sequence[str] = (),
    on_ready: Callable[[str], None] = lambda _: None,
    until: Callable[[], object] | None = None,
) -> None:
    """Serve the page of these runs until Ctrl-C, or until ``until``, which waits, has come back.

    ``on_ready`` is told the address. Raises TransportError.
    """
    listener = listen(host, port)
    with listener:
        watcher = Watcher(directories, plan_command)
        server = uvicorn.Server(
            uvicorn.Config(
                application(watcher, names_of(host)),
                http="h11",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=256,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=2,
            )
        )
        watcher.is_closing = lambda: server.should_exit or watcher.crash is not None
        if until is not None:
            threading.Thread(target=_stop_after, args=(until, server), daemon=True, name="until").start()
        listener.listen(128)  # from here on who connects is served, if a moment later
        name, number = listener.getsockname()[:2]
        on_ready(f"http://{f'[{name}]' if ':' in name else name}:{number}/")
        with contextlib.suppress(KeyboardInterrupt):  # which it raises again when it has ended in good order
            server.run(sockets=[listener])
        if watcher.crash is not None:
            raise CrashError(f"dashboard: {in_one_line(watcher.crash)}", trace=traceback_of(watcher.crash))


def _stop_after(until: Callable[[], object], server: uvicorn.Server) -> None:
    until()
    server.should_exit = True
