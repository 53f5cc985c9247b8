"""Capabilities of a container's processes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from netsim.agent.model import Obj

# Docker's default set, plus nothing: NET_RAW is in it, which ping needs.
_DEFAULT = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
]
# Bit numbers of <linux/capability.h>, to read CapBnd of /proc/self/status.
_BITS = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
ALL_CAPABILITIES = frozenset(f"CAP_{name}" for name in _BITS)
DEFAULT_CAPABILITIES = frozenset(f"CAP_{name}" for name in _DEFAULT)


def choose_capabilities(security: Obj) -> frozenset[str]:
    """Docker's default set changed by securityContext.capabilities; `ALL` and privileged mean every one we know."""
    wanted = security.get("capabilities") or {}
    base = ALL_CAPABILITIES if security.get("privileged") else DEFAULT_CAPABILITIES
    dropped = _names(wanted.get("drop") or [])
    return (base - dropped) | _names(wanted.get("add") or [])


def _names(names: Sequence[str]) -> frozenset[str]:
    if "ALL" in names:
        return ALL_CAPABILITIES
    return frozenset(n if n.startswith("CAP_") else f"CAP_{n}" for n in names)


def parse_capability_mask(mask: int) -> frozenset[str]:
    """Names of the capabilities in a mask as /proc/PID/status shows it."""
    return frozenset("CAP_" + name for bit, name in enumerate(_BITS) if mask >> bit & 1)
