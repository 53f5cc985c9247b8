"""log, exec, attach and portforward: the kubelet of the pod's node is dialled and bytes are passed both ways.

The request goes on to https://NODE:10250 with the kubelet's own paths and the server's client certificate; upgraded
connections (WebSocket, SPDY) are piped untouched.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence

from netsim.api import errors, kinds
from netsim.api.errors import StatusError, bad_request
from netsim.api.kinds import Obj
from netsim.http.client import HttpClient
from netsim.http.types import ByteStream, Request, Response
from netsim.server.core import Call, Core
from netsim.server.pki import Pki
from netsim.server.requests import parse_bool

_HOP = ("host", "connection", "content-length", "transfer-encoding", "authorization", "upgrade", "keep-alive")
_LOG_OPTIONS = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")
_LOG_SWITCHES = ("follow", "previous", "timestamps")
_STREAM_OPTIONS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))


def pod_containers(pod: Obj) -> list[str]:
    """Names of all containers, ordinary ones first."""
    spec = pod.get("spec") or {}
    return [container["name"] for field in ("containers", "initContainers") for container in spec.get(field) or ()]


def choose_container(pod: Obj, asked: str) -> str:
    """The container asked for, or the only one; 400 otherwise."""
    name = pod["metadata"]["name"]
    everything = pod_containers(pod)
    ordinary = [container["name"] for container in (pod.get("spec") or {}).get("containers") or ()]
    if asked:
        if asked not in everything:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(ordinary) != 1 or len(everything) != len(ordinary):
        annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
        if annotated in ordinary:
            return str(annotated)
        listed = " ".join(ordinary)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return str(ordinary[0])


def node_address(node: Obj | None, preferred: Sequence[str] = ("InternalIP", "ExternalIP", "Hostname")) -> str:
    """The address to reach a node's kubelet at, "" when it has reported none."""
    found = ((node or {}).get("status") or {}).get("addresses") or []
    by_type = {address.get("type"): str(address.get("address", "")) for address in found}
    return next((by_type[kind] for kind in preferred if by_type.get(kind)), "")


async def _pod_and_client(core: Core, call: Call) -> tuple[Obj, HttpClient]:
    pod = core.decoder(await core.item(call.kind, call.namespace, call.target.name))
    name = (pod.get("spec") or {}).get("nodeName", "")
    if not name:
        raise bad_request(f"pod {call.target.name} does not have a host assigned")
    address = node_address(await core.find(kinds.NODES, "", name))
    if not address:
        raise errors.unavailable(f'node "{name}" has reported no address; is its agent running?')
    return pod, kubelet_client(core, address)


def kubelet_client(core: Core, address: str) -> HttpClient:
    """A client of a node's kubelet that shows the server's client certificate."""
    if core.kubelet_tls is None:
        core.kubelet_tls = kubelet_context(core.pki)
    host = f"[{address}]" if ":" in address else address
    return HttpClient(f"https://{host}:{core.config.kubelet_port}", ssl=core.kubelet_tls, dial=core.dial_node)


def kubelet_context(pki: Pki) -> ssl.SSLContext:
    """TLS towards kubelets: their serving certificates are checked against the lab's CA, not by name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=pki.ca_pem.decode())
    cert, key = pki.client_files("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",))
    context.load_cert_chain(cert, key)
    return context


def _forwarded(call: Call, path: str, query: list[tuple[str, str]]) -> Request:
    headers = [(name, value) for name, value in call.request.headers if name not in _HOP]
    return Request(call.request.method, path, query, headers, call.request.body)


def _kubelet_path(verb: str, pod: Obj, container: str = "") -> str:
    parts = [verb, pod["metadata"]["namespace"], pod["metadata"]["name"], container]
    return "/" + "/".join(part for part in parts if part)


def _unreachable(pod: Obj, error: Exception) -> StatusError:
    node = pod["spec"]["nodeName"]
    return errors.internal(f'error dialing the kubelet of node "{node}": {error or type(error).__name__}')


async def log(core: Core, call: Call) -> Response:
    """A container's log, streamed as it comes."""
    request = call.request
    pod, client = await _pod_and_client(core, call)
    container = choose_container(pod, request.param("container"))
    query = [(name, "true") for name in _LOG_SWITCHES if parse_bool(request.param(name))]
    query += [(name, value) for name, value in request.query if name in _LOG_OPTIONS]
    try:
        answer = await client.stream(_forwarded(call, _kubelet_path("containerLogs", pod, container), query))
    except OSError as error:
        await client.close()
        raise _unreachable(pod, error) from None
    headers = [("Content-Type", answer.header("content-type", "text/plain"))]
    return Response(answer.status, headers, _relay(answer, client))


