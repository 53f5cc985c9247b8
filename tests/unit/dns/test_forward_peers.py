"""A resolver that is not ours as upstream: dnsmasq on 127.0.0.1, killed and started again. dig asks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from netsim_dns.config import DnsConfig
from netsim_dns.forward.config import CacheConfig, ForwardConfig, ForwardZone
from netsim_dns.forward.forwarder import Forwarder
from netsim_dns.index import Index
from netsim_dns.responder import Responder
from netsim_dns.server import DnsServer, open_pair

from .forwarding import resolver, until
from .test_server import dig

WORDS = ("--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces", "--user=")


@asynccontextmanager
async def dnsmasq(port: int) -> AsyncIterator[None]:
    path = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        pytest.skip("dnsmasq is not installed (Debian package dnsmasq-base)")
    names = [f"--address=/peer.test/192.0.2.{n}" for n in (7, 8)] + ["--txt-record=long.peer.test," + "x" * 200]
    names += [f"--host-record=many.test,198.51.100.{n}" for n in range(1, 100)]
    command = (path, *WORDS, "--listen-address=127.0.0.1", f"--port={port}", *names)
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
    try:
        async with asyncio.timeout(20):
            while not await _listens(port):
                assert process.returncode is None, "dnsmasq ended"
                await asyncio.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it has a child, with the same ports, for each TCP connection
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_dnsmasq_as_upstream_dies_and_comes_back(index: Index) -> None:
    udp, tcp = open_pair(("127.0.0.1", 0))
    upstream = udp.getsockname()
    udp.close()
    tcp.close()
    zone = ForwardZone(upstreams=(upstream,), health_interval=0.05, cache=CacheConfig(success_ttl=0, denial_ttl=0))
    forwarder = Forwarder(ForwardConfig((zone,)))
    server = DnsServer(Responder(index, DnsConfig(listen=(("127.0.0.1", 0),)), forwarder=forwarder))
    await server.start()
    (port,) = server.ports
    try:
        async with dnsmasq(upstream[1]):
            assert sorted((await dig(port, "+short", "www.peer.test")).split()) == ["192.0.2.7", "192.0.2.8"]
            assert (await dig(port, "+short", "+tcp", "long.peer.test", "TXT")).strip() == f'"{"x" * 200}"'
            assert len((await dig(port, "+short", "+noedns", "many.test")).split("\n")) >= 99, "dig goes on by TCP"
            assert await dig(port, "+short", "svc1.testns.svc.cluster.local") == "10.96.1.1\n"
        assert "status: SERVFAIL" in await dig(port, "www.peer.test")
        await until(lambda: resolver(forwarder).upstreams[0].down)
        async with dnsmasq(upstream[1]):
            await until(lambda: not resolver(forwarder).upstreams[0].down)
            assert "192.0.2.7" in await dig(port, "+short", "www.peer.test")
    finally:
        forwarder.close()
        await server.close()
