"""log, exec, attach and portforward: the kubelet of the pod's node is dialled and bytes are passed both ways.

The request goes on to https://NODE:10250 with the kubelet's own paths and the server's client certificate; upgraded
connections (WebSocket, SPDY) are piped untouched. What a kubelet refuses is told as a Status with the kubelet's code.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence

from netsim.api import causes, errors, kinds
from netsim.api.errors import StatusError, bad_request
from netsim.api.kinds import Obj
from netsim.http.client import HttpClient
from netsim.http.types import ByteStream, Request, Response
from netsim.server.core import Call, Core
from netsim.server.pki import Pki
from netsim.server.requests import parse_bool, parse_int

_HOP = ("host", "connection", "content-length", "transfer-encoding", "authorization", "upgrade", "keep-alive", "te",
        "trailer", "proxy-connection", "proxy-authenticate", "proxy-authorization", "date")  # fmt: skip
_REASONS = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 500: "InternalError",
    503: "ServiceUnavailable",
}  # fmt: skip
_REFUSAL_LIMIT = 16 * 1024
_LOG_OPTIONS = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")
_LOG_SWITCHES = ("follow", "previous", "timestamps")
_STREAM_OPTIONS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))


def pod_containers(pod: Obj) -> list[str]:
    """Names of all containers: init, ordinary, ephemeral."""
    spec = pod.get("spec") or {}
    groups = ("initContainers", "containers", "ephemeralContainers")
    return [container["name"] for group in groups for container in spec.get(group) or ()]


def choose_container(pod: Obj, asked: str) -> str:
    """The container asked for, or the only ordinary one; 400 otherwise."""
    name, everything = pod["metadata"]["name"], pod_containers(pod)
    ordinary = [container["name"] for container in (pod.get("spec") or {}).get("containers") or ()]
    if asked:
        if asked not in everything:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(ordinary) != 1:
        listed = " ".join(everything)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return str(ordinary[0])


def node_address(node: Obj | None, preferred: Sequence[str] = ("InternalIP", "ExternalIP", "Hostname")) -> str:
    """The address to reach a node's kubelet at, of a type's several the first; "" when it has reported none."""
    found = ((node or {}).get("status") or {}).get("addresses") or []
    by_type = {address.get("type"): str(address.get("address", "")) for address in reversed(found)}
    return next((by_type[kind] for kind in preferred if by_type.get(kind)), "")


async def _pod_of(core: Core, call: Call) -> Obj:
    return core.decoder(await core.item(call.kind, call.namespace, call.target.name))


async def _kubelet_of(core: Core, pod: Obj) -> str:
    """The address of the pod's kubelet."""
    name = (pod.get("spec") or {}).get("nodeName", "")
    if not name:
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    node = await core.find(kinds.NODES, "", name)
    if node is None:
        raise errors.not_found(kinds.PODS, name)  # as Kubernetes has it: the node's name, and pods
    address = node_address(node)
    if not address:
        raise errors.unavailable(f'node "{name}" has reported no address; is its agent running?')
    return address


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
    hops = hop_headers(call.request)
    headers = [(name, value) for name, value in call.request.headers if name not in hops]
    return Request(call.request.method, path, query, headers, call.request.body)


def hop_headers(message: Request | Response) -> set[str]:
    """Names (in lower case) of the headers that concern one connection only (RFC 9110, section 7.6.1)."""
    named = message.header("connection").lower().split(",")
    return {*_HOP, *(name.strip() for name in named)}


def _kubelet_path(verb: str, pod: Obj, container: str = "") -> str:
    parts = [verb, pod["metadata"]["namespace"], pod["metadata"]["name"], container]
    return "/" + "/".join(part for part in parts if part)


def _unreachable(pod: Obj, error: Exception) -> StatusError:
    node = pod["spec"]["nodeName"]
    return errors.internal(f'error dialing the kubelet of node "{node}": {str(error) or type(error).__name__}')


async def log(core: Core, call: Call) -> Response:
    """A container's log, streamed as it comes; 204 while the pod has no node."""
    request = call.request
    _check_log_options(call)
    pod = await _pod_of(core, call)
    container = choose_container(pod, request.param("container"))
    if not (pod.get("spec") or {}).get("nodeName"):
        return Response(204)
    client = kubelet_client(core, await _kubelet_of(core, pod))
    query = [(name, "true") for name in _LOG_SWITCHES if parse_bool(request.param(name))]
    query += [(name, value) for name, value in request.query if name in _LOG_OPTIONS]
    try:
        answer = await client.stream(_forwarded(call, _kubelet_path("containerLogs", pod, container), query))
    except OSError as error:
        await client.close()
        raise _unreachable(pod, error) from None
    if answer.status != 200:
        raise await _refusal(answer, client)
    headers = [("Content-Type", answer.header("content-type", "text/plain"))]
    return await passed_on(answer, client, headers)


