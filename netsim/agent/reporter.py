"""Writes a pod's status to the API when it differs from what was written last."""

from __future__ import annotations

import logging

from netsim.agent.model import Obj, PodState
from netsim.agent.status import build_status
from netsim.api.errors import StatusError
from netsim.api.kinds import PODS
from netsim.client.rest import Client

log = logging.getLogger(__name__)


class Reporter:
    """The status of one pod as the API has it from us."""

    def __init__(self, client: Client, host_ip: str) -> None:
        self.client, self.host_ip = client, host_ip
        self._sent: Obj | None = None

    def due(self, pod: Obj, state: PodState, now: float) -> Obj | None:
        """The status to write, None when nothing has changed."""
        basis = pod if self._sent is None else {**pod, "status": _newest(pod.get("status") or {}, self._sent)}
        status = build_status(basis, state, now, self.host_ip)
        return None if _contains(basis.get("status") or {}, status) else status

    async def send(self, pod: Obj, status: Obj) -> bool:
        """Write it; False when it should be tried again. A pod that is gone or replaced needs no status."""
        meta = pod["metadata"]
        patch = {"metadata": {"uid": meta["uid"]}, "status": status}
        try:
            await self.client.patch(PODS, meta["name"], patch, meta["namespace"], sub="status")
        except StatusError as error:
            if error.code in (404, 409, 422):
                log.info("status of pod %s/%s refused: %s", meta["namespace"], meta["name"], error.message)
                self._sent = status
                return True
            log.warning("status of pod %s/%s: %s", meta["namespace"], meta["name"], error.message)
            return False
        except OSError as error:
            log.warning("status of pod %s/%s: %s", meta["namespace"], meta["name"], error)
            return False
        self._sent = status
        return True


def _newest(seen: Obj, sent: Obj) -> Obj:
    """What we wrote, with conditions of others (readiness gates) as last seen."""
    ours = {c["type"] for c in sent["conditions"]}
    return {
        **sent,
        "conditions": sent["conditions"] + [c for c in seen.get("conditions") or [] if c["type"] not in ours],
    }


def _contains(have: Obj, want: Obj) -> bool:
    """Whether every field of a wanted status is there already."""
    return all(have.get(key) == value for key, value in want.items())
