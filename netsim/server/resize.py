"""pods/NAME/resize: other amounts of CPU and memory for a pod that exists."""

from __future__ import annotations

from netsim.api import errors
from netsim.api.defaults import set_defaults
from netsim.api.kinds import PODS, Obj
from netsim.api.validate_resize import resize, resized
from netsim.http.types import Response
from netsim.server import lifecycle
from netsim.server.core import Call, Core
from netsim.server.lifecycle import Change
from netsim.server.managed import Manager
from netsim.server.reads import get_object, object_response
from netsim.server.requests import WriteOptions, parse_write_options
from netsim.server.writes import check_node_pod, read_object, read_patch


async def serve(core: Core, call: Call) -> Response:
    """GET answers the Pod; PUT and PATCH change the resources of its containers and nothing else."""
    if call.target.verb == "get":
        return await get_object(core, call)
    await check_node_pod(core, call)
    updating = call.target.verb == "update"
    options = parse_write_options(call.request, "UpdateOptions" if updating else "PatchOptions")
    outcome = await lifecycle.update_object(
        core, PODS, call.namespace, call.target.name, _change(call, options, updating), call.user, sub="resize",
        dry_run=options.dry_run, manager=Manager(options.field_manager),
    )  # fmt: skip
    return object_response(core, call, outcome.body(core, PODS), outcome.obj, 200)


def _change(call: Call, options: WriteOptions, updating: bool) -> Change:
    name = call.target.name
    if updating:
        body = read_object(call, options)
        lifecycle.check_identity(PODS, call.namespace, name, body)
        return lambda old: _checked(old, body)
    patcher = read_patch(call, options)

    def change(old: Obj) -> Obj:
        patched = patcher(PODS, old)
        lifecycle.check_identity(PODS, call.namespace, name, patched)
        return _checked(old, patched)

    return change


def _checked(old: Obj, wanted: Obj) -> Obj:
    """The resized pod; 422 when it may not be. A uid or resourceVersion that the client names remains a condition."""
    conditions = {key: wanted["metadata"][key] for key in ("uid", "resourceVersion") if wanted["metadata"].get(key)}
    new = set_defaults(PODS, resized(old, wanted))
    found = list(resize(new, old))
    if found:
        raise errors.invalid(PODS, old["metadata"]["name"], found)
    return {**new, "metadata": {**new["metadata"], **conditions}}
