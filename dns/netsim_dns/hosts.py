"""A table of names and addresses, as /etc/hosts is one, that is answered from before all else. Pure.

As CoreDNS's hosts plugin: every name with its addresses, every address with its names; a name of the table has no
other records, and no SOA says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from struct import pack

from .config import ConfigError
from .names import Labels, labels_of, writable
from .reply import whole_name
from .types import AAAA, PTR, A

HOSTS_TTL = 3600


@dataclass(frozen=True, slots=True)
class HostsConfig:
    """`lines` as in /etc/hosts, `files` of such lines; `ttl` in seconds; `reverse`: addresses have their names too.

    `zones` are those of the names that count, `through` those whose other names are for somebody else to answer;
    elsewhere in `zones` they are SERVFAIL.
    """

    lines: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    ttl: int = HOSTS_TTL
    reverse: bool = True
    zones: tuple[str, ...] = (".",)
    through: tuple[str, ...] = (".",)

    def __bool__(self) -> bool:
        return bool(self.lines or self.files)


@dataclass(slots=True)
class HostsTable:
    """What is known of each name (lower case), by type: the records' data."""

    records: dict[Labels, dict[int, list[bytes]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(data) for types in self.records.values() for data in types.values())

    def add(self, name: Labels, rtype: int, data: bytes) -> None:
        """Take in a record, unless it is there."""
        found = self.records.setdefault(name, {}).setdefault(rtype, [])
        if data not in found:
            found.append(data)

    def answer(self, name: Labels, rtype: int, ttl: int) -> list[bytes]:
        """The records of a name, whole, their owner in lower case. Empty: none of this type."""
        found = self.records[name].get(rtype, ())
        return [whole_name(name) + pack("!HHIH", rtype, 1, ttl, len(data)) + data for data in found]


def make_table(lines: Iterable[str], reverse: bool = True) -> HostsTable:
    """The table of lines `ADDRESS NAME…`; what follows `#` is a remark. Raises ConfigError."""
    table = HostsTable()
    for line in lines:
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            address = ip_address(words[0])
        except ValueError:
            raise ConfigError(
                f"dns hosts: {line.strip()!r} does not begin with an address, such as 192.0.2.7"
            ) from None
        if len(words) < 2:
            raise ConfigError(f"dns hosts: {line.strip()!r} has no name behind the address")
        for name in map(_name, words[1:]):
            table.add(name, A if address.version == 4 else AAAA, address.packed)
            if reverse:
                table.add(labels_of(address.reverse_pointer), PTR, whole_name(name))
    return table


def _name(text: str) -> Labels:
    labels = labels_of(text.lower())
    if not labels or not writable(labels):
        raise ConfigError(f"dns hosts: {text!r} is not a name such as db.example")
    return labels
