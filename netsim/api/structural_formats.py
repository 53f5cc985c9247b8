"""The text formats that a structural schema may ask for (OpenAPI `format`); unknown ones are ignored."""

from __future__ import annotations

import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date

from netsim.api.times import parse_time

_HEX = r"[0-9a-fA-F]"
_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")
_UNIT = "(ns|us|µs|ms|s|m|h|d|w|nanos?|micros?|millis?|seconds?|minutes?|hours?|days?)"
_DURATION = re.compile(rf"[+-]?((\d+(\.\d*)?|\.\d+)\s*{_UNIT}\s*)+|0")


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _uuid(version: str) -> Callable[[str], bool]:
    variant = "[89abAB]" if version in "45" else _HEX
    third = f"{version}{_HEX}{{3}}" if version else f"{_HEX}{{4}}"
    fourth = f"{variant}{_HEX}{{3}}" if version else f"{_HEX}{{4}}"
    return _matches(f"{_HEX}{{8}}-?{_HEX}{{4}}-?{third}-?{fourth}-?{_HEX}{{12}}")


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _base64(text: str) -> None:
    binascii.a2b_base64(text, strict_mode=True)


_FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(f"{_HEX}{{24}}"),
    "byte": _parses(_base64),
    "cidr": lambda text: "/" in text and _parses(ipaddress.ip_interface)(text),
    "date": _parses(date.fromisoformat),
    "date-time": _parses(parse_time),
    "datetime": _parses(parse_time),
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
    "email": _matches(r"[^@\s]+@[^@\s]+"),
    "hexcolor": _matches(f"#?({_HEX}{{3}}|{_HEX}{{6}})"),
    "hostname": lambda text: _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "mac": _matches(f"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5}}|({_HEX}{{4}}\\.){{2}}{_HEX}{{4}}"),
    "rgbcolor": _matches(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"),
    "uri": _matches(r"/\S*|[a-zA-Z][a-zA-Z0-9+.-]*:\S*"),
    "uuid": _uuid(""),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
}


def fits_format(name: str, text: str) -> bool:
    """Whether the text has the format; True for formats that are not known."""
    check = _FORMATS.get(name)
    return check is None or check(text)
