"""Rules of Ingresses, IngressClasses and NetworkPolicies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from netsim.api import causes, names
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_WILDCARD = re.compile(rf"\*\.{names.SUBDOMAIN_PATTERN}")
_WILDCARD_MESSAGE = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
    f"regex used for validation is '\\*\\.{names.SUBDOMAIN_PATTERN}')"
)
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDINGS = ("/..", "/.")
_CONTROLLER_LIMIT = 250
_CIDR_MESSAGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_SCOPES = ("Cluster", "Namespace")


def ingress(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    rules, default = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and default is None:
        yield causes.invalid("spec", spec.get("rules") or None, "either `defaultBackend` or `rules` must be specified")
    if default is not None:
        yield from _backend(default, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        yield from _rule(rule, f"spec.rules[{index}]")
    for index, entry in enumerate(spec.get("tls") or ()):
        yield from _tls(entry, f"spec.tls[{index}]")
    if spec.get("ingressClassName") is not None:
        yield from causes.dns_subdomain("spec.ingressClassName", spec["ingressClassName"])


def ingress_create(obj: Obj) -> Iterator[Cause]:
    """As `ingress`; and a new one that names its class in two places names the same."""
    yield from ingress(obj)
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    name = (obj.get("spec") or {}).get("ingressClassName")
    if name is not None and annotations.get(_CLASS_ANNOTATION, name) != name:
        where, why = f"annotations.{_CLASS_ANNOTATION}", "must match `ingressClassName` when both are specified"
        yield causes.invalid(where, annotations[_CLASS_ANNOTATION], why)


def _host(field: str, host: str) -> Iterator[Cause]:
    if "*" not in host:
        yield from causes.dns_subdomain(field, host)
    elif len(host) > 253:
        yield causes.invalid(field, host, "must be no more than 253 characters")
    elif not _WILDCARD.fullmatch(host):
        yield causes.invalid(field, host, _WILDCARD_MESSAGE)


def _rule(rule: Obj, field: str) -> Iterator[Cause]:
    if rule.get("host") and causes.is_ip(rule["host"]):
        yield causes.invalid(f"{field}.host", rule["host"], "must be a DNS name, not an IP address")
    if rule.get("host"):
        yield from _host(f"{field}.host", rule["host"])
    if rule.get("http") is None:
        return
    paths = rule["http"].get("paths") or []
    if not paths:
        yield causes.required(f"{field}.http.paths")
    for index, path in enumerate(paths):
        where = f"{field}.http.paths[{index}]"
        yield from _path(path, where)
        if path.get("pathType") is not None:
            yield from _backend(path.get("backend") or {}, f"{where}.backend")


def _path(path: Obj, field: str) -> Iterator[Cause]:
    kind, text = path.get("pathType"), path.get("path", "")
    if kind is None:
        yield causes.required(f"{field}.pathType", "pathType must be specified")
    elif kind not in _PATH_TYPES:
        yield causes.unsupported(f"{field}.pathType", kind, _PATH_TYPES)
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            yield causes.invalid(f"{field}.path", text, "must be an absolute path")
    else:
        if not text.startswith("/"):
            yield causes.invalid(f"{field}.path", text, "must be an absolute path")
        for sequence in _BAD_SEQUENCES:
            if sequence in text:
                yield causes.invalid(f"{field}.path", text, f"must not contain '{sequence}'")
        for ending in _BAD_ENDINGS:
            if text.endswith(ending):
                yield causes.invalid(f"{field}.path", text, f"cannot end with '{ending}'")


def _backend(backend: Obj, field: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield causes.invalid(field, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _reference(resource, f"{field}.resource")
    elif service is None:
        yield causes.invalid(field, "", "resource or service backend is required")
    else:
        yield from _service_backend(service, field)


def _reference(reference: Obj, field: str) -> Iterator[Cause]:
    """An object of a group, unless that is left out, by its kind and name."""
    if reference.get("apiGroup") is not None:
        yield from causes.dns_subdomain(f"{field}.apiGroup", reference["apiGroup"])
    for name in ("kind", "name"):
        if not reference.get(name):
            yield causes.required(f"{field}.{name}")
        else:
            yield from causes.path_segment(f"{field}.{name}", reference[name])


def _service_backend(service: Obj, field: str) -> Iterator[Cause]:
    name, port = service.get("name", ""), service.get("port") or {}
    where = f"{field}.service.name"
    yield from causes.dns_label(where, name) if name else [causes.required(where)]
    if port.get("name") and port.get("number"):
        yield causes.invalid(field, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from causes.port_name(f"{field}.service.port.name", port["name"])
    elif port.get("number"):
        yield from causes.port_number(f"{field}.service.port.number", port["number"])
    else:
        yield causes.required(field, "port name or number is required")


def _tls(entry: Obj, field: str) -> Iterator[Cause]:
    for index, host in enumerate(entry.get("hosts") or ()):
        yield from _host(f"{field}.hosts[{index}]", host)
    if entry.get("secretName"):
        yield from causes.dns_subdomain(f"{field}.secretName", entry["secretName"])


def ingress_class(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    controller, parameters = spec.get("controller", ""), spec.get("parameters")
    if len(controller) > _CONTROLLER_LIMIT:
        yield causes.too_long("spec.controller", _CONTROLLER_LIMIT)
    if not controller:
        yield causes.required("spec.controller")
    else:
        domain, slash, path = controller.partition("/")
        if not slash or not path or not names.is_dns1123_subdomain(domain):
            why = 'must be a domain-prefixed path (such as "acme.io/foo")'
            yield causes.invalid("spec.controller", controller, why)
    if parameters is not None:
        yield from _parameters(parameters, "spec.parameters")


def _parameters(parameters: Obj, field: str) -> Iterator[Cause]:
    yield from _reference(parameters, field)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope not in _SCOPES:
        yield causes.unsupported(f"{field}.scope", scope, _SCOPES)
    if scope == "Namespace":
        missing = causes.required(f"{field}.namespace", "`parameters.scope` is set to 'Namespace'")
        yield from [missing] if namespace is None else causes.dns_label(f"{field}.namespace", namespace)
    elif scope == "Cluster" and namespace is not None:
        yield causes.forbidden(f"{field}.namespace", "`parameters.scope` is set to 'Cluster'")


def ingress_class_update(new: Obj, old: Obj) -> Iterator[Cause]:
    now, before = ((o.get("spec") or {}).get("controller", "") for o in (new, old))
    yield from causes.unchanged("spec.controller", now, before)


def network_policy(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from causes.selector_object("spec.podSelector", spec.get("podSelector") or {})
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            field = f"spec.{direction}[{index}]"
            for at, port in enumerate(rule.get("ports") or ()):
                yield from _policy_port(port, f"{field}.ports[{at}]")
            for at, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(peer, f"{field}.{peers}[{at}]")
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        yield causes.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(types):
        if kind not in ("Egress", "Ingress"):
            yield causes.unsupported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"), ordered=True)


def _policy_port(port: Obj, field: str) -> Iterator[Cause]:
    if port.get("protocol") is not None and port["protocol"] not in causes.PROTOCOLS:
        yield causes.unsupported(f"{field}.protocol", port["protocol"], ("TCP", "UDP", "SCTP"), ordered=True)
    start, end = port.get("port"), port.get("endPort")
    if isinstance(start, int):
        yield from causes.port_number(f"{field}.port", start)
    if end is not None and start is None:
        yield causes.invalid(f"{field}.endPort", end, "may not be specified when `port` is not specified")
    elif end is not None and isinstance(start, str):
        yield causes.invalid(f"{field}.endPort", end, "may not be specified when `port` is non-numeric")
    elif end is not None:
        if end < start:  # Kubernetes quotes the port
            yield causes.invalid(f"{field}.endPort", start, "must be greater than or equal to `port`")
        yield from causes.port_number(f"{field}.endPort", end)
    if isinstance(start, str):
        yield from causes.port_name(f"{field}.port", start)


def _peer(peer: Obj, field: str) -> Iterator[Cause]:
    selectors = [name for name in ("podSelector", "namespaceSelector") if peer.get(name) is not None]
    for name in selectors:
        yield from causes.selector_object(f"{field}.{name}", peer[name])
    block = peer.get("ipBlock")
    if block is not None:
        yield from _ip_block(block, f"{field}.ipBlock")
        if selectors:
            yield causes.forbidden(field, "may not specify both ipBlock and another peer")
    elif not selectors:
        yield causes.required(field, "must specify a peer")


def _ip_block(block: Obj, field: str) -> Iterator[Cause]:
    cidr = block.get("cidr", "")
    if not cidr:
        yield causes.required(f"{field}.cidr")
        return
    if not causes.is_cidr(cidr):
        yield causes.invalid(f"{field}.cidr", cidr, _CIDR_MESSAGE)
        return
    for index, text in enumerate(block.get("except") or ()):
        where = f"{field}.except[{index}]"
        if not causes.is_cidr(text):
            yield causes.invalid(where, text, _CIDR_MESSAGE)
        elif not _strictly_within(text, cidr):
            yield causes.invalid(where, text, "must be a strict subset of `cidr`")


def _strictly_within(inner: str, outer: str) -> bool:
    small: Any = ipaddress.ip_network(inner, strict=False)
    big: Any = ipaddress.ip_network(outer, strict=False)
    return small.version == big.version and small != big and bool(small.subnet_of(big))
