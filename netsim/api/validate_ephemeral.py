"""Rules of ephemeral containers, which are added to a running pod through their own subresource."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api import causes, errors, go_values, validate_containers
from netsim.api.errors import Cause
from netsim.api.kinds import Obj

_WHERE = "spec.ephemeralContainers"
# What the API's EphemeralContainer shares with Container but must leave empty.
_REFUSED = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe", "readinessProbe",
    "startupProbe", "lifecycle",
)  # fmt: skip
_UNAVAILABLE = "cannot be set for an Ephemeral Container"
_MIRROR = "kubernetes.io/config.mirror"


def ephemeral_update(new: Obj, old: Obj) -> Iterator[Cause]:
    """Why a (defaulted) pod may not get these ephemeral containers: there are rules for each, and those that are
    there may neither change nor go."""
    if _MIRROR in (old["metadata"].get("annotations") or {}):
        yield causes.forbidden("", "static pods do not support ephemeral containers")
    yield from ephemeral_containers(new["spec"])
    wanted = {container.get("name"): container for container in _of(new)}
    for container in _of(old):
        name = causes.shown(container.get("name"))
        if container.get("name") not in wanted:
            yield causes.forbidden(_WHERE, f"existing ephemeral containers {name} may not be removed\n")
        elif wanted[container.get("name")] != container:
            difference = go_values.difference("EphemeralContainer", container, wanted[container.get("name")])
            yield causes.forbidden(_WHERE, f"existing ephemeral containers {name} may not be changed\n{difference}")


def _of(pod: Obj) -> list[Obj]:
    return pod["spec"].get("ephemeralContainers") or []


def ephemeral_containers(spec: Obj) -> Iterator[Cause]:
    """The rules of each."""
    found = spec.get("ephemeralContainers") or []
    volumes = {volume.get("name", ""): volume for volume in spec.get("volumes") or ()}
    plain = [{key: value for key, value in container.items() if key not in _REFUSED} for container in found]
    yield from validate_containers.containers(plain, _WHERE, volumes, spec)
    others = [c.get("name") for group in ("initContainers", "containers") for c in spec.get(group) or ()]
    seen = set(others)
    for index, container in enumerate(found):
        where, name = f"{_WHERE}[{index}]", container.get("name")
        if name in seen:
            yield causes.duplicate(f"{where}.name", name)
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            yield Cause(errors.NOT_FOUND, f"Not found: {causes.shown(target)}", f"{where}.targetContainerName")
        yield from _fields(container, where)


def _fields(container: Obj, where: str) -> Iterator[Cause]:
    for field in _REFUSED:
        if _is_set(container.get(field)):
            yield causes.forbidden(f"{where}.{field}", _UNAVAILABLE)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                yield causes.forbidden(f"{where}.volumeMounts[{index}].{field}", _UNAVAILABLE)


def _is_set(value: Any) -> bool:
    """Whether a field differs from Go's zero value."""
    return any(map(_is_set, value.values())) if isinstance(value, dict) else bool(value)
