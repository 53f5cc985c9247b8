"""pods, services and nodes /NAME[:PORT]/proxy/PATH: any request goes on to what runs there, upgrades included.

Connections begin where those to kubelets do, in the control plane's network namespace (`Core.dial_node`).
"""

from __future__ import annotations

import os
import ssl
from typing import Protocol, runtime_checkable

from netsim.api import errors, kinds
from netsim.api.errors import StatusError
from netsim.http.client import HttpClient
from netsim.http.types import Request, Response
from netsim.server.core import Call, Core
from netsim.server.proxy_target import (
    Backend,
    node_backend,
    parse_asked,
    pod_backend,
    pod_network,
    ready_backends,
    rewrite_location,
    service_port_name,
    split_path,
    way_to,
)
from netsim.server.streams import end_to_end, hop_headers, kubelet_client, node_address, passed_on, switch

_OWN = ("authorization", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto")
_SERVICE_LABEL = "kubernetes.io/service-name"
_PATIENCE = 24 * 3600.0  # a program may take its time to answer; connecting to it has a limit of its own


@runtime_checkable
class PodRouter(Protocol):
    """A dialer that must be told the way to pods."""

    async def route(self, cidr: str, via: str) -> None: ...


async def serve(core: Core, call: Call) -> Response:
    """Pass the request on and the answer back; 503 when nothing answers."""
    request = call.request
    prefix, path = split_path(request.path)
    upgrade = request.header("upgrade") if "upgrade" in request.header("connection").lower() else ""
    backend, client = await _find(core, call)
    if not path and not upgrade and request.method in ("GET", "HEAD"):
        await client.close()
        return _with_slash(request)
    try:
        onward = _onward(request, backend, prefix, path)
        if upgrade:
            onward.headers += [("connection", "Upgrade"), ("upgrade", upgrade)]
            return await switch(client, await client.upgrade(onward), upgrade)
        answer = await client.stream(onward)
    except OSError as error:
        await client.close()
        raise _unreachable(error, backend.authority) from None
    except BaseException:
        await client.close()
        raise
    hosts = (backend.authority, backend.address, request.header("host"))
    return await passed_on(answer, client, _led_back(answer, prefix, hosts))


def _with_slash(request: Request) -> Response:
    """Relative links of a page work only below a path that ends with a slash."""
    from netsim.http.wire import join_target

    return Response(301, [("Location", join_target(request.path + "/", request.query))])


async def _find(core: Core, call: Call) -> tuple[Backend, HttpClient]:
    asked = parse_asked(call.target.name, call.kind.singular)
    if call.kind is kinds.NODES:
        node = core.decoder(await core.item(kinds.NODES, "", asked.name))
        address = node_address(node)
        if not address:
            raise errors.unavailable(f'node "{asked.name}" has reported no address; is its agent running?')
        if asked.port in ("", str(core.config.kubelet_port)):
            return Backend("https", address, core.config.kubelet_port), kubelet_client(core, address)
        backend = node_backend(address, asked)
    elif call.kind is kinds.PODS:
        pod = core.decoder(await core.item(kinds.PODS, call.namespace, asked.name))
        backend = pod_backend(pod, asked)
        await _route(core, backend.address, pod["spec"].get("nodeName", ""))
    else:
        service = core.decoder(await core.item(kinds.SERVICES, call.namespace, asked.name))
        slices = [
            piece for piece in await core.objects(kinds.ENDPOINT_SLICES, call.namespace)
            if (piece["metadata"].get("labels") or {}).get(_SERVICE_LABEL) == asked.name
        ]  # fmt: skip
        choice = ready_backends(slices, service_port_name(service, asked), asked)
        if not choice:
            raise errors.unavailable(f'no endpoints available for service "{call.target.name}"')
        backend, node_name = choice[core.rand(len(choice))]
        await _route(core, backend.address, node_name)
    client = HttpClient(backend.base, ssl=_unverified(backend), dial=core.dial_node, timeout=_PATIENCE)
    return backend, client


async def _route(core: Core, address: str, node_name: str) -> None:
    """Tell a dialer that wants to know by which node a pod is reached."""
    if not isinstance(core.dial_node, PodRouter):
        return
    node = await core.find(kinds.NODES, "", node_name) if node_name else None
    cidr = pod_network(node, address)
    if via := way_to(node, cidr):
        try:
            await core.dial_node.route(cidr, via)
        except OSError as error:
            raise errors.unavailable(f"error trying to reach service: {error}") from None


def _unverified(backend: Backend) -> ssl.SSLContext | None:
    """What runs in pods has certificates of its own making: Kubernetes does not verify them here either."""
    if backend.scheme != "https":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _onward(request: Request, backend: Backend, prefix: str, path: str) -> Request:
    dropped = {*hop_headers(request), *_OWN}
    headers = [
        (name, value) for name, value in request.headers
        if name not in dropped and not name.startswith("impersonate-")
    ]  # fmt: skip
    headers += [("x-forwarded-uri", prefix + (path or "/")), ("x-forwarded-proto", "https")]
    headers += [("x-forwarded-host", request.header("host"))] if request.header("host") else []
    headers += [("x-forwarded-for", request.peer.address)] if request.peer.address else []
    return Request(request.method, path or "/", request.query, headers, request.body)


def _led_back(answer: Response, prefix: str, hosts: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (name, rewrite_location(value, prefix, hosts) if name.lower() == "location" else value)
        for name, value in end_to_end(answer)
    ]


def _unreachable(error: OSError, authority: str) -> StatusError:
    """503 in the words of a Go dialer."""
    why = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        why = f"dial tcp {authority}: i/o timeout"
    elif error.errno:
        why = f"dial tcp {authority}: connect: {os.strerror(error.errno).lower()}"
    return errors.unavailable(f"error trying to reach service: {why}")
