"""Resource quantities as the runtime needs them: exact numbers and cgroup figures. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

_QUANTITY = re.compile(r"^([+-]?[0-9.]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$")
_SUFFIX = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": Fraction(1000)}
_SUFFIX |= {s: Fraction(1000 ** (i + 2)) for i, s in enumerate("MGTPE")}
_SUFFIX |= {s + "i": Fraction(1024 ** (i + 1)) for i, s in enumerate("KMGTPE")}


def parse_quantity(text: str | int | float) -> Fraction:
    """ "100m", "1Gi", "1e3", 2 as an exact number; raises ValueError that names the text."""
    match = _QUANTITY.match(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a resource quantity (such as 500m, 2, 128Mi)")
    number, suffix = Fraction(match[1]), match[2] or ""
    if suffix[:1] in "eE" and len(suffix) > 1 and suffix not in _SUFFIX:
        return number * Fraction(10) ** int(suffix[1:])
    return number * _SUFFIX.get(suffix, Fraction(1))
