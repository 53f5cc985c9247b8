"""What a container is started with: its id, arguments and ports."""

from __future__ import annotations

import hashlib
import os
import re
import sys

from netsim.agent.env import CreateError
from netsim.agent.model import Obj
from netsim.agent.runtime.catalogue import Image

_FLAG = re.compile(r"^--?(http-port|udp-port|port)[=\n](-?\d+)$", re.MULTILINE)


def container_id(uid: str, name: str, attempt: int) -> str:
    """The id of an attempt follows from what it is, so that a crash between start and record loses nothing."""
    return hashlib.sha256(f"{uid}/{name}/{attempt}".encode()).hexdigest()


def helper_id(uid: str, name: str, attempt: int) -> str:
    """The id of the helper in which commands of an in-process container run."""
    return container_id(uid, name + "/exec", attempt)


def pause_id(uid: str) -> str:
    """The id of what holds the process namespace of a pod whose containers share one."""
    return container_id(uid, "/pause", 0)


def arguments(spec: Obj, image: Image) -> list[str]:
    """command and args as Kubernetes combines them with an image's own; `netsim` is found in any installation.

    Raises CreateError when there is nothing to run.
    """
    own_args = () if spec.get("command") else image.args
    words = [*(spec.get("command") or image.command), *(spec.get("args") or own_args)]
    if not words:
        raise CreateError(f"no command specified: neither the container nor image {image.name} says what to run")
    if image.netsim and words[:1] == ["netsim"] and not os.path.exists(f"{sys.prefix}/bin/netsim"):
        return [sys.executable, "-m", "netsim.cli", *words[1:]]
    return words


def workload_kind(spec: Obj, image: Image) -> str:
    """What a workload is: agnhost is several programs in one, of which serve-hostname answers with the name alone."""
    return "hostname" if image.kind == "agnhost" and "serve-hostname" in _words(spec) else image.kind


def _words(spec: Obj) -> list[str]:
    return [str(word) for word in [*(spec.get("command") or ()), *(spec.get("args") or ())]]


def _agnhost_ports(words: list[str]) -> tuple[tuple[int, str], ...]:
    """The ports that agnhost's own flags name, () for none. Raises CreateError."""
    flags = dict(_FLAG.findall("\n".join(words)))
    wrong = next((name for name, value in flags.items() if not -1 <= int(value) < 65536), None)
    if wrong:
        raise CreateError(f"agnhost: --{wrong} {flags[wrong]} is no port")
    if "serve-hostname" in words:
        return ((int(flags.get("port", 9376)), "TCP"),)
    if not flags.keys() & {"http-port", "udp-port"}:
        return ()
    ports = ((int(flags.get("http-port", 8080)), "TCP"), (int(flags.get("udp-port", 8081)), "UDP"))
    return tuple(port for port in ports if port[0] > 0)


def listen_ports(spec: Obj, image: Image) -> tuple[tuple[int, str], ...]:
    """What an in-process container listens on: the image's own ports and the declared containerPorts of its protocols.

    Declared TCP ports take the place of the image's own ones: a real program would be configured to them. agnhost's are
    those of its flags, where it has them.
    """
    if image.kind == "agnhost" and (named := _agnhost_ports(_words(spec))):
        return named
    udp = any(protocol == "UDP" for _, protocol in image.ports)
    tcp = any(protocol == "TCP" for _, protocol in image.ports)
    declared = [(int(p["containerPort"]), str(p.get("protocol") or "TCP")) for p in spec.get("ports") or []]
    usable = [p for p in declared if (p[1] == "TCP" and tcp) or (p[1] == "UDP" and udp)]
    taken = {protocol for _, protocol in usable}
    own = [p for p in image.ports if p[1] not in taken]
    return tuple(dict.fromkeys([*usable, *own]))
