"""Connections into a pod's network namespace, to its localhost."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from netsim.host import netns as namespaces

CONNECT_SECONDS = 10.0
CHUNK = 32 * 1024
_TRIED = ((socket.AF_INET, "IPv4:", "tcp4", "127.0.0.1"), (socket.AF_INET6, "IPv6", "tcp6", "::1"))

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class DialFailed(Exception):
    """Nothing in the pod takes the connection; the text is a container runtime's."""


async def dial_pod(call: Callable[..., Awaitable[Any]], netns: str, port: int) -> Connection:
    """Connect to a port of localhost in a namespace ("" for our own), IPv4 first. Raises DialFailed.

    `call(function, *arguments)` runs what blocks on a thread.
    """
    tried = []
    for family, name, network, address in _TRIED:
        try:
            return await _connect(call, netns, family, address, port)
        except OSError as error:
            shown = f"[{address}]" if ":" in address else address
            tried.append(f"{name} dial {network} {shown}:{port}: connect: {_reason(error)}")
    where = f'in network namespace "{netns}"' if netns else "in the node's network namespace"
    inside = f'inside namespace "{os.path.basename(netns)}"' if netns else "on the node"
    failed = f"failed to connect to localhost:{port} {inside}, {' '.join(tried)}"
    raise DialFailed(f"failed to execute portforward {where}: {failed}")


async def _connect(
    call: Callable[..., Awaitable[Any]], netns: str, family: socket.AddressFamily, address: str, port: int
) -> Connection:
    if netns:
        sock: socket.socket = await call(namespaces.open_socket, netns, family, socket.SOCK_STREAM)
    else:
        sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        return await asyncio.open_connection(sock=sock, limit=2 * CHUNK)
    except BaseException:
        sock.close()
        raise


def _reason(error: OSError) -> str:
    """An error as the C library and Go say it: in lower case."""
    text = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
