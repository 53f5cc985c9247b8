"""Rules of what is done to containers: probes and hooks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_HEADER = "[-A-Za-z0-9]+"
_HEADER_MESSAGE = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    f"validation is '{_HEADER}')"
)


def actions(container: Obj, field: str, pod: Obj) -> Iterator[Cause]:
    """Hooks and probes of the container at `field`; `pod` is the spec that it is in."""
    grace = pod.get("terminationGracePeriodSeconds")
    lifecycle = container.get("lifecycle") or {}
    for hook in _HOOKS:
        if hook in lifecycle:
            yield from _handler(lifecycle[hook], f"{field}.lifecycle.{hook}", ("exec", "httpGet", "tcpSocket", "sleep"))
            yield from _sleep(lifecycle[hook].get("sleep"), f"{field}.lifecycle.{hook}.sleep", grace)
    for name in PROBES:
        if name in container:
            yield from _probe(container[name], f"{field}.{name}", name)


def _sleep(sleep: Obj | None, field: str, grace: int | None) -> Iterator[Cause]:
    seconds = (sleep or {}).get("seconds", 0)
    if sleep is not None and grace is not None and not 0 <= seconds <= grace:
        why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        yield causes.invalid(field, seconds, why)


def _handler(handler: Obj, field: str, known: tuple[str, ...]) -> Iterator[Cause]:
    """Exactly one way; of several only the first is looked at."""
    given = [name for name in known if name in handler]
    yield from causes.exactly_one(field, given, "handler type")
    if not given:
        return
    kind, action, where = given[0], handler[given[0]], f"{field}.{given[0]}"
    if kind == "exec" and not action.get("command"):
        yield causes.required(f"{where}.command")
    if kind in ("httpGet", "tcpSocket", "grpc"):
        yield from causes.port_reference(f"{where}.port", action.get("port"))
    if kind == "httpGet":
        yield from _http_get(action, where)


def _http_get(action: Obj, field: str) -> Iterator[Cause]:
    if not action.get("path"):
        yield causes.required(f"{field}.path")
    yield from causes.one_of(f"{field}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        if not re.fullmatch(_HEADER, header.get("name", "")):
            yield causes.invalid(f"{field}.httpHeaders", header.get("name", ""), _HEADER_MESSAGE)


def _probe(probe: Obj, field: str, kind: str) -> Iterator[Cause]:
    yield from _handler(probe, field, ("exec", "httpGet", "tcpSocket", "grpc"))
    for name in _COUNTS:
        yield from causes.at_least(f"{field}.{name}", probe.get(name))
    grace: Any = probe.get("terminationGracePeriodSeconds")
    where = f"{field}.terminationGracePeriodSeconds"
    if grace is not None and grace <= 0:
        yield causes.invalid(where, grace, "must be greater than 0")
    if kind == "readinessProbe" and grace is not None:
        yield causes.invalid(where, grace, "must not be set for readinessProbes")
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield causes.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")
