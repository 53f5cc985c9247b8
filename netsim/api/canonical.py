"""The one text that values of some types have once a typed decoder has read them (pure): amounts and times.

Facts: resource.Quantity (CanonicalizeBytes), metav1.Time and metav1.MicroTime (MarshalJSON).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from netsim.api.quantity import canonical_quantity
from netsim.api.times import format_micro_time, format_time, parse_time

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def _time(text: str) -> str:
    return text if _SECONDS.fullmatch(text) else _written(text, format_time)


def _micro_time(text: str) -> str:
    return text if _MICROSECONDS.fullmatch(text) else _written(text, format_micro_time)


def _written(text: str, write: Callable[[datetime], str]) -> str:
    try:
        return write(parse_time(text))
    except OverflowError:  # in UTC it is before the year 1 or after 9999
        return text


CANONICAL: dict[str, Callable[[Any], str]] = {
    QUANTITY: canonical_quantity, f"{_META}.Time": _time, f"{_META}.MicroTime": _micro_time,
}  # fmt: skip
"""By the OpenAPI name of the type. What is no amount or time is a ValueError."""
