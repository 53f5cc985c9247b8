"""Who a container's processes are: securityContext, the image's USER, and the root's passwd and group. Pure.

With runAsUser the image's USER has no say, and the group is that of the user's passwd line, else 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netsim.agent import podspec
from netsim.agent.env import ConfigError, CreateError
from netsim.agent.model import Obj


@dataclass(frozen=True, slots=True)
class User:
    """Numbers of a user, its group and its further groups."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Accounts:
    """What a root's /etc/passwd and /etc/group say: (name, uid, gid) and (name, gid, member names)."""

    users: tuple[tuple[str, int, int], ...] = ()
    groups: tuple[tuple[str, int, tuple[str, ...]], ...] = ()


def parse_accounts(passwd: str, group: str) -> Accounts:
    """Lines that are no passwd(5) or group(5) entries are left out."""
    users = [line.split(":") for line in passwd.splitlines()]
    groups = [line.split(":") for line in group.splitlines()]
    return Accounts(
        tuple((w[0], int(w[2]), int(w[3])) for w in users if len(w) > 3 and w[2].isdigit() and w[3].isdigit()),
        tuple((w[0], int(w[2]), _members(w)) for w in groups if len(w) > 2 and w[2].isdigit()),
    )


def _members(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in words[3].split(",") if name) if len(words) > 3 else ()


def choose_user(security: Obj, image_user: str, accounts: Accounts) -> User:
    """The user of a container. `security` is the pod's securityContext with the container's over it.

    Raises CreateError for a name that the image does not know.
    """
    wanted = security.get("runAsUser")
    asked, _, group = (str(wanted), "", "") if wanted is not None else image_user.partition(":")
    name, uid, gid = _find_user(asked or "0", accounts)
    if group:
        gid = _find_group(group, accounts)
    if security.get("runAsGroup") is not None:
        gid = int(security["runAsGroup"])
    further = [int(g) for g in security.get("supplementalGroups") or ()]
    if security.get("fsGroup") is not None:
        further.append(int(security["fsGroup"]))
    if security.get("supplementalGroupsPolicy") != "Strict" and not group:
        further += [number for _, number, members in accounts.groups if name and name in members]
    return User(uid, gid, tuple(dict.fromkeys(further)))


def _find_user(text: str, accounts: Accounts) -> tuple[str, int, int]:
    if text.isdigit():
        found = next((u for u in accounts.users if u[1] == int(text)), None)
        return found or ("", int(text), 0)
    found = next((u for u in accounts.users if u[0] == text), None)
    if found is None:
        raise CreateError(f"unable to find user {text}: no matching entries in passwd file")
    return found


def _find_group(text: str, accounts: Accounts) -> int:
    if text.isdigit():
        return int(text)
    for name, gid, _ in accounts.groups:
        if name == text:
            return gid
    raise CreateError(f"unable to find group {text}: no matching entries in group file")


def check_non_root(pod: Obj, container: Obj, image_user: str) -> None:
    """runAsNonRoot: the container's user must be known to be another. Raises ConfigError in kubelet's words."""
    security = merged_security(pod, container)
    if not security.get("runAsNonRoot"):
        return
    where = f'(pod: "{podspec.full_name(pod)}", container: {container["name"]})'
    user = security.get("runAsUser")
    if user is not None:
        if int(user) == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    name = image_user.partition(":")[0]
    if name and not name.isdigit():
        text = f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        raise ConfigError(f"{text} {where}")
    if int(name or 0) == 0:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")


def merged_security(pod: Obj, container: Obj) -> Obj:
    """The pod's securityContext with the container's over it."""
    own = {k: v for k, v in (container.get("securityContext") or {}).items() if v is not None}
    return {**(pod["spec"].get("securityContext") or {}), **own}
