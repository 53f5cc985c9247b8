"""Rules of Deployments and ReplicaSets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from netsim.api import causes, validate_metadata, validate_pods
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.selectors import SelectorError, label_selector_of

_PERCENT_MESSAGE = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for"
    " validation is '[0-9]+%')"
)


def deployment(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _replicated(spec, "deployment")
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        yield from causes.at_least(f"spec.{field}", spec.get(field))
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    yield from causes.at_least("spec.progressDeadlineSeconds", deadline)
    if deadline is not None and 0 <= deadline <= ready:
        yield causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    yield from _strategy(spec.get("strategy") or {})


def replica_set(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _replicated(spec, "ReplicaSet")
    yield from causes.at_least("spec.minReadySeconds", spec.get("minReadySeconds"))


def workload_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """The selector of a Deployment or ReplicaSet never changes."""
    now, before = (o.get("spec") or {} for o in (new, old))
    yield from causes.unchanged("spec.selector", now.get("selector"), before.get("selector"))


def _replicated(spec: Obj, name: str) -> Iterator[Cause]:
    yield from causes.at_least("spec.replicas", spec.get("replicas"))
    template = spec.get("template") or {}
    selector = spec.get("selector")
    if selector is None:
        yield causes.required("spec.selector")
    else:
        yield from causes.selector_object("spec.selector", selector)
        yield from _selects(selector, template, name)
    yield from validate_metadata.common(template.get("metadata") or {}, "spec.template.metadata")
    pod = template.get("spec") or {}
    yield from validate_pods.pod_spec(pod, "spec.template.spec")
    if pod.get("restartPolicy") not in (None, "Always"):
        yield causes.unsupported("spec.template.spec.restartPolicy", pod["restartPolicy"], ["Always"])
    if "activeDeadlineSeconds" in pod:
        why = "activeDeadlineSeconds in ReplicaSet is not Supported"
        yield causes.forbidden("spec.template.spec.activeDeadlineSeconds", why)


def _selects(selector: Obj, template: Obj, name: str) -> Iterator[Cause]:
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield causes.invalid("spec.selector", selector, f"empty selector is invalid for {name}")
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    try:
        matches = label_selector_of(selector).matches(labels)
    except SelectorError as refusal:
        yield causes.invalid("spec.selector", selector, str(refusal))
        return
    if not matches:
        why = "`selector` does not match template `labels`"
        yield causes.invalid("spec.template.metadata.labels", labels, why)


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
    yield from _int_or_percent(f"{field}.maxUnavailable", unavailable)
    yield from _int_or_percent(f"{field}.maxSurge", surge)
    if _is_zero(surge) and _is_zero(unavailable):
        yield causes.invalid(f"{field}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    if isinstance(unavailable, str) and re.fullmatch("[0-9]+%", unavailable) and int(unavailable[:-1]) > 100:
        yield causes.invalid(f"{field}.maxUnavailable", unavailable, "must not be greater than 100%")


def _int_or_percent(field: str, value: Any) -> Iterator[Cause]:
    if isinstance(value, str):
        if not re.fullmatch("[0-9]+%", value):
            yield causes.invalid(field, value, _PERCENT_MESSAGE)
    else:
        yield from causes.at_least(field, value)


def _is_zero(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and re.fullmatch("0+%", value) is not None)
