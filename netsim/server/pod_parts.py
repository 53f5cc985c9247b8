"""pods/NAME/ephemeralcontainers and pods/NAME/resize: the parts of a pod that change through paths of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netsim.api import errors
from netsim.api.defaults import set_defaults
from netsim.api.errors import Cause
from netsim.api.kinds import PODS, Obj
from netsim.api.validate_ephemeral import ephemeral_update
from netsim.api.validate_resize import resize, resized
from netsim.http.types import Response
from netsim.server import lifecycle
from netsim.server.apply import Merge, applying
from netsim.server.core import Call, Core
from netsim.server.lifecycle import Change
from netsim.server.managed import Manager, entries_of, with_entries
from netsim.server.patching import read_patch
from netsim.server.reads import get_object, object_response
from netsim.server.requests import WriteOptions, parse_write_options
from netsim.server.typed import typed_result
from netsim.server.writes import check_node_pod, is_apply, read_object

Part = Callable[[Obj, Obj], Obj]
"""(the pod as it is, the pod a client sent) -> the pod with this one part as sent; raises a 422 for what may not be."""


async def serve_ephemeral_containers(core: Core, call: Call) -> Response:
    """The one way to add containers to a pod that exists."""
    return await _serve(core, call, "ephemeralcontainers", _with_ephemeral)


async def serve_resize(core: Core, call: Call) -> Response:
    """Other amounts of CPU and memory for a pod that exists."""
    return await _serve(core, call, "resize", _with_resources)


async def _serve(core: Core, call: Call, sub: str, part: Part) -> Response:
    """GET answers the Pod; PUT and PATCH change the part and nothing else."""
    if call.target.verb == "get":
        return await get_object(core, call)
    await check_node_pod(core, call)
    updating = call.target.verb == "update"
    options = parse_write_options(call.request, "UpdateOptions" if updating else "PatchOptions")
    if is_apply(call):
        asked, merge = applying(core, call, options, sub)
        change, manager = _applied(merge, part), asked.manager
    else:
        change, manager = await _change(core, call, options, updating, part), Manager(options.field_manager)
    outcome = await lifecycle.update_object(
        core, PODS, call.namespace, call.target.name, change, call.user, sub=sub, dry_run=options.dry_run,
        manager=manager,
    )  # fmt: skip
    return object_response(core, call, outcome.body(core, PODS), outcome.obj, 200)


async def _change(core: Core, call: Call, options: WriteOptions, updating: bool, part: Part) -> Change:
    name = call.target.name
    if updating:
        body = read_object(call, options)
        lifecycle.check_identity(PODS, call.namespace, name, body)
        return lambda old: part(old, body)
    patcher = await read_patch(core, call, options)

    def change(old: Obj) -> Obj:
        patched = patcher(PODS, old)
        lifecycle.check_identity(PODS, call.namespace, name, patched)
        return part(old, patched)

    return change


def _applied(merge: Merge, part: Part) -> Change:
    """Of what an apply comes to, the part and who owns it."""

    def change(old: Obj) -> Obj:
        wanted = merge(old)
        return with_entries(part(old, typed_result(PODS, wanted)), entries_of(wanted))

    return change


def _with_ephemeral(old: Obj, wanted: Obj) -> Obj:
    containers = (wanted.get("spec") or {}).get("ephemeralContainers") or []
    spec = {**old["spec"], **({"ephemeralContainers": containers} if containers else {})}
    if not containers:
        spec.pop("ephemeralContainers", None)
    return _checked(old, wanted, {**old, "spec": spec}, ephemeral_update)


def _with_resources(old: Obj, wanted: Obj) -> Obj:
    return _checked(old, wanted, resized(old, wanted), resize)


def _checked(old: Obj, wanted: Obj, new: Obj, problems: Callable[[Obj, Obj], Iterable[Cause]]) -> Obj:
    """The new pod; a uid or resourceVersion that the client names remains a condition."""
    new = set_defaults(PODS, new)
    found = list(problems(new, old))
    if found:
        raise errors.invalid(PODS, old["metadata"]["name"], found)
    conditions = {key: wanted["metadata"][key] for key in ("uid", "resourceVersion") if wanted["metadata"].get(key)}
    return {**new, "metadata": {**new["metadata"], **conditions}}
