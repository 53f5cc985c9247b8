"""What an attachment has besides its interfaces: source NAT, host ports, limits, checks of its port.

Each is known by a word that is kept with the attachment, so that DEL and GC take back what was made, whatever the
configuration says by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from netsim.host.exec import CommandFailed, CommandMissing
from netsim_cni import errors
from netsim_cni.addressing import Addressing
from netsim_cni.config import Config
from netsim_cni.errors import CniError
from netsim_cni.request import Request

MASQUERADE, PORTS, BANDWIDTH, MAC_CHECK, VLANS = "masquerade", "ports", "bandwidth", "macspoofchk", "vlan"


def wanted_extras(config: Config, families: Iterable[int]) -> tuple[str, ...]:
    """The words of what a configuration asks for, such as "masquerade4"; no family known stands for both (pure)."""
    numbers = tuple(families) or (4, 6)
    words: list[str] = []
    if config.ip_masq:
        words += [f"{MASQUERADE}{family}" for family in numbers]
    if config.ports:
        words += [f"{PORTS}{family}" for family in numbers]
    if config.bandwidth:
        words.append(BANDWIDTH)
    if config.bridge.mac_spoof_check:
        words.append(MAC_CHECK)
    if config.bridge.filters_vlans:
        words.append(VLANS)
    return tuple(words)


def add_extras(request: Request, addressing: Addressing, link: str) -> None:
    """Make what the configuration asks for; CniError. What is made when one fails is `remove_extras`' to remove."""
    words = wanted_extras(request.config, addressing.families)
    if not words:
        return
    with _told("cannot set up what goes with the interface"):
        if VLANS in words:
            from netsim_cni.extras.vlan import add_vlans

            add_vlans(request.config.bridge, link)
        if MAC_CHECK in words:
            from netsim_cni.extras.macspoof import add_mac_check

            add_mac_check(request, link)
        if BANDWIDTH in words:
            from netsim_cni.extras.bandwidth import add_limits

            add_limits(request, link)
        if request.config.ip_masq:
            from netsim_cni.extras.masquerade import add_masquerade

            add_masquerade(request, addressing)
        if request.config.ports:
            from netsim_cni.extras.hostports import add_host_ports

            add_host_ports(request, addressing, link)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What a command, or the lack of it, says becomes the details of a CniError."""
    try:
        yield
    except (CommandFailed, CommandMissing, OSError) as error:
        raise CniError(errors.WIRING_FAILED, what, str(error)) from error


def remove_extras(request: Request, words: Iterable[str], link: str) -> None:
    """Remove what the words name; what is not there is no error. CniError when a command fails."""
    with _told("cannot remove what went with the interface"):
        for word in words:
            _remove(request, word, link)


def _remove(request: Request, word: str, link: str) -> None:
    name = word.rstrip("46")
    if name == MASQUERADE:
        from netsim_cni.extras.masquerade import remove_masquerade

        remove_masquerade(request, 6 if word.endswith("6") else 4)
    elif name == PORTS:
        from netsim_cni.extras.hostports import remove_host_ports

        remove_host_ports(request, 6 if word.endswith("6") else 4)
    elif name == BANDWIDTH:
        from netsim_cni.extras.bandwidth import remove_limits

        remove_limits(request, link)
    elif name == MAC_CHECK:
        from netsim_cni.extras.macspoof import remove_mac_check

        remove_mac_check(link)


def extra_faults(request: Request, addressing: Addressing, link: str) -> list[str]:
    """What of it is missing, in words; CniError when a command fails."""
    words, faults = wanted_extras(request.config, addressing.families), []
    with _told("cannot look at what goes with the interface"):
        if request.config.ip_masq:
            from netsim_cni.extras.masquerade import masquerade_faults

            faults += masquerade_faults(request, addressing)
        if request.config.ports:
            from netsim_cni.extras.hostports import host_port_faults

            faults += host_port_faults(request, addressing)
        if BANDWIDTH in words:
            from netsim_cni.extras.bandwidth import limit_faults

            faults += limit_faults(request, link)
        if MAC_CHECK in words:
            from netsim_cni.extras.macspoof import mac_check_faults

            faults += mac_check_faults(link)
    return faults


def remove_stale(network: str, valid: set[tuple[str, str]], families: Iterable[int]) -> None:
    """Remove the network's rules that belong to no attachment in `valid`, those too of attachments nobody knows."""
    from netsim.host.firewall import Family
    from netsim_cni.extras.hostports import remove_stale_host_ports
    from netsim_cni.extras.masquerade import remove_stale_masquerades

    # Without the command nobody has made any.
    with _told("cannot remove rules that are nobody's"), suppress(CommandMissing):
        for family in families:
            number: Family = 6 if family == 6 else 4
            remove_stale_masquerades(network, valid, number)
            remove_stale_host_ports(network, valid, number)
