"""Names of the cluster zone, read by the grammar of the Kubernetes DNS specification 1.1.0, section 2.

Right to left under a zone: `svc` or `pod`, namespace, service, then one label for an endpoint or two for port and
protocol. Labels are bytes and are never joined with dots, so that a dot inside a label stays inside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

Labels = tuple[bytes, ...]

IN_ADDR_ARPA: Labels = (b"in-addr", b"arpa")
IP6_ARPA: Labels = (b"ip6", b"arpa")


@dataclass(frozen=True, slots=True)
class Apex:
    """The zone itself."""


@dataclass(frozen=True, slots=True)
class DnsVersion:
    """`dns-version.ZONE`, whose TXT tells the schema version."""


@dataclass(frozen=True, slots=True)
class NsHost:
    """`ns.dns.ZONE`, the name server's own name."""


@dataclass(frozen=True, slots=True)
class Branch:
    """`svc.ZONE` or `pod.ZONE`."""

    branch: bytes


@dataclass(frozen=True, slots=True)
class NamespaceName:
    """`NAMESPACE.svc.ZONE` or `NAMESPACE.pod.ZONE`."""

    branch: bytes
    namespace: bytes


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A Service, one of its endpoints, or one of its ports.

    `endpoint` is empty unless one label stands in front of the service. `port` and `protocol` are None unless
    two do; then the leading underscore is gone and an empty text means any.
    """

    namespace: bytes
    service: bytes
    endpoint: bytes = b""
    port: bytes | None = None
    protocol: bytes | None = None

    @property
    def bare(self) -> bool:
        """Is it the Service itself, or `_._` of it, which leaves none of it out?"""
        return not (self.endpoint or self.port or self.protocol)


@dataclass(frozen=True, slots=True)
class PodName:
    """`A-B-C-D.NAMESPACE.pod.ZONE`; up to two labels in front count for nothing."""

    namespace: bytes
    pod: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name under the zone that the grammar has no place for."""


Name = Apex | DnsVersion | NsHost | Branch | NamespaceName | ServiceName | PodName | Unknown

APEX, DNS_VERSION, NS_HOST, UNKNOWN = Apex(), DnsVersion(), NsHost(), Unknown()


def labels_of(text: str) -> Labels:
    """Labels of a textual name, its case kept; a trailing dot makes no difference."""
    return tuple(label.encode() for label in text.rstrip(".").split(".") if label)


def lower(labels: Labels) -> Labels:
    """The same name in lower case (ASCII only, RFC 4343)."""
    return tuple([label.lower() for label in labels])


def writable(labels: Labels) -> bool:
    """Are the name and its labels short enough for a message (RFC 1035, section 2.3.4)?"""
    return all(0 < len(label) < 64 for label in labels) and sum(map(len, labels)) + len(labels) < 255


def under(qname: Labels, zone: Labels) -> bool:
    """Is `qname` (lower case) the zone or below it? Label by label: `xcluster.local` is not below `cluster.local`."""
    return len(qname) >= len(zone) and qname[len(qname) - len(zone) :] == zone


def parse_name(qname: Labels, zone: Labels) -> Name:
    """What a query name means in a zone it is under (see `under`); any case."""
    rest = lower(qname[: len(qname) - len(zone)])
    if not rest:
        return APEX
    if rest[-1] in (b"svc", b"pod"):
        return _in_branch(rest[-1], rest[:-1])
    if rest == (b"dns-version",):
        return DNS_VERSION
    return NS_HOST if rest == (b"ns", b"dns") else UNKNOWN


def _in_branch(branch: bytes, rest: Labels) -> Name:
    if not rest:
        return Branch(branch)
    namespace, rest = rest[-1], rest[:-1]
    if not rest:
        return NamespaceName(branch, namespace)
    owner, extra = rest[-1], rest[:-1]
    if len(extra) > 2:
        return UNKNOWN
    if branch == b"pod":
        return PodName(namespace, owner)
    if len(extra) == 2:
        return ServiceName(namespace, owner, port=_plain(extra[0]), protocol=_plain(extra[1]))
    return ServiceName(namespace, owner, endpoint=extra[0] if extra else b"")


def _plain(label: bytes) -> bytes:
    return label[1:] if label.startswith(b"_") else label


def pod_address_text(label: bytes) -> bytes:
    """The text that a pod label stands for: three single dashes are dots of IPv4, all others colons of IPv6."""
    return label.replace(b"-", b"." if label.count(b"-") == 3 and b"--" not in label else b":")


def parse_pod_address(label: bytes) -> bytes | None:
    """Address (4 or 16 bytes) that a pod label spells, None if it spells none.

    An IPv4-mapped address is the IPv4 one; scopes (`%eth0`) are refused.
    """
    if b"." in label or b"%" in label:
        return None
    text = pod_address_text(label).decode("ascii", "replace")
    return _ipv4(text) if "." in text else _ipv6(text)


def is_reverse(zone: Labels) -> bool:
    """Is a zone (lower case) one of addresses?"""
    return zone[-2:] in (IN_ADDR_ARPA, IP6_ARPA)


def parse_reverse(qname: Labels, zone: Labels) -> bytes | None:
    """Address (4 or 16 bytes) of a complete name in a zone under `in-addr.arpa` or `ip6.arpa`, None otherwise."""
    base = zone[-2:]
    rest = lower(qname[: len(qname) - len(base)])
    if base == IN_ADDR_ARPA and len(rest) == 4:
        return _ipv4(b".".join(reversed(rest)).decode("ascii", "replace"))
    if base == IP6_ARPA and len(rest) == 32 and all(len(nibble) == 1 for nibble in rest):
        digits = b"".join(reversed(rest)).decode("ascii", "replace")
        return _ipv6(":".join(digits[i : i + 4] for i in range(0, 32, 4)))
    return None


def endpoint_label(address: str) -> bytes:
    """Label of an endpoint without hostname: its address as the slice spells it, with dashes."""
    label = address.replace(".", "-").replace(":", "-")
    return (label + "0" if label.endswith("-") else label).encode()


def _ipv4(text: str) -> bytes | None:
    try:
        return IPv4Address(text).packed
    except AddressValueError:
        return None


def _ipv6(text: str) -> bytes | None:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    mapped = address.ipv4_mapped
    return mapped.packed if mapped else address.packed
