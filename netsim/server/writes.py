"""POST, PUT, PATCH and DELETE of objects: from bodies to lifecycle and back."""

from __future__ import annotations

from netsim.api import errors, kinds
from netsim.api.deprecations import update_warnings_of, warnings_of
from netsim.api.errors import StatusError
from netsim.api.kinds import PODS, Kind, Obj
from netsim.http.types import Response
from netsim.server import deletion, lifecycle
from netsim.server.apply import APPLY_TYPE, apply_object
from netsim.server.authz import node_name, node_pod_problem
from netsim.server.bodies import media_type, read_body
from netsim.server.codec import key_of, stored_kind
from netsim.server.core import Call, Core
from netsim.server.lifecycle import Change, Outcome
from netsim.server.managed import Manager
from netsim.server.negotiate import Format
from netsim.server.operations import SHOWN_DELETED
from netsim.server.patching import read_patch
from netsim.server.pod_specs import SPECS
from netsim.server.reads import Slice, list_response, object_response, select_items
from netsim.server.requests import WriteOptions, parse_list_options, parse_write_options
from netsim.server.responses import json_response
from netsim.server.selection import compile_selection
from netsim.server.typed import typed_object, typed_result
from netsim.server.views import is_view, judged_form, shown_bytes, shown_form


def read_object(call: Call, options: WriteOptions, kind: Kind | None = None) -> Obj:
    """The request's body as an object of the kind."""
    kind, body, content_type = kind or call.kind, call.request.body, call.request.header("content-type")
    obj, source = read_body(body, content_type, kind.kind)
    if kind is not PODS or call.target.verb != "create":
        return typed_object(kind, obj, source, options.field_validation, call.warnings)
    obj = SPECS.shared(obj)
    known = {"spec": obj["spec"]} if SPECS.known(obj.get("spec")) else {}
    obj = typed_object(kind, obj, source, options.field_validation, call.warnings, known)
    SPECS.remember(obj.get("spec"))
    return obj


def shown_body(core: Core, kind: Kind, outcome: Outcome) -> tuple[bytes, Obj]:
    """An outcome's JSON as the kind's clients see it, and the object as it is stored (what Tables are made of)."""
    return shown_bytes(kind, outcome.obj) if is_view(kind) else outcome.body(core, kind), outcome.obj


def _answer(core: Core, call: Call, outcome: Outcome, status: int = 200) -> Response:
    body, obj = shown_body(core, call.kind, outcome)
    return object_response(core, call, body, obj, status)


def _warn(call: Call, outcome: Outcome) -> None:
    kind, obj, old = stored_kind(call.kind), outcome.obj, outcome.old
    call.warnings += outcome.warnings
    if old is not None:
        call.warnings += update_warnings_of(kind, obj, old)
    else:
        call.warnings += SPECS.warnings(obj) if kind is PODS else warnings_of(kind, obj)


async def create(core: Core, call: Call) -> Response:
    options = parse_write_options(call.request, "CreateOptions")
    kind = stored_kind(call.kind)
    obj = judged_form(call.kind, call.namespace, read_object(call, options))
    outcome = await lifecycle.create_object(
        core, kind, call.namespace, obj, call.user, dry_run=options.dry_run, manager=Manager(options.field_manager)
    )
    _warn(call, outcome)
    return _answer(core, call, outcome, 201)


async def update(core: Core, call: Call, sub: str = "") -> Response:
    options = parse_write_options(call.request, "UpdateOptions")
    obj = read_object(call, options)
    lifecycle.check_identity(call.kind, call.namespace, call.target.name, obj)
    lifecycle.check_named(call.target.name, obj)

    def change(old: Obj) -> Obj:
        return judged_form(call.kind, call.namespace, _conditional(call.kind, call.target.name, obj), old)

    made = await _create_missing(core, call, obj, options) if not sub else None
    return made or await apply_change(core, call, change, options, sub)


_MADE_BY_PUT = frozenset(
    (
        kinds.CLUSTER_ROLES, kinds.CLUSTER_ROLE_BINDINGS, kinds.ENDPOINTS, kinds.EVENTS, kinds.LEASES,
        kinds.LIMIT_RANGES, kinds.ROLES, kinds.ROLE_BINDINGS, kinds.RUNTIME_CLASSES, kinds.SERVICES,
    )
)  # fmt: skip
"""What a PUT makes where it is missing."""


async def _create_missing(core: Core, call: Call, obj: Obj, options: WriteOptions) -> Response | None:
    """201 for an object that a PUT has made, whose author may create it; None where there is one to be replaced. Of
    the metadata a version is overlooked, and a uid is another object's."""
    kind, name, metadata = stored_kind(call.kind), call.target.name, obj["metadata"]
    if kind not in _MADE_BY_PUT or await core.store.get(key_of(kind, call.namespace, name)) is not None:
        return None
    await core.authorizer.check(call.user, call.target._replace(verb="create"))
    lifecycle.check_meant(kind, key_of(kind, call.namespace, name), name, metadata.get("uid") or "", "")
    bare = {**obj, "metadata": {field: value for field, value in metadata.items() if field != "resourceVersion"}}
    new = judged_form(call.kind, call.namespace, bare)
    try:
        outcome = await lifecycle.create_object(
            core, kind, call.namespace, new, call.user, dry_run=options.dry_run, manager=Manager(options.field_manager)
        )
    except StatusError as error:
        if error.reason == "AlreadyExists":  # made by somebody else meanwhile
            return None
        raise
    _warn(call, outcome)
    return _answer(core, call, outcome, 201)


