"""Events in the two forms clients know: v1 (stored) and events.k8s.io/v1 (pure).

Facts: involvedObject/regarding, message/note, source/deprecatedSource, firstTimestamp/deprecatedFirstTimestamp,
lastTimestamp/deprecatedLastTimestamp, count/deprecatedCount, reportingComponent/reportingController.
"""

from __future__ import annotations

import orjson

from netsim.api.kinds import EVENTS, EVENTS_V1, Obj

_TO_VIEW = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_TO_STORED = {view: stored for stored, view in _TO_VIEW.items()}


def event_view(event: Obj) -> Obj:
    """A v1 Event as events.k8s.io/v1 shows it."""
    renamed = {_TO_VIEW.get(key, key): value for key, value in event.items()}
    return renamed | {"kind": EVENTS_V1.kind, "apiVersion": EVENTS_V1.api_version}


def event_stored(event: Obj) -> Obj:
    """An events.k8s.io/v1 Event as it is stored."""
    renamed = {_TO_STORED.get(key, key): value for key, value in event.items()}
    return renamed | {"kind": EVENTS.kind, "apiVersion": EVENTS.api_version}


def event_bytes(event: Obj) -> bytes:
    """JSON of the events.k8s.io/v1 form of a v1 Event."""
    return orjson.dumps(event_view(event))
