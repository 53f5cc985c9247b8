"""Rules that claims for devices share with what their status and the slices of drivers say (`resource.k8s.io/v1`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from netsim.api import causes
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

OPERATORS, EFFECTS = ("Equal", "Exists"), ("NoExecute", "NoSchedule", "None")
MOST_DATA = 10 * 1024
_MOST_REQUESTS, _LONGEST_POOL, _LONGEST_ID, _MOST_CONDITIONS = 32, 253, 32, 4
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_IDENTIFIER_MESSAGE = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
)


def at_most(field: str, entries: Sequence[Any] | Obj, limit: int) -> list[Cause]:
    """That there are too many; of those nobody looks at a single one."""
    return [causes.too_many(field, len(entries), limit)] if len(entries) > limit else []


def short(field: str, text: str, limit: int) -> Iterator[Cause]:
    if len(text.encode()) > limit:
        yield causes.too_long(field, limit)


def request_names(requests: Iterable[Obj]) -> frozenset[str]:
    """What can be referred to: "a", and "a/b" where `a` has alternatives."""
    found = set()
    for request in requests:
        name = request.get("name", "")
        found |= {name, *(f"{name}/{each.get('name', '')}" for each in request.get("firstAvailable") or ())}
    return frozenset(found)


def reference(field: str, name: str, known: frozenset[str]) -> Iterator[Cause]:
    """The name of a request, or of an alternative of one."""
    segments = name.split("/")
    if len(segments) <= 2:
        for segment in segments:
            yield from causes.dns_label(field, segment)
    if name not in known:
        yield causes.invalid(field, name, _REFERENCE)


def references(holder: Obj, field: str, known: frozenset[str]) -> Iterator[Cause]:
    """The requests that a constraint or a setting is for."""
    names, where = holder.get("requests") or [], f"{field}.requests"
    if many := at_most(where, names, _MOST_REQUESTS):
        yield from many
        return
    for index, name in enumerate(names):
        yield from reference(f"{where}[{index}]", name, known)
    yield from causes.unique((f"{where}[{index}]", name) for index, name in enumerate(names))


def opaque(holder: Obj, field: str) -> Iterator[Cause]:
    """What a driver is told, in a form of its own."""
    found, where = holder.get("opaque"), f"{field}.opaque"
    if found is None:
        yield causes.required(where)
        return
    yield from causes.driver_name(f"{where}.driver", found.get("driver", ""))
    yield from data(f"{where}.parameters", found.get("parameters"))


def data(field: str, value: Any) -> Iterator[Cause]:
    """An object of any kind, of a moderate size."""
    if value is None:
        yield causes.required(field)
    elif len(orjson.dumps(value)) > MOST_DATA:
        yield causes.too_long(field, MOST_DATA)
    elif not isinstance(value, dict):
        yield causes.invalid(field, "<value omitted>", "must be a valid JSON object")


def pool_name(field: str, name: str) -> Iterator[Cause]:
    if not name:
        yield causes.required(field)
        return
    yield from short(field, name, _LONGEST_POOL)
    for part in name.split("/"):
        yield from causes.dns_subdomain(field, part)


def attribute_name(field: str, name: str) -> Iterator[Cause]:
    """An identifier as C has them, with or without a domain. Of three parts and more Kubernetes says nothing."""
    parts = name.split("/")
    if len(parts) > 2:
        return
    if len(parts) == 2:
        yield from _domain(field, parts[0])
        if not parts[1]:
            yield causes.invalid(field, "", "the name must not be empty")
            return
    yield from short(field, parts[-1], _LONGEST_ID)
    if not _IDENTIFIER.fullmatch(parts[-1]):
        yield causes.invalid(field, parts[-1], _IDENTIFIER_MESSAGE)


def _domain(field: str, domain: str) -> Iterator[Cause]:
    if domain:
        yield from causes.driver_name(field, domain)
    else:
        yield causes.invalid(field, "", "the domain must not be empty")


def binding_conditions(holder: Obj, field: str) -> Iterator[Cause]:
    """The conditions that a pod waits for before it is bound, and those that end its waiting: of other names each."""
    wanted, failed = (holder.get(name) or [] for name in ("bindingConditions", "bindingFailureConditions"))
    for name, entries in (("bindingConditions", wanted), ("bindingFailureConditions", failed)):
        many = at_most(f"{field}.{name}", entries, _MOST_CONDITIONS)
        yield from many
        for index, entry in enumerate([] if many else entries):
            yield from causes.qualified_name(f"{field}.{name}[{index}]", entry)
    yield from repeated(f"{field}.bindingConditions", wanted)
    yield from repeated(f"{field}.bindingFailureConditions", failed)
    for index, entry in enumerate(failed):
        if entry in wanted:
            why = "bindingFailureConditions must not overlap with bindingConditions"
            yield causes.invalid(f"{field}.bindingFailureConditions[{index}]", entry, why)
    for name, other, there in (
        ("bindingConditions", "bindingFailureConditions", bool(failed) and not wanted),
        ("bindingFailureConditions", "bindingConditions", bool(wanted) and not failed),
    ):
        if there:
            yield causes.invalid(f"{field}.{name}", holder.get(name), f"{name} are required to use {other}")


def repeated(field: str, values: Sequence[Any]) -> Iterator[Cause]:
    """The entries of a short list that came before, empty ones as well."""
    for index, value in enumerate(values):
        if value in values[:index]:
            yield causes.duplicate(f"{field}[{index}]", value)
