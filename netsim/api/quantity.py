"""Resource quantities: exact numbers with decimal (m, k, M, ...) or binary (Ki, Mi, ...) suffixes."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

QUANTITY_MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")

_SHORT = 24

Quantity = str | int | float


def parse_quantity(value: Quantity) -> Fraction:
    """The exact number that "100m", "1.5Gi", "2e3" or 4 stand for; raises ValueError naming the text."""
    return _known(value) if isinstance(value, str) and len(value) <= _SHORT else _parse(value)


def _parse(value: Quantity) -> Fraction:
    found = _FORM.fullmatch(str(value))
    if found is None:
        raise ValueError(f"{value!r} is no quantity: {QUANTITY_MESSAGE}")
    number, exponent, suffix = Fraction(found[1]), found[2], found[3] or ""
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
    number = _settled(parse_quantity(text))
    if text.endswith("i") and abs(number) >= _SMALLEST_BINARY and number.denominator == 1:
        return format_binary(int(number))
    exponent = max((e for e in _SUFFIX if number % _power(e) == 0), default=0) if number else 0
    suffix = f"e{exponent}" if exponent and re.search(r"[eE][+-]?\d", text) else _SUFFIX[exponent]
    return f"{int(number / _power(exponent))}{suffix}"


def _settled(number: Fraction) -> Fraction:
    """Whole billionths, and no more than 64 bits hold."""
    billionths = -(-abs(number) * 10**9 // 1)
    size = min(Fraction(billionths, 10**9), Fraction(_LARGEST))
    return size if number > 0 else -size


_known_text = lru_cache(4096)(_canonical)


def is_quantity(value: Quantity) -> bool:
    """Whether `parse_quantity` takes it."""
    return _FORM.fullmatch(str(value)) is not None


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
