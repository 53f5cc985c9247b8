"""proxy subresources: where they lead, what arrives there, and what comes back."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

from netsim.api.errors import StatusError
from netsim.http.server import serve
from netsim.http.stream import pipe
from netsim.http.types import ByteStream, Peer, Request, Response
from netsim.server.proxy_target import (
    Asked,
    Backend,
    is_allowed,
    parse_asked,
    pod_backend,
    pod_network,
    ready_backends,
    rewrite_location,
    split_path,
    way_to,
)

NAMESPACE = "/api/v1/namespaces/default"


@pytest.mark.parametrize(
    ("path", "prefix", "rest"),
    [
        (f"{NAMESPACE}/pods/p/proxy", f"{NAMESPACE}/pods/p/proxy", ""),
        (f"{NAMESPACE}/pods/p/proxy/", f"{NAMESPACE}/pods/p/proxy", "/"),
        (f"{NAMESPACE}/services/proxy/proxy/a//b/", f"{NAMESPACE}/services/proxy/proxy", "/a//b/"),
        ("/api/v1/namespaces/pods/pods/nodes/proxy/proxy/x", "/api/v1/namespaces/pods/pods/nodes/proxy", "/proxy/x"),
        ("/api/v1/nodes/n/proxy/pods", "/api/v1/nodes/n/proxy", "/pods"),
    ],
)
def test_paths(path: str, prefix: str, rest: str) -> None:
    assert split_path(path) == (prefix, rest)


def test_names() -> None:
    assert parse_asked("web", "service") == Asked("", "web", "")
    assert parse_asked("web:http", "service") == Asked("", "web", "http")
    assert parse_asked("https:web:443", "service") == Asked("https", "web", "443")
    assert parse_asked("https:web:", "service") == Asked("https", "web", "")
    for wrong in ("", ":80", "ftp:web:80", "a:b:c:d"):
        with pytest.raises(StatusError, match="invalid pod request"):
            parse_asked(wrong, "pod")


def test_pods_are_reached_at_the_port_asked_for_or_their_first() -> None:
    found = {"spec": {"containers": [{}, {"ports": [{"containerPort": 8080}]}]}, "status": {"podIP": "10.244.1.7"}}
    assert pod_backend(found, Asked("", "p", "")).base == "http://10.244.1.7:8080"
    assert pod_backend(found, Asked("https", "p", "8443")).base == "https://10.244.1.7:8443"
    bare = {"spec": {"containers": [{}]}, "status": {"podIPs": [{"ip": "fd00::7"}]}}
    assert pod_backend(bare, Asked("https", "p", "")).base == "https://[fd00::7]:443"
    with pytest.raises(StatusError, match="unknown port"):
        pod_backend(found, Asked("", "p", "http"))
    mapped = ("::ffff:127.0.0.1", "::ffff:169.254.1.1", "::ffff:0.0.0.0")
    for address in ("", "127.0.0.1", "169.254.1.1", "::1", "0.0.0.0", *mapped):
        assert not is_allowed(address)
        with pytest.raises(StatusError, match="address not allowed"):
            pod_backend({**found, "status": {"podIP": address}}, Asked("", "p", ""))


def test_services_lead_to_ready_endpoints() -> None:
    slices = [
        {"addressType": "IPv6", "ports": [{"name": "web", "port": 80}], "endpoints": [{"addresses": ["fd00::1"]}]},
        {
            "addressType": "IPv4", "ports": [{"name": "web", "port": 80}, {"name": "admin", "port": 81}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "nodeName": "n1"},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
                {"addresses": ["127.0.0.1"], "conditions": {"ready": True}},
            ],
        },
    ]  # fmt: skip
    found = ready_backends(slices, "web", Asked("", "s", ""))
    assert found == [(Backend("http", "10.0.0.1", 80), "n1"), (Backend("http", "fd00::1", 80), "")]
    assert ready_backends(slices, "", Asked("", "s", "")) == []


def test_a_pods_network_is_its_nodes() -> None:
    node = {"spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:1::/64"]}}
    assert pod_network(node, "10.244.1.7") == "10.244.1.0/24"
    assert pod_network(node, "fd00:1::7") == "fd00:1::/64"
    given = [("Hostname", "n"), ("ExternalIP", "fd00::9"), ("InternalIP", "172.30.0.11"), ("InternalIP", "fd00::b")]
    node["status"] = {"addresses": [{"type": kind, "address": address} for kind, address in given]}
    assert (way_to(node, "10.244.1.0/24"), way_to(node, "fd00:1::/64")) == ("172.30.0.11", "fd00::b")
    assert (way_to(node, ""), way_to({}, "10.244.1.0/24")) == ("", "")
    assert pod_network(node, "172.30.0.11") == pod_network(None, "10.244.1.7") == ""


@pytest.mark.parametrize(
    ("location", "led_back"),
    [
        ("/next?a=b#c", "/p/proxy/next?a=b#c"),
        ("http://10.0.0.1:80/next/", "/p/proxy/next/"),
        ("https://lab.example/next", "/p/proxy/next"),
        ("/p/proxy/there", "/p/proxy/there"),
        ("next", "next"),
        ("https://elsewhere.example/next", "https://elsewhere.example/next"),
        ("http://[bad", "http://[bad"),
    ],
)
def test_redirects_come_back_through_the_proxy(location: str, led_back: str) -> None:
    assert rewrite_location(location, "/p/proxy", ("10.0.0.1:80", "lab.example")) == led_back


class Program:
    """What runs in the pod: remembers requests; redirects, streams, upgrades and echoes."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if request.path == "/moved":
            return Response(302, [("Location", "/there")])
        if request.path == "/upgrade":
            return Response(101, [("Upgrade", "shout"), ("X-More", "1")], upgrade=self._shout)
        if request.path == "/none":
            return Response(204)
        return Response(
            200, [("Content-Type", "text/x"), ("Connection", "x-hop"), ("X-Hop", "1")], self._parts(request)
        )

    async def _parts(self, request: Request) -> AsyncIterator[bytes]:
        yield request.method.encode()
        yield b" " + request.body

    async def _shout(self, stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())
        await stream.close()


