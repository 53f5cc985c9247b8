"""v1 ComponentStatus: how the control plane's parts are, computed when it is read."""

from __future__ import annotations

from datetime import UTC, datetime

from netsim.api import errors, kinds
from netsim.api.kinds import Obj
from netsim.api.times import parse_time
from netsim.http.types import Response
from netsim.server import table
from netsim.server.core import Call, Core
from netsim.server.requests import parse_list_options
from netsim.server.responses import json_response
from netsim.server.selection import compile_selection

_STORE = "etcd-0"
_ELECTED = {"scheduler": "kube-scheduler", "controller-manager": "kube-controller-manager"}
_NAMESPACE = "kube-system"


async def serve(core: Core, call: Call) -> Response:
    """GET of one, or the list."""
    found = [await _status(core, name) for name in (*_ELECTED, _STORE)]
    name = call.target.name
    if name:
        found = [obj for obj in found if obj["metadata"]["name"] == name]
        if not found:
            raise errors.not_found(call.kind, name)
    else:
        options = parse_list_options(call.request, watch=False)
        selection = compile_selection(call.kind, "", options.label_selector, options.field_selector)
        found = [obj for obj in found if selection.matches(obj)]
    if call.format.shape == "Table":
        now, include = core.clock().astimezone(UTC), call.request.param("includeObject")
        return json_response(table.build_table(call.kind, found, {}, now, version=call.format.version, include=include))
    if name:
        return json_response(found[0])
    head = {"kind": call.kind.list_kind, "apiVersion": call.kind.api_version, "metadata": {}}
    return json_response({**head, "items": found})


async def _status(core: Core, name: str) -> Obj:
    if name == _STORE:
        problem = "the store's events no longer arrive" if core.hub.closed else ""
    else:
        lease = await core.find(kinds.LEASES, _NAMESPACE, _ELECTED[name])
        problem = lease_problem(lease, core.clock().astimezone(UTC))
    return component(name, problem)


def component(name: str, problem: str) -> Obj:
    """The ComponentStatus of a part that is well, or has a problem."""
    condition = {"type": "Healthy", "status": "False" if problem else "True", "message": problem or "ok"}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}


def lease_problem(lease: Obj | None, now: datetime) -> str:
    """What is wrong with the holder of a Lease. Without one the part runs in the API server's own process, which ends
    when the part does."""
    spec = (lease or {}).get("spec") or {}
    if lease is None:
        return ""
    renewed, seconds = spec.get("renewTime"), spec.get("leaseDurationSeconds") or 0
    if not spec.get("holderIdentity") or not renewed:
        return "nobody holds its Lease"
    late = (now - parse_time(renewed)).total_seconds() - seconds
    return f"its Lease has run out: {spec['holderIdentity']} renewed it last at {renewed}" if late > 0 else ""
