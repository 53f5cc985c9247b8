"""How answers look to people: JSON indented for curl, Wget and browsers, as Kubernetes shows it to them."""

from __future__ import annotations

import orjson

from netsim.api.kinds import Obj
from netsim.http.types import Request, Response

_PEOPLES = ("curl", "Wget", "Mozilla/5.0")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_JSON = "application/json"
_METADATA = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
    "managedFields",
)  # fmt: skip
_PLACES = {name: place for place, name in enumerate(_METADATA)}


def wants_indented(request: Request) -> bool:
    """Whether JSON is to be indented: `pretty` says so or, where it says nothing, what asks shows it to a person."""
    asked = request.param("pretty") if request.query else ""
    return asked in _TRUE if asked else request.header("user-agent").startswith(_PEOPLES)


def show(response: Response) -> None:
    """Indent a whole answer that is JSON, in place."""
    body = response.body
    if isinstance(body, bytes) and body and response.header("content-type").startswith(_JSON):
        response.body = orjson.dumps(_ordered(orjson.loads(body)), option=orjson.OPT_INDENT_2)


def _ordered(value: Obj) -> Obj:
    """With the metadata of the object, or of a list's items, in the order in which Kubernetes writes it."""
    if isinstance(value.get("items"), list):
        value["items"] = [_ordered(item) if isinstance(item, dict) else item for item in value["items"]]
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        names = sorted(metadata, key=lambda name: _PLACES.get(name, len(_METADATA)))
        value["metadata"] = {name: metadata[name] for name in names}
    return value
