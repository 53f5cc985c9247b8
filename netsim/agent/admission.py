"""Which pods a node refuses although they were bound to it, and in which words. Pure but for `has_apparmor`."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.agent import podspec
from netsim.agent.model import Obj
from netsim.agent.runtime.sysctls import forbidden

APPARMOR_SWITCH = "/sys/module/apparmor/parameters/enabled"


def refusal(pod: Obj, *, apparmor: bool) -> tuple[str, str] | None:
    """Reason and message with which a pod is refused, None for one that is taken; `apparmor`: the machine has it."""
    if why := forbidden(pod):
        return "SysctlForbidden", why
    if not apparmor and any(kind != "Unconfined" for kind in _apparmor_kinds(pod)):
        return "AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"
    return None


def _apparmor_kinds(pod: Obj) -> Iterator[str]:
    for owner in (pod["spec"], *podspec.all_containers(pod)):
        profile = (owner.get("securityContext") or {}).get("appArmorProfile")
        if profile:
            yield str(profile["type"])


def has_apparmor() -> bool:
    """Whether this machine's kernel enforces AppArmor profiles."""
    try:
        with open(APPARMOR_SWITCH, encoding="ascii") as file:
            return file.read().startswith("Y")
    except FileNotFoundError:
        return False