def _check_log_options(call: Call) -> None:
    """422 for PodLogOptions that contradict themselves."""
    least = {"tailLines": 0, "sinceSeconds": 1, "limitBytes": 1}
    request, found = call.request, []
    for name, limit in least.items():
        value = parse_int(request.param(name))
        if value is not None and value < limit:
            why = "must be greater than or equal to 0" if limit == 0 else "must be greater than 0"
            found.append(causes.invalid(name, value, why))
    if request.param("sinceSeconds") and request.param("sinceTime"):
        found.append(causes.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if found:
        raise errors.invalid_named("", "PodLogOptions", call.target.name, found)


async def _refusal(answer: Response, client: HttpClient) -> StatusError:
    """A kubelet's refusal as a Status; the client is done with."""
    parts: list[bytes] = [answer.body] if isinstance(answer.body, bytes) else []
    try:
        if not isinstance(answer.body, bytes):
            async for chunk in answer.body:
                parts.append(chunk)
                if sum(map(len, parts)) > _REFUSAL_LIMIT:
                    break
    finally:
        await client.close()
    text = b"".join(parts)[:_REFUSAL_LIMIT].decode("utf-8", "replace").strip()
    return StatusError(answer.status, _REASONS.get(answer.status, ""), text, {})


async def passed_on(answer: Response, client: HttpClient, headers: list[tuple[str, str]]) -> Response:
    """An answer with its body as it comes, after which `client` is closed."""
    if isinstance(answer.body, bytes):
        await client.close()
        return Response(answer.status, headers, answer.body)
    return Response(answer.status, headers, _relay(answer.body, client))


async def _relay(body: AsyncIterator[bytes], client: HttpClient) -> AsyncIterator[bytes]:
    try:
        async for chunk in body:
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


async def _check_create(core: Core, call: Call) -> None:
    """403 unless the user may `create` as well: a WebSocket comes as a GET but is no reading (KEP-4006)."""
    if call.target.verb != "create":
        await core.authorizer.check(call.user, call.target._replace(verb="create"))


async def execute(core: Core, call: Call) -> Response:
    await _check_create(core, call)
    await core.item(call.kind, call.namespace, call.target.name)
    if not call.request.params("command"):
        raise bad_request("you must specify at least one command for the container")
    return await _container_stream(core, call, "exec")


async def attach(core: Core, call: Call) -> Response:
    await _check_create(core, call)
    await core.item(call.kind, call.namespace, call.target.name)
    return await _container_stream(core, call, "attach")


async def _container_stream(core: Core, call: Call, verb: str) -> Response:
    query = _stream_query(call.request, with_command=verb == "exec")
    pod = await _pod_of(core, call)
    container = choose_container(pod, call.request.param("container"))
    address = await _kubelet_of(core, pod)
    if not any(parse_bool(call.request.param(option)) for option, _ in _STREAM_OPTIONS[:3]):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return await _pipe(call, pod, kubelet_client(core, address), _kubelet_path(verb, pod, container), query)


async def port_forward(core: Core, call: Call) -> Response:
    await _check_create(core, call)
    pod = await _pod_of(core, call)
    client = kubelet_client(core, await _kubelet_of(core, pod))
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
    if answer.status >= 400:
        raise await _refusal(answer, client)
    return await switch(client, answer, upgrade)


async def switch(client: HttpClient, answer: Response, upgrade: str) -> Response:
    """The 101 after which the two connections are one; an answer that is none is passed on."""
    far = answer.stream
    if answer.status != 101 or far is None:
        return await passed_on(answer, client, end_to_end(answer))

    async def carry(near: ByteStream) -> None:
        try:
            await splice(near, far)
        finally:
            await client.close()

    head = [("Connection", "Upgrade"), ("Upgrade", upgrade), *end_to_end(answer)]
    return Response(101, head, b"", upgrade=carry)


def end_to_end(answer: Response) -> list[tuple[str, str]]:
    """The headers that are the client's business."""
    hops = hop_headers(answer)
    return [(name, value) for name, value in answer.headers if name.lower() not in hops]


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
