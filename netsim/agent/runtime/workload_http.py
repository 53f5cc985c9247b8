"""The web workload: an HTTP/1.1 server that tells who answered and who asked, with keep-alive and pipelining."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

import httptools

from netsim.agent.runtime.workload_base import Connection
from netsim.agent.runtime.workload_spec import WorkloadSpec

Log = Callable[[str], None]
MAX_HEAD = 64 * 1024
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 431: "Request Header Fields Too Large"}


class HttpWorkload:
    """What all connections of one container share.

    `log` takes a line of the access log; while `draining` says so, each connection ends with its next answer.
    """

    def __init__(self, spec: WorkloadSpec, log: Log, draining: Callable[[], bool]) -> None:
        self.spec, self.log, self.draining = spec, log, draining
        self.name = spec.hostname or spec.pod
        self.about = {
            "pod": spec.pod,
            "namespace": spec.namespace,
            "node": spec.node,
            "container": spec.container,
            "image": spec.image,
        }
        self.text = "".join(f"{k}: {v}\n" for k, v in self.about.items())
        self.server = f"Server: {spec.server}\r\n" if spec.server else ""
        self._second, self._head = 0, ""

    def connection(self) -> Connection:
        return HttpConnection(self)

    def head(self) -> str:
        """Server and Date headers, made once a second."""
        now = int(time.time())
        if now != self._second:
            self._second, self._head = now, f"{self.server}Date: {formatdate(now, usegmt=True)}\r\n"
        return self._head

    def answer(self, ask: Ask) -> tuple[int, str, str]:
        """Status, content type and body of one request."""
        if self.spec.kind == "hostname":
            return 200, "text/plain; charset=utf-8", self.name
        if self.spec.kind == "agnhost":
            special = self._agnhost(ask)
            if special is not None:
                return 200, "text/plain; charset=utf-8", special
        if "application/json" in ask.accept:
            found = {**self.about, "address": ask.local, "client": ask.client, "host": ask.host, "request": ask.line}
            return 200, "application/json", json.dumps(found) + "\n"
        text = f"{self.text}address: {ask.local}\nclient: {ask.client}\nhost: {ask.host}\nrequest: {ask.line}\n"
        return 200, "text/plain; charset=utf-8", text

    def _agnhost(self, ask: Ask) -> str | None:
        """The agnhost netexec paths that network tests use; other paths tell what every web workload tells."""
        parts = urlsplit(ask.path)
        match parts.path:
            case "/hostname" | "/hostName":
                return self.name
            case "/clientip":
                return ask.client
            case "/echo":
                return parse_qs(parts.query).get("msg", [""])[0]
            case "/healthz":
                return ""
        return None


class Ask:
    """One request, as far as an answer depends on it."""

    __slots__ = ("accept", "client", "host", "local", "method", "path")

    def __init__(self, client: str, local: str) -> None:
        self.client, self.local = client, local
        self.method, self.path, self.host, self.accept = "", "", "", ""

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


def _address(name: object) -> str:
    host, port = name[:2] if isinstance(name, tuple) else ("", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class HttpConnection(Connection):
    """One connection; httptools calls the on_ methods while it is fed."""

    def __init__(self, workload: HttpWorkload) -> None:
        self.workload = workload
        self.parser = httptools.HttpRequestParser(self)
        self.client = self.local = ""
        self.ask = Ask("", "")
        self.pending = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.client = _address(transport.get_extra_info("peername"))
        self.local = _address(transport.get_extra_info("sockname"))

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        del self.parser  # each knows the other: thousands of ended connections would wait for the collector

    def data_received(self, data: bytes) -> None:
        self.pending += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close()
        except httptools.HttpParserError:
            self._send(400, "text/plain", "bad request\n", close=True)
        if self.pending > MAX_HEAD and self.transport is not None:
            self._send(431, "text/plain", "the request's head is over 64 KiB\n", close=True)

    def on_message_begin(self) -> None:
        self.ask = Ask(self.client, self.local)

    def on_url(self, url: bytes) -> None:
        self.ask.path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"host":
            self.ask.host = value.decode("latin-1")
        elif lower == b"accept":
            self.ask.accept = value.decode("latin-1")
        elif lower == b"expect" and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        self.pending = 0
        self.ask.method = self.parser.get_method().decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.pending = 0

    def on_message_complete(self) -> None:
        self.pending = 0
        status, kind, body = self.workload.answer(self.ask)
        self._send(status, kind, body, close=self.workload.draining() or not self.parser.should_keep_alive())
        version = self.parser.get_http_version()
        client = self.client.rpartition(":")[0]
        self.workload.log(f'{client} - - "{self.ask.line} HTTP/{version}" {status} {len(body)} "{self.ask.host}"')

    def _send(self, status: int, kind: str, body: str, *, close: bool) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        data = body.encode()
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\n{self.workload.head()}Content-Type: {kind}\r\n"
            f"Content-Length: {len(data)}\r\n{'Connection: close' if close else 'Connection: keep-alive'}\r\n\r\n"
        )
        self.transport.write(head.encode("latin-1", "replace") + (b"" if self.ask.method == "HEAD" else data))
        if close:
            self._close()

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()
