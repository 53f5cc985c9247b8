"""The `kubernetes` plugin of a Corefile. Pure."""

from __future__ import annotations

from netsim.api.selectors import SelectorError, parse_label_selector

from ..options import PODS
from ..zones import reverse_zones
from .server import INSTEAD, Plugin, Server
from .syntax import Directive
from .values import at_least_one, is_reverse, only, seconds, whole


def read_kubernetes(directive: Directive, server: Server) -> None:
    zones = [zone.removesuffix(".") for zone in directive.arguments or server.zones]
    own = [zone for zone in zones if zone and not is_reverse(zone)]
    if not own:
        raise directive.error("0 zones that are not reverse; give the cluster's, such as cluster.local")
    ranges = [zone for zone in zones if "/" in zone]
    reverse = [name for zone in zones if is_reverse(zone) for name in (reverse_zones(zone) if "/" in zone else (zone,))]
    server.values |= {"zone": own[0], "ttl": 5, "pods": "disabled", "fallthrough": False}
    server.values |= {"more-zones": own[1:], "reverse-zones": reverse}
    server.values |= {"cluster-cidr": ranges} if ranges else {}
    for line in directive.body:
        option = _KUBERNETES.get(line.name)
        if option is None:
            raise line.error(f"not served; kubernetes has {', '.join(_KUBERNETES)}: {INSTEAD}")
        option(line, server)


def _pods(line: Directive, server: Server) -> None:
    server.values["pods"] = only(line, 1, 1)[0]
    if server.values["pods"] not in PODS:
        raise line.error(f"{server.values['pods']!r} is unknown, use {', '.join(PODS)}")


def _ttl(line: Directive, server: Server) -> None:
    server.values["ttl"] = whole(line, only(line, 1, 1)[0])


def _fallthrough(line: Directive, server: Server) -> None:
    server.values |= {"fallthrough": True, "fallthrough-zones": line.arguments or ["."]}


def _startup_timeout(line: Directive, server: Server) -> None:
    server.values["startup-timeout"] = seconds(line, only(line, 1, 1)[0])


def _namespaces(line: Directive, server: Server) -> None:
    server.values["namespaces"] = at_least_one(line)


def _namespace_labels(line: Directive, server: Server) -> None:
    server.values["namespace-labels"] = _selector(line)


def _labels(line: Directive, server: Server) -> None:
    server.values["labels"] = _selector(line)


def _selector(line: Directive) -> str:
    text = " ".join(at_least_one(line))
    try:
        parse_label_selector(text)
    except SelectorError as failure:
        raise line.error(f"{failure}; use a selector such as app=web") from None
    return text


def _noendpoints(line: Directive, server: Server) -> None:
    only(line, 0, 0)
    server.values["endpoints"] = False


def _endpoint_pod_names(line: Directive, server: Server) -> None:
    only(line, 0, 0)
    server.values["endpoint-pod-names"] = True


def _ignore(line: Directive, server: Server) -> None:
    if only(line, 1, 1) != ["empty_service"]:
        raise line.error("unknown; it is `ignore empty_service`")
    server.values["ignore-empty"] = True


_KUBERNETES: dict[str, Plugin] = {
    "pods": _pods, "ttl": _ttl, "fallthrough": _fallthrough, "startup_timeout": _startup_timeout,
    "namespaces": _namespaces, "labels": _labels, "noendpoints": _noendpoints,
    "namespace_labels": _namespace_labels, "endpoint_pod_names": _endpoint_pod_names, "ignore": _ignore,
}  # fmt: skip
