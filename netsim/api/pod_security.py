"""Pod Security admission (KEP-2579, pure): what a namespace's labels ask for, and what a pod does against it.

The levels `baseline` and `restricted` are those of the Pod Security Standards. A version picks the checks that there
were then; each is made as it is today.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from netsim.api import causes
from netsim.api import pod_security_checks as checks
from netsim.api.errors import Cause
from netsim.api.kinds import Obj
from netsim.api.pod_defaults import containers

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
_LATEST = "latest"
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")


class Policy(NamedTuple):
    """A level at a version, such as ("baseline", "latest")."""

    level: str = LEVELS[0]
    version: str = _LATEST

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


class _Check(NamedTuple):
    """`find` tells what a pod does against it; it is made at `level` and above, since the version 1.`since`, unless at
    the highest level something stricter takes its place."""

    reason: str
    find: Callable[[Obj, Obj], str]
    level: str = LEVELS[1]
    since: int = 0
    replaced: bool = False


_CHECKS = (
    _Check("forbidden AppArmor profile", checks.apparmor),
    _Check("non-default capabilities", checks.capabilities, replaced=True),
    _Check("host namespaces", checks.host_namespaces),
    _Check("hostPath volumes", checks.host_paths, replaced=True),
    _Check("hostPort", checks.host_ports),
    _Check("probe or lifecycle host", checks.probe_hosts, since=34),
    _Check("privileged", checks.privileged),
    _Check("procMount", checks.host_users_proc_mount, replaced=True),
    _Check("seLinuxOptions", checks.selinux),
    _Check("seccompProfile", checks.seccomp, replaced=True),
    _Check("forbidden sysctls", checks.sysctls),
    _Check("hostProcess", checks.host_process),
    _Check("allowPrivilegeEscalation != false", checks.escalation, LEVELS[2], 8),
    _Check("unrestricted capabilities", checks.all_capabilities, LEVELS[2], 22),
    _Check("procMount", checks.proc_mount, LEVELS[2]),
    _Check("restricted volume types", checks.volume_types, LEVELS[2]),
    _Check("runAsNonRoot != true", checks.non_root, LEVELS[2]),
    _Check("runAsUser=0", checks.root_user, LEVELS[2], 23),
    _Check("seccompProfile", checks.seccomp_set, LEVELS[2], 19),
)


def label_problems(labels: Obj | None) -> Iterator[Cause]:
    """What is wrong with the labels by which a namespace asks for levels."""
    for mode in _MODES:
        level, version = ((labels or {}).get(f"{PREFIX}{mode}{end}") for end in ("", "-version"))
        if level is not None and level not in LEVELS:
            why = f"must be one of {', '.join(LEVELS)}"
            yield causes.invalid(f"metadata.labels[{PREFIX}{mode}]", level, why)
        if version is not None and not _VERSION.fullmatch(version):
            yield causes.invalid(f"metadata.labels[{PREFIX}{mode}-version]", version, 'must be "latest" or "v1.x"')


def asks(labels: Obj | None) -> bool:
    """Whether the labels of a namespace ask for anything: most ask for nothing."""
    return any(key.startswith(PREFIX) for key in labels or ())


def policy(labels: Obj | None, mode: str) -> Policy:
    """What the labels ask for in a mode, `enforce` or `warn`. Who enforces a level is also warned by it. Labels that
    were written before they were looked at may ask for what there is not: that is taken for the strictest level, of
    which nobody is warned, and for the latest version."""
    level = (labels or {}).get(PREFIX + mode)
    version = (labels or {}).get(f"{PREFIX}{mode}-version")
    known = version if version and _VERSION.fullmatch(version) else _LATEST
    if mode == "warn" and level is None:
        enforced = policy(labels, "enforce") if (labels or {}).get(f"{PREFIX}enforce") in LEVELS else Policy()
        return Policy(enforced.level, known if version else enforced.version)
    if level is None or level in LEVELS:
        return Policy(level or LEVELS[0], known)
    return Policy(LEVELS[-1] if mode == "enforce" else LEVELS[0], known)


def violations(asked: Policy, metadata: Obj, spec: Obj) -> list[tuple[str, str]]:
    """(reason, detail) of everything that a pod of that metadata and spec does against the policy."""
    strictness, at = LEVELS.index(asked.level), _minor(asked.version)
    found = []
    for check in _CHECKS:
        made = LEVELS.index(check.level) <= strictness and (at is None or check.since <= at)
        if made and not (check.replaced and asked.level == LEVELS[2]):
            detail = check.find(metadata, spec)
            found += [(check.reason + _plural(check, detail), detail)] if detail else []
    return found


def _plural(check: _Check, detail: str) -> str:
    """AppArmor's reason alone counts the profiles."""
    return "s" if check.find is checks.apparmor and detail.rpartition(" type to ")[2].count('", "') else ""


def _minor(version: str) -> int | None:
    return None if version == _LATEST else int(version.removeprefix("v1."))


def told(found: Iterable[tuple[str, str]]) -> str:
    """The violations as messages list them."""
    return ", ".join(f"{reason} ({detail})" for reason, detail in found)


def tightened(new: Policy, old: Policy) -> bool:
    """Whether pods that are there already may be against a policy that takes the place of another."""
    if new == old or new.level == LEVELS[0]:
        return False
    return new.version != old.version or LEVELS.index(new.level) > LEVELS.index(old.level)


def existing_violations(asked: Policy, namespace: str, pods: Iterable[Obj]) -> list[str]:
    """The warnings about pods that a namespace's new policy would not let in; nothing is done to them."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for pod in pods:
        reasons = ", ".join(reason for reason, _ in violations(asked, pod["metadata"], pod.get("spec") or {}))
        if reasons:
            first.setdefault(reasons, pod["metadata"]["name"])
            counts[reasons] += 1
    listed = sorted(f"{first[reasons]}{_others(count - 1)}: {reasons}" for reasons, count in counts.items())
    head = f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{asked}"'
    return [head, *listed] if listed else []


def _others(count: int) -> str:
    return f" (and {count} other pod{'s' * (count != 1)})" if count else ""


def same_images(new: Obj, old: Obj) -> bool:
    """Whether a changed pod spec has the containers and images that have been judged before."""
    return [(c.get("name"), c.get("image")) for c in containers(new)] == [
        (c.get("name"), c.get("image")) for c in containers(old)
    ]
