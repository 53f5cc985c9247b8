"""HTTP load with the standard library alone: connections of their own with TLS or plain, blocking, one request each."""

from __future__ import annotations

import base64
import re
import selectors
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Build = Callable[[int], bytes]
"""The n-th request, whole."""

# TLS hands out a record of 16 KiB at most; a buffer of more would cost the client a mapping of memory each time.
_PIECE = 1 << 16


def request(method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
    """A whole HTTP/1.1 request."""
    fields = f"Host: bench\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode() + body


class Target:
    """Where to connect to: a port of 127.0.0.1, with TLS when there is a context, or the path of a unix socket."""

    def __init__(self, address: int | str, context: ssl.SSLContext | None = None) -> None:
        self._address, self._context = address, context

    @classmethod
    def of_kubeconfig(cls, path: str, port: int = 0) -> Target:
        """The server and credentials of a kubeconfig as netsim writes it; `port` if that is another one."""
        text = Path(path).read_text(encoding="utf-8")

        def field(name: str) -> str:
            found = re.search(rf"\b{name}: (\S+)", text)
            if found is None:
                raise SystemExit(f"scripts/bench: {path}: no {name}")
            return found.group(1)

        with tempfile.TemporaryDirectory() as directory:
            names = {"ca": "certificate-authority-data", "crt": "client-certificate-data", "key": "client-key-data"}
            files = {short: f"{directory}/{short}" for short in names}
            for short, name in names.items():
                Path(files[short]).write_bytes(base64.b64decode(field(name)))
            context = ssl.create_default_context(cafile=files["ca"])
            context.load_cert_chain(files["crt"], files["key"])
        return cls(port or int(field("server").rpartition(":")[2]), context)

    def connect(self) -> Connection:
        if isinstance(self._address, str):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self._address)
            return Connection(sock)
        sock = socket.create_connection(("127.0.0.1", self._address), 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(self._context.wrap_socket(sock, server_hostname="127.0.0.1") if self._context else sock)


class Connection:
    """One keep-alive connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._body = bytearray()

    def send(self, whole: bytes) -> None:
        self.sock.sendall(whole)

    def ask(self, whole: bytes) -> tuple[int, bytes | bytearray]:
        """(status, body) of the answer to a request."""
        self.send(whole)
        return self.receive()

    def receive(self) -> tuple[int, bytes | bytearray]:
        """(status, body) of an answer that has a Content-Length, or chunks. The next answer may overwrite the body."""
        data = self.sock.recv(_PIECE)
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        status, lower = int(head[9:12]), head.lower()
        if b"content-length:" not in lower:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._more()
            return status, body
        length = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        return status, body if len(body) == length else self._rest(body, length)

    def _rest(self, begun: bytes, length: int) -> bytearray:
        """The whole of a body, in memory that is used again: most lists are as long as the one before."""
        if len(self._body) != length:
            self._body = bytearray(length)
        got = len(begun)
        with memoryview(self._body) as view:
            view[:got] = begun
            while got < length:
                size = self.sock.recv_into(view[got:])
                if not size:
                    raise SystemExit("scripts/bench: the server hung up")
                got += size
        return self._body

    def _more(self) -> bytes:
        data = self.sock.recv(_PIECE)
        if not data:
            raise SystemExit("scripts/bench: the server hung up")
        return data

    def close(self) -> None:
        self.sock.close()


def rate(target: Target, build: Build, connections: int, count: int, good: tuple[int, ...] = (200, 201)) -> float:
    """Requests a second with so many connections, each with one request at a time."""
    opened = [target.connect() for _ in range(connections)]
    failures: list[str] = []

    def work(connection: Connection, numbers: range) -> None:
        for number in numbers:
            status, body = connection.ask(build(number))
            if status not in good:
                failures.append(f"{status} {body[:200]!r}")
                return

    threads = [
        threading.Thread(target=work, args=(connection, range(first, count, connections)))
        for first, connection in enumerate(opened)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    for connection in opened:
        connection.close()
    if failures:
        raise SystemExit(f"scripts/bench: {failures[0]}")
    return count / seconds


class Watchers:
    """Watches on connections of their own and one writer, all read by the caller's thread. Little of its time is used:
    what it takes to read fifty events would be counted as the server's."""

    def __init__(self, target: Target, path: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.seen = [0] * count
        self._writer = target.connect()
        self._buffer = bytearray(_PIECE)
        self._unsent: list[bytes] = []
        self._connections = [target.connect() for _ in range(count)]
        for number, connection in enumerate(self._connections):
            connection.send(request("GET", path))
            connection.sock.setblocking(False)
            self._selector.register(connection.sock, selectors.EVENT_READ, number)

    def change(self, whole: bytes, events: int) -> None:
        """Send one request, then read until every watch has brought so many events in all. Its CPU is not let go
        meanwhile: to wake it for each of the events would take the server longer than to send them."""
        deadline = time.monotonic() + 30
        self._writer.send(whole)
        while min(self.seen) < events:
            for key, _ in self._selector.select(0):
                self._read(key.fileobj, key.data)  # type: ignore[arg-type]
            if time.monotonic() > deadline:
                raise SystemExit(f"scripts/bench: a watch brought {min(self.seen)} of {events} events")
        self._check(self._writer.receive())

    def _count(self, number: int, size: int) -> None:
        if not size:
            raise SystemExit("scripts/bench: a watch ended")
        self.seen[number] += self._buffer.count(b'{"type":"', 0, size)

    def _check(self, answer: tuple[int, bytes | bytearray]) -> None:
        status, body = answer
        if status != 200:
            raise SystemExit(f"scripts/bench: {status} {body[:200]!r}")

    def write(self, requests: Sequence[bytes]) -> None:
        """Send the first request now, each further one when the one before is answered, while `until` reads."""
        self._unsent = list(reversed(requests))
        self._selector.register(self._writer.sock, selectors.EVENT_READ, -1)
        self._writer.send(self._unsent.pop())

    def until(self, events: int, seconds: float = 30.0) -> None:
        """Read until every watch has brought so many events in all, and every request is answered."""
        deadline = time.monotonic() + seconds
        while min(self.seen) < events or self._writer.sock in self._selector.get_map():
            if time.monotonic() > deadline:
                raise SystemExit(f"scripts/bench: a watch brought {min(self.seen)} of {events} events")
            for key, _ in self._selector.select(1):
                if key.data < 0:
                    self._answered()
                else:
                    self._read(key.fileobj, key.data)  # type: ignore[arg-type]

    def _answered(self) -> None:
        self._check(self._writer.receive())
        if self._unsent:
            self._writer.send(self._unsent.pop())
        else:
            self._selector.unregister(self._writer.sock)

    def _read(self, sock: socket.socket, number: int) -> None:
        """What has come; more of it makes the socket readable again, unless TLS holds it already."""
        more = True
        while more:
            try:
                size = sock.recv_into(self._buffer)
            except (ssl.SSLWantReadError, BlockingIOError):
                return
            self._count(number, size)
            more = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def close(self) -> None:
        self._selector.close()
        for connection in [self._writer, *self._connections]:
            connection.close()


def fan_out(target: Target, path: str, change: Build, watchers: int, count: int) -> tuple[float, float]:
    """(median ms from sending an update until all watchers have it, updates a second when sent without waiting)."""
    watch = Watchers(target, path, watchers)
    try:
        watch.until(1)  # the initial event
        times = []
        for number in range(count):
            whole = change(number)
            start = time.perf_counter()
            watch.change(whole, 2 + number)
            times.append(time.perf_counter() - start)
        start = time.perf_counter()
        watch.write([change(count + number) for number in range(count)])
        watch.until(1 + 2 * count)
        return 1000 * statistics.median(times), count / (time.perf_counter() - start)
    finally:
        watch.close()


def pss(pid: int) -> float:
    """MiB of proportional set size of a process and its descendants."""
    command = ["ps", "-o", "pid=", "--ppid", str(pid)]
    found = subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    own = int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1)) / 1024  # type: ignore[union-attr]
    return own + sum(pss(int(child)) for child in found)
