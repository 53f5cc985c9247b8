"""The workload host: one process per node in which all in-process containers of the node live.

It is apart from the agent: when the agent dies everything here answers on, and a new agent finds it by `list`. The
control protocol is JSON lines over a unix socket: `{"id": 1, "op": "start", "spec": {…}}`,
`{"id": 2, "op": "drain", "container": ID}`, `{"id": 3, "op": "stop", "container": ID}`, `{"id": 4, "op": "list"}`,
`{"id": 5, "op": "stats"}`; each is answered by `{"id": N, …}` or `{"id": N, "error": TEXT}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from netsim.agent.runtime.crilog import LogFile, render_line
from netsim.agent.runtime.metering import HostMeter, Meter, resident_bytes
from netsim.agent.runtime.resp import Database
from netsim.agent.runtime.workload_base import Connection
from netsim.agent.runtime.workload_http import HttpWorkload
from netsim.agent.runtime.workload_spec import WorkloadSpec, dump_spec, load_spec
from netsim.agent.runtime.workload_streams import (
    EchoDatagram,
    EchoStream,
    MysqlConnection,
    RedisConnection,
    agnhost_reply,
)
from netsim.host import netns

log = logging.getLogger(__name__)
BACKLOG = 1024
FLUSH_SECONDS = 0.1
LINGER_SECONDS = 1.0
MAX_LINE = 1024 * 1024


@dataclass(slots=True)
class Running:
    """A started container: what listens, the open connections, and its log."""

    spec: WorkloadSpec
    log: LogFile
    started_at: float
    servers: list[asyncio.Server] = field(default_factory=list)
    datagrams: list[asyncio.DatagramTransport] = field(default_factory=list)
    connections: set[asyncio.Transport] = field(default_factory=set)
    draining: bool = False
    meter: Meter = field(default_factory=Meter)


class WorkloadHost:
    """The containers of one node and what can be done with them."""

    def __init__(self) -> None:
        self.running: dict[str, Running] = {}
        self.dirty: set[LogFile] = set()
        self.host_meter = HostMeter()

    async def start(self, spec: WorkloadSpec) -> dict[str, Any]:
        """Listen on all ports of a container; starting what runs is no error. OSError when a port cannot be had."""
        found = self.running.get(spec.id)
        if found is None:
            found = Running(spec, LogFile(spec.log), time.time())
            try:
                await self._listen(found)
            except OSError:
                self._close(found)
                raise
            self.running[spec.id] = found
            self._note(found, f"{spec.image} started on {spec.node}, listening on {_ports(spec)}")
        return {"started_at": found.started_at}

    def drain(self, container: str) -> dict[str, Any]:
        """From now on answers end their connection, so that clients go elsewhere; new ones are still answered."""
        found = self.running.get(container)
        if found is not None:
            found.draining = True
            self._note(found, "draining")
        return {"draining": found is not None}

    def stop(self, container: str) -> dict[str, Any]:
        """Close the listeners and connections of a container, written answers go out; none there is no error."""
        self._settle()
        found = self.running.pop(container, None)
        if found is not None:
            self._note(found, "stopped")
            found.log.flush()
            self._close(found)
        return {"stopped": found is not None}

    def list(self) -> dict[str, Any]:
        return {"containers": [{"started_at": r.started_at, "spec": dump_spec(r.spec)} for r in self.running.values()]}

    def stats(self) -> dict[str, Any]:
        """CPU nanoseconds and bytes of memory: of this process, and each container's share (see `metering`)."""
        self._settle()
        memory = resident_bytes()
        each = memory // max(len(self.running), 1)
        shares = {key: {"cpu_ns": run.meter.cpu_ns, "memory": each} for key, run in self.running.items()}
        return {"cpu_ns": time.process_time_ns(), "memory": memory, "containers": shares}

    def _settle(self) -> None:
        self.host_meter.settle({key: run.meter for key, run in self.running.items()})

    async def _listen(self, run: Running) -> None:
        loop = asyncio.get_running_loop()
        streams, datagrams = self._factories(run)
        for number, protocol in run.spec.ports:
            for family, address in _families(run.spec):
                if protocol == "UDP":
                    sock = _bind(run.spec.netns, family, socket.SOCK_DGRAM, address, number)
                    transport, _ = await loop.create_datagram_endpoint(datagrams, sock=sock)
                    run.datagrams.append(transport)
                else:
                    sock = _bind(run.spec.netns, family, socket.SOCK_STREAM, address, number)
                    run.servers.append(await loop.create_server(streams, sock=sock, backlog=BACKLOG))

    def _factories(self, run: Running) -> tuple[Callable[[], Connection], Callable[[], asyncio.DatagramProtocol]]:
        spec = run.spec

        def note(text: str) -> None:
            self._note(run, text)

        def datagram() -> asyncio.DatagramProtocol:
            reply = agnhost_reply(spec.hostname or spec.pod) if spec.kind == "agnhost" else None
            return EchoDatagram(note, reply, run.meter)

        make = _stream_factory(spec, note, lambda: run.draining)

        def stream() -> Connection:
            connection = make()
            connection.connections, connection.meter = run.connections, run.meter
            return connection

        return stream, datagram

    def _note(self, run: Running, text: str) -> None:
        run.log.add(render_line(time.time(), text))
        if not self.dirty:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        self.dirty.add(run.log)

    def flush(self) -> None:
        """Write out what the logs hold back; a log that cannot be written is reported, not fatal to the workloads."""
        logs, self.dirty = self.dirty, set()
        for one in logs:
            try:
                one.flush()
            except OSError as error:
                log.error("log %s: %s; lines were lost", one.path, error)

    @staticmethod
    def _close(run: Running) -> None:
        for server in run.servers:
            server.close()
        for transport in run.datagrams:
            transport.abort()
        for connection in list(run.connections):
            connection.close()
            # A client that does not read would keep its connection, and with it the pod's namespace, for ever.
            asyncio.get_running_loop().call_later(LINGER_SECONDS, connection.abort)


