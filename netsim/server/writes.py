"""POST, PUT, PATCH and DELETE of objects: from bodies to lifecycle and back."""

from __future__ import annotations

from typing import Any

from netsim.api import errors, patch, schema
from netsim.api.deprecations import update_warnings_of, warnings_of
from netsim.api.errors import FORBIDDEN, Cause, StatusError, bad_request, invalid_named
from netsim.api.json_text import go_type, parse_json
from netsim.api.kinds import PODS, Kind, Obj
from netsim.api.patch_errors import PatchError
from netsim.api.schema_fit import fits
from netsim.api.strategic import strategic_merge_patch
from netsim.http.types import Response
from netsim.server import custom, deletion, lifecycle
from netsim.server.apply import APPLY_TYPE, apply_object
from netsim.server.authz import node_name, node_pod_problem
from netsim.server.bodies import (
    check_fields,
    complete_type,
    decode_body,
    duplicate_problems,
    field_problems,
    media_type,
)
from netsim.server.codec import stored_kind
from netsim.server.core import Call, Core
from netsim.server.custom import custom_object
from netsim.server.lifecycle import Change, Outcome
from netsim.server.managed import Manager
from netsim.server.pod_specs import SPECS
from netsim.server.reads import Slice, list_bytes, object_response, select_items
from netsim.server.requests import WriteOptions, parse_list_options, parse_write_options
from netsim.server.responses import json_response, respond
from netsim.server.selection import compile_selection
from netsim.server.views import is_view, shown_bytes, shown_form, stored_form

_NOTHING: Obj = {}
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


def typed_object(
    kind: Kind, obj: Obj, body: bytes, content_type: str, validation: str, warnings: list[str], known: Obj = _NOTHING
) -> Obj:
    """The body as a typed decoder keeps it: unknown fields dropped (and refused or warned of), wrong types a 400.
    What of `obj` is also, as the same object, part of `known` has been through this before."""
    if kind.custom is not None:
        return custom_object(kind, kind.custom, obj, body, content_type, validation, warnings)
    parsed, obj = obj, complete_type(kind, obj)
    if fits(kind, _unknown_part(obj, known)):
        warnings += check_fields(kind, duplicate_problems(body, content_type, parsed), validation)
    else:
        warnings += check_fields(kind, field_problems(kind, obj, body, content_type), validation)
        wrong = schema.typed_errors(kind, obj)
        if wrong:
            raise bad_request(schema.decode_error(kind, wrong))
        obj = schema.prune(kind, obj)
    return obj if isinstance(obj.get("metadata"), dict) else {**obj, "metadata": {}}


def _unknown_part(obj: Obj, known: Obj) -> Obj:
    """An object without what it has in common with `known`: most of what is patched stays as it was."""
    if not known:
        return obj
    part = {key: value for key, value in obj.items() if known.get(key) is not value}
    held = known.get("metadata")
    if held and "metadata" in part:
        part["metadata"] = {key: value for key, value in part["metadata"].items() if held.get(key) is not value}
    return part


def read_object(call: Call, options: WriteOptions, kind: Kind | None = None) -> Obj:
    """The request's body as an object of the kind."""
    kind, body, content_type = kind or call.kind, call.request.body, call.request.header("content-type")
    obj = decode_body(body, content_type, kind.kind)
    if kind is not PODS or call.target.verb != "create":
        return typed_object(kind, obj, body, content_type, options.field_validation, call.warnings)
    obj = SPECS.shared(obj)
    known = {"spec": obj["spec"]} if SPECS.known(obj.get("spec")) else {}
    obj = typed_object(kind, obj, body, content_type, options.field_validation, call.warnings, known)
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
    call.warnings += warnings_of(kind, obj) if old is None else update_warnings_of(kind, obj, old)


async def create(core: Core, call: Call) -> Response:
    options = parse_write_options(call.request, "CreateOptions")
    kind = stored_kind(call.kind)
    obj = stored_form(call.kind, read_object(call, options))
    outcome = await lifecycle.create_object(
        core, kind, call.namespace, obj, call.user, dry_run=options.dry_run, manager=Manager(options.field_manager)
    )
    _warn(call, outcome)
    return _answer(core, call, outcome, 201)


