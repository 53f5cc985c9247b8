"""`--cleanup`: take every rule of a service proxy out of the kernel, and nothing of others'."""

from __future__ import annotations

import errno
from functools import partial

from netsim.host import firewall
from netsim.host.exec import CommandFailed, CommandMissing
from netsim.host.netlink import NetlinkError
from netsim_proxy.cleanup_plan import plan_cleanup
from netsim_proxy.config import Family
from netsim_proxy.diff import render_update
from netsim_proxy.iptables import parse_save
from netsim_proxy.nftables.programmer import remove_table

FAMILIES: tuple[Family, ...] = (4, 6)


def clean_up() -> list[str]:
    """Remove the rules of all modes and families in the current network namespace; what could not be, in words."""
    cleaners = (partial(clean_iptables, needed=True), clean_nftables)
    return [problem for family in FAMILIES for clean in cleaners if (problem := clean(family))]


def clean_iptables(family: Family, *, needed: bool = False) -> str:
    """Remove the rules of mode iptables; what could not be, in words.

    A family whose command is missing has no rules that this machine's proxy could have made: a problem only with
    `needed`, and of IPv4.
    """
    try:
        update = plan_cleanup(parse_save(firewall.save(family)))
        if update:
            firewall.restore(render_update(update), family)
    except CommandFailed as error:
        return f"IPv{family}: {error}"
    except CommandMissing as error:
        return str(error) if needed and family == 4 else ""
    return ""


def clean_nftables(family: Family) -> str:
    """Remove the table of mode nftables; what could not be, in words. A kernel without nf_tables has none."""
    try:
        remove_table(family)
    except NetlinkError as error:
        return f"IPv{family}: {error}"
    except OSError as error:
        if error.errno not in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            return f"IPv{family}: {error}"
    return ""
