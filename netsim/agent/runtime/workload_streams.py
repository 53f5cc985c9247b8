"""The other workloads: TCP and UDP echo, a small honest Redis, and MySQL's greeting."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable
from typing import cast

from netsim.agent.runtime.metering import Meter, metered
from netsim.agent.runtime.resp import Database, RespError, parse_command
from netsim.agent.runtime.workload_base import Connection

Log = Callable[[str], None]
Address = tuple[str, int]
_connection_ids = itertools.count(1)


class EchoStream(Connection):
    """Sends back what it gets (RFC 862)."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.log(f"connection from {transport.get_extra_info('peername')}")

    def data_received(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def pause_writing(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()


class EchoDatagram(asyncio.DatagramProtocol):
    """Sends back every datagram (RFC 862); `reply` may replace it, as agnhost's UDP server does."""

    def __init__(
        self, log: Log, reply: Callable[[bytes, Address], bytes] | None = None, meter: Meter | None = None
    ) -> None:
        self.log, self.reply, self.meter = log, reply, meter or Meter()
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    @metered
    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self.transport is not None:
            self.transport.sendto(self.reply(data, addr) if self.reply else data, addr)


def agnhost_reply(hostname: str) -> Callable[[bytes, Address], bytes]:
    """agnhost netexec over UDP: `hostname`, `clientip`, `echo TEXT`."""

    def reply(data: bytes, addr: Address) -> bytes:
        word, _, rest = data.decode("latin-1").strip().partition(" ")
        answers = {"hostname": hostname, "clientip": f"{addr[0]}:{addr[1]}", "echo": rest}
        return answers.get(word.lower(), "").encode("latin-1")

    return reply


class RedisConnection(Connection):
    """RESP2 and inline commands on one shared in-memory database."""

    MAX_PENDING = 1024 * 1024

    def __init__(self, database: Database) -> None:
        self.database, self.pending = database, b""

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        self.pending += data
        try:
            while (parsed := parse_command(self.pending)) is not None:
                words, used = parsed
                self.pending = self.pending[used:]
                if words and self._run(words):
                    return
            if len(self.pending) > self.MAX_PENDING:
                raise RespError("Protocol error: too big request")
        except RespError as error:
            self.transport.write(f"-ERR {error}\r\n".encode())
            self.transport.close()

    def _run(self, words: list[bytes]) -> bool:
        assert self.transport is not None
        self.transport.write(self.database.run(words))
        if words[0].lower() == b"quit":
            self.transport.close()
            return True
        return False


class MysqlConnection(Connection):
    """Greets as a MySQL server does and then refuses the login: enough to see that the server is there and which."""

    def __init__(self, version: str, log: Log) -> None:
        self.version, self.log = version, log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.write(mysql_greeting(self.version, next(_connection_ids) & 0xFFFFFFFF))

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        host = (self.transport.get_extra_info("peername") or ("",))[0]
        self.log(f"login refused for client {host}: this workload has no database behind its greeting")
        self.transport.write(mysql_refusal(host))
        self.transport.close()


def mysql_greeting(version: str, connection: int) -> bytes:
    """HandshakeV10 (MySQL internals, Protocol::HandshakeV10) with mysql_native_password."""
    low, high = 0xF7FF, 0x81FF
    salt = bytes(33 + (connection * 7 + i * 11) % 90 for i in range(20))
    body = b"\x0a" + version.encode() + b"\0" + struct.pack("<I", connection) + salt[:8] + b"\0"
    body += struct.pack("<HBHHB", low, 45, 2, high, 21) + bytes(10) + salt[8:] + b"\0" + b"mysql_native_password\0"
    return _mysql_packet(body, 0)


def mysql_refusal(host: str) -> bytes:
    """ERR_Packet 1045 (28000), access denied."""
    text = f"Access denied for user at '{host}'".encode()
    return _mysql_packet(b"\xff" + struct.pack("<H", 1045) + b"#28000" + text, 2)


def _mysql_packet(body: bytes, sequence: int) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([sequence]) + body