async def update(core: Core, call: Call, sub: str = "") -> Response:
    options = parse_write_options(call.request, "UpdateOptions")
    obj = stored_form(call.kind, read_object(call, options))
    lifecycle.check_identity(call.kind, call.namespace, call.target.name, obj)
    return await apply_change(core, call, lambda _: obj, options, sub)


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
    patcher = read_patch(call, options)

    def change(old: Obj) -> Obj:
        patched = patcher(call.kind, shown_form(call.kind, old))
        lifecycle.check_identity(call.kind, call.namespace, call.target.name, patched)
        return stored_form(call.kind, patched)

    return await apply_change(core, call, change, options, sub)


def is_apply(call: Call) -> bool:
    """Whether a patch is a server-side apply."""
    return media_type(call.request.header("content-type")) == APPLY_TYPE


def typed_result(kind: Kind, obj: Obj) -> Obj:
    """What the server has made as a typed decoder keeps it, without a word about what was dropped."""
    return typed_object(kind, obj, b"", "", "Ignore", [])


class Patcher:
    """A patch body bound to its format; called with the kind and the present object it gives the typed new one."""

    def __init__(self, media: str, body: Any, validation: str, warnings: list[str]) -> None:
        self._media, self._body, self._validation, self._warnings = media, body, validation, warnings

    def __call__(self, kind: Kind, old: Obj) -> Obj:
        new = self.raw(kind, old)
        if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
            raise errors.rejected_patch()
        warned: list[str] = []
        new = typed_object(kind, new, b"", "", self._validation, warned, _NOTHING if is_view(kind) else old)
        self._warnings[:] = warned
        return new

    def raw(self, kind: Kind, old: Obj) -> Any:
        """The patched document, unchecked; raises StatusError when the patch does not fit."""
        try:
            if self._media == PATCH_TYPES[0]:
                return patch.json_patch(old, self._body)
            if self._media == PATCH_TYPES[1]:
                return patch.merge_patch(old, self._body)
            return strategic_merge_patch(old, self._body, schema.type_of_kind(kind))
        except PatchError as error:
            raise _patch_refusal(self._media, error) from None


def _patch_refusal(media: str, error: PatchError) -> StatusError:
    if error.code == 422 and media == PATCH_TYPES[0]:
        return errors.rejected_patch()
    reason = {400: "BadRequest", 413: "RequestEntityTooLarge", 422: "Invalid"}.get(error.code, "")
    return StatusError(error.code, reason, str(error))


def read_patch(call: Call, options: WriteOptions) -> Patcher:
    """The request's patch; 415 for other formats."""
    media = media_type(call.request.header("content-type"))
    if call.kind.custom is not None and media not in custom.PATCH_TYPES:
        raise errors.unsupported_media_type(custom.PATCH_TYPES)
    if media not in PATCH_TYPES:
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if options.force:
        cause = Cause(FORBIDDEN, "Forbidden: may not be specified for non-apply patch", "force")
        raise invalid_named("meta.k8s.io", "PatchOptions", "", [cause])
    try:
        body = parse_json(call.request.body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if media == PATCH_TYPES[0] and not isinstance(body, list):
        raise bad_request(f"json: cannot unmarshal {go_type(body)} into Go value of type jsonpatch.Patch")
    if media != PATCH_TYPES[0] and not isinstance(body, dict):
        into = "Go value of type map[string]interface {}"
        raise bad_request(f"error decoding patch: json: cannot unmarshal {go_type(body)} into {into}")
    return Patcher(media, body, options.field_validation, call.warnings)


async def delete(core: Core, call: Call) -> Response:
    """DELETE of one object: its Status when it is gone, the object while it waits."""
    options = deletion.parse_delete_options(call.request)
    kind = stored_kind(call.kind)
    if kind is PODS:
        await check_node_pod(core, call)
    outcome = await deletion.delete_object(core, kind, call.namespace, call.target.name, options)
    if not outcome.removed:
        return _answer(core, call, outcome)
    details = {"name": call.target.name, "group": call.kind.group, "kind": call.kind.plural}
    details = {key: value for key, value in details.items() if value} | {"uid": outcome.obj["metadata"]["uid"]}
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return json_response(status)


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
    selection = compile_selection(call.kind, call.namespace, chosen.label_selector, chosen.field_selector)
    found = await select_items(core, selection, chosen)
    for item in found.items:
        obj = core.decoder(item)
        try:
            await deletion.delete_object(core, kind, call.namespace, obj["metadata"]["name"], options)
        except StatusError as error:
            if error.code not in (404, 403):
                raise
    body = list_bytes(core, call.kind, Slice(found.items, {"resourceVersion": str(core.store.revision)}))
    return respond(body, call.format)
