"""Reading fields of a JSON document, each with an error that names the field and what it should be (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_interface
from typing import Any, TypeVar

from netsim_cni.errors import INVALID_CONFIG, UNSUPPORTED_FIELD, CniError
from netsim_cni.ranges import Ip, read_network

Document = Mapping[str, Any]
_T = TypeVar("_T")
_INTERFACE_NAME = re.compile(r"[^/:\s]+")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def invalid(field: str, value: object, expected: str) -> CniError:
    """The error for a value that is not what it should be."""
    return CniError(INVALID_CONFIG, f"{field} {value!r}: expected {expected}")


def unsupported(field: str, value: object, hint: str = "") -> CniError:
    """The error for a field that nobody here acts on (specification, section 5: it has the key and the value)."""
    return CniError(UNSUPPORTED_FIELD, f"unsupported field {field}: {value!r}", hint)


def check_known(document: Document, known: Iterable[str], prefix: str = "") -> None:
    """Refuse a field that is not known: a misspelt one would be a setting that silently does nothing."""
    names = set(known)
    for key, value in document.items():
        if key not in names and not key.startswith("cni.dev/"):
            raise unsupported(f"{prefix}{key}", value, _nearest(key, names))


def _nearest(key: str, names: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, names, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(names))}"


def text(document: Document, key: str, default: str | None = None) -> str:
    """A string; `default` None makes it a required one."""
    value = document.get(key, default)
    if not isinstance(value, str):
        raise invalid(key, value, "a string")
    return value


def mapping(document: Document, key: str) -> dict[str, Any]:
    """An object, {} when it is not there."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(key, value, "an object")
    return value


def items(document: Document, key: str, field: str = "") -> list[Any]:
    """A list, [] when it is not there."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(field or key, value, "a list")
    return value


def flag(document: Document, key: str) -> bool:
    """true or false; false when it is not there."""
    value = document.get(key)
    if value is not None and not isinstance(value, bool):
        raise invalid(key, value, "true or false")
    return bool(value)


def number(document: Document, key: str, most: int, field: str = "") -> int:
    """A whole number from 0 to `most`; 0 when it is not there."""
    value = document.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise invalid(field or key, value, f"a number from 0 to {most}")
    return value


def interface_name(name: Any) -> bool:
    """Whether it is one by the kernel's rules and the specification's (section 2, CNI_IFNAME)."""
    usable = isinstance(name, str) and len(name.encode()) <= 15 and name not in (".", "..")
    return usable and _INTERFACE_NAME.fullmatch(name) is not None


INTERFACE_NAME = "an interface name of 1 to 15 bytes without '/', ':' or space"


def networks(document: Document, key: str) -> tuple[str, ...]:
    """A list of networks as text."""
    values = items(document, key)
    expected = "a list of networks such as 10.244.0.0/16"
    return tuple(str(read(read_network, value, key, expected)) for value in values)


def mac(value: Any, field: str) -> str:
    """A MAC address in lower case, "" for none."""
    if value in (None, ""):
        return ""
    if not (isinstance(value, str) and MAC.fullmatch(value.lower())):
        raise invalid(field, value, "a MAC address such as 0a:58:0a:f4:01:05")
    return value.lower()


def address(value: Any, field: str) -> tuple[Ip, int | None]:
    """An IP address and its prefix length, None when it has none."""
    if isinstance(value, str):  # ip_interface takes numbers as well
        try:
            found = ip_interface(value)
        except ValueError:
            raise invalid(field, value, "an IP address, with or without prefix length") from None
        return found.ip, found.network.prefixlen if "/" in value else None
    raise invalid(field, value, "an IP address, with or without prefix length")


def read(reader: Callable[[Any], _T], value: Any, field: str, expected: str) -> _T:
    """`reader(value)`; its ValueError becomes the error that names the field."""
    try:
        return reader(value)
    except ValueError:
        raise invalid(field, value, expected) from None
