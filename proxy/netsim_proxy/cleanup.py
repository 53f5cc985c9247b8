"""`--cleanup`: take every rule of a service proxy out of the kernel, and nothing of others'."""

from __future__ import annotations

from netsim.host import firewall
from netsim.host.exec import CommandFailed, CommandMissing
from netsim_proxy.cleanup_plan import plan_cleanup
from netsim_proxy.config import Family
from netsim_proxy.diff import render_update
from netsim_proxy.iptables import parse_save

FAMILIES: tuple[Family, ...] = (4, 6)


def clean_up() -> list[str]:
    """Remove the rules of all modes and families in the current network namespace; what could not be, in words."""
    return [problem for family in FAMILIES if (problem := _clean_family(family))]


def _clean_family(family: Family) -> str:
    """A family whose command is missing has no rules that this machine's proxy could have made."""
    try:
        update = plan_cleanup(parse_save(firewall.save(family)))
        if update:
            firewall.restore(render_update(update), family)
    except CommandFailed as error:
        return f"IPv{family}: {error}"
    except CommandMissing as error:
        return str(error) if family == 4 else ""
    return ""
