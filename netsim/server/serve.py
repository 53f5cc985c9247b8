"""The API server as a running thing: store, handler and listeners put together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from netsim.http.server import HttpServer, serve
from netsim.server.app import ApiServer
from netsim.server.core import DialNode, Listener, ServerConfig
from netsim.server.pki import Pki
from netsim.store.types import Store

_SUPPLY = 4096


def utc_now() -> datetime:
    return datetime.now(UTC)


class Random:
    """An index below `n`, as unpredictable as `secrets.randbelow`, from a supply of random bytes: the kernel is asked
    once for many, where asking costs more than a name's other making."""

    def __init__(self) -> None:
        self._supply, self._used = b"", 0

    def __call__(self, n: int) -> int:
        bits = (n - 1).bit_length()
        while True:  # each time with a chance of more than one half
            drawn = int.from_bytes(self._take((bits + 7) // 8), "little") >> -bits % 8
            if drawn < n:
                return drawn

    def _take(self, count: int) -> bytes:
        start, self._used = self._used, self._used + count
        if self._used > len(self._supply):
            self._supply, start, self._used = os.urandom(max(_SUPPLY, count)), 0, count
        return self._supply[start : self._used]


def server_context(pki: Pki) -> ssl.SSLContext:
    """TLS with the server's certificate; client certificates of the lab's CA are asked for but not demanded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.server_certificate, pki.server_key)
    context.load_verify_locations(cadata=pki.ca_pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    # Clients of Go put AES-128 first, which costs less; OpenSSL would choose AES-256 for them.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0  # clients of Kubernetes do not resume sessions
    return context


@dataclass(slots=True)
class RunningServer:
    """A serving API server. `app` is its handler, for in-process clients."""

    app: ApiServer
    store: Store
    servers: list[HttpServer]

    @property
    def pki(self) -> Pki:
        return self.app.pki

    async def close(self) -> None:
        """Stop listening, end the watches, close the store."""
        for server in self.servers:
            await server.close()
        await self.app.close()
        await self.store.close()


async def run_server(
    config: ServerConfig, store: Store, listeners: Sequence[Listener], dial_node: DialNode
) -> RunningServer:
    """Serve the API from `store` on the given open, listening sockets; returns when requests are answered.

    The store is closed with the server. `dial_node(host, port)` connects to a node's kubelet.
    """
    app = ApiServer(store, config, clock=utc_now, rand=Random(), dial_node=dial_node)
    running = RunningServer(app, store, [])
    try:
        await app.start()
        context = server_context(app.pki)
        for listener in listeners:
            tls = context if listener.tls else None
            running.servers.append(await serve(app, listener.socket, ssl=tls, trusted=listener.trusted))
    except BaseException:
        with contextlib.suppress(asyncio.CancelledError):  # the first error is the one to tell
            await running.close()
        raise
    return running
