"""PATCH bodies of the three formats that say what to change: read, bound to the object, refused in Kubernetes'
words."""

from __future__ import annotations

from typing import Any

import orjson

from netsim.api import errors, patch, schema
from netsim.api.decoder import Misfit
from netsim.api.errors import FORBIDDEN, INVALID, Cause, StatusError, bad_request, invalid_named
from netsim.api.json_text import json_type, parse_json
from netsim.api.kinds import Kind, Obj
from netsim.api.patch_errors import PatchError
from netsim.api.patch_words import converted, go_map
from netsim.api.strategic import strategic_merge_patch
from netsim.server import custom
from netsim.server.bodies import DecodingError, Source, duplicate_problems, media_type
from netsim.server.core import Call, Core
from netsim.server.requests import WriteOptions
from netsim.server.typed import NOTHING, typed_object
from netsim.server.views import is_view

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_INTO = {
    JSON_PATCH: "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
    MERGE_PATCH: "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
    STRATEGIC_PATCH: "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
}


class Patcher:
    """A patch body bound to its format; called with the kind and the present object it gives the typed new one."""

    def __init__(self, media: str, body: Any, source: Source, validation: str, warnings: list[str]) -> None:
        self._media, self._body, self._source = media, body, source
        self._validation, self._warnings = validation, warnings

    def __call__(self, kind: Kind, old: Obj) -> Obj:
        new = self.raw(kind, old)
        if not isinstance(new, dict):
            raise errors.rejected_patch()
        if self._media == STRATEGIC_PATCH:  # the type of what it is merged into is known
            new = {**new, "kind": old["kind"], "apiVersion": old["apiVersion"]}
        warned: list[str] = []
        known = NOTHING if is_view(kind) or not isinstance(new.get("metadata"), dict) else old
        try:
            new = typed_object(kind, new, self._source, self._validation, warned, known)
        except DecodingError as error:
            raise self._misfit(new, error.problem) from None
        self._warnings[:] = warned
        return new

    def _misfit(self, new: Obj, problem: Misfit | str) -> StatusError:
        """422 for a result that is none of its type: a strategic patch is shown itself, of another what it makes."""
        strategic = self._media == STRATEGIC_PATCH
        value = go_map(self._body) if strategic else orjson.dumps(new).decode()
        shown = orjson.dumps(value).decode()
        why = f"Invalid value: {shown}: {converted(problem) if strategic else problem}"
        return invalid_named("", "", "", [Cause(INVALID, why, "patch")])

    def raw(self, kind: Kind, old: Obj) -> Any:
        """The patched document, unchecked; raises StatusError when the patch does not fit."""
        try:
            if self._media == JSON_PATCH:
                return patch.json_patch(old, self._body)
            if self._media == MERGE_PATCH:
                return patch.merge_patch(old, self._body)
            return strategic_merge_patch(old, self._body, schema.type_of_kind(kind))
        except PatchError as error:
            raise _patch_refusal(self._media, error) from None


def _patch_refusal(media: str, error: PatchError) -> StatusError:
    if error.code == 422 and media == JSON_PATCH:
        return errors.rejected_patch()
    reason = {400: "BadRequest", 413: "RequestEntityTooLarge", 422: "Invalid"}.get(error.code, "")
    return StatusError(error.code, reason, str(error))


async def read_patch(core: Core, call: Call, options: WriteOptions) -> Patcher:
    """The request's patch; 415 for other formats. That its object is missing is told before what is wrong with it."""
    media = media_type(call.request.header("content-type"))
    if call.kind.custom is not None and media not in custom.PATCH_TYPES:
        raise errors.unsupported_media_type(custom.PATCH_TYPES)
    if media not in _INTO:
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if options.force:
        cause = Cause(FORBIDDEN, "Forbidden: may not be specified for non-apply patch", "force")
        raise invalid_named("meta.k8s.io", "PatchOptions", "", [cause])
    try:
        body = _read(media, call.request.body)
    except StatusError:
        await core.item(call.kind, call.namespace, call.target.name)
        raise
    repeated = duplicate_problems(call.request.body, body) if media != JSON_PATCH else ()
    return Patcher(media, body, Source(problems=repeated), options.field_validation, call.warnings)


def _read(media: str, text: bytes) -> Any:
    """A patch body; 400 for what is none of that format. null changes nothing, but as a merge patch it is refused."""
    try:
        body = parse_json(text)
    except ValueError as error:
        raise bad_request(str(error) if media == STRATEGIC_PATCH else f"error decoding patch: {error}") from None
    if body is None:
        if media == MERGE_PATCH:
            raise bad_request("Invalid JSON Patch")
        return [] if media == JSON_PATCH else {}
    if not isinstance(body, list if media == JSON_PATCH else dict):
        raise bad_request(_INTO[media].format(json_type(body)))
    return body
