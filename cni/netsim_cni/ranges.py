"""Address ranges of host-local's configuration, and the choice of the next address (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from netsim_cni.errors import INVALID_CONFIG, CniError

Ip = IPv4Address | IPv6Address
Net = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses `start` to `end` of a subnet; its gateway is never given away."""

    subnet: Net
    start: Ip
    end: Ip
    gateway: Ip
    bounds: tuple[int, int, int] = field(init=False, compare=False, repr=False)
    """The version, and the first and last address as numbers: each ADD looks at them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", (self.subnet.version, int(self.start), int(self.end)))

    def __contains__(self, ip: Ip) -> bool:
        version, start, end = self.bounds
        return start <= int(ip) <= end and ip.version == version

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


RangeSet = tuple[Range, ...]


class Lease(NamedTuple):
    """An address that belongs to an attachment, and the range it comes from."""

    ip: Ip
    range: Range


def parse_range_sets(ipam: dict[str, Any]) -> tuple[RangeSet, ...]:
    """Range sets from `ipam`: `ranges` (a list of lists), and host-local's older `subnet` beside `type`.

    CniError (INVALID_CONFIG) for a bad or overlapping range; none at all is one as well.
    """
    sets = [[ipam]] if ipam.get("subnet") else []
    more = ipam.get("ranges") or []
    if not isinstance(more, list) or not all(isinstance(one, list) and one for one in more):
        raise _invalid("ipam.ranges", more, 'a list of non-empty lists, such as [[{"subnet": "10.244.1.0/24"}]]')
    parsed = tuple(tuple(_parse_range(item) for item in one) for one in sets + more)
    if not parsed:
        raise CniError(INVALID_CONFIG, "ipam has no range", 'give ipam.ranges, such as [[{"subnet": "10.244.1.0/24"}]]')
    _check_sets(parsed)
    return parsed


def read_network(value: Any) -> Net:
    """A network from its text; ValueError for anything else (ip_network also takes numbers, booleans among them)."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    return ip_network(value)


def read_address(value: Any) -> Ip:
    """An address from its text; ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    return ip_address(value)


def _parse_range(item: Any) -> Range:
    if not isinstance(item, dict) or not item.get("subnet"):
        raise _invalid("ipam range", item, 'an object with "subnet"')
    try:
        subnet = read_network(item["subnet"])
    except ValueError as error:
        raise CniError(INVALID_CONFIG, f"ipam subnet {item['subnet']!r} is no network", str(error)) from None
    if subnet.prefixlen > subnet.max_prefixlen - 2:
        raise _invalid("ipam subnet", item["subnet"], f"a prefix of at most /{subnet.max_prefixlen - 2}")
    first, last = subnet[1], subnet[-2] if subnet.version == 4 else subnet[-1]
    start = _address(item, "rangeStart", first, subnet)
    end = _address(item, "rangeEnd", last, subnet)
    gateway = _address(item, "gateway", first, subnet)
    if int(start) > int(end):
        raise _invalid("ipam rangeStart", str(start), f"an address not after rangeEnd {end}")
    return Range(subnet, max(start, first), min(end, last), gateway)


def _address(item: dict[str, Any], key: str, default: Ip, subnet: Net) -> Ip:
    text = item.get(key)
    if not text:
        return default
    try:
        ip = read_address(text)
    except ValueError:
        raise _invalid(f"ipam {key}", text, "an IP address") from None
    if ip not in subnet:
        raise _invalid(f"ipam {key}", text, f"an address in {subnet}")
    return ip


def _check_sets(sets: tuple[RangeSet, ...]) -> None:
    for one in sets:
        if len({item.subnet.version for item in one}) > 1:
            raise _invalid("ipam.ranges", ", ".join(map(str, one)), "one IP family in each set")
    flat = [item for one in sets for item in one]
    for number, left in enumerate(flat):
        for right in flat[number + 1 :]:
            if left.start in right or right.start in left:
                raise _invalid("ipam.ranges", f"{left} and {right}", "ranges that do not overlap")


def _invalid(name: str, value: object, expected: str) -> CniError:
    return CniError(INVALID_CONFIG, f"{name} {value!r}: expected {expected}")


def candidates(ranges: RangeSet, last: Ip | None) -> Iterator[Ip]:
    """Every address of the set but the gateways, beginning after `last` and going round once.

    So an address given back is used again only after all others were.
    """
    at = next((number for number, item in enumerate(ranges) if last is not None and last in item), None)
    order = list(range(len(ranges)))
    gateways = {item.gateway for item in ranges}
    spans: list[tuple[Ip, int, int]] = []
    if at is None or last is None:
        spans = [(item.start, int(item.start), int(item.end)) for item in ranges]
    else:
        spans.append((last, int(last) + 1, int(ranges[at].end)))
        spans += [(ranges[n].start, int(ranges[n].start), int(ranges[n].end)) for n in order[at + 1 :] + order[:at]]
        spans.append((last, int(ranges[at].start), int(last)))
    for kind, first, end in spans:
        for number in range(first, end + 1):
            ip = type(kind)(number)
            if ip not in gateways:
                yield ip


def following(ranges: RangeSet, last: Ip) -> Lease | None:
    """The first of the candidates where that is the next address of the range of `last`, else None."""
    number = int(last) + 1
    for item in ranges:
        if last in item and number <= item.bounds[-1]:
            ip = type(last)(number)
            return None if any([ip == one.gateway for one in ranges]) else Lease(ip, item)
    return None


def choose(ranges: RangeSet, last: Ip | None, taken: Callable[[Ip], bool]) -> Ip | None:
    """The first candidate that is not taken, None when all are."""
    return next((ip for ip in candidates(ranges, last) if not taken(ip)), None)


def range_of(ranges: RangeSet, ip: Ip) -> Range | None:
    """The range of the set that holds an address."""
    return next((item for item in ranges if ip in item), None)


def assign_requested(sets: Sequence[RangeSet], requested: Sequence[Ip]) -> list[Ip | None]:
    """Which requested address is for which range set; CniError for one that none can give, or a second for one set."""
    if not requested:
        return [None] * len(sets)
    left = list(requested)
    chosen: list[Ip | None] = []
    for ranges in sets:
        found = next((ip for ip in left if range_of(ranges, ip)), None)
        if found is not None:
            left.remove(found)
        chosen.append(found)
    if left:
        raise _invalid("requested address", str(left[0]), "one address of each configured range set at most")
    for ip in requested:
        if any(ip == item.gateway for ranges in sets for item in ranges):
            raise _invalid("requested address", str(ip), "an address that is not a gateway's")
    return chosen
