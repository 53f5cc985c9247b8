"""Opens the proxy's HTTP ports, and tries again where that fails."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from netsim.http.server import HttpServer, serve
from netsim.http.types import Handler

log = logging.getLogger(__name__)
RETRY_SECONDS = 5.0


class CannotListen(Exception):
    """An address could not be had, and --bind-address-hard-fail says that this is the end."""


def open_listener(address: tuple[str, int]) -> socket.socket:
    """A bound socket; on 0.0.0.0 or :: it takes both families where the machine has IPv6. Raises OSError."""
    host, port = address
    if host in ("0.0.0.0", "::") and (sock := _open_both(port)) is not None:
        return sock
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    return _bind(sock, (host, port))


def _open_both(port: int) -> socket.socket | None:
    """A socket for both families; None where this machine has no IPv6."""
    try:
        sock = socket.socket(socket.AF_INET6)
    except OSError:
        return None
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return _bind(sock, ("::", port))


def _bind(sock: socket.socket, address: tuple[str, int]) -> socket.socket:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


async def serve_for_ever(
    what: str, address: tuple[str, int], handler: Handler, failed: Callable[[str], None], *, hard_fail: bool
) -> None:
    """Serve until cancelled. An address that is taken is told to `failed`, once, and tried again every 5 s; with
    `hard_fail` it raises CannotListen."""
    told = False
    while True:
        try:
            server = await serve(handler, open_listener(address))
        except OSError as error:
            text = f"{what} cannot listen on {address[0]}:{address[1]}: {error.strerror or error}"
            if not told:
                failed(text)
                log.error("%s", text if hard_fail else f"{text}; trying again every {RETRY_SECONDS:.0f} s")
                told = True
            if hard_fail:
                raise CannotListen(text) from None
            await asyncio.sleep(RETRY_SECONDS)
            continue
        await _until_cancelled(server)


async def _until_cancelled(server: HttpServer) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()
