"""Rules of environment variables and what they are read from."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_NAME = re.compile(r"[ -<>-~]+")
_NAME_MESSAGE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_SOURCES = ("configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef")
_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip


def environment(container: Obj, field: str) -> Iterator[Cause]:
    """`env` and `envFrom` of the container at `field`."""
    for index, variable in enumerate(container.get("env") or ()):
        yield from _variable(variable, f"{field}.env[{index}]")
    for index, source in enumerate(container.get("envFrom") or ()):
        yield from _from(source, f"{field}.envFrom[{index}]")


def _variable(variable: Obj, field: str) -> Iterator[Cause]:
    name = variable.get("name", "")
    if not name:
        yield causes.required(f"{field}.name")
    elif not _NAME.fullmatch(name):
        yield causes.invalid(f"{field}.name", name, _NAME_MESSAGE)
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        yield causes.invalid(f"{field}.valueFrom", "", "may not be specified when `value` is not empty")
    given = [key for key in _SOURCES if source.get(key) is not None]
    if not given:
        options = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield causes.invalid(f"{field}.valueFrom", "", f"must specify one of: {options}")
    elif len(given) > 1:
        yield causes.invalid(f"{field}.valueFrom", "", "may not have more than one field specified at a time")
    for kind in given:
        yield from _source(kind, source[kind], f"{field}.valueFrom.{kind}")


def _source(kind: str, source: Obj, field: str) -> Iterator[Cause]:
    if kind in ("configMapKeyRef", "secretKeyRef"):
        if not source.get("key"):
            yield causes.required(f"{field}.key")
        yield from causes.dns_subdomain(f"{field}.name", source.get("name", ""))
    elif kind == "fieldRef":
        yield from field_path(source.get("fieldPath", ""), f"{field}.fieldPath")
    elif kind == "resourceFieldRef":
        resource = source.get("resource", "")
        if not resource:
            yield causes.required(f"{field}.resource")
        elif resource not in _RESOURCES and ".hugepages-" not in resource:
            yield causes.unsupported(f"{field}.resource", resource, _RESOURCES)


def field_path(path: str, field: str) -> Iterator[Cause]:
    """A field of a pod which its containers may be told."""
    subscript = _SUBSCRIPT.fullmatch(path)
    if not path:
        yield causes.required(field)
    elif subscript:
        yield from causes.qualified_name(field, subscript[2].lower())
    elif path not in _FIELDS:
        if path.startswith(("metadata.", "spec.", "status.")) and path in _KNOWN:
            yield causes.unsupported(field, path, _FIELDS)
        else:
            yield causes.invalid(field, path, f"error converting fieldPath: field label not supported: {path}")


_KNOWN = (
    "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "spec.hostNetwork",
    "status.phase", "status.nominatedNodeName",
)  # fmt: skip


def _from(source: Obj, field: str) -> Iterator[Cause]:
    """One source at `field`; Kubernetes names all of them where one has none or two."""
    prefix, whole = source.get("prefix", ""), field.rpartition("[")[0]
    if prefix and not _NAME.fullmatch(prefix):
        yield causes.invalid(f"{field}.prefix", prefix, _NAME_MESSAGE)
    given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
    if not given:
        yield causes.invalid(whole, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(given) > 1:
        yield causes.invalid(whole, "", "may not have more than one field specified at a time")
    for kind in given:
        if not source[kind].get("name"):
            yield causes.required(f"{field}.{kind}.name")
