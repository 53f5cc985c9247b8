"""Rules of the kinds without a file of their own."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.json_text import json_type, parse_json
from netsim.api.kinds import Obj

_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_MESSAGE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
    "  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_DATA_LIMIT = 1024 * 1024
_RBAC = "rbac.authorization.k8s.io"
_TYPE_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _data(obj: Obj, fields: tuple[str, ...]) -> Iterator[Cause]:
    size = 0
    for field in fields:
        for key, value in (obj.get(field) or {}).items():
            size += len(value)
            if len(key) > 253:
                yield causes.invalid(f"{field}[{key}]", key, "must be no more than 253 characters")
            if not _KEY.fullmatch(key):
                yield causes.invalid(f"{field}[{key}]", key, _KEY_MESSAGE)
            if key in (".", ".."):
                yield causes.invalid(f"{field}[{key}]", key, f"must not be '{key}'")
            elif key.startswith(".."):
                yield causes.invalid(f"{field}[{key}]", key, "must not start with '..'")
    if size > _DATA_LIMIT * (4 / 3 if fields == ("data",) else 1):
        yield causes.too_long("[]", _DATA_LIMIT)


def config_map(obj: Obj) -> Iterator[Cause]:
    yield from _data(obj, ("data", "binaryData"))
    for key in (obj.get("data") or {}).keys() & (obj.get("binaryData") or {}).keys():
        yield causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")


def secret(obj: Obj) -> Iterator[Cause]:
    yield from _data(obj, ("data",))
    kind, data = obj.get("type", ""), obj.get("data") or {}
    for key in _TYPE_KEYS.get(kind, ()):
        if key not in data or (key == "ssh-privatekey" and not data[key]):
            yield causes.required(f"data[{key}]")
        elif key.startswith(".docker") and (problem := _no_object(data[key])):
            yield causes.invalid(f"data[{key}]", "<secret contents redacted>", problem)
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    account = "kubernetes.io/service-account.name"
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(obj.get("data") or {}):
        yield causes.required("data[username]")
        yield causes.required("data[password]")
    if kind == "kubernetes.io/service-account-token" and not annotations.get(account):
        yield causes.required(f"metadata.annotations[{account}]")


def _no_object(encoded: str) -> str:
    """Why what base64 hides is no JSON object, "" if it is one."""
    try:
        value = parse_json(base64.b64decode(encoded))
    except ValueError as error:
        return str(error)
    fits = value is None or isinstance(value, dict)
    return "" if fits else f"json: cannot unmarshal {json_type(value)} into Go value of type map[string]interface {{}}"


def _immutable(new: Obj, old: Obj, fields: tuple[str, ...]) -> Iterator[Cause]:
    if not old.get("immutable"):
        return
    why = "field is immutable when `immutable` is set"
    for field in ("immutable", *fields):
        if new.get(field) != old.get(field):
            yield causes.forbidden(field, why)


def config_map_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _immutable(new, old, ("data", "binaryData"))


def secret_update(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from causes.unchanged("type", new.get("type"), old.get("type"))
    yield from _immutable(new, old, ("data",))


def cluster_role(obj: Obj) -> Iterator[Cause]:
    yield from role(obj)
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return
    selectors, field = aggregation.get("clusterRoleSelectors") or (), "aggregationRule.clusterRoleSelectors"
    if not selectors:
        yield causes.required(field, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors):
        wrong = list(causes.selector_object(f"{field}[{index}]", selector))
        yield from wrong
        if wrong:
            yield causes.invalid(f"{field}[{index}]", None, "invalid label selector.")


def role(obj: Obj) -> Iterator[Cause]:
    for index, rule in enumerate(obj.get("rules") or ()):
        field = f"rules[{index}]"
        if not rule.get("verbs"):
            yield causes.required(f"{field}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if obj.get("kind") == "Role":
                why = "namespaced rules cannot apply to non-resource URLs"
                yield causes.invalid(f"{field}.nonResourceURLs", rule["nonResourceURLs"], why)
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                why = "rules cannot apply to both regular resources and non-resource URLs"
                yield causes.invalid(f"{field}.nonResourceURLs", rule["nonResourceURLs"], why)
            continue
        if not rule.get("apiGroups"):
            why = "resource rules must supply at least one api group"
            yield causes.required(f"{field}.apiGroups", why)
        if not rule.get("resources"):
            yield causes.required(f"{field}.resources", "resource rules must supply at least one resource")


def role_binding(obj: Obj) -> Iterator[Cause]:
    yield from _binding(obj, ("Role", "ClusterRole"), cluster=False)


def cluster_role_binding(obj: Obj) -> Iterator[Cause]:
    yield from _binding(obj, ("ClusterRole",), cluster=True)


def _binding(obj: Obj, kinds: tuple[str, ...], *, cluster: bool) -> Iterator[Cause]:
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != _RBAC:
        yield causes.unsupported("roleRef.apiGroup", reference.get("apiGroup", ""), [_RBAC])
    if reference.get("kind") not in kinds:
        yield causes.unsupported("roleRef.kind", reference.get("kind", ""), kinds, ordered=True)
    if not reference.get("name"):
        yield causes.required("roleRef.name")
    yield from causes.path_segment("roleRef.name", reference.get("name", ""))
    for index, subject in enumerate(obj.get("subjects") or ()):
        yield from _subject(subject, f"subjects[{index}]", cluster=cluster)


def _subject(subject: Obj, field: str, *, cluster: bool) -> Iterator[Cause]:
    kind = subject.get("kind", "")
    if not subject.get("name"):
        yield causes.required(f"{field}.name")
    elif kind == "ServiceAccount":
        yield from causes.dns_subdomain(f"{field}.name", subject["name"])
    if kind not in ("Group", "ServiceAccount", "User"):
        yield causes.unsupported(f"{field}.kind", kind, ("ServiceAccount", "User", "Group"), ordered=True)
        return
    group, wanted = subject.get("apiGroup", ""), "" if kind == "ServiceAccount" else _RBAC
    if group != wanted:
        yield causes.unsupported(f"{field}.apiGroup", group, [wanted])
    if kind == "ServiceAccount" and cluster and not subject.get("namespace"):
        yield causes.required(f"{field}.namespace")


def role_binding_update(new: Obj, old: Obj) -> Iterator[Cause]:
    if new.get("roleRef") != old.get("roleRef"):
        given = new.get("roleRef") or {}
        shown = {"APIGroup": given.get("apiGroup", ""), "Kind": given.get("kind", ""), "Name": given.get("name", "")}
        yield causes.invalid("roleRef", shown, "cannot change roleRef")


def lease(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        yield causes.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if transitions is not None and transitions < 0:
        yield causes.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


def access_review(obj: Obj) -> Iterator[Cause]:
    """SubjectAccessReviews of all three kinds: what is asked must be said once, and by whom."""
    spec: dict[str, Any] = obj.get("spec") or {}
    given = [name for name in ("nonResourceAttributes", "resourceAttributes") if spec.get(name) is not None]
    if len(given) != 1:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield causes.invalid("spec.resourceAttributes", spec.get("resourceAttributes"), why)


def subject_review(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from access_review(obj)
    if not spec.get("user") and not spec.get("groups"):
        yield causes.invalid("spec.user", spec.get("user", ""), "at least one of user or group must be specified")