_CONDITIONAL = frozenset(
    (
        kinds.CSI_DRIVERS, kinds.CSI_NODES, kinds.CSI_STORAGE_CAPACITIES, kinds.CUSTOM_RESOURCE_DEFINITIONS,
        kinds.LEASES, kinds.POD_DISRUPTION_BUDGETS, kinds.RUNTIME_CLASSES, kinds.VOLUME_ATTACHMENTS,
    )
)  # fmt: skip
"""What nobody may replace without saying which version of it, beside custom resources."""


def _conditional(kind: Kind, name: str, obj: Obj) -> Obj:
    """The object to put in the place of one that is there; 422 if it has to say its version and does not."""
    if obj["metadata"].get("resourceVersion") or (kind.custom is None and kind not in _CONDITIONAL):
        return obj
    why = "Invalid value: 0: must be specified for an update"
    cause = errors.Cause(errors.INVALID, why, "metadata.resourceVersion")
    raise errors.invalid_named(kind.group, kind.plural, name, [cause])  # the resource, as Kubernetes has it just here


async def apply_change(core: Core, call: Call, change: Change, options: WriteOptions, sub: str = "") -> Response:
    """Run a change of the target and answer with the result."""
    kind = stored_kind(call.kind)
    outcome = await lifecycle.update_object(
        core, kind, call.namespace, call.target.name, change, call.user, sub=sub, dry_run=options.dry_run,
        manager=Manager(options.field_manager),
    )  # fmt: skip
    if not sub:
        _warn(call, outcome)
    return _answer(core, call, outcome)


async def patch_object(core: Core, call: Call, sub: str = "") -> Response:
    options = parse_write_options(call.request, "PatchOptions")
    if is_apply(call):
        outcome, created = await apply_object(core, call, options, typed_result, sub)
        if not sub:
            _warn(call, outcome)
        return _answer(core, call, outcome, 201 if created else 200)
    patcher, kind = await read_patch(core, call, options), stored_kind(call.kind)

    def change(old: Obj) -> Obj:
        patched = patcher(call.kind, shown_form(call.kind, old))
        lifecycle.check_named(call.target.name, patched)
        lifecycle.check_uid(kind, patched, old)
        lifecycle.check_identity(call.kind, call.namespace, call.target.name, patched)
        return judged_form(call.kind, call.namespace, patched, old)

    return await apply_change(core, call, change, options, sub)


def is_apply(call: Call) -> bool:
    """Whether a patch is a server-side apply."""
    return media_type(call.request.header("content-type")) == APPLY_TYPE


async def delete(core: Core, call: Call) -> Response:
    """DELETE of one object: the object while it waits, or if it is of certain kinds, else the Status of its end."""
    options = deletion.parse_delete_options(call.request)
    kind = stored_kind(call.kind)
    call.warnings += deletion.deletion_warnings(kind, options)
    if kind is PODS:
        await check_node_pod(core, call)
    outcome = await deletion.delete_object(core, kind, call.namespace, call.target.name, options)
    if not outcome.removed or kind in SHOWN_DELETED:
        return _answer(core, call, outcome)
    details = {"name": call.target.name, "group": call.kind.group, "kind": call.kind.plural}
    details = {key: value for key, value in details.items() if value} | {"uid": outcome.obj["metadata"]["uid"]}
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return json_response(status, form=Format(yaml=call.format.yaml))


async def check_node_pod(core: Core, call: Call) -> None:
    """403 when a node writes a pod that runs elsewhere (NodeRestriction)."""
    if not node_name(call.user):
        return
    pod = await core.find(call.kind, call.namespace, call.target.name)
    problem = node_pod_problem(call.user, pod) if pod is not None else ""
    if problem:
        raise errors.forbidden(call.kind, call.target.name, problem)


async def delete_collection(core: Core, call: Call) -> Response:
    """DELETE of what the selectors select; answers the list of what was deleted or marked."""
    options = deletion.parse_delete_options(call.request)
    chosen = parse_list_options(call.request, watch=False)
    kind = stored_kind(call.kind)
    call.warnings += deletion.deletion_warnings(kind, options)
    selection = compile_selection(call.kind, call.namespace, chosen.label_selector, chosen.field_selector)
    found = await select_items(core, selection, chosen)
    for item in found.items:
        obj = core.decoder(item)
        try:
            await deletion.delete_object(core, kind, call.namespace, obj["metadata"]["name"], options)
        except StatusError as error:
            if error.code not in (404, 403):
                raise
    return list_response(core, call, Slice(found.items, {"resourceVersion": str(core.store.revision)}))