@pytest.fixture
async def program(api: Any, pod: Any) -> AsyncIterator[Program]:
    """Pod `p` and Service `web` with it as its endpoint; both are dialled at 192.0.2.9:8080."""
    found = Program()
    server = await serve(found, socket.create_server(("127.0.0.1", 0)))

    async def dial(host: str, wanted: int) -> socket.socket:
        if (host, wanted) != ("192.0.2.9", 8080):
            raise ConnectionRefusedError(111, "Connect call failed")
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        return sock

    api.app.core.dial_node = dial
    await api.post(f"{NAMESPACE}/pods", pod("p"))
    await api.merge(f"{NAMESPACE}/pods/p/status", {"status": {"podIP": "192.0.2.9", "podIPs": [{"ip": "192.0.2.9"}]}})
    await api.post(f"{NAMESPACE}/services", {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})
    piece = {
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}], "endpoints": [{"addresses": ["192.0.2.9"]}],
    }  # fmt: skip
    await api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", piece)
    yield found
    await server.close()


async def whole(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_goes_on(api: Any, program: Program, method: str) -> None:
    url = f"{NAMESPACE}/services/web:80/proxy/a b/?x=1&x=2"
    response = await api.send(method, url, b"body", accept="text/html", content_type="text/y")
    assert (response.status, await whole(response)) == (200, method.encode() + b" body")
    assert response.header("content-type") == "text/x" and not response.header("x-hop")
    asked = program.requests[0]
    assert (asked.path, asked.query) == ("/a b/", [("x", "1"), ("x", "2")])
    assert asked.header("accept") == "text/html" and asked.header("content-type") == "text/y"
    assert asked.header("x-forwarded-uri") == f"{NAMESPACE}/services/web:80/proxy/a b/"


async def test_what_is_whose(api: Any, program: Program) -> None:
    request = Request("GET", f"{NAMESPACE}/pods/p:8080/proxy/moved", [], [
        ("authorization", "Bearer secret"), ("impersonate-user", "x"), ("cookie", "c"), ("host", "lab"),
    ], b"", Peer(trusted=True))  # fmt: skip
    request.headers = [h for h in request.headers if h[0] not in ("authorization", "impersonate-user")]
    response = await api.app(request)
    assert response.header("location") == f"{NAMESPACE}/pods/p:8080/proxy/there"
    assert program.requests[0].header("cookie") == "c"
    assert program.requests[0].header("x-forwarded-host") == "lab"
    none = await api.send("GET", f"{NAMESPACE}/pods/p:8080/proxy/none")
    assert (none.status, none.body) == (204, b"")


async def test_a_missing_slash_is_added_first(api: Any, program: Program) -> None:
    response = await api.send("GET", f"{NAMESPACE}/pods/p:8080/proxy?a=b")
    assert (response.status, response.header("location")) == (301, f"{NAMESPACE}/pods/p:8080/proxy/?a=b")
    assert not program.requests


async def test_upgrades_go_through(api: Any, program: Program) -> None:
    headers = [("connection", "keep-alive, Upgrade"), ("upgrade", "shout")]
    request = Request("GET", f"{NAMESPACE}/pods/p:8080/proxy/upgrade", [], headers, b"", Peer(trusted=True))
    response = await api.app(request)
    assert response.status == 101 and response.upgrade is not None and response.header("x-more") == "1"
    near, far = pipe()
    carried = asyncio.ensure_future(response.upgrade(far))
    async with asyncio.timeout(5):
        await near.write(b"hello")
        assert await near.read() == b"HELLO"
        await near.close()
        await carried


async def test_programs_with_tls_are_not_verified(api: Any, program: Program) -> None:
    pair = api.app.pki.issue_server("anything", ["elsewhere.example"])
    cert, key = api.app.config.pki_dir / "pod.crt", api.app.config.pki_dir / "pod.key"
    cert.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = await serve(program, socket.create_server(("127.0.0.1", 0)), ssl=context)

    async def dial(host: str, wanted: int) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        return sock

    api.app.core.dial_node = dial
    try:
        response = await api.send("GET", f"{NAMESPACE}/services/https:web:80/proxy/")
        assert (response.status, await whole(response)) == (200, b"GET ")
    finally:
        await server.close()


async def test_refusals(api: Any, program: Program) -> None:
    for path, code, told in (
        ("services/web:81/proxy/", 503, 'no service port 81 found for service "web"'),
        ("services/web:admin/proxy/", 503, 'no endpoints available for service "web:admin"'),
        ("services/nope/proxy/", 404, 'services "nope" not found'),
        ("pods/p:81/proxy/", 503, "error trying to reach service: dial tcp 192.0.2.9:81: connect: connection refused"),
        ("pods/x:p:81/proxy/", 400, 'invalid pod request "x:p:81"'),
    ):
        status = await api.refused("GET", f"{NAMESPACE}/{path}")
        assert (status["code"], status["message"]) == (code, told)


async def test_the_verb_is_the_methods(api: Any, program: Program) -> None:
    rule = {"apiGroups": [""], "resources": ["services/proxy"], "resourceNames": ["web:80"], "verbs": ["get"]}
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api.post(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    await api.post(f"{rbac}/rolebindings", {
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "eve"}],
    })  # fmt: skip
    peer = Peer(common_name="eve")
    allowed = await api.send("GET", f"{NAMESPACE}/services/web:80/proxy/", peer=peer)
    assert (allowed.status, await whole(allowed)) == (200, b"GET ")
    assert (await api.refused("POST", f"{NAMESPACE}/services/web:80/proxy/", peer=peer))["code"] == 403
    assert (await api.refused("GET", f"{NAMESPACE}/services/web/proxy/", peer=peer))["code"] == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_watch_path_is_no_way_around_the_verb(api: Any, program: Program, method: str) -> None:
    refused = await api.refused(method, "/api/v1/watch/namespaces/default/services/web:80/proxy/")
    assert refused["code"] == 404 and not program.requests