def _stream_factory(
    spec: WorkloadSpec, note: Callable[[str], None], draining: Callable[[], bool]
) -> Callable[[], Connection]:
    if spec.kind in ("http", "agnhost"):
        return HttpWorkload(spec, note, draining).connection
    if spec.kind == "redis":
        database = Database(spec.version)
        return lambda: RedisConnection(database)
    if spec.kind == "mysql":
        return lambda: MysqlConnection(spec.version, note)
    return lambda: EchoStream(note)


def _ports(spec: WorkloadSpec) -> str:
    return ", ".join(f"{number}/{protocol.lower()}" for number, protocol in spec.ports) or "no port"


def _families(spec: WorkloadSpec) -> list[tuple[int, str]]:
    six = any(":" in ip for ip in spec.ips)
    four = any(":" not in ip for ip in spec.ips) or not six
    both: list[tuple[int, str]] = [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]
    return [pair for pair, wanted in zip(both, (four, six), strict=True) if wanted]


def _bind(path: str, family: int, kind: int, address: str, port: int) -> socket.socket:
    sock = netns.open_socket(path, family, kind) if path else socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        reason = errno.errorcode.get(error.errno or 0, "")
        raise OSError(
            error.errno, f"bind() to {address}:{port} failed ({error.errno}: {error.strerror}, {reason})"
        ) from error
    return sock


async def _serve_control(host: WorkloadHost, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            writer.write(json.dumps(await _answer(host, line)).encode() + b"\n")
            await writer.drain()
    except ConnectionError:
        log.info("the agent went away")
    finally:
        writer.close()


async def _answer(host: WorkloadHost, line: bytes) -> dict[str, Any]:
    """The answer to one control line; what is wrong with it is the answer too."""
    asked: dict[str, Any] = {}
    try:
        asked = json.loads(line)
        return {"id": asked["id"], **await _perform(host, asked)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        return {"id": asked.get("id"), "error": text}


async def _perform(host: WorkloadHost, asked: dict[str, Any]) -> dict[str, Any]:
    match asked["op"]:
        case "start":
            return await host.start(load_spec(asked["spec"]))
        case "drain":
            return host.drain(str(asked["container"]))
        case "stop":
            return host.stop(str(asked["container"]))
        case "list":
            return host.list()
        case "stats":
            return host.stats()
    raise ValueError(f"op {asked['op']!r} is none of start, drain, stop, list, stats")


async def serve_workloads(socket_path: str, stop: asyncio.Event | None = None) -> None:
    """Run the host until `stop` is set (or for ever). A socket file left by a dead host is replaced."""
    host = WorkloadHost()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve_control(host, reader, writer)

    with contextlib.suppress(FileNotFoundError):  # none is left from before
        os.unlink(socket_path)
    os.makedirs(os.path.dirname(socket_path), exist_ok=True)
    server = await asyncio.start_unix_server(serve, socket_path, limit=MAX_LINE)
    os.chmod(socket_path, 0o600)
    try:
        await (stop or asyncio.Event()).wait()
    finally:
        server.close()
        for container in list(host.running):
            host.stop(container)
        host.flush()
        with contextlib.suppress(FileNotFoundError):  # the lab was taken down with its directory
            os.unlink(socket_path)


def run_workload_host(socket_path: str) -> None:
    """Serve the workloads of one node until SIGTERM or SIGINT. Blocks; run it in the node's network namespace.

    What a container is (kind, ports, banner) comes with each start request, so the host needs no image catalogue.
    """
    import uvloop

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve_workloads(socket_path, stop)

    uvloop.run(main())


def main() -> None:
    """`python -m netsim.agent.runtime.workloads SOCKET`: the host as a program of its own."""
    import sys

    logging.basicConfig(level=logging.INFO)
    run_workload_host(sys.argv[1])


if __name__ == "__main__":
    main()
