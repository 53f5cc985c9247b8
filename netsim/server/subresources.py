"""Subresources: status, scale, binding, eviction, finalize, approval, token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC

from netsim.api import errors, kinds
from netsim.api.decoder import decode_error
from netsim.api.errors import INVALID, Cause, bad_request
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import deletion_timestamp, set_condition
from netsim.api.selectors import equality_selector, label_selector_of
from netsim.http.types import Response
from netsim.server import custom, deletion, lifecycle, pod_parts, proxy, streams, token_request
from netsim.server.admission import topology_labels
from netsim.server.apply import apply_scale
from netsim.server.bodies import decode_body
from netsim.server.columns.apps import SCALE
from netsim.server.core import Call, Core
from netsim.server.eviction import evict
from netsim.server.lifecycle import Change
from netsim.server.managed import Manager
from netsim.server.patching import read_patch
from netsim.server.reads import get_object
from netsim.server.requests import WriteOptions, parse_write_options
from netsim.server.responses import json_response
from netsim.server.table import build_table, check_include, partial_object
from netsim.server.writes import check_node_pod, is_apply, patch_object, read_object, update

EVICTION_VERSIONS = ("policy/v1", "policy/v1beta1")
_SUCCESS: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

Handler = Callable[[Core, Call], Awaitable[Response]]


async def serve(core: Core, call: Call) -> Response:
    """Answer a request for a subresource; 404 for one the kind has not, 405 for a method it does not take."""
    sub = call.kind.subresource(call.target.subresource)
    if sub is None:
        raise errors.no_such_resource()
    # OPTIONS and the like go on as well; /watch/ before a path is no method, and would name a right of its own.
    if call.target.verb not in sub.verbs and (sub.name != "proxy" or call.target.verb == "watch"):
        raise errors.method_not_allowed()
    return await _HANDLERS[sub.name](core, call)


async def _status(core: Core, call: Call) -> Response:
    name = call.target.subresource
    if call.target.verb == "get":
        return await get_object(core, call)
    if call.kind is kinds.PODS:
        await check_node_pod(core, call)
    return await (update if call.target.verb == "update" else patch_object)(core, call, name)


async def _finalize(core: Core, call: Call) -> Response:
    return await update(core, call, "finalize")


def scale_of(kind: Kind, obj: Obj) -> Obj:
    """The Scale of a workload; its selector is text, whatever form the workload has it in."""
    if kind.custom is not None:
        return custom.scale_of(kind.custom, obj)
    metadata = {
        key: obj["metadata"][key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in obj["metadata"]
    }
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    plain = obj.get("kind") == "ReplicationController"
    selector = str((equality_selector if plain else label_selector_of)(spec.get("selector")))
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": {"replicas": status.get("replicas", 0), **({"selector": selector} if selector else {})},
    }  # fmt: skip


def _scaled(kind: Kind, obj: Obj, scale: Obj) -> Obj:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    metadata = {**obj["metadata"]}
    for key in ("resourceVersion", "uid"):
        metadata[key] = scale["metadata"].get(key) or metadata[key]
    if kind.custom is not None:
        return custom.scaled(kind.custom, {**obj, "metadata": metadata}, replicas)
    return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": replicas}}


async def _scale(core: Core, call: Call) -> Response:
    if call.target.verb == "get":
        item = await core.item(call.kind, call.namespace, call.target.name)
        return _scale_response(core, call, scale_of(call.kind, core.decoder(item)))
    options = parse_write_options(call.request, "UpdateOptions" if call.target.verb == "update" else "PatchOptions")
    if call.target.verb == "patch" and is_apply(call):
        outcome = await apply_scale(core, call, options, SCALE, lambda scale: _check_scale(call, scale))
    else:
        outcome = await lifecycle.update_object(
            core, call.kind, call.namespace, call.target.name, await _scaling(core, call, options), call.user,
            dry_run=options.dry_run, manager=Manager(options.field_manager, subresource="scale"),
        )  # fmt: skip
    return _scale_response(core, call, scale_of(call.kind, outcome.obj))


def _scale_response(core: Core, call: Call, scale: Obj) -> Response:
    if not scale["spec"]["replicas"]:  # the type of a Scale leaves out a 0
        scale = {**scale, "spec": {}}
    if call.format.shape == "Table":
        revision = {"resourceVersion": scale["metadata"].get("resourceVersion", "")}
        include, now = call.request.param("includeObject"), core.clock().astimezone(UTC)
        check_include(include)
        scale = build_table(SCALE, [scale], revision, now, version=call.format.version, include=include)
    elif call.format.shape:
        scale = partial_object(scale, call.format.version)
    return json_response(scale, 200, call.warnings)


async def _scaling(core: Core, call: Call, options: WriteOptions) -> Change:
    """The change that a written or patched Scale makes."""
    if call.target.verb == "update":
        wanted = read_object(call, options, SCALE)
        return lambda old: _scaled(call.kind, old, _check_scale(call, wanted))
    patcher = await read_patch(core, call, options)
    return lambda old: _scaled(call.kind, old, _check_scale(call, patcher(SCALE, scale_of(call.kind, old))))


def _check_scale(call: Call, scale: Obj) -> Obj:
    lifecycle.check_identity(call.kind, call.namespace, call.target.name, scale)
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise errors.invalid(SCALE, call.target.name, [Cause(INVALID, message, "spec.replicas")])
    return scale


def with_more(pod: Obj, metadata: Obj, labels: Obj) -> Obj:
    """The pod with the annotations and labels of a Binding's `metadata`, and with those labels."""
    present = pod["metadata"]
    more = {"annotations": metadata.get("annotations") or {}, "labels": {**(metadata.get("labels") or {}), **labels}}
    added = {name: {**(present.get(name) or {}), **values} for name, values in more.items() if values}
    return {**pod, "metadata": {**present, **added}} if added else pod


