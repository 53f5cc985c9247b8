"""Rules of the kinds that keep pods running: Deployments, ReplicaSets, ReplicationControllers, StatefulSets,
DaemonSets, and of PodTemplates and ControllerRevisions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from netsim.api import causes, validate_metadata, validate_pods, validate_storage
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.selectors import SelectorError, label_selector_of

_PERCENT_MESSAGE = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for"
    " validation is '[0-9]+%')"
)
_STATEFUL_FREE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_STATEFUL_MESSAGE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def deployment(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _replicated(spec, "deployment", "ReplicaSet")
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        yield from causes.at_least(f"spec.{field}", spec.get(field))
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    yield from causes.at_least("spec.progressDeadlineSeconds", deadline)
    if deadline is not None and 0 <= deadline <= ready:
        yield causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    yield from _strategy(spec.get("strategy") or {})


def replica_set(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _replicated(spec, "ReplicaSet", "ReplicaSet")
    yield from causes.at_least("spec.minReadySeconds", spec.get("minReadySeconds"))


def replication_controller(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    selector, given = spec.get("selector") or {}, spec.get("template")
    for field in ("minReadySeconds", "replicas"):
        yield from causes.at_least(f"spec.{field}", spec.get(field))
    if not selector:
        yield causes.required("spec.selector")
    if given is None:
        yield causes.required("spec.template")
        return
    labels = (given.get("metadata") or {}).get("labels") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        why = "`selector` does not match template `labels`"
        yield causes.invalid("spec.template.metadata.labels", labels, why)
    yield from template(given, "spec.template")
    yield from _always(given.get("spec") or {}, "ReplicationController")


def stateful_set(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    claims = [(c.get("metadata") or {}).get("name", "") for c in spec.get("volumeClaimTemplates") or ()]
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        yield causes.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    yield from _stateful_update_strategy(spec.get("updateStrategy") or {})
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        where = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
        yield from causes.one_of(where, retention.get(field), ("Delete", "Retain"))
    yield from causes.at_least("spec.minReadySeconds", spec.get("minReadySeconds"))
    yield from causes.at_least("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    yield from _replicated(spec, "statefulset", "StatefulSet", extra_volumes=claims)


def stateful_set_create(obj: Obj) -> Iterator[Cause]:
    """What is immutable is looked at only here: it may have been wrong before."""
    yield from stateful_set(obj)
    spec = obj.get("spec") or {}
    if spec.get("serviceName"):
        yield from causes.dns_label("spec.serviceName", spec["serviceName"])
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        yield from validate_storage.claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")


def _stateful_update_strategy(strategy: Obj) -> Iterator[Cause]:
    field, kind, rolling = "spec.updateStrategy", strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("OnDelete", "RollingUpdate"):
        shown = {"Type": kind, "RollingUpdate": rolling}  # as the type within names them
        yield causes.invalid(field, shown, "must be 'RollingUpdate' or 'OnDelete'")
    elif kind == "OnDelete" and rolling is not None:
        yield causes.invalid(f"{field}.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'")
    elif rolling is not None:
        yield from causes.at_least(f"{field}.rollingUpdate.partition", rolling.get("partition"))


def stateful_set_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = ({k: v for k, v in (o.get("spec") or {}).items() if k not in _STATEFUL_FREE} for o in (new, old))
    if now != before:
        yield causes.forbidden("spec", _STATEFUL_MESSAGE)


def daemon_set(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _replicated(spec, "daemonset", "DaemonSet")
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        yield from causes.at_least(f"spec.{field}", spec.get(field))
    strategy = spec.get("updateStrategy") or {}
    kind, field = strategy.get("type"), "spec.updateStrategy"
    if kind not in ("OnDelete", "RollingUpdate"):
        yield causes.unsupported(f"{field}.type", kind, ("OnDelete", "RollingUpdate"))
    elif kind == "RollingUpdate":
        yield from _daemon_rolling(strategy.get("rollingUpdate") or {}, f"{field}.rollingUpdate")


def _daemon_rolling(rolling: Obj, field: str) -> Iterator[Cause]:
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from int_or_percent(f"{field}.{name}", value)
        yield from at_most_all(f"{field}.{name}", value)
    if _is_zero(surge) and _is_zero(unavailable):
        yield causes.required(f"{field}.maxUnavailable", "cannot be 0 when maxSurge is 0")
    elif not _is_zero(surge) and not _is_zero(unavailable):
        yield causes.invalid(f"{field}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")


def workload_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """The selector of a Deployment, ReplicaSet or DaemonSet never changes."""
    now, before = (o.get("spec") or {} for o in (new, old))
    selector = now.get("selector") or {}
    if isinstance(selector.get("matchLabels"), dict):
        selector = {**selector, "matchLabels": dict(sorted(selector["matchLabels"].items()))}
    yield from causes.unchanged("spec.selector", selector, before.get("selector"))


def pod_template(obj: Obj) -> Iterator[Cause]:
    yield from template(obj.get("template") or {}, "template")


def controller_revision(obj: Obj) -> Iterator[Cause]:
    if obj.get("data") is None:
        yield causes.required("data", "data is mandatory")
    yield from causes.at_least("revision", obj.get("revision"))


def controller_revision_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("data", new.get("data"), old.get("data"))


# --- shared ------------------------------------------------------------------------------------------------------


def template(given: Obj, field: str, *, extra_volumes: Collection[str] = ()) -> Iterator[Cause]:
    """A pod template; `extra_volumes` are volumes its pods get from elsewhere."""
    yield from validate_metadata.common(given.get("metadata") or {}, field)  # Kubernetes leaves "metadata" out
    spec = given.get("spec") or {}
    yield from validate_pods.pod_spec(spec, f"{field}.spec", extra_volumes=extra_volumes)
    if spec.get("ephemeralContainers"):
        yield causes.forbidden(f"{field}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def _always(pod: Obj, owner: str) -> Iterator[Cause]:
    if pod.get("restartPolicy") not in (None, "Always"):
        yield causes.unsupported("spec.template.spec.restartPolicy", pod["restartPolicy"], ["Always"])
    if "activeDeadlineSeconds" in pod:
        why = f"activeDeadlineSeconds in {owner} is not Supported"
        yield causes.forbidden("spec.template.spec.activeDeadlineSeconds", why)


def _replicated(spec: Obj, name: str, owner: str, *, extra_volumes: Collection[str] = ()) -> Iterator[Cause]:
    yield from causes.at_least("spec.replicas", spec.get("replicas"))
    given = spec.get("template") or {}
    selector = spec.get("selector")
    if selector is None:
        yield causes.required("spec.selector")
        yield mismatch(given)  # no selector selects nothing
    else:
        yield from causes.selector_object("spec.selector", selector)
        yield from selects(selector, given, name)
    yield from template(given, "spec.template", extra_volumes=extra_volumes)
    yield from _always(given.get("spec") or {}, owner)


def selects(selector: Obj, given: Obj, name: str) -> Iterator[Cause]:
    """A selector must match the labels of its template; `name` is for the message about an empty one ("" if that is
    allowed)."""
    if name and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield causes.invalid("spec.selector", selector, f"empty selector is invalid for {name}")
        return
    labels = (given.get("metadata") or {}).get("labels") or {}
    try:
        matches = label_selector_of(selector).matches(labels)
    except SelectorError as refusal:
        yield causes.invalid("spec.selector", selector, str(refusal))
        return
    if not matches:
        yield mismatch(given)


def mismatch(given: Obj) -> Cause:
    """What is said of a template that its selector does not select."""
    labels = (given.get("metadata") or {}).get("labels")
    return causes.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _strategy(strategy: Obj) -> Iterator[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    yield from causes.one_of("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))
    if kind == "Recreate" and rolling is not None:
        why = "may not be specified when strategy `type` is 'Recreate'"
        yield causes.forbidden("spec.strategy.rollingUpdate", why)
    elif kind == "RollingUpdate" and rolling is not None:
        yield from _rolling_update(rolling)


def _rolling_update(rolling: Obj) -> Iterator[Cause]:
    field = "spec.strategy.rollingUpdate"
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    yield from int_or_percent(f"{field}.maxUnavailable", unavailable)
    yield from int_or_percent(f"{field}.maxSurge", surge)
    if _is_zero(surge) and _is_zero(unavailable):
        yield causes.invalid(f"{field}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from at_most_all(f"{field}.maxUnavailable", unavailable)


def int_or_percent(field: str, value: Any) -> Iterator[Cause]:
    """A number that is not negative, or a percentage."""
    if isinstance(value, str):
        if not re.fullmatch("[0-9]+%", value):
            yield causes.invalid(field, value, _PERCENT_MESSAGE)
    else:
        yield from causes.at_least(field, value)


def at_most_all(field: str, value: Any) -> Iterator[Cause]:
    """A percentage of at most 100."""
    if isinstance(value, str) and re.fullmatch("[0-9]+%", value) and int(value[:-1][:_DIGITS]) > 100:
        yield causes.invalid(field, value, "must not be greater than 100%")


_DIGITS = 18


def _is_zero(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and re.fullmatch("0+%", value) is not None)
