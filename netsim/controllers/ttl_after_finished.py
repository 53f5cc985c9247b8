"""Finished Jobs with spec.ttlSecondsAfterFinished are deleted when that time has passed, their pods with them."""

from __future__ import annotations

from netsim.api.kinds import JOBS
from netsim.api.objects import deletion_timestamp
from netsim.api.times import seconds_between
from netsim.controllers.controller import Controller
from netsim.controllers.job_status import finished_condition
from netsim.controllers.view import View
from netsim.controllers.wakes import by_own_key
from netsim.controllers.writes import Requeue, Writes, delete_of


def reconcile(key: str, view: View) -> Writes:
    """Delete one Job when its time is over."""
    job = view.get(JOBS, key)
    ttl = job["spec"].get("ttlSecondsAfterFinished") if job is not None else None
    if job is None or ttl is None or deletion_timestamp(job):
        return []
    finished = finished_condition(job)
    if finished is None or not finished.get("lastTransitionTime"):
        return []
    left = float(ttl) - seconds_between(finished["lastTransitionTime"], view.now)
    return [Requeue(left)] if left > 0 else [delete_of(JOBS, job, propagation="Foreground")]


CONTROLLER = Controller("ttl-after-finished-controller", reconcile, ((JOBS, by_own_key),))
