"""The system calls that a container may make: securityContext.seccompProfile as a runtime-spec `linux.seccomp`.

The runtime's default profile refuses what Docker documents as refused by its own ("Seccomp security profiles for
Docker"), each call unless the container has the capability that would allow it; all other calls are allowed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection

from netsim.agent.env import ConfigError, CreateError
from netsim.agent.images.oci import ImageError, parse_json
from netsim.agent.model import Obj
from netsim.agent.runtime.volume_files import check_path

ARCHITECTURES = {
    "amd64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "arm64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}
# Go's names of architectures; for others the filter is for the machine's own calls.
_REFUSED = {
    "": "add_key keyctl request_key kexec_load kexec_file_load create_module get_kernel_syms query_module nfsservctl"
    " pivot_root move_pages swapon swapoff sysfs _sysctl uselib userfaultfd ustat vm86 vm86old lookup_dcookie"
    " io_uring_setup io_uring_enter io_uring_register",
    "CAP_SYS_ADMIN": "mount umount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick setns"
    " unshare quotactl quotactl_fd sethostname setdomainname fanotify_init",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "init_module finit_module delete_module",
    "CAP_SYS_NICE": "get_mempolicy set_mempolicy set_mempolicy_home_node mbind",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}
_COVERED_BY_ADMIN = ("CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG")
"""What CAP_SYS_ADMIN is enough for as well."""
_NEW_NAMESPACE = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
"""The CLONE_NEW… flags of <linux/sched.h>, which clone(2) has in its first argument."""


def choose_seccomp(security: Obj, capabilities: Collection[str], directory: str, architecture: str) -> Obj:
    """The profile of a container with a merged securityContext; {} for none, which is a kubelet's default.

    Profiles of type Localhost are files in `directory`. Raises CreateError for one that is not there or no profile.
    """
    wanted = security.get("seccompProfile") or {}
    if security.get("privileged"):
        return {}
    if wanted.get("type") == "Localhost":
        return read_profile(directory, str(wanted.get("localhostProfile") or ""))
    return default_profile(capabilities, architecture) if wanted.get("type") == "RuntimeDefault" else {}


def default_profile(capabilities: Collection[str], architecture: str) -> Obj:
    """The runtime's own profile for a container with these capabilities (pure)."""
    have = set(capabilities) | (set(_COVERED_BY_ADMIN) if "CAP_SYS_ADMIN" in capabilities else set())
    names = sorted(name for held, text in _REFUSED.items() if held not in have for name in text.split())
    rules: list[Obj] = [_refuse(names, errno.EPERM)]
    if "CAP_SYS_ADMIN" not in have:
        rules += [_refuse(["clone"], errno.EPERM, flag) for flag in _NEW_NAMESPACE]
        # Its flags are behind a pointer, which no filter can follow; told that there is no such call, a C library
        # takes clone.
        rules.append(_refuse(["clone3"], errno.ENOSYS))
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ARCHITECTURES.get(architecture, []), "syscalls": rules}


def _refuse(names: list[str], code: int, flag: int = 0) -> Obj:
    rule: Obj = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": code}
    if flag:
        rule["args"] = [{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}]
    return rule


def read_profile(directory: str, name: str) -> Obj:
    """A node's own profile, in the form of the runtime-spec's `linux.seccomp`. Raises CreateError."""
    path = os.path.join(directory, name)
    told = f'failed to generate spec: cannot load seccomp profile "{path}"'
    try:
        check_path(name)
        with open(path, "rb") as file:
            found = parse_json(file.read(), path)
    except OSError as error:
        raise CreateError(f"{told}: {error.strerror}") from error
    except (ConfigError, ImageError) as error:
        raise CreateError(f"{told}: {error}") from error
    if not isinstance(found, dict) or "defaultAction" not in found:
        raise CreateError(f"{told}: a JSON object with defaultAction is wanted")
    return found
