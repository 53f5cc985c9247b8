"""The in-process containers of one node: what listens for each, and what can be done with them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from netsim.agent.runtime.crilog import LogFile, render_line
from netsim.agent.runtime.metering import HostMeter, Meter, resident_bytes
from netsim.agent.runtime.resp import Database
from netsim.agent.runtime.workload_base import Connection
from netsim.agent.runtime.workload_http import HttpWorkload
from netsim.agent.runtime.workload_spec import WorkloadSpec, dump_spec
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
        self._tasks: set[asyncio.Task[None]] = set()
        self.host_meter = HostMeter()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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

    def drain(self, found: Running) -> None:
        """From now on answers end their connection, so that clients go elsewhere; new ones are still answered."""
        found.draining = True
        self._note(found, "draining")

    async def finish(self, container: str, quiet: float, longest: float) -> dict[str, Any]:
        """Stop a container once nobody has asked it for `quiet` seconds, or after `longest`: until then it drains."""
        found, begun = self.running.get(container), time.perf_counter()
        if found is not None and quiet > 0:
            self.drain(found)
            while (left := _rest(found.meter, begun, quiet, longest)) > 0:
                await asyncio.sleep(left)
        return self.stop(container)

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


def _rest(meter: Meter, begun: float, quiet: float, longest: float) -> float:
    """Seconds until a container that is being finished may stop, as far as is known now."""
    return min(begun + longest, max(begun, meter.used_ns / 1e9) + quiet) - time.perf_counter()


def _stream_factory(
    spec: WorkloadSpec, note: Callable[[str], None], draining: Callable[[], bool]
) -> Callable[[], Connection]:
    if spec.kind in ("http", "agnhost", "hostname"):
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
