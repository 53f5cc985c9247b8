"""gRPC probes against a server made with the other side of the library, and messages by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded
from hypothesis import given
from hypothesis import strategies as st

from netsim.agent.grpc_health import check_health, encode_request, encode_varint, frame_message, judge, parse_status
from netsim.agent.model import Container
from netsim.agent.probe_runner import ProbeRunner
from netsim.agent.probes import fault, parse_probe

Answer = Callable[[bytes], tuple[list[tuple[str, str]], bytes, list[tuple[str, str]]]]
OK = [(":status", "200"), ("content-type", "application/grpc")]


def says(status: int) -> Answer:
    return lambda _request: (OK, frame_message(b"\x08" + bytes([status])), [("grpc-status", "0")])


@asynccontextmanager
async def listening(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server's port; every connection has ended afterwards."""
    ended = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(done := asyncio.Event())
        await talk(reader, writer)
        writer.close()
        await writer.wait_closed()
        done.set()

    made = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()
        for done in ended:
            await asyncio.wait_for(done.wait(), 10)


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        request = b""
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, DataReceived):
                    request += event.data
                if isinstance(event, StreamEnded):
                    headers, body, trailers = answer(request)
                    connection.send_headers(1, headers, end_stream=not trailers)
                    if trailers:
                        connection.send_data(1, body)
                        connection.send_headers(1, trailers, end_stream=True)
            writer.write(connection.data_to_send())

    async with listening(talk) as port:
        yield port


UNHEALTHY = 'service unhealthy (responded with "{}")'
NO_HEALTH = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (says(1), (True, UNHEALTHY.format("SERVING"))),
        (says(2), (False, UNHEALTHY.format("NOT_SERVING"))),
        (lambda _: (OK, frame_message(b""), [("grpc-status", "0")]), (False, UNHEALTHY.format("UNKNOWN"))),
        (lambda _: ([*OK, ("grpc-status", "12"), ("grpc-message", "unknown")], b"", []), (False, NO_HEALTH)),
        (
            lambda _: ([*OK, ("grpc-status", "5"), ("grpc-message", "no such")], b"", []),
            (False, "error: health rpc probe failed: rpc error: code = 5 desc = no such"),
        ),
        (lambda _: ([(":status", "404")], b"", []), (False, "error: health rpc probe failed: HTTP status 404")),
    ],
)
async def test_what_a_server_says(answer: Answer, wanted: tuple[bool, str]):
    async with server(answer) as port:
        assert await check_health("127.0.0.1", port, "") == wanted


async def test_the_service_asked_for_is_named():
    asked = []
    async with server(lambda request: asked.append(request) or says(1)(request)) as port:
        assert (await check_health("127.0.0.1", port, "shop"))[0]
    assert asked == [b"\0\0\0\0\6\x0a\x04shop"]


async def test_who_speaks_something_else_is_unhealthy():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with listening(talk) as port:
        good, message = await check_health("127.0.0.1", port, "")
    assert not good and message.startswith("error: health rpc probe failed: ")


async def test_a_container_is_ready_by_grpc():
    container, changed = Container("c", "id", "x", 0, "process", 0.0), asyncio.Event()
    async with server(says(1)) as port:
        spec = {"name": "c", "readinessProbe": {"grpc": {"port": port}, "periodSeconds": 1}}

        def verdict() -> None:
            if container.ready:
                changed.set()

        runner = ProbeRunner(spec, container, "127.0.0.1", None, verdict, lambda _message: None)  # type: ignore[arg-type]
        task = asyncio.create_task(runner.run())
        await asyncio.wait_for(changed.wait(), 10)
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(111, "x"), 'timeout: failed to connect service "10.1.2.3:9" within 2s: context deadline exceeded'),
        (None, "timeout: health rpc did not complete within 2s"),
    ],
)
def test_what_is_told_when_nobody_answers(error: OSError | None, text: str):
    spec = {"name": "c", "livenessProbe": {"grpc": {"port": 9}, "timeoutSeconds": 2}}
    probe = parse_probe("liveness", spec)
    assert probe is not None and fault(probe, spec, "10.1.2.3", error) == text


@given(st.binary(max_size=30))
def test_no_answer_breaks_the_reader(body: bytes):
    assert parse_status(body) >= 0
    assert judge({":status": "200", "grpc-status": "0"}, body)[0] in (True, False)


@given(st.text(max_size=300), st.integers(0, 2**40))
def test_messages_by_hand(name: str, number: int):
    assert parse_status(b"\0\0\0\0\0" + b"\x08" + encode_varint(number)) == number
    assert encode_request(name).endswith(name.encode())
