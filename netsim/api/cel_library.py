"""What Kubernetes adds to the Common Expression Language: quantities, addresses, named formats, versions
(k8s.io/apiserver/pkg/cel/library; documented under "Common Expression Language in Kubernetes")."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from netsim.api.causes import LABEL_1035_MESSAGE, LABEL_MESSAGE, SUBDOMAIN_MESSAGE
from netsim.api.cel_addresses import ADDRESSES, TYPES, URLS, succeeds, url
from netsim.api.names import (
    is_dns1035_label,
    is_dns1123_label,
    is_dns1123_subdomain,
    is_label_value,
    is_qualified_name,
)
from netsim.api.quantity import QUANTITY_MESSAGE, parse_quantity
from netsim.api.selectors import KEY_MESSAGE, VALUE_MESSAGE
from netsim.api.structural_formats import fits_format
from netsim.cel.errors import EvaluationError
from netsim.cel.functions import library
from netsim.cel.program import STANDARD
from netsim.cel.values import NONE, Opaque, Optional, as_int

Functions = dict[str, Callable[..., Any]]


# --- quantities ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quantity(Opaque):
    number: Fraction
    type_name = "kubernetes.Quantity"


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(parse_quantity(text))
    except ValueError:
        raise EvaluationError(QUANTITY_MESSAGE) from None


def _whole(found: Quantity) -> int:
    if not _is_whole(found):
        raise EvaluationError("cannot convert value to integer")
    return int(found.number)


def _is_whole(found: Quantity) -> bool:
    return found.number.denominator == 1 and -(2**63) <= found.number < 2**63


def _approximate(found: Quantity) -> float:
    try:
        return float(found.number)
    except OverflowError:
        return math.inf * _sign(found.number)


def _sign(number: Fraction) -> int:
    return (number > 0) - (number < 0)


_Q = "kubernetes.Quantity"
_QUANTITIES: Functions = {
    f"quantity(string) {_Q}": _quantity,
    "isQuantity(string) bool": succeeds(_quantity),
    f"{_Q}::sign() int": lambda q: _sign(q.number),
    f"{_Q}::isGreaterThan({_Q}) bool": lambda q, other: q.number > other.number,
    f"{_Q}::isLessThan({_Q}) bool": lambda q, other: q.number < other.number,
    f"{_Q}::compareTo({_Q}) int": lambda q, other: _sign(q.number - other.number),
    f"{_Q}::asApproximateFloat() double": _approximate,
    f"{_Q}::asInteger() int": _whole,
    f"{_Q}::isInteger() bool": _is_whole,
    f"{_Q}::add({_Q}) {_Q}": lambda q, other: Quantity(q.number + other.number),
    f"{_Q}::add(int) {_Q}": lambda q, other: Quantity(q.number + other),
    f"{_Q}::sub({_Q}) {_Q}": lambda q, other: Quantity(q.number - other.number),
    f"{_Q}::sub(int) {_Q}": lambda q, other: Quantity(q.number - other),
}


# --- named formats -------------------------------------------------------------------------------------------------

_FORMAT = "kubernetes.NamedFormat"


@dataclass(frozen=True, slots=True)
class Format(Opaque):
    """`refusal` is what is said of a text that does not fit."""

    name: str
    check: Callable[[str], bool]
    refusal: str
    type_name = _FORMAT


def _prefix(check: Callable[[str], bool]) -> Callable[[str], bool]:
    """A name that a generated ending is added to may end with a dash; that and what stands before it are not looked
    at."""
    return lambda text: check(f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text)


def _standard(name: str) -> Callable[[str], bool]:
    return lambda text: fits_format(name, text)


_NAMED = {
    name: Format(name, check, refusal)
    for name, check, refusal in (
        ("dns1123Label", is_dns1123_label, LABEL_MESSAGE),
        ("dns1123Subdomain", is_dns1123_subdomain, SUBDOMAIN_MESSAGE),
        ("dns1035Label", is_dns1035_label, LABEL_1035_MESSAGE),
        ("qualifiedName", is_qualified_name, KEY_MESSAGE),
        ("dns1123LabelPrefix", _prefix(is_dns1123_label), LABEL_MESSAGE),
        ("dns1123SubdomainPrefix", _prefix(is_dns1123_subdomain), SUBDOMAIN_MESSAGE),
        ("dns1035LabelPrefix", _prefix(is_dns1035_label), LABEL_1035_MESSAGE),
        ("labelValue", is_label_value, VALUE_MESSAGE),
        ("uri", succeeds(url), "invalid URI for request"),
        ("uuid", _standard("uuid"), "does not match the UUID format"),
        ("byte", _standard("byte"), "invalid base64"),
        ("date", _standard("date"), "invalid date"),
        ("datetime", _standard("datetime"), "invalid datetime"),
    )
}


def _validated(form: Format, text: str) -> Optional:
    return NONE if form.check(text) else Optional([form.refusal])


def _named(name: str) -> Optional:
    return Optional(_NAMED[name]) if name in _NAMED else NONE


def _constant(name: str) -> Callable[[], Format]:
    return lambda: _NAMED[name]


_FORMATS: Functions = {
    **{f"format.{name}() {_FORMAT}": _constant(name) for name in _NAMED},
    f"format.named(string) optional({_FORMAT})": _named,
    f"{_FORMAT}::validate(string) optional(list(string))": _validated,
}


# --- versions ------------------------------------------------------------------------------------------------------

_S = "kubernetes.Semver"
_NUMBER = r"(0|[1-9]\d{0,18})"
_WORD = r"(?:0|[1-9]\d{0,18}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_WORD}(?:\.{_WORD})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Semver(Opaque):
    numbers: tuple[int, int, int]
    stage: tuple[tuple[int, int, str], ...]
    type_name = _S

    @property
    def rank(self) -> tuple[Any, ...]:
        """A version without a stage comes after those with one; numbers before words."""
        return (self.numbers, not self.stage, self.stage)


def _semver(text: str, normalize: bool = False) -> Semver:
    found = _SEMVER.fullmatch(_normal(text) if normalize else text)
    if found is None:
        raise EvaluationError(f'"{text}" is no semantic version')
    words = found[4].split(".") if found[4] else []
    stage = tuple((0, int(word), "") if word.isdigit() else (1, 0, word) for word in words)
    return Semver((as_int(int(found[1])), int(found[2]), int(found[3])), stage)


def _normal(text: str) -> str:
    """v1 and 01.2 as 1.0.0 and 1.2.0."""
    head = re.match(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?", text)
    if head is None:
        return text
    numbers = ".".join((part or "").lstrip("0") or "0" for part in head.groups())
    return numbers + text[head.end() :]


_VERSIONS: Functions = {
    f"semver(string) {_S}": _semver,
    f"semver(string,bool) {_S}": _semver,
    "isSemver(string) bool": succeeds(_semver),
    "isSemver(string,bool) bool": succeeds(_semver),
    f"{_S}::isGreaterThan({_S}) bool": lambda one, other: one.rank > other.rank,
    f"{_S}::isLessThan({_S}) bool": lambda one, other: one.rank < other.rank,
    f"{_S}::compareTo({_S}) int": lambda one, other: (one.rank > other.rank) - (one.rank < other.rank),
    f"{_S}::major() int": lambda version: version.numbers[0],
    f"{_S}::minor() int": lambda version: version.numbers[1],
    f"{_S}::patch() int": lambda version: version.numbers[2],
}

KUBERNETES = STANDARD | library(_QUANTITIES, ADDRESSES, URLS, _FORMATS, _VERSIONS, types=(_Q, *TYPES, _FORMAT, _S))
"""Everything that rules of CustomResourceDefinitions may call."""
