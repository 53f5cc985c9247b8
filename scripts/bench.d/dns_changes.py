"""Services that come and go under a server, and questions about them meanwhile: was each answer true?

The API is one of lists and watches only, which a change leaves the moment it is made. Every address is given once, so
that an answer tells which state of its Service it shows, and since when that was over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dns_clients import query
from dns_coredns import kubeconfig
from dns_load import Server, free_port, netsim_of

from netsim_dns.udp import RECEIVE_BUFFER, SO_RCVBUFFORCE

CHANGES, QUESTIONS, SERVICES = 200, 5000, 60
_TURN = 0.001
_PATHS = {"/api/v1/namespaces": "Namespace", "/api/v1/services": "Service"}
_LAST_ANSWER_SECONDS = 2.0


@dataclass(slots=True)
class Outcome:
    """What came of all questions. `late`: seconds that answers showed what was over when they were asked for."""

    asked: int = 0
    answered: int = 0
    changes: int = 0
    never_true: int = 0
    late: list[float] = field(default_factory=list)


class Api:
    """Lists and watches of one namespace and its Services."""

    def __init__(self) -> None:
        self._watches: list[asyncio.StreamWriter] = []
        self._revision = 1
        self.services: dict[str, dict[str, Any]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path, _, words = head.split()[1].partition("?")
                kind = _PATHS.get(path, "")
                if "watch=" in words:
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    self._watches += [writer] if kind == "Service" else []
                    await reader.read()
                    return
                body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": self._items(kind)}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    def _items(self, kind: str) -> list[dict[str, Any]]:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "uid": "a"}}
        return {"Namespace": [namespace], "Service": list(self.services.values())}.get(kind, [])

    def watched(self) -> bool:
        return bool(self._watches)

    def tell(self, event: str, name: str, address: str) -> None:
        """A change leaves."""
        self._revision += 1
        metadata = {"namespace": "a", "name": name, "uid": name, "resourceVersion": str(self._revision)}
        spec = {"clusterIP": address, "clusterIPs": [address]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        line = json.dumps({"type": event, "object": service}).encode() + b"\n"
        for writer in self._watches:
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))


class Services:
    """What is, and when it began: of each Service its states in order, as (since, address; None: there is none)."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.states: list[list[tuple[float, bytes | None]]] = [[(0.0, None)] for _ in range(SERVICES)]
        self._made = 0

    def change(self, number: int) -> None:
        """The next step of a Service: it comes, has another address, goes."""
        states, name = self.states[number], f"s{number}"
        self._made += 1
        if len(states) % 3 == 0:
            states.append((time.monotonic(), None))
            self._api.tell("DELETED", name, "10.96.0.1")
            return
        address = bytes((10, 97, self._made >> 8 & 255, self._made & 255))
        states.append((time.monotonic(), address))
        self._api.tell("ADDED" if len(states) % 3 == 2 else "MODIFIED", name, ".".join(map(str, address)))

    def over_since(self, number: int, shown: bytes | None) -> float | None:
        """When what an answer shows was true for the last time: inf if it is; None if it never was."""
        states = self.states[number]
        for place in range(len(states) - 1, -1, -1):
            if states[place][1] == shown:
                return states[place + 1][0] if place + 1 < len(states) else float("inf")
        return None


class Asker(asyncio.DatagramProtocol):
    """Asks, and judges each answer as it comes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._queries = [query(f"s{number}.a.svc.cluster.local", "A") for number in range(SERVICES)]
        self._asked: dict[int, tuple[int, float]] = {}
        self.outcome = Outcome()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # by its class here it is another

    def ask(self) -> None:
        self.outcome.asked += 1
        number, service = self.outcome.asked % 65536, self.outcome.asked % SERVICES
        self._asked[number] = service, time.monotonic()
        self._transport.sendto(number.to_bytes(2, "big") + self._queries[service][2:])

    def datagram_received(self, data: bytes, _: Any) -> None:
        asked = self._asked.pop(int.from_bytes(data[:2], "big"), None)
        if asked is None:
            return
        (service, began), outcome = asked, self.outcome
        outcome.answered += 1
        ends = len(self._queries[service]) - 11  # where the question does; behind it a record's 12 bytes and an address
        shown = data[ends + 12 : ends + 16] if data[7] else None
        over = self._services.over_since(service, shown) if data[3] & 15 in (0, 3) else None
        if over is None or (data[3] & 15 == 0) != bool(data[7]):
            outcome.never_true += 1
        elif over < began:
            outcome.late.append(began - over)


def run_changes(directory: Path, seconds: float) -> Outcome:
    """A server with such an API, asked so long at these rates. Raises SystemExit if it does not start."""
    return asyncio.run(_run(directory, seconds))


@contextlib.asynccontextmanager
async def _served(directory: Path) -> AsyncIterator[tuple[Api, Server]]:
    api, port = Api(), free_port()
    listener = await asyncio.start_server(api.serve, "127.0.0.1", port)
    context = netsim_of("--kubeconfig", kubeconfig(directory, f"http://127.0.0.1:{port}"))
    server = await asyncio.to_thread(context.__enter__)
    try:
        yield api, server
    finally:
        listener.close()
        await asyncio.to_thread(context.__exit__, None, None, None)


async def _run(directory: Path, seconds: float) -> Outcome:
    async with _served(directory) as (api, server):
        services, loop = Services(api), asyncio.get_running_loop()
        transport, asker = await loop.create_datagram_endpoint(lambda: Asker(services), sock=_connected(server.port))
        await _until(api.watched)
        began, outcome = time.monotonic(), asker.outcome
        while (past := time.monotonic() - began) < seconds:
            while outcome.changes < past * CHANGES:
                services.change(outcome.changes * 7 % SERVICES)
                outcome.changes += 1
            while outcome.asked < past * QUESTIONS:
                asker.ask()
            await asyncio.sleep(_TURN)
        with contextlib.suppress(TimeoutError):
            await _until(lambda: outcome.answered == outcome.asked)
        transport.close()
        return outcome


def _connected(port: int) -> socket.socket:
    """With room for the answers to all that is asked at once after a pause: else they are lost here."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    sock.connect(("127.0.0.1", port))
    return sock


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LAST_ANSWER_SECONDS):
        while not true():
            await asyncio.sleep(_TURN)
