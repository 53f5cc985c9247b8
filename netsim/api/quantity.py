"""Resource quantities: exact numbers with decimal (m, k, M, ...) or binary (Ki, Mi, ...) suffixes."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

QUANTITY_MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SUFFIX_MESSAGE = "unable to parse quantity's suffix"
_FORM = re.compile(r"([+-]?\d*\.?\d*)(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
"""Kubernetes takes a number without digits for 0."""
_SHAPE = re.compile(r"[+-]?\d*\.?\d*[eEinumkKMGTP]*[+-]?\d*")

_SHORT = 24

Quantity = str | int | float


def parse_quantity(value: Quantity) -> Fraction:
    """The exact number that "100m", "1.5Gi", "2e3" or 4 stand for; raises ValueError naming the text."""
    return _known(value) if isinstance(value, str) and len(value) <= _SHORT else _parse(value)


def _parse(value: Quantity) -> Fraction:
    text = str(value).strip(" ")
    found = _FORM.fullmatch(text) if text else None
    if found is None:
        raise ValueError(f"{value!r} is no quantity: {QUANTITY_MESSAGE}")
    number = Fraction(found[1]) if found[1].strip("+-.") else Fraction(0)
    exponent, suffix = found[2], found[3] or ""
    if exponent:
        return number * _power(int(exponent[1:]))
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    return number * _power(_DECIMAL[suffix])


_known = lru_cache(4096)(_parse)  # a cluster's pods ask for the same few amounts


def _power(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)


_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_LARGEST = 2**63 - 1
_SMALLEST_BINARY = 1024


def canonical_quantity(value: Quantity) -> str:
    """The one text an amount has once a typed decoder has read it: "0.5" -> "500m", "1024Mi" -> "1Gi", "1000" -> "1k",
    1e3 -> "1e3". Binary suffixes stay binary where nothing is lost; parts of a billionth are rounded away from zero."""
    text = str(value)
    return _known_text(text) if len(text) <= _SHORT else _canonical(text)


def _canonical(text: str) -> str:
    text = text.strip(" ")
    number = _settled(parse_quantity(text), binary=text.endswith("i"))
    if text.endswith("i") and abs(number) >= _SMALLEST_BINARY and number.denominator == 1:
        return format_binary(int(number))
    with_exponent = re.search(r"[eE][+-]?\d", text) is not None
    exponent = max((e for e in _SUFFIX if number % _power(e) == 0), default=0) if number else 0
    if with_exponent and exponent > 0:
        digits = str(int(number))
        exponent = (len(digits) - len(digits.rstrip("0"))) // 3 * 3
    suffix = f"e{exponent}" if exponent and with_exponent else _SUFFIX[exponent]
    canonical = f"{int(number / _power(exponent))}{suffix}"
    return text if with_exponent and text.lower() == canonical else canonical


def _settled(number: Fraction, *, binary: bool) -> Fraction:
    """Whole billionths, and with a binary suffix no more than 64 bits hold."""
    size = Fraction(-(-abs(number) * 10**9 // 1), 10**9)
    if binary:
        size = min(size, Fraction(_LARGEST))
    return size if number > 0 else -size


_known_text = lru_cache(4096)(_canonical)


def quantity_problem(value: Quantity) -> str:
    """What a decoder says of what `parse_quantity` does not take, "" for what it takes."""
    text = str(value).strip(" ")
    if not text or not _SHAPE.fullmatch(text):
        return QUANTITY_MESSAGE
    return "" if _FORM.fullmatch(text) else _SUFFIX_MESSAGE


def milli(value: Quantity) -> int:
    """Thousandths, rounded up, as Kubernetes rounds CPU: "100m" -> 100, 2 -> 2000."""
    return -(-(parse_quantity(value) * 1000) // 1)


def whole(value: Quantity) -> int:
    """The integer, rounded up: "1Ki" -> 1024, "100m" -> 1."""
    return -(-parse_quantity(value) // 1)


def format_milli(thousandths: int) -> str:
    """CPU as kubectl shows it: 1500 -> "1500m", 2000 -> "2"."""
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def format_binary(number: int) -> str:
    """Bytes with the largest binary suffix that loses nothing: 1048576 -> "1Mi", 1500 -> "1500"."""
    for suffix, bits in reversed(_BINARY.items()):
        if number and number % (1 << bits) == 0:
            return f"{number >> bits}{suffix}"
    return str(number)
