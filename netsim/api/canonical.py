"""The one text that values of some types have once a typed decoder has read them (pure): amounts, times and bytes.

Facts: resource.Quantity (CanonicalizeBytes), metav1.Time and metav1.MicroTime (MarshalJSON), Go's base64.StdEncoding.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from netsim.api.go_time import time_problem
from netsim.api.quantity import canonical_quantity
from netsim.api.times import format_micro_time, format_time, parse_time

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SECONDS = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_TIME, _MICRO_TIME = re.compile(_SECONDS + "Z"), re.compile(_SECONDS + r"\.\d{6}Z")
"""Most times as they are written; the last days of a month are looked at more closely."""
_HOUR = re.compile(r"T(?=\d:)")
_DIGITS = re.compile(r"[A-Za-z0-9+/\r\n]*")
_PADDING = (re.compile(r"(=[\r\n]*){1,2}"), re.compile(r"=[\r\n]*"))


def _time(text: str) -> str:
    return text if _TIME.fullmatch(text) else _written(text, format_time)


def _micro_time(text: str) -> str:
    return text if _MICRO_TIME.fullmatch(text) else _written(text, format_micro_time, micro=True)


def _written(text: str, write: Callable[[datetime], str], *, micro: bool = False) -> str:
    problem = time_problem(text, micro=micro)
    if problem:
        raise ValueError(problem)
    try:
        return write(parse_time(_HOUR.sub("T0", text)))
    except (OverflowError, ValueError):  # in UTC it is before the year 1 or after 9999
        return text


def canonical_base64(text: str) -> str:
    """Base64 without line breaks, which a decoder overlooks; a ValueError in Go's words for what is none."""
    plain = text.replace("\r", "").replace("\n", "") if "\n" in text or "\r" in text else text
    try:
        decoded = binascii.a2b_base64(plain, strict_mode=True)
    except ValueError:  # also for what is not ASCII
        decoded = None
    if decoded is None or len(plain) % 4:
        raise ValueError(f"illegal base64 data at input byte {_first_wrong(text)}")
    return binascii.b2a_base64(decoded, newline=False).decode()


def _first_wrong(text: str) -> int:
    """Where Go's decoder gives up: at a character, or at the group of four that the end of the text cuts off."""
    good = _DIGITS.match(text)
    end = good.end() if good else 0
    left = (end - text.count("\n", 0, end) - text.count("\r", 0, end)) % 4
    if end == len(text):
        return end - left
    padding = _PADDING[left - 2].match(text, end) if left >= 2 else None
    return padding.end() if padding else end


CANONICAL: dict[str, Callable[[Any], str]] = {
    QUANTITY: canonical_quantity, f"{_META}.Time": _time, f"{_META}.MicroTime": _micro_time, "byte": canonical_base64,
}  # fmt: skip
"""By the OpenAPI name of the type, or else its format. What is none of the type is a ValueError."""
