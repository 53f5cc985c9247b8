"""What a machine must have for a lab, as a table; judging what was found is pure, looking is one function."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from netsim.host import cgroup, exec, firewall
from netsim.host.nftables import Nftables
from netsim.lab.tools import find_kubectl

Level = Literal["ok", "missing", "optional"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `mend` is a command or an advice, empty when all is well; `package` the Debian package."""

    name: str
    level: Level
    found: str
    mend: str = ""
    package: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program netsim calls: why, and which Debian package has it."""

    program: str
    package: str
    why: str
    required: bool = True


OVERLAY = "vxlan"
TOOLS = (
    Tool("iptables-restore", "iptables", "the service proxy's rules"),
    Tool("conntrack", "conntrack", "forgetting UDP flows to endpoints that are gone"),
    Tool("runc", "runc", "containers that are real processes"),
    Tool("conmon", "conmon", "watching over those containers"),
    Tool("nslookup", "bind9-dnsutils", "looking up names inside pods", required=False),
    Tool("ping", "iputils-ping", "reaching pods and nodes by hand", required=False),
    Tool("curl", "curl", "requests by hand", required=False),
    Tool("tcpdump", "tcpdump", "capture filters", required=False),
    Tool("skopeo", "skopeo", "pulling images", required=False),
    Tool("ip", "iproute2", "looking at interfaces and routes by hand", required=False),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen on the machine."""

    uid: int
    system: str
    kernel: str
    python: tuple[int, int]
    tools: Mapping[str, str | None]
    kubectl: str | None
    firewall: str | None
    cgroups: str
    features: Mapping[str, bool]
    # Tables in which iptables-legacy has rules, where the command in use is the other one.
    legacy_tables: tuple[str, ...] = ()
    nftables: bool = True


def judge(facts: Facts) -> list[Check]:
    """The findings in the order of their importance."""
    checks = [_root(facts), _python(facts), _kernel(facts)]
    checks += [_feature(name, works) for name, works in facts.features.items()]
    checks += [_tool(tool, facts.tools.get(tool.program)) for tool in TOOLS]
    kubectl = Check("kubectl", "ok", facts.kubectl or "")
    if facts.kubectl is None:
        kubectl = Check("kubectl", "missing", "not found", "scripts/install (or pip install 'netsim[kubectl]')")
    return [*checks, kubectl, Check("cgroups", "ok", facts.cgroups), _firewall(facts), _nftables(facts)]


def missing_packages(checks: list[Check]) -> list[str]:
    """Debian packages that would mend the findings, for the install script."""
    return sorted({c.package for c in checks if c.package and c.level != "ok"})


def _root(facts: Facts) -> Check:
    if facts.uid == 0:
        return Check("root", "ok", "yes")
    return Check("root", "missing", f"uid {facts.uid}", "run the command with sudo: namespaces and rules need root")


def _python(facts: Facts) -> Check:
    found = ".".join(map(str, facts.python))
    ok = facts.python >= (3, 11)
    return Check("python", "ok" if ok else "missing", found, "" if ok else "install Python 3.11 or newer")


def _kernel(facts: Facts) -> Check:
    if facts.system == "Linux":
        return Check("kernel", "ok", facts.kernel)
    return Check("kernel", "missing", facts.system, "netsim needs Linux; use a VM (see the Vagrantfile)")


def _feature(name: str, works: bool) -> Check:
    if works:
        return Check(name, "ok", "works")
    if name == OVERLAY:
        return Check(name, "optional", "refused by the kernel", f"use --network host-gw, or a kernel with {name}")
    return Check(name, "missing", "refused by the kernel", f"use a kernel with {name}, or a VM instead of a container")


def _tool(tool: Tool, path: str | None) -> Check:
    if path is not None:
        return Check(tool.program, "ok", path)
    level: Level = "missing" if tool.required else "optional"
    return Check(tool.program, level, f"not found; for {tool.why}", f"apt-get install {tool.package}", tool.package)


def _firewall(facts: Facts) -> Check:
    if facts.firewall is None:
        return Check("iptables back end", "missing", "iptables not found", "apt-get install iptables", "iptables")
    if facts.legacy_tables:
        found = f"{facts.firewall}; beside it iptables-legacy has {', '.join(facts.legacy_tables)}"
        mend = "both judge every packet; use one: update-alternatives --config iptables"
        return Check("iptables back end", "optional", found, mend)
    return Check("iptables back end", "ok", facts.firewall)


def _nftables(facts: Facts) -> Check:
    if facts.nftables:
        return Check("nf_tables", "ok", "works (proxy mode nftables)")
    return Check(
        "nf_tables", "optional", "refused by the kernel", "use proxy mode iptables, or a kernel with nf_tables"
    )


def look(features: bool = True) -> Facts:
    """See what this machine has. With `features`, the kernel's are tried for real, in throw-away namespaces."""
    uid = os.getuid()
    backend = firewall.version().strip().removeprefix("iptables ") if shutil.which("iptables") else None
    return Facts(
        uid=uid,
        system=platform.system(),
        kernel=platform.release(),
        python=(sys.version_info[0], sys.version_info[1]),
        tools={tool.program: shutil.which(tool.program) for tool in TOOLS},
        kubectl=find_kubectl(),
        firewall=backend,
        cgroups=cgroup.detect().mode,
        features=_try_features() if features and uid == 0 and shutil.which("unshare") else {},
        legacy_tables=_legacy_tables() if backend and firewall.parse_backend(backend) == "nf_tables" else (),
        nftables=uid != 0 or _nftables_works(),
    )


def _legacy_tables() -> tuple[str, ...]:
    """The kernel lists them without being made to load anything; root alone may read it."""
    try:
        return tuple(Path("/proc/net/ip_tables_names").read_text(encoding="ascii").split())
    except OSError:
        return ()


def _nftables_works() -> bool:
    """Whether the kernel answers a question about rules; nothing is changed."""
    try:
        with Nftables(4) as sock:
            sock.generation()
    except OSError:
        return False
    return True


_PROBES = {
    "network namespaces": ["true"],
    "veth": ["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"],
    "bridge": ["ip", "link", "add", "probe0", "type", "bridge"],
    OVERLAY: ["ip", "link", "add", "probe0", "type", "vxlan", "id", "1", "dstport", "8472"],
    "iptables nat": ["iptables", "-t", "nat", "-S"],
    "conntrack match": ["iptables", "-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW"],
    "statistic match": ["iptables", "-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", "0.5"],
}


def _try_features() -> dict[str, bool]:
    usable = {name: argv for name, argv in _PROBES.items() if shutil.which(argv[0])}
    return {name: exec.run(["unshare", "--net", *argv], check=False).returncode == 0 for name, argv in usable.items()}


def blocking_problems(checks: list[Check]) -> list[Check]:
    """The findings that make `netsim up` impossible (kubectl is for the user, not for the lab)."""
    return [c for c in checks if c.level == "missing" and c.name != "kubectl"]