async def _relay(answer: Response, client: HttpClient) -> AsyncIterator[bytes]:
    try:
        if isinstance(answer.body, bytes):
            yield answer.body
            return
        async for chunk in answer.body:
            yield chunk
    finally:
        await client.close()


def _stream_query(request: Request, *, with_command: bool) -> list[tuple[str, str]]:
    """exec's and attach's query in the kubelet's names (input, output, error) and in the API's own."""
    query = [("command", value) for value in request.params("command")] if with_command else []
    for ours, theirs in _STREAM_OPTIONS:
        if parse_bool(request.param(ours)):
            query += [(ours, "true")] if ours == theirs else [(ours, "true"), (theirs, "1")]
    return query


async def execute(core: Core, call: Call) -> Response:
    if not call.request.params("command"):
        raise bad_request("you must specify at least one command for the container")
    return await _container_stream(core, call, "exec")


async def attach(core: Core, call: Call) -> Response:
    return await _container_stream(core, call, "attach")


async def _container_stream(core: Core, call: Call, verb: str) -> Response:
    query = _stream_query(call.request, with_command=verb == "exec")
    if not any(parse_bool(call.request.param(option)) for option, _ in _STREAM_OPTIONS[:3]):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    pod, client = await _pod_and_client(core, call)
    container = choose_container(pod, call.request.param("container"))
    return await _pipe(call, pod, client, _kubelet_path(verb, pod, container), query)


async def port_forward(core: Core, call: Call) -> Response:
    pod, client = await _pod_and_client(core, call)
    query = [(name, value) for name, value in call.request.query if name in ("port", "ports")]
    return await _pipe(call, pod, client, _kubelet_path("portForward", pod), query)


async def _pipe(call: Call, pod: Obj, client: HttpClient, path: str, query: list[tuple[str, str]]) -> Response:
    upgrade = call.request.header("upgrade")
    if not upgrade:
        await client.close()
        raise bad_request("Upgrade request required")
    request = _forwarded(call, path, query)
    request.headers += [("connection", "Upgrade"), ("upgrade", upgrade)]
    try:
        answer = await client.upgrade(request)
    except OSError as error:
        await client.close()
        raise _unreachable(pod, error) from None
    far = answer.stream
    if answer.status != 101 or far is None:
        await client.close()
        return Response(answer.status, _end_to_end(answer), answer.body)

    async def carry(near: ByteStream) -> None:
        try:
            await splice(near, far)
        finally:
            await client.close()

    head = [("Connection", "Upgrade"), ("Upgrade", upgrade), *_end_to_end(answer)]
    return Response(101, head, b"", upgrade=carry)


def _end_to_end(answer: Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers if name.lower() not in _HOP]


async def splice(near: ByteStream, far: ByteStream) -> None:
    """Pass bytes both ways until either side ends; both are closed then."""
    ways = [asyncio.ensure_future(_copy(near, far)), asyncio.ensure_future(_copy(far, near))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        await near.close()
        await far.close()


async def _copy(source: ByteStream, target: ByteStream) -> None:
    while data := await source.read():
        await target.write(data)
