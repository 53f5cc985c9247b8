"""GET and LIST: objects, lists with paging, Tables, metadata only."""

from __future__ import annotations

import base64
import string
from dataclasses import dataclass
from datetime import UTC
from itertools import islice

import orjson

from netsim.api import errors
from netsim.api.errors import StatusError, bad_request
from netsim.api.json_text import parse_json
from netsim.api.kinds import Kind, Obj
from netsim.http.types import Response
from netsim.server import table
from netsim.server.codec import stored_kind
from netsim.server.core import Call, Core
from netsim.server.freshness import reach
from netsim.server.requests import ListOptions, parse_list_options, parse_revision
from netsim.server.responses import json_response, respond
from netsim.server.selection import Selection, compile_selection
from netsim.server.views import is_view
from netsim.store.types import Compacted, Item, Page

_BASE64 = frozenset(f"{string.ascii_letters}{string.digits}-_")
_GONE = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter."
)


@dataclass(frozen=True, slots=True)
class Slice:
    """The items of one answer and its list metadata."""

    items: list[Item]
    metadata: Obj


def encode_continue(revision: int, start: str) -> str:
    """An opaque token: the snapshot's revision and the next key, relative to the list's prefix."""
    body = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def decode_continue(token: str) -> tuple[int, str]:
    """(revision, start); 400 for what is no token."""
    problem = "continue key is not valid"
    try:
        body = parse_json(_unwrap(token))
    except ValueError as error:
        raise bad_request(f"invalid continue token: {problem}: {error}") from None
    if not isinstance(body, dict) or not isinstance(body.get("rv"), int) or not isinstance(body.get("start"), str):
        raise bad_request(f"invalid continue token: {problem}: incorrect fields")
    if body.get("v") != "meta.k8s.io/v1":
        raise bad_request(f"invalid continue token: {problem}: server does not recognize this encoded version")
    return body["rv"], body["start"]


def _unwrap(token: str) -> bytes:
    """What is in unpadded base64url, else a ValueError as Go words it."""
    strange = next((index for index, char in enumerate(token) if char not in _BASE64), None)
    if strange is None and len(token) % 4 == 1:
        strange = len(token) - 1
    if strange is not None:
        raise ValueError(f"illegal base64 data at input byte {strange}")
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


async def get_object(core: Core, call: Call) -> Response:
    """GET of one object in the representation asked for, no older than the revision that is named."""
    if revision := parse_revision(call.request.param("resourceVersion")):
        await reach(core.store, revision)
    item = await core.item(call.kind, call.namespace, call.target.name)
    return object_response(core, call, core.wire(call.kind, item), core.decoder(item))


def object_response(core: Core, call: Call, body: bytes, obj: Obj, status: int = 200) -> Response:
    """One object as JSON, YAML, Table or PartialObjectMetadata; `body` is its JSON."""
    shape = call.format.shape
    if shape == "Table":
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return json_response(_table(core, call, [obj], metadata), status, call.warnings, call.format)
    if shape == "PartialObjectMetadata":
        _check_listed(call, listed=False)
        return json_response(table.partial_object(obj, call.format.version), status, call.warnings, call.format)
    return respond(body, call.format, status, call.warnings)


def _table(core: Core, call: Call, objects: list[Obj], metadata: Obj) -> Obj:
    include = call.request.param("includeObject")
    table.check_include(include)
    now = core.clock().astimezone(UTC)
    return table.build_table(call.kind, objects, metadata, now, version=call.format.version, include=include)


async def list_objects(core: Core, call: Call) -> Response:
    """LIST with selectors, limit and continue."""
    options = parse_list_options(call.request, watch=False)
    selection = compile_selection(call.kind, call.namespace, options.label_selector, options.field_selector)
    return list_response(core, call, await select_items(core, selection, options))


def list_response(core: Core, call: Call, found: Slice) -> Response:
    """A list in the representation asked for."""
    if call.format.shape:
        objects = [core.decoder(item) for item in found.items]
        return json_response(_shaped_list(core, call, objects, found.metadata), form=call.format)
    return respond(list_bytes(core, call.kind, found), call.format)


