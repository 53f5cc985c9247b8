"""Eviction: the deletion of a pod as far as its PodDisruptionBudget allows it (KEP-85)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

from netsim.api import disruption, errors, kinds
from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.api.objects import (
    condition,
    deletion_timestamp,
    is_pod_ready,
    metadata,
    name_of,
    set_condition,
    spec_of,
    status_of,
)
from netsim.api.times import format_time
from netsim.server import deletion, lifecycle
from netsim.server.authn import SERVER
from netsim.server.core import Core
from netsim.server.deletion import DeleteOptions
from netsim.server.rbac import User

MOST_DISRUPTED = 2000
_TRIES = 64
_UNSETTLED = 10
"""Seconds after which to ask again while the disruption controller has not yet seen the budget."""
_NOT_NOW = "does not allow evicting pods currently"
_VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


async def evict(core: Core, namespace: str, name: str, options: DeleteOptions, user: User) -> None:
    """Delete a pod if its budget allows it; raises 404, 429 (try later), 500 (more than one budget)."""
    pod = core.decoder(await core.item(kinds.PODS, namespace, name))
    if not _disrupts_nothing(pod):
        budgets = [b for b in await core.objects(kinds.POD_DISRUPTION_BUDGETS, namespace) if disruption.covers(b, pod)]
        if len(budgets) > 1:
            raise StatusError(500, "", _SEVERAL)
        if budgets and await _needs_version(core, budgets[0], pod, options.dry_run):
            options = _with_version(options, pod)
    if not options.dry_run and deletion_timestamp(pod) is None:
        options = await _say_why(core, namespace, pod, options, user)
    await deletion.delete_object(core, kinds.PODS, namespace, name, options)


def _disrupts_nothing(pod: Obj) -> bool:
    return deletion_timestamp(pod) is not None or status_of(pod).get("phase") in ("Succeeded", "Failed", "Pending")


def _with_version(options: DeleteOptions, pod: Obj) -> DeleteOptions:
    return options if options.revision else replace(options, revision=metadata(pod)["resourceVersion"])


async def _needs_version(core: Core, budget: Obj, pod: Obj, dry_run: bool) -> bool:
    """Take one disruption from the budget; or, for a pod that is not healthy and may go without, say that it must be
    deleted as it is now."""
    if not is_pod_ready(pod) and _may_go_unhealthy(budget):
        return True
    namespace, name = metadata(budget)["namespace"], name_of(budget)
    check_budget(budget)
    if dry_run:
        return False
    for _ in range(_TRIES):
        try:
            await lifecycle.update_object(
                core, kinds.POD_DISRUPTION_BUDGETS, namespace, name, lambda b: decremented(b, name_of(pod), _now(core)),
                SERVER, sub="status",
            )  # fmt: skip
            return False
        except StatusError as error:
            if error.reason != "Conflict":
                raise
    raise StatusError(504, "Timeout", f'couldn\'t update PodDisruptionBudget "{name}" due to conflicts')


def _may_go_unhealthy(budget: Obj) -> bool:
    if spec_of(budget).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = status_of(budget)
    desired = int(status.get("desiredHealthy") or 0)
    return desired > 0 and int(status.get("currentHealthy") or 0) >= desired


def check_budget(budget: Obj) -> None:
    """429 or 403 unless the budget allows one more disruption."""
    status, name = status_of(budget), name_of(budget)
    if int(status.get("observedGeneration") or 0) < int(metadata(budget).get("generation") or 0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", _UNSETTLED)
    if int(status.get("disruptionsAllowed") or 0) < 0:
        raise errors.forbidden(kinds.POD_DISRUPTION_BUDGETS, name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden(kinds.POD_DISRUPTION_BUDGETS, name, why)
    if not status.get("disruptionsAllowed"):
        raise _too_many(f"The disruption budget {name} {_why_none(budget)}", 0)


def _why_none(budget: Obj) -> str:
    """Why no disruption is allowed; numbers that a failed round left behind are not to be trusted."""
    status, found = status_of(budget), condition(budget, "DisruptionAllowed") or {}
    message = found.get("message") if found.get("status") == "False" else ""
    if message and found.get("reason") == "SyncFailed":
        return f"{_NOT_NOW} because it failed sync: {message}"
    desired, healthy = int(status.get("desiredHealthy") or 0), int(status.get("currentHealthy") or 0)
    if healthy <= desired:
        return f"needs {desired} healthy pods and has {healthy} currently"
    return f"{_NOT_NOW} ({found.get('reason')}): {message}" if message else _NOT_NOW


def _too_many(message: str, seconds: int) -> StatusError:
    """Kubernetes names a time to come back only when it knows that the next seconds bring an answer."""
    details: Obj = {"causes": [{"reason": "DisruptionBudget", "message": message}]}
    if seconds:
        details["retryAfterSeconds"] = seconds
    return StatusError(429, "TooManyRequests", _VIOLATION, details)


def decremented(budget: Obj, pod: str, now: str) -> Obj:
    """The budget with one disruption less allowed and the pod noted as disrupted; raises 429 or 403."""
    check_budget(budget)
    status = status_of(budget)
    left = int(status["disruptionsAllowed"]) - 1
    status = {**status, "disruptionsAllowed": left, "disruptedPods": {**(status.get("disruptedPods") or {}), pod: now}}
    return {**budget, "status": status if left else disruption.with_allowed_condition(status, now)}


def _now(core: Core) -> str:
    return format_time(core.clock().astimezone(UTC))


async def _say_why(core: Core, namespace: str, pod: Obj, options: DeleteOptions, user: User) -> DeleteOptions:
    """Give the pod the condition that says it is evicted (KEP-3329); a version asked for is checked here then."""
    condition: Obj = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    condition |= {"lastProbeTime": None, "message": "Eviction API: evicting"}

    def change(present: Obj) -> Obj:
        status = status_of(present)
        conditions = set_condition(status.get("conditions") or [], condition, _now(core))
        version = {"resourceVersion": options.revision} if options.revision else {}
        head = {**metadata(present), **version}
        return {**present, "metadata": head, "status": {**status, "conditions": conditions}}

    try:
        outcome = await lifecycle.update_object(core, kinds.PODS, namespace, name_of(pod), change, user, sub="status")
    except StatusError as error:
        if error.code == 409 and options.revision == metadata(pod)["resourceVersion"]:
            raise _too_many(f"The pod {name_of(pod)} has changed meanwhile", _UNSETTLED) from None
        raise
    return replace(options, revision=metadata(outcome.obj)["resourceVersion"]) if options.revision else options
