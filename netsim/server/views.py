"""Kinds served in a second version or group: one store, two forms (pure).

Adding a view is a row in `netsim.api.kinds` with `view_of`, and an entry here if the forms differ in more than their
apiVersion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from netsim.api import errors, validate_events
from netsim.api.decoder import decode_error
from netsim.api.errors import StatusError
from netsim.api.kinds import EVENTS_V1, HORIZONTAL_POD_AUTOSCALERS_V1, Kind, Obj
from netsim.api.structural import complete
from netsim.server.bodies import DecodingError
from netsim.server.codec import stored_kind
from netsim.server.view_autoscalers import show_autoscaler, store_autoscaler
from netsim.server.view_events import show_event, store_event


@dataclass(frozen=True, slots=True)
class View:
    """How one kind's objects are shown from, and turned into, the form they are stored in. Neither function changes
    what it is given; apiVersion and kind are set by the callers below."""

    show: Callable[[Obj], Obj]
    store: Callable[[Obj], Obj]


_VIEWS: dict[Kind, View] = {
    EVENTS_V1: View(show_event, store_event),
    HORIZONTAL_POD_AUTOSCALERS_V1: View(show_autoscaler, store_autoscaler),
}
_SAME = View(dict, dict)


def is_view(kind: Kind) -> bool:
    """Whether objects of this kind are stored in another form and converted when read."""
    return bool(kind.view_of)


def shown_form(kind: Kind, stored: Obj) -> Obj:
    """A stored object as clients of `kind` see it."""
    if not kind.view_of:
        return stored
    if kind.custom is not None:  # a default added to the schema shows in older objects too
        stored = complete(kind.custom.schema, stored)
    return _VIEWS.get(kind, _SAME).show(stored) | {"kind": kind.kind, "apiVersion": kind.api_version}


def stored_form(kind: Kind, obj: Obj) -> Obj:
    """An object of `kind`, as a client wrote it, in the form it is stored in; 400 if that cannot be."""
    if not kind.view_of:
        return obj
    target = stored_kind(kind)
    stored = _VIEWS.get(kind, _SAME).store(obj) | {"kind": target.kind, "apiVersion": target.api_version}
    wrong = decode_error(target, stored) if kind in _VIEWS else ""
    if wrong:
        raise DecodingError(kind, wrong)
    return stored


def judged_form(kind: Kind, namespace: str, obj: Obj, old: Obj | None = None) -> Obj:
    """As `stored_form`, of what is to be written; 422 if it breaks rules that the other form does not have."""
    stored = stored_form(kind, obj)
    if kind is EVENTS_V1:
        metadata = {"namespace": namespace, **stored["metadata"]}
        placed = {**stored, "metadata": metadata}
        rules = (
            validate_events.strict_event(placed) if old is None else validate_events.strict_event_update(placed, old)
        )
        wrong = list(rules)
        if wrong:
            name = metadata.get("name") or metadata.get("generateName") or ""
            raise errors.invalid(stored_kind(kind), name, wrong)
    return stored


def shown_refusal(kind: Kind, refusal: StatusError) -> StatusError:
    """A refusal of the resource that objects of `kind` are stored as, in the words of `kind`; others as they are."""
    stored, details = stored_kind(kind), refusal.details or {}
    if stored.group == kind.group or (details.get("group", ""), details.get("kind")) != (stored.group, stored.plural):
        return refusal
    message = refusal.message.replace(f'{stored.resource} "', f'{kind.resource} "', 1)
    return StatusError(refusal.code, refusal.reason, message, {**details, "group": kind.group})


def shown_bytes(kind: Kind, stored: Obj) -> bytes:
    """JSON of `shown_form`."""
    return orjson.dumps(shown_form(kind, stored))