def _check_listed(call: Call, *, listed: bool) -> None:
    """406 for the metadata of a list where one object was asked for, or the other way round."""
    if call.format.listed == listed:
        return
    kind = stored_kind(call.kind)
    go_type = "unstructured.Unstructured" if kind.custom else f"{kind.group.partition('.')[0] or 'core'}.{kind.kind}"
    wanted = "PartialObjectMetadata" + "List" * call.format.listed
    found = f"a list (*{go_type}List)" if listed else f"not a list (*{go_type})"
    raise StatusError(406, "NotAcceptable", f"you requested {wanted}, but the requested object is {found}")


def _shaped_list(core: Core, call: Call, objects: list[Obj], metadata: Obj) -> Obj:
    if call.format.shape == "Table":
        return _table(core, call, objects, metadata)
    _check_listed(call, listed=True)
    version = call.format.version
    items = [table.partial_object(obj, version) for obj in objects]
    head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{version}"}
    return {**head, "metadata": metadata, "items": items}


def list_bytes(core: Core, kind: Kind, found: Slice) -> bytes:
    """A List's JSON from the stored bytes of its items."""
    start = f'{{"kind":"{kind.list_kind}","apiVersion":"{kind.api_version}","metadata":'.encode()
    # There is no type of a custom resource's list that would leave out what is empty.
    metadata = {"continue": "", **found.metadata} if kind.custom is not None else found.metadata
    head = start + orjson.dumps(metadata) + b',"items":['
    if is_view(kind):
        return b"".join((head, b",".join(core.wire(kind, item) for item in found.items), b"]}"))
    return core.lists.body(kind, head, found.items)


async def select_items(core: Core, selection: Selection, options: ListOptions) -> Slice:
    """The selected items with list metadata; 410 when the snapshot is gone, 504 for a revision of the future."""
    try:
        if options.continue_token:
            revision, start = decode_continue(options.continue_token)
            if not 0 < revision <= core.store.revision:
                raise bad_request(f"invalid continue token: revision {revision} is none of this server's")
            return await _page(core, selection, options.limit, revision, selection.prefix + start)
        return await _first_page(core, selection, options)
    except Compacted:
        if options.continue_token:
            raise StatusError(410, "Expired", _GONE) from None
        raise errors.expired("The resourceVersion for the provided list is too old.") from None


async def _first_page(core: Core, selection: Selection, options: ListOptions) -> Slice:
    revision = options.revision or 0
    # A limited list from a revision is of just that revision, as the pages that follow are.
    exact = options.revision_match == "Exact" or bool(revision and options.limit and not options.revision_match)
    if exact and revision > core.store.revision:
        raise errors.too_large_revision(revision, core.store.revision, retry=False)
    await reach(core.store, revision)
    if exact:
        return await _page(core, selection, options.limit, revision, "")
    if selection.exact:
        return await _single(core, selection)
    return await _page(core, selection, 0 if options.revision == 0 else options.limit, 0, "")


async def _single(core: Core, selection: Selection) -> Slice:
    revision = core.store.revision
    item = await core.store.get(selection.exact)
    items = [item] if item is not None and selection.matches(core.decoder(item)) else []
    return Slice(items, {"resourceVersion": str(max([revision, *(i.revision for i in items)]))})


async def _page(core: Core, selection: Selection, limit: int, revision: int, start: str) -> Slice:
    if selection.everything:
        page = await core.store.list(selection.prefix, limit=limit, start=start, revision=revision)
        return Slice(page.items, _metadata(selection, page, page.items, page.remaining, counted=True))
    page = await core.store.list(selection.prefix, start=start, revision=revision)
    shown = list(islice((item for item in page.items if selection.matches(core.decoder(item))), limit or None))
    # Kubernetes looks no further than the last item shown: what follows may well match nothing.
    more = bool(limit) and len(shown) == limit and shown[-1] is not page.items[-1]
    return Slice(shown, _metadata(selection, page, shown, int(more), counted=False))


def _metadata(selection: Selection, page: Page, shown: list[Item], remaining: int, *, counted: bool) -> Obj:
    metadata: Obj = {"resourceVersion": str(page.revision)}
    if remaining and shown:
        next_key = shown[-1].key.removeprefix(selection.prefix) + "\0"
        metadata["continue"] = encode_continue(page.revision, next_key)
        if counted:
            metadata["remainingItemCount"] = remaining
    return metadata