def bound_pod(pod: Obj, node: str, now: str) -> Obj:
    """The pod with its node and the PodScheduled condition, without the node it was promised before (KEP-5278); 409
    when it has one already, waits for scheduling gates or is going away."""
    problem = _binding_problem(pod)
    if problem:
        name = pod["metadata"]["name"]
        message = f'Operation cannot be fulfilled on pods/binding "{name}": {problem}'
        raise errors.StatusError(409, "Conflict", message, {"name": name, "kind": "pods/binding"})
    condition = {"type": "PodScheduled", "status": "True"}
    status = {key: value for key, value in (pod.get("status") or {}).items() if key != "nominatedNodeName"}
    conditions = set_condition(status.get("conditions") or [], condition, now)
    return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": {**status, "conditions": conditions}}


def _binding_problem(pod: Obj) -> str:
    name, spec = pod["metadata"]["name"], pod.get("spec") or {}
    if deletion_timestamp(pod) is not None:
        return f"pod {name} is being deleted, cannot be assigned to a host"
    if spec.get("nodeName"):
        return f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    return f"pod {name} has non-empty .spec.schedulingGates" if spec.get("schedulingGates") else ""


def _check_name(call: Call, body: Obj) -> None:
    """400 unless the body names the pod that the URL does."""
    if (body.get("metadata") or {}).get("name") != call.target.name:
        raise bad_request(f"name in URL does not match name in {body['kind']} object")


async def bind(core: Core, call: Call) -> Response:
    """POST of a Binding, to a pod's own path or to the namespace's bindings: then the body names the pod."""
    options = parse_write_options(call.request, "CreateOptions")
    binding = read_object(call, options, kinds.BINDINGS)
    if call.target.name:
        _check_name(call, binding)
    target, pod_name = binding.get("target") or {}, call.target.name or binding["metadata"].get("name", "")
    if target.get("kind", "Node") not in ("Node", "") or not target.get("name"):
        cause = Cause("FieldValueRequired", "Required value", "target.name")
        raise errors.invalid(kinds.BINDINGS, pod_name, [cause])
    labels = await topology_labels(core, target["name"])
    await lifecycle.update_object(
        core, kinds.PODS, call.namespace, pod_name,
        lambda pod: bound_pod(with_more(pod, binding["metadata"], labels), target["name"], core.now()),
        call.user, sub="binding", dry_run=options.dry_run,
    )  # fmt: skip
    return json_response(_SUCCESS, 201)


async def _eviction(core: Core, call: Call) -> Response:
    eviction = decode_body(call.request.body, call.request.header("content-type"), "Eviction")
    version = eviction.get("apiVersion") or EVICTION_VERSIONS[0]
    if eviction.get("kind", "Eviction") != "Eviction" or version not in EVICTION_VERSIONS:
        raise bad_request(f"the body must be an Eviction of {' or '.join(EVICTION_VERSIONS)}")
    wrong = decode_error(("policy", "v1", "Eviction"), eviction)
    if wrong:
        raise bad_request(f'Eviction in version "v1" cannot be handled as a Eviction: {wrong}')
    _check_name(call, {"kind": "Eviction", **eviction})
    lifecycle.check_identity(call.kind, call.namespace, call.target.name, {"metadata": eviction.get("metadata") or {}})
    await check_node_pod(core, call)
    options = deletion.delete_options(eviction.get("deleteOptions") or {}, call.request)
    await evict(core, call.namespace, call.target.name, options, call.user)
    return json_response(_SUCCESS, 201)


_HANDLERS: dict[str, Handler] = {
    "status": _status,
    "approval": _status,
    "finalize": _finalize,
    "scale": _scale,
    "binding": bind,
    "eviction": _eviction,
    "token": token_request.serve,
    "log": streams.log,
    "exec": streams.execute,
    "attach": streams.attach,
    "portforward": streams.port_forward,
    "proxy": proxy.serve,
    "ephemeralcontainers": pod_parts.serve_ephemeral_containers,
    "resize": pod_parts.serve_resize,
}
