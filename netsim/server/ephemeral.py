"""pods/NAME/ephemeralcontainers: the one way to add containers to a pod that exists."""

from __future__ import annotations

from netsim.api import errors
from netsim.api.defaults import set_defaults
from netsim.api.kinds import PODS, Obj
from netsim.api.validate_ephemeral import ephemeral_update
from netsim.http.types import Response
from netsim.server import lifecycle
from netsim.server.core import Call, Core
from netsim.server.lifecycle import Change
from netsim.server.managed import Manager
from netsim.server.reads import get_object, object_response
from netsim.server.requests import WriteOptions, parse_write_options
from netsim.server.writes import check_node_pod, read_object, read_patch


async def serve(core: Core, call: Call) -> Response:
    """GET answers the Pod; PUT and PATCH change its spec.ephemeralContainers and nothing else."""
    if call.target.verb == "get":
        return await get_object(core, call)
    await check_node_pod(core, call)
    updating = call.target.verb == "update"
    options = parse_write_options(call.request, "UpdateOptions" if updating else "PatchOptions")
    outcome = await lifecycle.update_object(
        core, PODS, call.namespace, call.target.name, _change(call, options, updating), call.user,
        sub="ephemeralcontainers", dry_run=options.dry_run, manager=Manager(options.field_manager),
    )  # fmt: skip
    return object_response(core, call, outcome.body(core, PODS), outcome.obj, 200)


def _change(call: Call, options: WriteOptions, updating: bool) -> Change:
    name = call.target.name
    if updating:
        body = read_object(call, options)
        lifecycle.check_identity(PODS, call.namespace, name, body)
        return lambda old: _with_ephemeral(old, body)
    patcher = read_patch(call, options)

    def change(old: Obj) -> Obj:
        patched = patcher(PODS, old)
        lifecycle.check_identity(PODS, call.namespace, name, patched)
        return _with_ephemeral(old, patched)

    return change


def _with_ephemeral(old: Obj, wanted: Obj) -> Obj:
    """The pod as it is, with the wanted ephemeral containers; 422 when they may not be. A uid or resourceVersion that
    the client names remains a condition."""
    conditions = {key: wanted["metadata"][key] for key in ("uid", "resourceVersion") if wanted["metadata"].get(key)}
    containers = (wanted.get("spec") or {}).get("ephemeralContainers") or []
    spec = {**old["spec"], **({"ephemeralContainers": containers} if containers else {})}
    if not containers:
        spec.pop("ephemeralContainers", None)
    new = set_defaults(PODS, {**old, "metadata": {**old["metadata"], **conditions}, "spec": spec})
    found = list(ephemeral_update(new, old))
    if found:
        raise errors.invalid(PODS, old["metadata"]["name"], found)
    return new
