"""Deleting objects: preconditions, grace, finalizers, propagation policies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta

from netsim.api import errors, kinds
from netsim.api.decoder import decode_error
from netsim.api.errors import NOT_SUPPORTED, Cause, StatusError
from netsim.api.kinds import Kind, Obj
from netsim.api.schema_fit import fits
from netsim.api.times import format_time
from netsim.http.types import Request
from netsim.server import admission, crd, strategy
from netsim.server.bodies import decode_body
from netsim.server.codec import encode
from netsim.server.core import Core
from netsim.server.lifecycle import Outcome, may_vanish, remove, tell_decoder, with_version
from netsim.server.requests import parse_bool, parse_dry_run, parse_int
from netsim.store.types import Item, RevisionMismatch

_TRIES = 64
_OPTIONS = ("", "v1", "DeleteOptions")
_MAX_GRACE = 10 * 365 * 86400
_POLICIES = ("Foreground", "Background", "Orphan")
_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
_ORPHANING = (kinds.JOBS, kinds.REPLICATION_CONTROLLERS)
"""Whose pods stay, as they did in the versions before garbage collection, unless the client says otherwise."""
_JOBS_PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set"
    " propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """DeleteOptions of meta/v1; `grace` in seconds, None = the object's own."""

    grace: int | None = None
    policy: str = ""
    uid: str = ""
    revision: str = ""
    dry_run: bool = False


def _invalid(field: str, message: str, reason: str = errors.INVALID) -> StatusError:
    return errors.invalid_named("meta.k8s.io", "DeleteOptions", "", [Cause(reason, message, field)])


def parse_delete_options(request: Request) -> DeleteOptions:
    """From the body where there is one, and then from that alone, else from the query."""
    if not request.body:
        return delete_options({}, request)
    body = decode_body(request.body, request.header("content-type"), "DeleteOptions")
    return delete_options(body, replace(request, query=[]))


def delete_options(body: Obj, request: Request) -> DeleteOptions:
    """From a DeleteOptions object and, where it says nothing, the query; 400 and 422 for what does not fit."""
    if body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise errors.bad_request(f"expected DeleteOptions in the body, got {body.get('kind')}")
    wrong = decode_error(_OPTIONS, body) if body and not fits(_OPTIONS, body) else ""
    if wrong:
        raise errors.bad_request(f"DeleteOptions: {wrong}")
    grace = body.get("gracePeriodSeconds")
    if grace is None:
        grace = parse_int(request.param("gracePeriodSeconds"))
    if grace is not None and abs(grace) > _MAX_GRACE:
        raise _invalid("gracePeriodSeconds", f"Invalid value: {grace}: must be at most {_MAX_GRACE}")
    policy = str(body.get("propagationPolicy") or request.param("propagationPolicy"))
    orphan = body.get("orphanDependents")
    if orphan is None and request.param("orphanDependents"):
        orphan = parse_bool(request.param("orphanDependents"))
    if not policy and orphan is not None:
        policy = "Orphan" if orphan else "Background"
    elif orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        raise _invalid("propagationPolicy", f'Invalid value: "{policy}": {why}')
    if policy and policy not in _POLICIES:
        listed = ", ".join(f'"{name}"' for name in (*_POLICIES, "nil"))
        text = f'Unsupported value: "{policy}": supported values: {listed}'
        raise _invalid("propagationPolicy", text, NOT_SUPPORTED)
    preconditions = body.get("preconditions") or {}
    dry_run = parse_dry_run([*(body.get("dryRun") or ()), *request.params("dryRun")], "DeleteOptions")
    return DeleteOptions(
        grace, policy, str(preconditions.get("uid") or ""), str(preconditions.get("resourceVersion") or ""), dry_run
    )


def deletion_warnings(kind: Kind, options: DeleteOptions) -> list[str]:
    """What a client is told that deletes a Job and says nothing of its pods."""
    return [_JOBS_PODS_STAY] if kind is kinds.JOBS and not options.policy else []


