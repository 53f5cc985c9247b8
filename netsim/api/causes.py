"""The wording of field errors, and checks that many fields share."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from netsim.api import errors, names
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.selectors import KEY_MESSAGE, MANY_PARTS, VALUE_MESSAGE

LABEL_MESSAGE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    f" '{names.LABEL_PATTERN}')"
)
LABEL_1035_MESSAGE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    f" '{names.LABEL_1035_PATTERN}')"
)
SUBDOMAIN_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    f" '{names.SUBDOMAIN_PATTERN}')"
)
IP_MESSAGE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
IMMUTABLE = "field is immutable"
PROTOCOLS = ("SCTP", "TCP", "UDP")
_LONGEST_NAME = 63
_LONGEST_DRIVER = 63
_LONGEST_KEY = 253 + len("/") + _LONGEST_NAME


def shown(value: Any) -> str:
    """A value as messages quote it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, why: str = "") -> Cause:
    return Cause(errors.REQUIRED, f"Required value: {why}" if why else "Required value", field)


def invalid(field: str, value: Any, why: str) -> Cause:
    return Cause(errors.INVALID, f"Invalid value: {shown(value)}: {why}", field)


def invalid_at(field: str, why: str) -> Cause:
    """As `invalid`, where the value is not told."""
    return Cause(errors.INVALID, f"Invalid value: {why}", field)


def unsupported(field: str, value: Any, supported: Iterable[str], *, ordered: bool = False) -> Cause:
    """The supported values are told by the alphabet, but where Kubernetes keeps them in an order of its own."""
    listed = ", ".join(shown(name) for name in (supported if ordered else sorted(supported)))
    return Cause(errors.NOT_SUPPORTED, f"Unsupported value: {shown(value)}: supported values: {listed}", field)


def forbidden(field: str, why: str) -> Cause:
    return Cause(errors.FORBIDDEN, f"Forbidden: {why}", field)


def duplicate(field: str, value: Any) -> Cause:
    return Cause(errors.DUPLICATE, f"Duplicate value: {shown(value)}", field)


def not_found(field: str, value: Any) -> Cause:
    return Cause(errors.NOT_FOUND, f"Not found: {shown(value)}", field)


def too_long(field: str, limit: int) -> Cause:
    return Cause(errors.TOO_LONG, f"Too long: may not be more than {limit} bytes", field)


def too_many(field: str, count: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} items", field)


# --- checks of one value -----------------------------------------------------------------------------------------


def one_of(field: str, value: Any, supported: Collection[str]) -> Iterator[Cause]:
    """Required, and one of the given texts."""
    if value in (None, ""):
        yield required(field)
    elif value not in supported:
        yield unsupported(field, value, supported)


def at_least(field: str, value: Any, minimum: int = 0) -> Iterator[Cause]:
    """An integer not below the minimum; absent is fine."""
    if value is not None and value < minimum:
        yield invalid(field, value, f"must be greater than or equal to {minimum}")


def port_number(field: str, value: Any) -> Iterator[Cause]:
    if not 1 <= (value or 0) <= 65535:
        yield invalid(field, value or 0, "must be between 1 and 65535, inclusive")


