"""Events in the two forms clients know: v1 (stored) and events.k8s.io/v1 (pure).

Facts: involvedObject/regarding, message/note, source/deprecatedSource, firstTimestamp/deprecatedFirstTimestamp,
lastTimestamp/deprecatedLastTimestamp, count/deprecatedCount, reportingComponent/reportingController.
"""

from __future__ import annotations

from netsim.api.kinds import Obj

_TO_VIEW = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_OMITTED = ("reportingController", "reportingInstance")
_TO_STORED = {view: stored for stored, view in _TO_VIEW.items()}


def show_event(event: Obj) -> Obj:
    """A v1 Event as events.k8s.io/v1 shows it, which leaves out a reporter that is not said."""
    shown = {_TO_VIEW.get(key, key): value for key, value in event.items()}
    return {key: value for key, value in shown.items() if value or key not in _OMITTED}


def store_event(event: Obj) -> Obj:
    """An events.k8s.io/v1 Event as it is stored."""
    return {_TO_STORED.get(key, key): value for key, value in event.items()}