async def delete_object(core: Core, kind: Kind, namespace: str, name: str, options: DeleteOptions) -> Outcome:
    """Delete at once, or mark as deleted when grace or finalizers stand before it (`removed` tells)."""
    admission.check_namespace_deletion(kind, name)
    for _ in range(_TRIES):
        item = await core.item(kind, namespace, name)
        try:
            return await _delete_once(core, kind, item, options)
        except RevisionMismatch:
            continue
    raise errors.conflict(kind, name)


async def _delete_once(core: Core, kind: Kind, item: Item, options: DeleteOptions) -> Outcome:
    old = core.decoder(item)
    _check_preconditions(kind, item, old, options)
    marked = _mark(core, kind, _with_policy(old, _policy(kind, old, options.policy)), options.grace)
    if may_vanish(kind, marked):
        last = marked if kind is kinds.PODS else old
        return Outcome(last, removed=True) if options.dry_run else await remove(core, kind, item, last)
    if options.dry_run:
        return Outcome(marked)
    if strategy.same_object(marked, old):
        return Outcome(old, item)
    written = await core.store.update(item.key, encode(kind, marked), item.revision)
    tell_decoder(core, kind, (item, old), (written, marked))
    return Outcome(with_version(marked, written.revision), written)


def _check_preconditions(kind: Kind, item: Item, old: Obj, options: DeleteOptions) -> None:
    uid, revision = old["metadata"]["uid"], str(item.revision)
    if options.uid and options.uid != uid:
        raise _unmet(kind, old, "UID", options.uid, uid, "deleted and then recreated")
    if options.revision and options.revision != revision:
        raise _unmet(kind, old, "ResourceVersion", options.revision, revision, "modified")


def _unmet(kind: Kind, old: Obj, what: str, asked: str, found: str, happened: str) -> StatusError:
    """409 for a precondition that does not hold; Kubernetes names the kind there, not the resource."""
    name = old["metadata"]["name"]
    message = (
        f'Operation cannot be fulfilled on {kind.kind}{"." + kind.group if kind.group else ""} "{name}": the {what} '
        f"in the precondition ({asked}) does not match the {what} in record ({found}). "
        f"The object might have been {happened}"
    )
    details = {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.kind}
    return StatusError(409, "Conflict", message, details)


def _policy(kind: Kind, obj: Obj, asked: str) -> str:
    """What is to become of an object's dependents: as asked, else as its finalizers say, else as its kind has it."""
    said = set(obj["metadata"].get("finalizers") or ()) & set(_FINALIZERS.values())
    return asked or ("Orphan" if kind in _ORPHANING and not said else "")


def _with_policy(obj: Obj, policy: str) -> Obj:
    """The object with the finalizer that Foreground or Orphan needs, or without it."""
    if not policy:
        return obj
    before = list(obj["metadata"].get("finalizers") or [])
    after = [name for name in before if name not in _FINALIZERS.values()]
    if policy in _FINALIZERS:
        after.append(_FINALIZERS[policy])
    if before == after:
        return obj
    metadata = {key: value for key, value in obj["metadata"].items() if key != "finalizers"}
    return {**obj, "metadata": metadata | ({"finalizers": after} if after else {})}


def _mark(core: Core, kind: Kind, obj: Obj, asked: int | None) -> Obj:
    grace = pod_grace(obj, asked) if kind is kinds.PODS else 0
    present = obj["metadata"].get("deletionTimestamp")
    if present is not None and grace >= int(obj["metadata"].get("deletionGracePeriodSeconds") or 0):
        return obj
    when = core.clock().astimezone(UTC) + timedelta(seconds=grace)
    marked = strategy.mark_deleted(kind, obj, format_time(when), grace)
    return crd.marked(marked, core.now()) if kind is kinds.CUSTOM_RESOURCE_DEFINITIONS else marked


def pod_grace(pod: Obj, asked: int | None) -> int:
    """Seconds of grace: asked, else the pod's own (30), at most ten years, as dates end; none for pods that never got a
    node or have ended."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = asked if asked is not None else int(spec.get("terminationGracePeriodSeconds", 30))
    return min(grace, _MAX_GRACE) if grace >= 0 else 1