def port_name(field: str, text: str) -> Iterator[Cause]:
    """An IANA service name, with each broken rule told."""
    if len(text) > 15:
        yield invalid(field, text, "must be no more than 15 characters")
    if not text or not all(c.isascii() and (c.isdigit() or c.islower() or c == "-") for c in text):
        yield invalid(field, text, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any(c.isascii() and c.islower() for c in text):
        yield invalid(field, text, "must contain at least one letter (a-z)")
    if "--" in text:
        yield invalid(field, text, "must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        yield invalid(field, text, "must not begin or end with a hyphen")


def port_reference(field: str, value: Any) -> Iterator[Cause]:
    """A port by number or by name."""
    return port_name(field, value) if isinstance(value, str) else port_number(field, value)


def _domain_name(field: str, text: str, limit: int, spelling: str, message: str) -> Iterator[Cause]:
    if len(text) > limit:
        yield invalid(field, text, f"must be no more than {limit} characters")
    if not re.fullmatch(spelling, text):
        yield invalid(field, text, message)


def dns_label(field: str, text: str) -> Iterator[Cause]:
    dotted = "." in text and re.fullmatch(names.SUBDOMAIN_PATTERN, text)
    message = "must not contain dots" if dotted else LABEL_MESSAGE
    return _domain_name(field, text, 63, names.LABEL_PATTERN, message)


def dns_1035_label(field: str, text: str) -> Iterator[Cause]:
    return _domain_name(field, text, 63, names.LABEL_1035_PATTERN, LABEL_1035_MESSAGE)


def dns_subdomain(field: str, text: str) -> Iterator[Cause]:
    return _domain_name(field, text, 253, names.SUBDOMAIN_PATTERN, SUBDOMAIN_MESSAGE)


def path_segment(field: str, text: str) -> Iterator[Cause]:
    """Names that are only part of a URL (RBAC)."""
    if text in (".", ".."):
        yield invalid(field, text, f"may not be '{text}'")
    for character in ("/", "%"):
        if character in text:
            yield invalid(field, text, f"may not contain '{character}'")


def qualified_name(field: str, text: str) -> Iterator[Cause]:
    """A label or annotation key."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        yield invalid(field, text, MANY_PARTS)
        return
    if slash and not names.is_dns1123_subdomain(prefix):
        why = f"prefix part {SUBDOMAIN_MESSAGE}" if prefix else "prefix part must be non-empty"
        yield invalid(field, text, why)
    if not name:
        yield invalid(field, text, "name part must be non-empty")
    if len(name) > 63:
        yield invalid(field, text, "name part must be no more than 63 bytes")
    elif not names.is_qualified_name(name):
        yield invalid(field, text, KEY_MESSAGE)


def label_map(field: str, labels: Obj | None) -> Iterator[Cause]:
    for key, value in (labels or {}).items():
        if len(key) > _LONGEST_KEY or len(value) > _LONGEST_NAME or not _is_label(key, value):
            yield from qualified_name(field, key)
            yield from label_value(field, value)


@lru_cache(2048)  # most labels are those of many objects
def _is_label(key: str, value: str) -> bool:
    return names.is_qualified_name(key) and names.is_label_value(value)


def label_value(field: str, text: str) -> Iterator[Cause]:
    if len(text) > _LONGEST_NAME:
        yield invalid(field, text, f"must be no more than {_LONGEST_NAME} bytes")
    elif not names.is_label_value(text):
        yield invalid(field, text, VALUE_MESSAGE)


def ip_address(field: str, text: str) -> Iterator[Cause]:
    if not is_ip(text):
        yield invalid(field, text, IP_MESSAGE)


@lru_cache(16384)  # whenever one endpoint of a Service changes, all are told again
def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address without zone, prefix or leading zeros."""
    try:
        return ipaddress.ip_address(text).compressed is not None and "%" not in text
    except ValueError:
        return False


def is_cidr(text: str) -> bool:
    """An IPv4 or IPv6 network in CIDR notation, host bits allowed."""
    try:
        return ipaddress.ip_interface(text).compressed is not None and "/" in text and "%" not in text
    except ValueError:
        return False


def exactly_one(field: str, given: Sequence[str], what: str) -> Iterator[Cause]:
    """Of the ways that are `given` (field names below `field`) one is wanted, a `what` such as "volume type"."""
    if not given:
        yield required(field, f"must specify a {what}")
    for extra in given[1:]:
        yield forbidden(f"{field}.{extra}", f"may not specify more than 1 {what}")


def driver_name(field: str, name: str) -> Iterator[Cause]:
    """The name of a driver of storage or devices, in any case."""
    if not name:
        yield required(field)
        return
    if len(name) > _LONGEST_DRIVER:
        yield too_long(field, _LONGEST_DRIVER)
    for wrong in dns_subdomain(field, name.lower()):
        yield Cause(wrong.reason, wrong.message.replace(shown(name.lower()), shown(name), 1), field)


def unique(values: Iterable[tuple[str, Any]]) -> Iterator[Cause]:
    """Of (field, value) pairs, those whose value came before; None and "" may repeat."""
    seen: set[Any] = set()
    for field, value in values:
        if value in seen:
            yield duplicate(field, value)
        if value not in (None, ""):
            seen.add(value)


def unchanged(field: str, new: Any, old: Any) -> Iterator[Cause]:
    if new != old:
        yield invalid(field, new, IMMUTABLE)


def selector_object(field: str, selector: Obj) -> Iterator[Cause]:
    """A LabelSelector: keys, values, operators."""
    yield from label_map(f"{field}.matchLabels", selector.get("matchLabels"))
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        yield from _expression(f"{field}.matchExpressions[{index}]", expression)


def _expression(field: str, expression: Obj) -> Iterator[Cause]:
    operator, values = expression.get("operator", ""), expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden(f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    else:
        yield invalid(f"{field}.operator", operator, "not a valid selector operator")
    yield from qualified_name(f"{field}.key", expression.get("key", ""))
    for index, value in enumerate(values):
        if not names.is_label_value(value):
            yield invalid(f"{field}.values[{index}]", value, VALUE_MESSAGE)
