from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from netsim.api.errors import StatusError, not_found
from netsim.api.kinds import CONFIG_MAPS, NODES, PODS
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.http.types import ByteStream, Handler, Peer, Request, Response


class Mirror:
    """Answers every request with its own description."""

    def __init__(self) -> None:
        self.answer: Response | None = None
        self.last = Request("", "")

    async def __call__(self, request: Request) -> Response:
        self.last = request
        return self.answer or Response(200, [], b'{"kind":"X"}')


@pytest.fixture
def mirror() -> Mirror:
    return Mirror()


def client_of(handler: Handler) -> Client:
    return Client(InProcessTransport(handler, Peer(common_name="me")))


POD = {"metadata": {"name": "p", "namespace": "n", "resourceVersion": "4"}}


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (lambda c: c.get(PODS, "p", "n"), "GET", "/api/v1/namespaces/n/pods/p"),
        (lambda c: c.get(NODES, "w"), "GET", "/api/v1/nodes/w"),
        (lambda c: c.list(PODS), "GET", "/api/v1/pods"),
        (lambda c: c.create(PODS, POD), "POST", "/api/v1/namespaces/n/pods"),
        (lambda c: c.create(PODS, POD, "other"), "POST", "/api/v1/namespaces/other/pods"),
        (lambda c: c.update(PODS, POD, "status"), "PUT", "/api/v1/namespaces/n/pods/p/status"),
        (lambda c: c.post("/api/v1/x", {}), "POST", "/api/v1/x"),
    ],
)
async def test_each_verb_has_its_method_and_path(mirror: Mirror, call: Any, method: str, path: str) -> None:
    assert await call(client_of(mirror)) == {"kind": "X"}
    assert (mirror.last.method, mirror.last.path) == (method, path)
    assert mirror.last.header("accept") == "application/json"
    assert mirror.last.peer.common_name == "me"


async def test_what_a_deletion_is_answered_is_not_decoded(mirror: Mirror) -> None:
    await client_of(mirror).delete(PODS, "p", "n")
    assert (mirror.last.method, mirror.last.path) == ("DELETE", "/api/v1/namespaces/n/pods/p")
    assert [mirror.last.header(name) for name in ("accept", "content-type")] == ["application/json"] * 2


async def test_list_parameters(mirror: Mirror) -> None:
    await client_of(mirror).list(
        PODS, "n", label_selector="a=b", field_selector="c=d", resource_version="0", limit=5, continue_="tok"
    )
    assert dict(mirror.last.query) == {
        "labelSelector": "a=b",
        "fieldSelector": "c=d",
        "resourceVersion": "0",
        "limit": "5",
        "continue": "tok",
    }


@pytest.mark.parametrize(
    ("kind", "media_type", "query"),
    [
        ("merge", "application/merge-patch+json", {}),
        ("json", "application/json-patch+json", {}),
        ("strategic", "application/strategic-merge-patch+json", {}),
        ("apply", "application/apply-patch+yaml", {"fieldManager": "netsim", "force": "true"}),
    ],
)
async def test_patch_types(mirror: Mirror, kind: Any, media_type: str, query: dict[str, str]) -> None:
    await client_of(mirror).patch(PODS, "p", {"a": 1}, "n", type=kind, sub="status")
    assert mirror.last.path.endswith("/pods/p/status")
    assert mirror.last.header("content-type") == media_type
    assert dict(mirror.last.query) == query
    assert orjson.loads(mirror.last.body) == {"a": 1}


async def test_delete_options(mirror: Mirror) -> None:
    await client_of(mirror).delete(PODS, "p", "n", grace=0, propagation="Orphan", uid="u")
    assert orjson.loads(mirror.last.body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Orphan",
        "preconditions": {"uid": "u"},
    }


async def test_refusals_are_status_errors(mirror: Mirror) -> None:
    mirror.answer = Response(404, [], orjson.dumps(not_found(CONFIG_MAPS, "x").status()))
    with pytest.raises(StatusError) as refusal:
        await client_of(mirror).get(CONFIG_MAPS, "x", "n")
    assert (refusal.value.code, refusal.value.reason) == (404, "NotFound")
    assert refusal.value.details == {"name": "x", "kind": "configmaps"}


@pytest.mark.parametrize(("body", "message"), [(b"404 page not found\n", "404 page not found"), (b"", "answered 404")])
async def test_refusal_without_a_status_object(mirror: Mirror, body: bytes, message: str) -> None:
    mirror.answer = Response(404, [], body)
    with pytest.raises(StatusError, match=message) as refusal:
        await client_of(mirror).get(CONFIG_MAPS, "x", "n")
    assert (refusal.value.code, refusal.value.reason) == (404, "NotFound")


async def test_refused_watch_is_a_status_error(mirror: Mirror) -> None:
    mirror.answer = Response(410, [], b"gone")
    with pytest.raises(StatusError) as refusal:
        await client_of(mirror).watch(PODS, resource_version="1")
    assert refusal.value.code == 410


async def test_in_process_bodies_are_passed_through_untouched() -> None:
    body = b"x" * 10

    async def chunks() -> AsyncIterator[bytes]:
        yield body
        yield b"y"

    async def handler(request: Request) -> Response:
        return Response(200, [], chunks() if request.path == "/stream" else body)

    transport = InProcessTransport(handler, Peer(trusted=True))
    assert (await transport(Request("GET", "/"))).body is body
    assert (await transport(Request("GET", "/stream"))).body == body + b"y"
    streamed = (await transport.stream(Request("GET", "/stream"))).body
    assert not isinstance(streamed, bytes)
    assert await anext(streamed) is body
    assert [chunk async for chunk in streamed] == [b"y"]
    whole = (await transport.stream(Request("GET", "/"))).body
    assert not isinstance(whole, bytes)
    assert [chunk async for chunk in whole] == [body]


async def test_in_process_upgrade() -> None:
    async def shout(stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())
        await stream.close()

    async def handler(request: Request) -> Response:
        return Response(101, [], upgrade=shout)

    transport = InProcessTransport(handler, Peer())
    stream = (await transport.upgrade(Request("GET", "/"))).stream
    assert stream is not None
    await stream.write(b"hi")
    assert await stream.read() == b"HI"
    await stream.close()
    await transport.close()
