"""Words of a Corefile as numbers, durations, places and zones. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_network

from ..config import ConfigError, Listen
from ..names import IN_ADDR_ARPA, IP6_ARPA, labels_of, lower, under
from ..options import parse_listen
from .syntax import Directive

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def only(directive: Directive, least: int, most: int) -> list[str]:
    """The arguments, which must be so many. Raises ConfigError."""
    if not least <= len(directive.arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise directive.error(f"{len(directive.arguments)} values, give {wanted}")
    return directive.arguments


def at_least_one(directive: Directive) -> list[str]:
    """The arguments, of which there must be some. Raises ConfigError."""
    if not directive.arguments:
        raise directive.error("0 values, give at least one")
    return directive.arguments


def seconds(directive: Directive, text: str) -> float:
    """A duration of Go, such as 5s, 500ms or 1m30s, with its unit unless it is 0. Raises ConfigError."""
    if text == "0":
        return 0.0
    if not text or _DURATION.sub("", text):
        raise directive.error(f"{text!r} is not a duration such as 5s or 500ms")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def duration_text(time: float) -> str:
    """A duration as Go writes it: 30s, 5m0s, 1h0m0s, 1.5s, 500ms."""
    if time < 1:
        return f"{time * 1000:g}ms"
    minutes, left = divmod(time, 60)
    hours, minutes = divmod(int(minutes), 60)
    ahead = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{ahead}{left:g}s"


def whole(directive: Directive, text: str) -> int:
    """A whole number. Raises ConfigError."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise directive.error(f"{text!r} is not a whole number such as 30")
    return int(text)


def place(directive: Directive, default: str) -> Listen:
    """The (address, port) of the argument, such as `:9153`; without host it is every address. Raises ConfigError."""
    text = (only(directive, 0, 1) or [default])[0]
    host, colon, port = text.rpartition(":")
    if not colon:
        raise directive.error(f"{text!r} has no port; give [ADDRESS]:PORT, such as {default}")
    return parse_listen(f"{'127.0.0.1' if host == 'localhost' else host or '0.0.0.0'}:{port}")


def split_key(key: str) -> tuple[str, int]:
    """Zone and port of a server block's key: `.:53`, `dns://corp.example`, `corp.example:5353`. Raises ConfigError."""
    zone, _, port = key.removeprefix("dns://").partition(":")
    if port and not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        raise ConfigError(f"server block {key!r}: {port!r} is no port; give ZONE:PORT, such as .:53 (UDP and TCP)")
    return zone.removesuffix(".").lower() or ".", int(port or 53)


def is_reverse(zone: str) -> bool:
    """A reverse zone, or the range of one (10.96.0.0/16)."""
    if "/" in zone:
        try:
            ip_network(zone)
        except ValueError:
            return False
        return True
    labels = lower(labels_of(zone)) if zone != "." else ()
    return under(labels, IN_ADDR_ARPA) or under(labels, IP6_ARPA)
