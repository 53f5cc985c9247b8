"""Writes a pod's status to the API when the API's Pod does not show it."""

from __future__ import annotations

import logging

from netsim.agent.model import Obj, PodState
from netsim.agent.podspec import newest
from netsim.agent.status import build_status
from netsim.api.errors import StatusError
from netsim.api.kinds import PODS
from netsim.client.rest import Client

log = logging.getLogger(__name__)
REFUSED = (400, 403, 404, 409, 413, 422)
"""Answers that the same status would get again."""
_OF_A_GONE_POD = (404, 409)


class Reporter:
    """The status of one pod, compared with the Pod as it is watched: others (the node controller) write into it too."""

    def __init__(self, client: Client, *host_ips: str) -> None:
        self.client, self.host_ips = client, host_ips
        self._answer: Obj | None = None
        self._refused: tuple[Obj, Obj] | None = None

    def due(self, pod: Obj, state: PodState, now: float) -> Obj | None:
        """The status to write, None when it is there already or was refused for this very Pod."""
        basis = newest(pod, self._answer)
        status = build_status({**pod, "status": basis.get("status") or {}}, state, now, *self.host_ips)
        if basis is pod:
            self._answer = None
        if self._refused == (pod["metadata"], _timeless(status)):
            return None
        return None if contains(basis.get("status") or {}, status) else status

    async def send(self, pod: Obj, status: Obj) -> bool:
        """Write it; False when it should be tried again. A pod that is gone or replaced needs no status."""
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"]}, "status": status}
        try:
            answer = await self.client.patch(PODS, meta["name"], patch, meta["namespace"], sub="status")
            self._answer = {"metadata": answer["metadata"], "status": answer.get("status") or {}}
        except StatusError as error:
            if error.code in REFUSED:
                level = logging.INFO if error.code in _OF_A_GONE_POD else logging.WARNING
                log.log(level, "status of pod %s/%s refused: %s", meta["namespace"], meta["name"], error.message)
                self._refused = (meta, _timeless(status))
                return True
            log.warning("status of pod %s/%s: %s", meta["namespace"], meta["name"], error.message)
            return False
        except OSError as error:
            log.warning("status of pod %s/%s: %s", meta["namespace"], meta["name"], error)
            return False
        return True


def contains(have: Obj, want: Obj) -> bool:
    """Whether every field of a wanted status is there already; null is as good as absent."""
    return all(_without_nulls(have.get(key)) == _without_nulls(value) for key, value in want.items())


def _timeless(status: Obj) -> Obj:
    """A status without its conditions, whose times are those of the trial; containerStatuses tell what they say."""
    return {key: value for key, value in status.items() if key != "conditions"}


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value
