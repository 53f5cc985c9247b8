"""Rules of environment variables and what they are read from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

from netsim.api import causes, validate_mounts
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.quantity import parse_quantity

_NAME = re.compile(r"[ -<>-~]+")
_NAME_MESSAGE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_SOURCES = ("configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef")
_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_BYTE_UNITS = {0, *(base**power for base in (1000, 1024) for power in range(7))}
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip


def environment(container: Obj, field: str, volumes: Mapping[str, Obj]) -> Iterator[Cause]:
    """`env` and `envFrom` of the container at `field`, in a pod with these volumes by name."""
    for index, variable in enumerate(container.get("env") or ()):
        yield from _variable(variable, f"{field}.env[{index}]", volumes)
    for index, source in enumerate(container.get("envFrom") or ()):
        yield from _from(source, f"{field}.envFrom[{index}]")


def _variable(variable: Obj, field: str, volumes: Mapping[str, Obj]) -> Iterator[Cause]:
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
        where = f"{field}.valueFrom.{kind}"
        yield from _file(source[kind], where, volumes) if kind == "fileKeyRef" else _source(kind, source[kind], where)


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
        else:
            yield from _divisor(f"{field}.divisor", resource, parse_quantity(source.get("divisor") or 0))


def _divisor(field: str, resource: str, divisor: Fraction) -> Iterator[Cause]:
    """CPUs are counted in units or thousandths, all else in bytes or powers of them. Kubernetes shows the resource."""
    kind = resource.partition(".")[2]
    if kind == "cpu" and divisor not in (0, 1, Fraction(1, 1000)):
        yield causes.invalid(field, resource, "only divisor's values 1m and 1 are supported with the cpu resource")
    elif kind != "cpu" and divisor not in _BYTE_UNITS:
        name = {"ephemeral-storage": "local ephemeral storage"}.get(kind, kind.partition("-")[0])
        units = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
        yield causes.invalid(field, resource, f"only divisor's values {units} are supported with the {name} resource")


def _file(source: Obj, field: str, volumes: Mapping[str, Obj]) -> Iterator[Cause]:
    """A variable out of a file that an init container wrote (KEP-3721)."""
    for part in ("key", "path", "volumeName"):
        if not source.get(part):
            yield causes.required(f"{field}.{part}")
    if source.get("key") and not _NAME.fullmatch(source["key"]):
        yield causes.invalid(f"{field}.key", source["key"], _NAME_MESSAGE)
    yield from validate_mounts.descending_path(f"{field}.path", source.get("path", ""))
    name = source.get("volumeName", "")
    if name:
        yield from causes.dns_label(f"{field}.volumeName", name)
    if name not in volumes:
        yield causes.not_found(f"{field}.volumeName", name)
    elif "emptyDir" not in volumes[name]:
        yield causes.invalid(f"{field}.volumeName", name, "referenced volume must be of type emptyDir")


def field_path(path: str, field: str, known: tuple[str, ...] = _FIELDS) -> Iterator[Cause]:
    """A field of a pod which its containers may be told."""
    subscript = _SUBSCRIPT.fullmatch(path)
    if not path:
        yield causes.required(field)
    elif subscript:
        yield from causes.qualified_name(field, subscript[2].lower())
    elif path not in known:
        if path in _FIELDS or path in _KNOWN:
            yield causes.unsupported(field, path, known)
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
        name = source[kind].get("name", "")
        yield from (
            causes.dns_subdomain(f"{field}.{kind}.name", name) if name else [causes.required(f"{field}.{kind}.name")]
        )
