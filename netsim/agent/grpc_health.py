"""One call of the gRPC health service (grpc.health.v1.Health/Check) over plain HTTP/2, as kubelet's gRPC probes make.

h2 is loaded with the first probe of this kind: few pods have one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

SERVING = 1
STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
UNIMPLEMENTED = 12
PATH = "/grpc.health.v1.Health/Check"
READ_SIZE = 65536


async def check_health(host: str, port: int, service: str) -> tuple[bool, str]:
    """Whether the service says that it serves, and what to tell if not. Raises OSError when nobody answers."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return await _call(reader, writer, f"{host}:{port}", service)
    finally:
        writer.close()


async def _call(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str
) -> tuple[bool, str]:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.exceptions import ProtocolError

    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.send_headers(1, request_headers(authority))
    connection.send_data(1, frame_message(encode_request(service)), end_stream=True)
    answer = Answer()
    try:
        while not answer.complete:
            writer.write(connection.data_to_send())
            data = await reader.read(READ_SIZE)
            if not data:
                return False, "error: health rpc probe failed: connection closed before the answer"
            answer.take(connection, connection.receive_data(data))
    except ProtocolError as error:
        return False, f"error: health rpc probe failed: {error}"
    return judge(answer.headers, answer.body)


class Answer:
    """What has come of the answer on the one stream."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body, self.complete = b"", False

    def take(self, connection: Any, events: list[Any]) -> None:
        from h2.events import (
            ConnectionTerminated,
            DataReceived,
            ResponseReceived,
            StreamEnded,
            StreamReset,
            TrailersReceived,
        )

        for event in events:
            if isinstance(event, ResponseReceived | TrailersReceived):
                self.headers |= {str(name): str(value) for name, value in event.headers}
            elif isinstance(event, DataReceived):
                self.body += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, StreamEnded | StreamReset | ConnectionTerminated):
                self.complete = True


def request_headers(authority: str) -> list[tuple[str, str]]:
    """The headers of the call."""
    return [
        (":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", authority),
        ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "kube-probe/1.36"),
    ]  # fmt: skip


def encode_request(service: str) -> bytes:
    """HealthCheckRequest: field 1 is the service's name."""
    name = service.encode()
    return b"\x0a" + encode_varint(len(name)) + name if name else b""


def frame_message(message: bytes) -> bytes:
    """A message as gRPC sends it: uncompressed, with its length."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def encode_varint(value: int) -> bytes:
    """protobuf's variable-length number."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def judge(headers: dict[str, str], body: bytes) -> tuple[bool, str]:
    """Success only for the status SERVING; the texts are kubelet's."""
    code, text = headers.get("grpc-status", ""), headers.get("grpc-message", "")
    if code == str(UNIMPLEMENTED):
        return False, f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {text}"
    if headers.get(":status") != "200" or code != "0":
        why = f"rpc error: code = {code or 'none'} desc = {text}" if code else f"HTTP status {headers.get(':status')}"
        return False, f"error: health rpc probe failed: {why}"
    status = parse_status(body)
    shown = STATUSES.get(status, str(status))
    return status == SERVING, f'service unhealthy (responded with "{shown}")'


def parse_status(body: bytes) -> int:
    """Field 1 of a framed HealthCheckResponse, 0 (UNKNOWN) when it is not there."""
    for field, value in _varints(body[5:]):
        if field == 1:
            return value
    return 0


def _varints(message: bytes) -> Iterator[tuple[int, int]]:
    """The numbers of a message until a field of another type: this one has none."""
    at = 0
    while at < len(message) and message[at] & 7 == 0:
        field, value, shift = message[at] >> 3, 0, 0
        at += 1
        while at < len(message):
            byte = message[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        yield field, value
