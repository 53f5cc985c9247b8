"""log, exec and port-forward: what reaches the kubelet, and bytes both ways."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from netsim.http.server import HttpServer, serve
from netsim.http.stream import pipe
from netsim.http.types import ByteStream, Peer, Request, Response
from netsim.server.streams import choose_container

PODS = "/api/v1/namespaces/default/pods"
UPGRADE = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-protocol", "v5.channel.k8s.io")]


class Kubelet:
    """A kubelet that remembers what it was asked, sends two lines of log and echoes streams in upper case."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.server: HttpServer | None = None

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if request.path.startswith("/containerLogs"):
            return Response(200, [("Content-Type", "text/plain")], self._lines())
        if request.param("command") == "missing":
            return Response(404, [("Content-Type", "text/plain")], b"no such container")
        return Response(101, [*UPGRADE[:2], ("Sec-WebSocket-Protocol", "v5.channel.k8s.io")], b"", upgrade=self._echo)

    async def _lines(self) -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"

    async def _echo(self, stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())
        await stream.close()


@pytest.fixture
async def kubelet(api: Any, pod: Any) -> AsyncIterator[Kubelet]:
    """A kubelet with a certificate of the lab, which demands one from its clients; pod `p` runs there."""
    pair = api.app.pki.issue_server("node", ["127.0.0.1"])
    directory = api.app.config.pki_dir
    cert, key = directory / "kubelet.crt", directory / "kubelet.key"
    cert.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(cadata=api.app.pki.ca_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    found = Kubelet()
    listening = socket.create_server(("127.0.0.1", 0))
    found.server = await serve(found, listening, ssl=context)
    port = found.server.port

    async def dial(host: str, wanted: int) -> socket.socket:
        assert (host, wanted) == ("192.0.2.1", 10250)
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return sock

    api.app.core.dial_node = dial
    node = {"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}}
    await api.post("/api/v1/nodes", node)
    await api.post(PODS, pod("p", nodeName="n1"))
    yield found
    await found.server.close()


async def collect(response: Response) -> bytes:
    assert not isinstance(response.body, bytes), response.body
    return b"".join([chunk async for chunk in response.body])


async def test_log_is_streamed(api: Any, kubelet: Kubelet) -> None:
    response = await api.send("GET", f"{PODS}/p/log?follow=True&previous=0&tailLines=5&unknown=1")
    assert (response.status, await collect(response)) == (200, b"one\ntwo\n")
    asked = kubelet.requests[0]
    assert asked.path == "/containerLogs/default/p/c"
    assert asked.query == [("follow", "true"), ("tailLines", "5")]
    assert asked.peer.common_name == "kube-apiserver-kubelet-client"


@pytest.mark.parametrize(
    ("path", "reached", "query"),
    [
        (
            "exec?command=sh&command=-c&stdin=true&stdout=1&container=c", "/exec/default/p/c",
            [("command", "sh"), ("command", "-c"), ("stdin", "true"), ("input", "1"), ("stdout", "true"),
             ("output", "1")],
        ),
        ("attach?stdout=true&tty=true", "/attach/default/p/c", [("stdout", "true"), ("output", "1"), ("tty", "true")]),
        ("portforward?ports=80", "/portForward/default/p", [("ports", "80")]),
    ],
)  # fmt: skip
async def test_streams_are_piped(api: Any, kubelet: Kubelet, path: str, reached: str, query: list[Any]) -> None:
    response = await upgrade(api, f"{PODS}/p/{path}")
    assert response.status == 101 and response.upgrade is not None
    assert response.header("sec-websocket-protocol") == "v5.channel.k8s.io"
    near, far = pipe()
    carried = asyncio.ensure_future(response.upgrade(far))
    async with asyncio.timeout(5):
        await near.write(b"hello")
        assert await near.read() == b"HELLO"
        await near.close()
        await carried
    assert (kubelet.requests[0].path, kubelet.requests[0].query) == (reached, query)


async def upgrade(api: Any, url: str) -> Response:

    parts = urlsplit(url)
    request = Request("GET", parts.path, parse_qsl(parts.query), list(UPGRADE), b"", Peer(trusted=True))
    response: Response = await api.app(request)
    return response


async def test_refusals(api: Any, kubelet: Kubelet, pod: Any) -> None:
    assert (await api.refused("GET", f"{PODS}/p/exec?stdout=1"))["code"] == 400
    status = await api.refused("GET", f"{PODS}/p/exec?command=x&stdout=1")
    assert status["message"] == "Upgrade request required"
    passed_on = await upgrade(api, f"{PODS}/p/exec?command=missing&stdout=1")
    told = orjson.loads(passed_on.body)
    assert (passed_on.status, told["kind"], told["reason"]) == (404, "Status", "NotFound")
    assert told["message"] == "no such container"
    await api.post(PODS, pod("unplaced"))
    status = await upgrade(api, f"{PODS}/unplaced/attach?stdout=1")
    assert orjson.loads(status.body)["message"] == "pod unplaced does not have a host assigned"
    assert (await api.send("GET", f"{PODS}/unplaced/log")).status == 204
    for query, field in (("tailLines=-1", "tailLines"), ("sinceSeconds=0", "sinceSeconds"), ("limitBytes=0", "limit")):
        status = await api.refused("GET", f"{PODS}/p/log?{query}")
        assert status["code"] == 422 and field in status["message"]
    assert (await api.refused("GET", f"{PODS}/p/log?container=zz"))["message"] == "container zz is not valid for pod p"

    async def dead(host: str, port: int) -> socket.socket:
        raise ConnectionRefusedError("connection refused")

    api.app.core.dial_node = dead
    status = await api.refused("GET", f"{PODS}/p/log")
    assert status["code"] == 500 and 'the kubelet of node "n1"' in status["message"]


@pytest.mark.parametrize("sub", ["exec?command=x&stdout=1", "attach?stdout=1", "portforward"])
async def test_reading_is_not_enough_for_a_stream(api: Any, kubelet: Kubelet, sub: str) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rule = {
        "apiGroups": [""],
        "resources": [f"pods/{s}" for s in ("exec", "attach", "portforward", "log")],
        "verbs": ["get"],
    }
    await api.post(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    await api.post(f"{rbac}/rolebindings", {
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "eve"}],
    })  # fmt: skip
    status = await api.refused("GET", f"{PODS}/p/{sub}", peer=Peer(common_name="eve"))
    assert status["code"] == 403 and 'cannot create resource "pods/' in status["message"]
    assert (await api.send("GET", f"{PODS}/p/log", peer=Peer(common_name="eve"))).status == 200
    assert len(kubelet.requests) == 1


def test_container_choice() -> None:
    two = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    with pytest.raises(Exception, match=r"a container name must be specified for pod x, choose one of: \[a b\]"):
        choose_container(two, "")
    assert choose_container(two, "b") == "b"
    one = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}}
    assert choose_container(one, "") == "a"
    assert choose_container(one, "i") == "i"
